//! The demonstration: the whole gateway on loopback, with an Internet of its own.
//!
//! One process tree, unprivileged: the gateway as `serve` runs it, its broker as a child, a name
//! server and a receiving host. Ctrl-C ends it and leaves nothing behind, unless `--spool` says
//! where to keep things.

pub mod internet;
pub mod names;
pub mod once;
pub mod props;
pub mod submit;
mod words;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use crate::base::fault::Fault;
use crate::config;
use crate::event::herald::Herald;
use crate::host::clock;
use crate::host::signals::Signals;
use crate::service::serve::{Gateway, Place};

use internet::Internet;
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
    temporary: Option<PathBuf>,
}

/// Runs the demonstration to its end.
pub async fn run(options: Options) -> ExitCode {
    let mut signals = match Signals::take() {
        Ok(signals) => signals,
        Err(e) => {
            eprintln!("postern demo: taking the signals over: {e}");
            return ExitCode::FAILURE;
        }
    };
    crate::host::walls::raise_descriptors();
    let herald = Arc::new(Herald::new(clock::wall));
    if !options.json && !options.once {
        words::listen(&herald);
    }
    let stage = match Stage::set(&options, herald).await {
        Ok(stage) => stage,
        Err(fault) => {
            eprintln!("postern demo: {fault}");
            return ExitCode::FAILURE;
        }
    };
    let code = if options.once {
        once::play(&stage).await
    } else {
        if options.json {
            println!("{}", words::object(&stage));
        } else {
            words::introduce(&stage);
        }
        let by = signals.end().await;
        if !options.json {
            eprintln!("\n{by}: finishing what is under way …");
        }
        ExitCode::SUCCESS
    };
    stage.strike().await;
    code
}

impl Stage {
    async fn set(options: &Options, herald: Arc<Herald>) -> Result<Self, Fault> {
        let temporary = std::env::temp_dir().join(format!("postern-demo-{}", std::process::id()));
        let (folder, temporary) = match &options.spool {
            Some(kept) => {
                let kept = std::path::absolute(kept)
                    .map_err(|e| Fault::new("finding the folder", kept.display(), e))?;
                (kept, temporary)
            }
            None => (temporary.clone(), temporary),
        };
        let made = std::fs::create_dir_all(&temporary);
        made.map_err(|e| Fault::new("making the folder", temporary.display(), e))?;
        let set = Self::build(&folder, &temporary, herald).await;
        if set.is_err() {
            // Nothing is left behind, also when the stage could not be set.
            let _ = std::fs::remove_dir_all(&temporary);
        }
        set
    }

    async fn build(
        folder: &std::path::Path,
        temporary: &std::path::Path,
        herald: Arc<Herald>,
    ) -> Result<Self, Fault> {
        let props = Props::prepare(folder, temporary)?;
        let txt: BTreeMap<String, String> = props
            .records
            .iter()
            .map(|record| (format!("{}.", record.name), record.value.clone()))
            .collect();
        let fault = |e: std::io::Error| Fault::new("starting", "the built-in Internet", e);
        let names = names::serve(Names { txt }).await.map_err(fault)?;
        let internet = Internet::serve(&props.sink).await.map_err(fault)?;
        let document = props.document(names, internet);
        let path = props.folder.join("postern.toml");
        std::fs::write(&path, &document).map_err(|e| Fault::new("writing", path.display(), e))?;
        let place = Place { document: path, program: None };
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
        let temporary = Some(temporary.to_owned());
        Ok(Self { props, gateway, submission, submissions, temporary })
    }

    /// Ends the gateway in order and removes what is temporary.
    async fn strike(self) {
        let Self { gateway, temporary, .. } = self;
        gateway.stop("the demonstration ends").await;
        if let Some(folder) = temporary {
            // The folder is ours alone; if the system has cleaned it already, so be it.
            let _ = std::fs::remove_dir_all(folder);
        }
    }
}
