//! Verbs that the daemon does: a request over the control socket, an answer on the screen.

use std::io::IsTerminal;
use std::path::PathBuf;
use std::thread::sleep;
use std::time::Duration;

use super::args::{
    Action, AuditVerb, ConfigVerb, EgressVerb, LaneVerb, MessageVerb, QueueVerb, SourceVerb, Verb,
};
use super::{CONFIG_PATH, Ending, check, complain, host, print, view};
use crate::base::id::QueueId;
use crate::config::control_socket;
use crate::control::answer::{Answer, Trouble, TroubleKind};
use crate::control::call::{CallError, Line};
use crate::control::check::Grade;
use crate::control::request::{QueueFilter, Request};
use crate::host::{clock, disk, failures};

/// Between two looks of `message trace --follow`.
const FOLLOW_BEAT: Duration = Duration::from_millis(200);

/// Where the daemon is, and how its answers are shown.
#[derive(Clone, Debug)]
pub(super) struct Place {
    pub(super) socket: Option<PathBuf>,
    pub(super) config: Option<PathBuf>,
    pub(super) json: bool,
}

impl Place {
    /// The control socket: as typed, or as the configuration says, or the usual one.
    pub(super) fn socket(&self) -> Result<PathBuf, String> {
        match (&self.socket, &self.config) {
            (Some(socket), _) => Ok(socket.clone()),
            (None, Some(config)) => {
                disk::text(config).map(|text| control_socket(&text)).map_err(|e| e.to_string())
            }
            // The usual configuration may be unreadable for the caller; then the usual socket.
            (None, None) => {
                Ok(control_socket(&disk::text(CONFIG_PATH.as_ref()).unwrap_or_default()))
            }
        }
    }
}

/// Has the daemon do `verb`.
pub(super) fn ask(verb: Verb, place: &Place) -> Ending {
    let follow = match &verb {
        Verb::Message(MessageVerb::Trace { id, follow: true }) => Some(*id),
        _ => None,
    };
    let out = match &verb {
        Verb::Egress { verb: Some(EgressVerb::Attest { out, .. }) } => out.clone(),
        _ => None,
    };
    let request = match request(verb) {
        Ok(request) => request,
        Err(problem) => {
            complain(&problem);
            return Ending::Wrong;
        }
    };
    let line = match place.socket() {
        Ok(socket) => Line::open(&socket),
        Err(problem) => {
            complain(&problem);
            return Ending::Wrong;
        }
    };
    let done = line.and_then(|mut line| {
        if let Some(id) = follow {
            return self::follow(&mut line, id, place.json);
        }
        announce(&request);
        line.ask(&request).map(|answer| {
            let Answer::Attested(signed) = &answer else {
                let ending = show(&answer, place.json);
                if matches!(answer, Answer::Status(_)) && !place.json {
                    print(&host::beside(place));
                }
                return ending;
            };
            check::deliver(signed, out.as_ref())
        })
    });
    done.unwrap_or_else(|error: CallError| {
        complain(&error.to_string());
        if matches!(request, Request::Status {}) {
            // Why it cannot be asked is likely among these.
            for failure in failures::recorded(std::path::Path::new(failures::FOLDER)) {
                complain(&failure.to_string());
            }
        }
        Ending::Failed
    })
}

/// Prints an answer: JSON or a table to standard output, trouble to standard error.
pub(super) fn show(answer: &Answer, json: bool) -> Ending {
    if let Answer::Trouble(trouble) = answer {
        if json {
            print(&(serde_json::to_string(trouble).unwrap_or_default() + "\n"));
        }
        complain(&crate::event::harmless(&trouble.text));
        return ending(trouble);
    }
    if json {
        print(&(data(answer) + "\n"));
    } else {
        print(&view::text(answer, clock::wall()));
    }
    ended(answer)
}

fn ended(answer: &Answer) -> Ending {
    match answer {
        Answer::Checked(checked) if !checked.good => Ending::Wrong,
        Answer::Verified(found) if !found.good => Ending::Failed,
        Answer::EgressChecks(checks) => check::ending(checks),
        Answer::Diagnosed(found) if found.worst() == Grade::Fail => Ending::Failed,
        _ => Ending::Done,
    }
}

/// Says to a person that an answer will take its time.
fn announce(request: &Request) {
    let slow = matches!(request, Request::EgressCheck { .. } | Request::EgressAttest { .. });
    if slow && std::io::stderr().is_terminal() {
        complain("asking name servers, lists and hosts through the egress: up to a minute");
    }
}

fn ending(trouble: &Trouble) -> Ending {
    match trouble.kind {
        TroubleKind::Invalid => Ending::Wrong,
        _ => Ending::Failed,
    }
}

/// The data of an answer alone, as JSON.
fn data(answer: &Answer) -> String {
    let whole = serde_json::to_value(answer).unwrap_or_default();
    let data = whole.get("data").cloned().unwrap_or_default();
    serde_json::to_string_pretty(&data).unwrap_or_default()
}

/// Prints facts about a message as they come, until it is completed.
fn follow(line: &mut Line, id: QueueId, json: bool) -> Result<Ending, CallError> {
    let mut after = 0;
    loop {
        let answer = line.ask(&Request::MessageTrace { id, after })?;
        let Answer::Facts(facts) = &answer else { return Ok(show(&answer, json)) };
        for fact in facts {
            after = after.max(fact.number);
            if json {
                print(&(serde_json::to_string(fact).unwrap_or_default() + "\n"));
            }
        }
        if !json {
            print(&view::facts(facts));
        }
        if facts.iter().any(|fact| fact.event == "message_completed") {
            return Ok(Ending::Done);
        }
        sleep(FOLLOW_BEAT);
    }
}

