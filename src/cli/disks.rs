//! `postern disks`: the box's partitions, at boot and when a recovery key is lost.

use super::args::disks::DisksVerb;
use super::{Ending, complain, print};
use crate::host::disks::{self, Machine, Places};

/// Makes the disks ready, or what the verb says.
pub(super) fn disks(verb: Option<&DisksVerb>, json: bool) -> Ending {
    let places = Places::default();
    let done = match verb {
        Some(DisksVerb::RenewRecoveryKey) => {
            disks::renew_recovery_key(&places, &Machine).map(|key| {
                if json { serde_json::json!({ "recovery_key": key }).to_string() } else { key }
            })
        }
        None => disks::ready(&places, &Machine).map(|standing| {
            if json {
                serde_json::json!(standing).to_string()
            } else if let Some(why) = &standing.why {
                format!("state and spool are NOT encrypted: {why}")
            } else {
                "state and spool are open and encrypted".to_owned()
            }
        }),
    };
    match done {
        Ok(text) => {
            print(&format!("{text}\n"));
            Ending::Done
        }
        Err(fault) => {
            complain(&fault.to_string());
            Ending::Failed
        }
    }
}
