//! The demonstration: the whole gateway on loopback, with an Internet of its own.
//!
//! One process tree, unprivileged: the gateway as `serve` runs it, its broker as a child, a name
//! server and a receiving host. Ctrl-C ends it and leaves nothing behind, unless `--spool` says
//! where to keep things.

mod folder;
pub mod internet;
mod live;
pub mod names;
pub mod once;
pub mod props;
pub mod submit;
mod words;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use crate::base::fault::Fault;
use crate::config;
use crate::event::herald::Herald;
use crate::host::clock;
use crate::host::signals::{Request, Signals};
use crate::service::serve::{Gateway, Place};

use folder::Folder;
use internet::Internet;
use live::{Live, say};
use names::Names;
use props::Props;

/// What the command line asks for.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// One message, then the end.
    pub once: bool,
    /// One JSON object for scripts instead of words for people.
    pub json: bool,
    /// Where spool and keys are kept; otherwise in a temporary folder.
    pub spool: Option<PathBuf>,
}

/// A demonstration that runs.
pub struct Stage {
    /// What it is made of.
    pub props: Props,
    /// The gateway.
    pub gateway: Gateway,
    /// STARTTLS.
    pub submission: SocketAddr,
    /// TLS from the first octet.
    pub submissions: SocketAddr,
    /// Goes last, whichever way the run ends.
    temporary: Folder,
}

/// Runs the demonstration to its end.
pub async fn run(options: Options) -> ExitCode {
    let mut signals = match Signals::take() {
        Ok(signals) => signals,
        Err(e) => return failed(&format!("taking the signals over: {e}")),
    };
    crate::host::walls::raise_descriptors();
    let herald = Arc::new(Herald::new(clock::wall));
    let mut live = (!options.json && !options.once).then(|| Live::listen(&herald));
    let stage = match Stage::set(&options, herald).await {
        Ok(stage) => stage,
        Err(fault) => return failed(&fault),
    };
    let code = if options.once {
        once::play(&stage).await
    } else {
        let opening =
            if options.json { words::object(&stage) } else { words::introduction(&stage) };
        say(&opening);
        if let Some(live) = &mut live {
            live.begin();
        }
        let by = end(&mut signals).await;
        if live.is_some() {
            say(&format!("\n{by}: finishing what is under way"));
        }
        ExitCode::SUCCESS
    };
    stage.strike().await;
    if let Some(live) = live {
        live.end();
    }
    code
}

/// The signal that ends the run. A terminal that was closed (SIGHUP) ends it, too.
async fn end(signals: &mut Signals) -> &'static str {
    match signals.next().await {
        Request::End(name) => name,
        Request::Reload => "SIGHUP",
    }
}

fn failed(error: &dyn std::fmt::Display) -> ExitCode {
    use std::io::Write as _;
    // Whoever has closed standard error still gets the exit code.
    let _ = writeln!(std::io::stderr(), "postern demo: {error}");
    ExitCode::FAILURE
}

impl Stage {
    async fn set(options: &Options, herald: Arc<Herald>) -> Result<Self, Fault> {
        let temporary = Folder::make()?;
        let folder = match &options.spool {
            Some(kept) => std::path::absolute(kept)
                .map_err(|e| Fault::new("finding the folder", kept.display(), e))?,
            None => temporary.path().to_owned(),
        };
        Self::build(&folder, temporary, herald).await
    }

    async fn build(folder: &Path, temporary: Folder, herald: Arc<Herald>) -> Result<Self, Fault> {
        let props = Props::prepare(folder, temporary.path())?;
        let txt: BTreeMap<String, String> = props
            .records
            .iter()
            .map(|record| (format!("{}.", record.name), record.value.clone()))
            .collect();
        let fault = |e: std::io::Error| Fault::new("starting", "the built-in Internet", e);
        let names = names::serve(Names { txt }).await.map_err(fault)?;
        let internet = Internet::serve(&props.sink).await.map_err(fault)?;
        let document = props.document(names, internet);
        // It names ports of this run: another run in the same folder must not find it.
        let path = temporary.path().join("postern.toml");
        std::fs::write(&path, &document).map_err(|e| Fault::new("writing", path.display(), e))?;
        let place = Place { document: path, program: None, broker: None };
        let reading = config::read(&document, &config::Anywhere).map_err(|complaints| {
            let all: Vec<String> = complaints.iter().map(ToString::to_string).collect();
            Fault::new("reading", "the demonstration's configuration", all.join("; "))
        })?;
        let gateway = Gateway::start(reading.config, &place, herald)?;
        let address = |name: &str| {
            let found = gateway.listeners().iter().find(|(known, _)| known == name);
            found.map(|(_, address)| *address).ok_or_else(|| Fault::new("finding", name, "gone"))
        };
        let (submission, submissions) = (address("submission")?, address("submissions")?);
        Ok(Self { props, gateway, submission, submissions, temporary })
    }

    /// Ends the gateway in order and removes what is temporary.
    async fn strike(self) {
        let Self { gateway, temporary, .. } = self;
        gateway.stop("the demonstration ends").await;
        drop(temporary);
    }
}
