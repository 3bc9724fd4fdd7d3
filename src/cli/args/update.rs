//! `postern update ..`

use std::path::PathBuf;

use clap::{Args, Subcommand};

use crate::base::time::WallTime;
use crate::update::version::Version;

/// What about updates.
#[derive(Clone, Debug, Subcommand)]
pub enum UpdateVerb {
    /// What the server of `[updates]` offers; writes nothing
    Check,
    /// Fetch a release, believe it, write it to the slot that does not run, read it back
    Stage {
        /// A bundle, `usb` for the newest on a stick with the label POSTERNUPD or POSTERNCFG, or
        /// a URL [default: what `check` shows]
        #[arg(value_name = "FILE|usb|URL")]
        from: Option<String>,
        /// Take an older release too, down to the floor
        #[arg(long)]
        downgrade: bool,
        /// Within 5 minutes of a boot too, for this reason
        #[arg(long, value_name = "REASON")]
        now: Option<String>,
    },
    /// Restart into what is staged; if it is not healthy within three boots, the old version
    /// comes back by itself
    Apply(RestartArguments),
    /// Slots, tries left, the state, how the last attempt ended
    Status,
    /// Restart into the version in the other slot
    Rollback(RestartArguments),
    /// Hold the record against the machine, as every boot does
    Settle,
    /// Bring the boot loader of the running image, if it is newer and the image is confirmed
    Loader,
    /// Do what the host role has written down
    Run,
    /// Make three release keys in DIR, for whoever builds images
    Keygen {
        /// Where `release-1.pem`, `release-1.pub` and so on are written
        dir: PathBuf,
    },
    /// Make and sign a bundle, for whoever builds images; two release keys make a release
    #[command(disable_version_flag = true)]
    Bundle(Box<BundleArguments>),
    /// Add a signature to a bundle, where another release key is kept
    Sign(SignArguments),
}

/// When the machine restarts.
#[derive(Clone, Debug, Default, Args)]
pub struct RestartArguments {
    /// Within 5 minutes of a boot and outside of the window too, for this reason
    #[arg(long, value_name = "REASON")]
    pub now: Option<String>,
    /// Leave the restart to somebody else
    #[arg(long)]
    pub no_reboot: bool,
}

/// What a bundle is made of.
#[derive(Clone, Debug, Args)]
pub struct BundleArguments {
    /// Where the bundle is written
    #[arg(long, value_name = "FILE")]
    pub out: PathBuf,
    /// The version
    #[arg(long = "version", value_name = "X.Y.Z")]
    pub release: Version,
    /// The unified kernel image
    #[arg(long, value_name = "FILE")]
    pub uki: PathBuf,
    /// The root file system; FILE.xz beside it is what travels
    #[arg(long, value_name = "FILE")]
    pub root: PathBuf,
    /// Its hash tree; FILE.xz beside it is what travels
    #[arg(long, value_name = "FILE")]
    pub verity: PathBuf,
    /// The root hash, in hex
    #[arg(long, value_name = "HEX")]
    pub root_hash: String,
    /// A secret release key (PKCS#8 PEM). With one of them the others sign elsewhere, by `update
    /// sign`; a builder who has two can make a release alone
    #[arg(long = "key", value_name = "FILE", required = true)]
    pub keys: Vec<PathBuf>,
    /// The oldest version that may go to it in one step [default: any]
    #[arg(long, value_name = "X.Y.Z", default_value = "0.0.0")]
    pub min_version: Version,
    /// Nothing older is taken once it is healthy [default: any]
    #[arg(long, value_name = "X.Y.Z", default_value = "0.0.0")]
    pub floor: Version,
    /// When it was made [default: `SOURCE_DATE_EPOCH`, else now]
    #[arg(long, value_name = "TIME", value_parser = moment)]
    pub made: Option<WallTime>,
    /// When it is not taken any more [default: a year later]
    #[arg(long, value_name = "TIME", value_parser = moment)]
    pub expires: Option<WallTime>,
    /// The bill of materials; its hash is signed too
    #[arg(long, value_name = "FILE")]
    pub sbom: Option<PathBuf>,
    /// Machines that it runs on [default: this one's kind]
    #[arg(long, value_name = "KIND")]
    pub compatible: Option<String>,
    /// Also write manifest and signatures to DIR, as a server offers them
    #[arg(long, value_name = "DIR")]
    pub offer: Option<PathBuf>,
}

/// Whose signature a bundle gets.
#[derive(Clone, Debug, Args)]
pub struct SignArguments {
    /// The bundle; it is replaced when the signed one is whole
    pub bundle: PathBuf,
    /// A secret release key (PKCS#8 PEM) that has not signed it yet
    #[arg(long, value_name = "FILE")]
    pub key: PathBuf,
    /// Also write manifest and signatures to DIR, as a server offers them
    #[arg(long, value_name = "DIR")]
    pub offer: Option<PathBuf>,
}

fn moment(text: &str) -> Result<WallTime, String> {
    let remedy = || "write a time as in 2027-01-31T00:00:00Z".to_owned();
    WallTime::parse_rfc3339(text).ok_or_else(remedy)
}
