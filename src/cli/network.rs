//! `postern network`: the network of a machine that is ours alone. Needs no daemon.

use std::path::Path;

use serde_json::json;

use super::args::NetworkVerb;
use super::table::Table;
use super::{Ending, complain, print};
use crate::base::fault::Fault;
use crate::base::time::WallTime;
use crate::config::checked::Config;
use crate::config::{Surroundings, read};
use crate::event::harmless;
use crate::host::disk::{self, Disk};
use crate::host::network::{self, Applied, InterfaceFacts, Moment};
use crate::host::plan::kernel::Difference;
use crate::host::plan::{File, Form};
use crate::host::walls;

/// Does what was asked.
pub(super) fn network(verb: NetworkVerb, config: &Path, json: bool) -> Ending {
    match verb {
        NetworkVerb::Show => show(config, json),
        NetworkVerb::Render { root } => render(&root, config, json),
        NetworkVerb::Apply { boot, dry_run } => apply(config, boot, dry_run, json),
        NetworkVerb::Status => status(config, json),
        NetworkVerb::Names => match network::follow_lease() {
            Ok(_) => Ending::Done,
            Err(fault) => failed(&fault),
        },
    }
}

/// This machine, but for files that only the daemon reads: administrators must be able to reach a
/// machine whose certificate is missing.
struct NetworkAlone;

impl Surroundings for NetworkAlone {
    fn readable(&self, _: &Path) -> Result<(), String> {
        Ok(())
    }

    fn uid(&self, name: &str) -> Option<u32> {
        Disk.uid(name)
    }

    fn now(&self) -> Option<WallTime> {
        Disk.now()
    }
}

/// The document at `path`; what is wrong with it has been said.
fn document(path: &Path) -> Result<Config, Ending> {
    let text = disk::text(path).map_err(|fault| {
        complain(&fault.to_string());
        Ending::Wrong
    })?;
    read(&text, &NetworkAlone).map(|reading| reading.config).map_err(|complaints| {
        complain(&format!("{}: the configuration is wrong", path.display()));
        let lines: Vec<String> = complaints.iter().map(ToString::to_string).collect();
        complain(&lines.join("\n"));
        Ending::Wrong
    })
}

fn files(path: &Path) -> Result<Vec<File>, Ending> {
    let plan = network::plan_of(&document(path)?);
    plan.notes.iter().for_each(|note| complain(&harmless(note)));
    Ok(plan.files(Form::Whole))
}

fn show(path: &Path, json: bool) -> Ending {
    let files = match files(path) {
        Ok(files) => files,
        Err(ending) => return ending,
    };
    if json {
        print(&format!("{:#}\n", json!(files)));
    } else {
        for file in files {
            print(&format!("### /{}\n{}\n", file.path.display(), file.text));
        }
    }
    Ending::Done
}

fn render(root: &Path, path: &Path, json: bool) -> Ending {
    let files = match files(path) {
        Ok(files) => files,
        Err(ending) => return ending,
    };
    match network::write_below(root, &files) {
        Ok(written) if json => print(&format!("{:#}\n", json!({ "written": written }))),
        Ok(written) => {
            for path in written {
                print(&format!("written  {}\n", root.join(path).display()));
            }
        }
        Err(fault) => return failed(&fault),
    }
    Ending::Done
}

