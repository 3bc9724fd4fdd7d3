//! `postern diagnose` and `postern trace`: asked of the host role where it runs, else of the
//! daemon.

use std::io::IsTerminal;
use std::thread::sleep;
use std::time::{Duration, Instant};

use super::args::DiagnoseArguments;
use super::args::diagnose::SmtpTraceArguments;
use super::ask::{Place, show};
use super::{Ending, complain, host, print, view};
use crate::control::answer::Answer;
use crate::control::call::{CallError, Line};
use crate::control::request::Request;

/// Between two looks at a trace.
const TRACE_BEAT: Duration = Duration::from_millis(250);

/// Tries one thing by one way.
pub(super) fn diagnose(arguments: DiagnoseArguments, place: &Place) -> Ending {
    let DiagnoseArguments { test: Some(test), role: Some(role), target: Some(target), .. } =
        arguments
    else {
        complain("say what is tried, by which way (--from) and to whom");
        return Ending::Wrong;
    };
    if std::io::stderr().is_terminal() {
        complain(&format!("trying {target} by {role} alone: up to half a minute"));
    }
    // An interface that is no way out is known to the host role alone.
    if let Some(answer) = host::diagnose(test, &role, &target, place) {
        return answer;
    }
    ask(&Request::Diagnose { test, role, target }, place)
}

fn ask(request: &Request, place: &Place) -> Ending {
    let done = line(place).and_then(|mut line| line.ask(request).map_err(|e| e.to_string()));
    match done {
        Ok(answer) => show(&answer, place.json),
        Err(problem) => {
            complain(&problem);
            Ending::Failed
        }
    }
}

fn line(place: &Place) -> Result<Line, String> {
    Line::open(&place.socket()?).map_err(|error| error.to_string())
}

/// Shows a dialogue as it is spoken, until its time is over.
pub(super) fn trace(arguments: SmtpTraceArguments, place: &Place) -> Ending {
    let SmtpTraceArguments { source, destination, time } = arguments;
    let begin = Request::TraceBegin { source, destination, secs: time.as_secs() };
    let mut line = match line(place) {
        Ok(line) => line,
        Err(problem) => {
            complain(&problem);
            return Ending::Failed;
        }
    };
    follow(&mut line, &begin, place.json).unwrap_or_else(|error| {
        complain(&error.to_string());
        Ending::Failed
    })
}

fn follow(line: &mut Line, begin: &Request, json: bool) -> Result<Ending, CallError> {
    let answer = line.ask(begin)?;
    let Answer::Dialogue(first) = &answer else { return Ok(show(&answer, json)) };
    let about = first.about.clone();
    if std::io::stderr().is_terminal() {
        complain(&format!("tracing {about} for {} s; Ctrl-C ends the show", first.left_secs));
    }
    let end = Instant::now() + Duration::from_secs(first.left_secs);
    let (mut after, mut lost) = (0, 0);
    loop {
        let over = Instant::now() >= end;
        let answer = line.ask(&Request::TracePoll { after })?;
        let Answer::Dialogue(dialogue) = &answer else { return Ok(show(&answer, json)) };
        if dialogue.about != about {
            complain("another trace has taken its place");
            return Ok(Ending::Failed);
        }
        after = dialogue.rows.last().map_or(after, |row| row.number);
        if json {
            for row in &dialogue.rows {
                print(&(serde_json::to_string(row).unwrap_or_default() + "\n"));
            }
        } else {
            print(&view::diagnose::dialogue(dialogue));
        }
        if dialogue.lost > lost {
            lost = dialogue.lost;
            complain(&format!("{lost} lines came too fast to be kept"));
        }
        if over || dialogue.left_secs == 0 {
            line.ask(&Request::TraceEnd {})?;
            return Ok(Ending::Done);
        }
        sleep(TRACE_BEAT);
    }
}
