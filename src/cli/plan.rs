//! `postern egress plan`: what the ways out need of the system. Needs no daemon.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::json;

use super::args::{PlanArguments, PlanForm};
use super::{Ending, complain, print};
use crate::event::harmless;
use crate::host::disk::{self, NoConfig};
use crate::host::network;
use crate::host::plan::kernel::differences;
use crate::host::plan::{File, Form, Plan};
use crate::host::walls;

/// Shows the plan, writes it, or holds the running kernel against it.
pub(super) fn plan(arguments: &PlanArguments, config: &Path, json: bool) -> Ending {
    let plan = match made(config, arguments.check) {
        Ok(plan) => plan,
        Err(ending) => return ending,
    };
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

/// The plan of the document at `config`; its gaps are said. The running kernel of a machine that
/// is ours alone is held against the whole.
fn made(config: &Path, running: bool) -> Result<Plan, Ending> {
    let reading = disk::load(config).map_err(|error| {
        if matches!(error, NoConfig::Wrong(_)) {
            complain(&format!("{}: the configuration is wrong", config.display()));
        }
        complain(&error.to_string());
        Ending::Wrong
    })?;
    let whole = running && !reading.config.network.interfaces.is_empty();
    let plan = if whole { network::plan_of(&reading.config) } else { Plan::of(&reading.config) };
    for note in &plan.notes {
        complain(&harmless(note));
    }
    if plan.is_empty() {
        complain("no egress has a device: there is nothing to plan");
        return Err(Ending::Failed);
    }
    Ok(plan)
}

/// Writes all files of the plan to this system and has it take them over: by systemd if it runs
/// here, else by the script. Ends at the first step that fails.
pub(super) fn apply(config: &Path, dry_run: bool) -> Ending {
    let plan = match made(config, false) {
        Ok(plan) => plan,
        Err(ending) => return ending,
    };
    let files = plan.files(Form::Files);
    let script = plan.files(Form::Shell).into_iter().map(|file| file.text).collect::<String>();
    let steps: &[&str] = if Path::new("/run/systemd/system").exists() {
        &[
            "systemctl daemon-reload",
            "systemctl enable postern-guard.service",
            "systemctl restart postern-guard.service",
            "sysctl --quiet --load=/etc/sysctl.d/60-postern.conf",
            "networkctl reload",
        ]
    } else {
        &["sh -s"]
    };
    if dry_run {
        for file in &files {
            print(&format!("would write  /{}\n", file.path.display()));
        }
        for step in steps {
            print(&format!("would run    {step}\n"));
        }
        return Ending::Done;
    }
    if !walls::is_root() {
        complain("only root can change the system; --dry-run says what would be done");
        return Ending::Failed;
    }
    if write(&files, Path::new("/"), false) != Ending::Done {
        return Ending::Failed;
    }
    for step in steps {
        print(&format!("running  {step}\n"));
        if let Err(why) = step_done(step, &script) {
            complain(&harmless(&format!("{step}: {why}")));
            return Ending::Failed;
        }
    }
    check(&plan, false)
}

/// Runs one step; the script is its standard input.
fn step_done(step: &str, script: &str) -> Result<(), String> {
    let mut words = step.split(' ');
    let program = words.next().unwrap_or_default();
    let mut child = Command::new(program)
        .args(words)
        .stdin(Stdio::piped())
        .spawn()
        .map_err(|cause| cause.to_string())?;
    if let Some(mut input) = child.stdin.take() {
        // A step that does not read its input is none the worse for it.
        let _unread = input.write_all(script.as_bytes());
    }
    let status = child.wait().map_err(|cause| cause.to_string())?;
    if status.success() { Ok(()) } else { Err(format!("ended with {status}")) }
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
