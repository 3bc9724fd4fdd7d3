//! `postern update run`: does what the host role has written down, as a unit of its own that may
//! write the disk, and leaves an answer beside the request.

use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{Settings, Source, Wishes, apply, check, rollback, stage, status};
use crate::base::fault::Fault;
use crate::config::checked::UpdateUrl;
use crate::host::slots::machine::Places;
use crate::host::slots::shelf::replace;

/// Octets of a request.
const REQUEST_OCTETS_MAX: usize = 8192;

/// What the host role has written down.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Errand {
    /// The answer names it, so that nobody takes it for his who asked meanwhile.
    id: String,
    /// A [`Request`].
    request: Value,
}

/// What the host role asks for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "verb", rename_all = "kebab-case", deny_unknown_fields)]
pub(super) enum Request {
    /// What is offered.
    Check,
    /// Fetch and write.
    Stage {
        /// A path, `usb` or a URL; none: what is offered.
        #[serde(default)]
        from: Option<String>,
        /// An older release is taken too.
        #[serde(default)]
        downgrade: bool,
        /// Now, for this reason.
        #[serde(default)]
        now: Option<String>,
    },
    /// Make the next boot try it, and restart.
    Apply {
        /// Now, for this reason.
        #[serde(default)]
        now: Option<String>,
    },
    /// Back to the other slot.
    Rollback {
        /// Now, for this reason.
        #[serde(default)]
        now: Option<String>,
    },
}

impl Source {
    /// Reads what somebody typed: a path, `usb` or a URL.
    ///
    /// # Errors
    /// It is none of them.
    pub fn parse(text: Option<&str>) -> Result<Self, Fault> {
        match text {
            None => Ok(Self::Offered),
            Some("usb") => Ok(Self::Usb),
            Some(url) if url.contains("://") => UpdateUrl::parse(url)
                .map(Self::Url)
                .map_err(|why| Fault::new("reading the URL", url, why)),
            Some(path) => Ok(Self::File(PathBuf::from(path))),
        }
    }
}

/// Does the request in the folder of what lives until the next boot; the answer goes beside it.
///
/// # Errors
/// The request cannot be read, or what was asked for failed. The answer says it too.
pub fn run(
    places: &Places,
    settings: &Settings,
    tell: &mut impl FnMut(&str),
) -> Result<Value, Fault> {
    let path = places.run.join("update-request.json");
    // Without a request it is a look at what is offered.
    let errand = if path.exists() { read(&path).map(Some) } else { Ok(None) };
    // It is done once, however it ends.
    let _gone = fs::remove_file(&path);
    let (id, request) = match errand {
        Ok(None) => (String::new(), Ok(Request::Check)),
        Ok(Some(Errand { id, request })) => (id, understood(request)),
        Err(fault) => (String::new(), Err(fault)),
    };
    let done = request.and_then(|request| answer(places, settings, request, tell));
    let (good, answer) = match &done {
        Ok(answer) => (true, answer.clone()),
        Err(fault) => (false, json!({ "error": fault.to_string() })),
    };
    let text = json!({ "id": id, "good": good, "answer": answer }).to_string() + "\n";
    replace(&places.run.join("update-answer.json"), text.as_bytes())?;
    done
}

fn read(path: &Path) -> Result<Errand, Fault> {
    let fault = |cause: String| Fault::new("reading", path.display(), cause);
    let octets = fs::read(path).map_err(|error| fault(error.to_string()))?;
    if octets.len() > REQUEST_OCTETS_MAX {
        return Err(fault("it is too long".to_owned()));
    }
    serde_json::from_slice(&octets).map_err(|error| fault(error.to_string()))
}

fn understood(request: Value) -> Result<Request, Fault> {
    serde_json::from_value(request)
        .map_err(|error| Fault::new("reading", "what the updater is asked for", error))
}

fn answer(
    places: &Places,
    settings: &Settings,
    request: Request,
    tell: &mut impl FnMut(&str),
) -> Result<Value, Fault> {
    let said = |version: &dyn std::fmt::Display| json!({ "version": version.to_string() });
    match request {
        Request::Check => {
            let offer = check(places, settings)?;
            Ok(serde_json::to_value(offer).unwrap_or_default())
        }
        Request::Stage { from, downgrade, now } => {
            let source = Source::parse(from.as_deref())?;
            let wishes = Wishes { downgrade, now, ..Wishes::default() };
            stage(places, settings, &source, &wishes, tell)?;
            Ok(serde_json::to_value(status(places, settings)?).unwrap_or_default())
        }
        Request::Apply { now } => {
            let wishes = Wishes { now, ..Wishes::default() };
            apply(places, settings, &wishes, tell).map(|version| said(&version))
        }
        Request::Rollback { now } => {
            let wishes = Wishes { now, ..Wishes::default() };
            rollback(places, settings, &wishes, tell).map(|version| said(&version))
        }
    }
}