/// The request that a verb is.
fn request(verb: Verb) -> Result<Request, String> {
    Ok(match verb {
        Verb::Status => Request::Status {},
        Verb::Metrics => Request::Metrics {},
        Verb::StopAll => Request::StopAll {},
        Verb::ResumeAll => Request::ResumeAll {},
        Verb::Egress { verb: Some(EgressVerb::List) } => Request::EgressList {},
        Verb::Egress { verb: Some(EgressVerb::Suspend { name, reason }) } => {
            Request::EgressSuspend { name, reason }
        }
        Verb::Egress { verb: Some(EgressVerb::Resume { name }) } => Request::EgressResume { name },
        Verb::Egress { verb: Some(EgressVerb::Check { egress, to }) } => {
            Request::EgressCheck { egress, to }
        }
        Verb::Egress { verb: Some(EgressVerb::Attest { egress, .. }) } => {
            Request::EgressAttest { egress }
        }
        Verb::Egress { verb: None | Some(EgressVerb::Plan(_) | EgressVerb::Apply { .. }) }
        | Verb::Serve { .. }
        | Verb::Failure { .. }
        | Verb::Emergency { .. }
        | Verb::Update(_)
        | Verb::Console(_)
        | Verb::Network(_)
        | Verb::Key(_)
        | Verb::Spool(_)
        | Verb::Health(_)
        | Verb::Machine(_)
        | Verb::Config(ConfigVerb::Generation(_))
        | Verb::Disks { .. }
        | Verb::Diagnose(_)
        | Verb::Trace(_)
        | Verb::Demo { .. } => {
            return Err("a role is no request".to_owned());
        }
        Verb::Queue(verb) => queue(verb)?,
        Verb::Lane(LaneVerb::Release { name, source, dry_run }) => {
            Request::LaneRelease { lane: name, source, dry_run }
        }
        Verb::Message(MessageVerb::Trace { id, .. }) => Request::MessageTrace { id, after: 0 },
        Verb::Message(MessageVerb::Explain { id }) => Request::MessageExplain { id },
        Verb::Source(verb) => source(verb)?,
        Verb::Config(ConfigVerb::Show) => Request::ConfigShow {},
        Verb::Config(ConfigVerb::Check { .. }) => {
            return Err("config check works without a daemon".to_owned());
        }
        Verb::Config(ConfigVerb::Diff { file }) => {
            let text = file.map(|file| disk::text(&file)).transpose();
            Request::ConfigDiff { text: text.map_err(|fault| fault.to_string())? }
        }
        Verb::Config(ConfigVerb::Reload) => Request::ConfigReload {},
        Verb::Audit(AuditVerb::Show(paging)) => Request::AuditShow { page: paging.into() },
        Verb::Audit(AuditVerb::Verify { .. }) => Request::AuditVerify {},
    })
}

fn queue(verb: QueueVerb) -> Result<Request, String> {
    Ok(match verb {
        QueueVerb::List { selection, paging } => {
            Request::QueueList { filter: selection.into(), page: paging.into() }
        }
        QueueVerb::Lanes(paging) => Request::QueueLanes { page: paging.into() },
        QueueVerb::Show { id } => Request::QueueShow { id },
        QueueVerb::Hold(action) => {
            let (filter, dry_run) = chosen(action)?;
            Request::QueueHold { filter, dry_run }
        }
        QueueVerb::Release(action) => {
            let (filter, dry_run) = chosen(action)?;
            Request::QueueRelease { filter, dry_run }
        }
        QueueVerb::Retry(action) => {
            let (filter, dry_run) = chosen(action)?;
            Request::QueueRetry { filter, dry_run }
        }
        QueueVerb::Purge(action) => {
            let (filter, dry_run) = chosen(action)?;
            Request::QueuePurge { filter, dry_run }
        }
    })
}

/// The whole queue only if it was asked for by name.
fn chosen(action: Action) -> Result<(QueueFilter, bool), String> {
    let filter = QueueFilter::from(action.selection);
    match (filter.is_everything(), action.all) {
        (true, false) => {
            Err("say which messages: ids, --source, --domain, --lane, --class, --held, \
                              --older-than, or --all"
                .to_owned())
        }
        (false, true) => Err("--all stands alone: it means the whole queue".to_owned()),
        _ => Ok((filter, action.dry_run)),
    }
}

fn source(verb: SourceVerb) -> Result<Request, String> {
    Ok(match verb {
        SourceVerb::List(paging) => Request::SourceList { page: paging.into() },
        SourceVerb::Show { name } => Request::SourceShow { name },
        SourceVerb::Hold(on) => Request::SourceHold { name: on.name, dry_run: on.dry_run },
        SourceVerb::Release(on) => Request::SourceRelease { name: on.name, dry_run: on.dry_run },
        SourceVerb::Disable(on) => Request::SourceDisable { name: on.name, dry_run: on.dry_run },
        SourceVerb::Enable(on) => Request::SourceEnable { name: on.name, dry_run: on.dry_run },
        SourceVerb::Rotate { name, grace } => {
            Request::SourceRotate { name, grace_secs: grace.as_secs() }
        }
        SourceVerb::Hash { .. } => return Err("source hash works without a daemon".to_owned()),
    })
}