fn apply(path: &Path, boot: bool, dry_run: bool, json: bool) -> Ending {
    if dry_run {
        return match files(path) {
            Ok(files) => {
                let say = |file: &File| format!("would write  /{}\n", file.path.display());
                print(&files.iter().map(say).collect::<String>());
                Ending::Done
            }
            Err(ending) => ending,
        };
    }
    if !walls::is_root() {
        complain("only root can change the system; --dry-run says what would be done");
        return Ending::Failed;
    }
    let at = if boot { Moment::Boot } else { Moment::Running };
    let appliance = network::is_appliance();
    if !path.exists() {
        if !appliance {
            print("this machine is no appliance, and there is no document: nothing is done\n");
            return Ending::Done;
        }
        let ending = told(network::shut(at), json);
        print("there is no configuration yet: the network is shut\n");
        return ending;
    }
    let config = match document(path) {
        Ok(config) => config,
        Err(ending) => {
            // At a start there is nothing that could go on as it was.
            if boot && appliance {
                told(network::shut(at), json);
                complain("the network stays shut until the configuration is good");
            }
            return ending;
        }
    };
    if config.network.interfaces.is_empty() && !appliance {
        // Shutting what the document does not describe would cut the administrator off.
        print(
            "this machine is no appliance, and the document describes no [interface.NAME]: others \
             look after its network. `postern egress apply` puts the ways out in force\n",
        );
        return Ending::Done;
    }
    told(network::apply(&config, at), json)
}

/// Says what was done, or why not.
fn told(done: Result<Applied, Fault>, json: bool) -> Ending {
    let applied = match done {
        Ok(applied) => applied,
        Err(fault) => return failed(&fault),
    };
    if json {
        print(&format!("{:#}\n", json!(applied)));
        return Ending::Done;
    }
    let files = applied.files.iter().map(|path| format!("changed  /{}\n", path.display()));
    let steps = applied.steps.iter().map(|step| format!("done     {}\n", harmless(step)));
    print(&files.chain(steps).collect::<String>());
    applied.notes.iter().for_each(|note| complain(&harmless(note)));
    Ending::Done
}

fn status(path: &Path, json: bool) -> Ending {
    let interfaces = network::interfaces();
    let config = if path.exists() {
        match document(path) {
            Ok(config) => Some(config),
            Err(ending) => return ending,
        }
    } else {
        None
    };
    let found: Option<Vec<Difference>> =
        config.as_ref().map(|config| network::differences(&network::plan_of(config)));
    let good = found.as_ref().is_none_or(Vec::is_empty);
    if json {
        let document = json!({
            "good": good,
            "interfaces": interfaces,
            "differences": found,
            "notes": config.as_ref().map(|config| network::plan_of(config).notes),
        });
        print(&format!("{document:#}\n"));
    } else {
        print(&listed(&interfaces, config.as_ref()));
        for difference in found.iter().flatten() {
            let line = format!("{}\n    remedy: {}", difference.what, difference.remedy);
            print(&line.split('\n').map(|part| harmless(part) + "\n").collect::<String>());
        }
        print(match (&found, good) {
            (None, _) => "there is no configuration\n",
            (_, true) => "the network is as the configuration says\n",
            (_, false) => "the network is not as the configuration says\n",
        });
    }
    if good { Ending::Done } else { Ending::Failed }
}

/// Interfaces as a table.
fn listed(interfaces: &[InterfaceFacts], config: Option<&Config>) -> String {
    let role = |name: &str| {
        let known = config?.network.interfaces.iter().find(|i| i.name == name)?;
        Some(known.role.to_string())
    };
    let mut table = Table::new(&["INTERFACE", "PART", "CARD", "WHERE", "LINK", "ADDRESSES"]);
    for facts in interfaces {
        let link = match (facts.up, facts.carrier, facts.speed) {
            (false, ..) => "down".to_owned(),
            (true, false, _) => "no cable".to_owned(),
            (true, true, Some(speed)) => format!("{speed} Mbit/s"),
            (true, true, None) => "up".to_owned(),
        };
        let place = facts.bus.clone().or_else(|| facts.kind.clone()).unwrap_or_default();
        table.row([
            facts.name.clone(),
            role(&facts.name).unwrap_or_else(|| "-".to_owned()),
            facts.mac.clone(),
            place,
            link,
            facts.addresses.join(" "),
        ]);
    }
    table.text()
}

fn failed(fault: &Fault) -> Ending {
    complain(&harmless(&fault.to_string()));
    Ending::Failed
}
