//! `postern egress plan`: what the ways out need of the system. Needs no daemon.

use std::fs;
use std::path::Path;

use serde_json::json;

use super::args::{PlanArguments, PlanForm};
use super::{Ending, complain, print};
use crate::event::harmless;
use crate::host::disk::{self, NoConfig};
use crate::host::plan::kernel::differences;
use crate::host::plan::{File, Form, Plan};

/// Shows the plan, writes it, or holds the running kernel against it.
pub(super) fn plan(arguments: &PlanArguments, config: &Path, json: bool) -> Ending {
    let reading = match disk::load(config) {
        Ok(reading) => reading,
        Err(error) => {
            if matches!(error, NoConfig::Wrong(_)) {
                complain(&format!("{}: the configuration is wrong", config.display()));
            }
            complain(&error.to_string());
            return Ending::Wrong;
        }
    };
    let plan = Plan::of(&reading.config);
    for note in &plan.notes {
        complain(&harmless(note));
    }
    if plan.is_empty() {
        complain("no egress has a device: there is nothing to plan");
        return Ending::Failed;
    }
    if arguments.check {
        return check(&plan, json);
    }
    let form = match arguments.format {
        None => Form::Files,
        Some(PlanForm::Networkd) => Form::Networkd,
        Some(PlanForm::Nftables) => Form::Nftables,
        Some(PlanForm::Shell) => Form::Shell,
    };
    let files = plan.files(form);
    if let Some(folder) = &arguments.write {
        return write(&files, folder, json);
    }
    show(&files, form, json);
    Ending::Done
}

fn show(files: &[File], form: Form, json: bool) {
    if json {
        let files = json!(files);
        print(&format!("{files:#}\n"));
        return;
    }
    // A script is for a shell: nothing may stand before it.
    if form == Form::Shell {
        for script in files {
            print(&script.text);
        }
        return;
    }
    for file in files {
        print(&format!("### /{}\n{}\n", file.path.display(), file.text));
    }
}

/// Writes the files below `folder` and nothing else; those that are already so are left alone.
fn write(files: &[File], folder: &Path, json: bool) -> Ending {
    let mut written = Vec::new();
    for file in files {
        let path = folder.join(&file.path);
        if fs::read_to_string(&path).is_ok_and(|present| present == file.text) {
            written.push((path, "unchanged"));
            continue;
        }
        let before = path.exists();
        let made = path.parent().map_or(Ok(()), fs::create_dir_all);
        if let Err(cause) = made.and_then(|()| fs::write(&path, &file.text)) {
            complain(&format!("{}: {cause}", path.display()));
            return Ending::Failed;
        }
        written.push((path, if before { "replaced" } else { "written" }));
    }
    if json {
        let rows: Vec<_> =
            written.iter().map(|(path, what)| json!({ "path": path, "what": what })).collect();
        print(&format!("{:#}\n", json!(rows)));
    } else {
        for (path, what) in &written {
            print(&format!("{what}  {}\n", path.display()));
        }
    }
    Ending::Done
}

/// Holds the running kernel against the plan.
fn check(plan: &Plan, json: bool) -> Ending {
    let found = differences(plan);
    if json {
        print(&format!("{:#}\n", json!({ "good": found.is_empty(), "differences": found })));
    } else {
        for difference in &found {
            let line = format!("{}\n    remedy: {}", difference.what, difference.remedy);
            print(&line.split('\n').map(|part| harmless(part) + "\n").collect::<String>());
        }
        print(&match found.len() {
            0 => "the system is as planned\n".to_owned(),
            1 => "1 difference\n".to_owned(),
            count => format!("{count} differences\n"),
        });
    }
    if found.is_empty() { Ending::Done } else { Ending::Failed }
}
