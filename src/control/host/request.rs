//! What the host role may be asked, and who may ask it.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;

use crate::base::secret::Secret;
use crate::control::diagnose::Test;
use crate::control::request::PageAsk;

/// A passphrase on its way over the socket: never printed, wiped when it is dropped.
#[derive(Clone, PartialEq, Eq)]
pub struct Passphrase(Secret<String>);

impl Passphrase {
    /// Wraps what somebody typed.
    pub fn new(text: String) -> Self {
        Self(Secret::new(text))
    }

    /// The secret itself.
    #[must_use]
    pub fn secret(&self) -> &Secret<String> {
        &self.0
    }
}

impl fmt::Debug for Passphrase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Passphrase(..)")
    }
}

impl Serialize for Passphrase {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.0.expose())
    }
}

impl<'de> Deserialize<'de> for Passphrase {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(Self::new)
    }
}

/// Where a file that was made goes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Destination {
    /// To the caller, in the answer.
    #[default]
    Answer,
    /// To the stick with the label POSTERNCFG: the console has no files of its own.
    Stick,
}

/// A request. The form on the wire is `{"verb": "config-apply", ..}`; verbs without fields have
/// empty braces for the same reason as in [`crate::control::request::Request`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "verb", rename_all = "kebab-case", deny_unknown_fields)]
pub enum HostRequest {
    /// Says where the caller sits, for the audit trail; answered by `welcome`. For everyone.
    Hello {
        /// `tty1`, `ttyS0`; told by the caller, believed only as a hint.
        #[serde(default)]
        tty: Option<String>,
    },
    /// How the machine is. For everyone.
    Status {},
    /// The administrator's passphrase; the connection may do everything afterwards.
    Login {
        /// The passphrase.
        passphrase: Passphrase,
        /// As in `hello`.
        #[serde(default)]
        tty: Option<String>,
    },
    /// Ends what `login` began.
    Logout {},
    /// Sets or changes the administrator's passphrase.
    SetPassphrase {
        /// The one so far; root need not know it.
        #[serde(default)]
        old: Option<Passphrase>,
        /// The new one.
        new: Passphrase,
    },
    /// Sets the box up by the text of a setup file (`postern-setup.toml`).
    Setup {
        /// The whole file; holds secrets, so it is never recorded.
        text: Passphrase,
        /// Only check it.
        #[serde(default)]
        check: bool,
        /// Within so many seconds it must be confirmed or the box is as before; none or 0: final.
        #[serde(default)]
        confirm_secs: Option<u64>,
    },
    /// DNS records to publish, as setup or an apply wrote them down.
    DnsRecords {},
    /// The new recovery key of the disks, until somebody has seen it.
    RecoveryKey {
        /// It is written down: forget it.
        #[serde(default)]
        forget: bool,
    },
    /// Has the next start make another recovery key, which ends the one so far.
    RecoveryKeyRenew {},
    /// A document: the one in force, or an older generation.
    ConfigShow {
        /// Which; none: the one in force.
        #[serde(default)]
        generation: Option<u64>,
    },
    /// Checks a document as `config-apply` would.
    ConfigCheck {
        /// The whole document.
        document: String,
    },
    /// What differs between the document in force and another.
    ConfigDiff {
        /// The other document, or
        #[serde(default)]
        document: Option<String>,
        /// the other generation.
        #[serde(default)]
        generation: Option<u64>,
    },
    /// Puts a document in force as a new generation.
    ConfigApply {
        /// The whole document.
        document: String,
        /// Within so many seconds it must be confirmed or it is taken back; none or 0: final.
        #[serde(default)]
        confirm_secs: Option<u64>,
        /// Why, for the others.
        #[serde(default)]
        comment: Option<String>,
    },
    /// Changes one value of the document in force and puts the result in force as a new generation.
    ConfigSet {
        /// The path to it: `interface.manage0.mtu`.
        key: String,
        /// As the document has it, or words that become a text; none: it is taken out.
        #[serde(default)]
        value: Option<String>,
        /// Within so many seconds it must be confirmed or it is taken back; none or 0: final.
        #[serde(default)]
        confirm_secs: Option<u64>,
        /// Why, for the others.
        #[serde(default)]
        comment: Option<String>,
    },
    /// Gives an interface, or a way out, another address: what is none stays as it is, and the word
    /// `none` takes it away.
    ConfigAddress {
        /// The interface or the way out.
        interface: String,
        /// Address and prefix, or `dhcp`.
        #[serde(default)]
        ipv4: Option<String>,
        /// Its router.
        #[serde(default)]
        gateway4: Option<String>,
        /// Address and prefix, `slaac` or `dhcp`.
        #[serde(default)]
        ipv6: Option<String>,
        /// Its router.
        #[serde(default)]
        gateway6: Option<String>,
        /// Within so many seconds it must be confirmed or it is taken back; none or 0: final.
        #[serde(default)]
        confirm_secs: Option<u64>,
    },
    /// Keeps the generation that waits for it.
    ConfigConfirm {},
    /// Puts an earlier generation in force again (as a new one); a generation that waits for its
    /// confirmation is taken back at once.
    ConfigRollback {
        /// Which; none: the one before.
        #[serde(default)]
        generation: Option<u64>,
    },
    /// The generations that are kept.
    ConfigHistory {},
    /// How updates stand.
    UpdateStatus {},
    /// Asks whether there is an update.
    UpdateCheck {},
    /// Fetches, verifies and writes an update to the other slot.
    UpdateStage {
        /// A file, `usb` or an https address; none: from where `[updates]` says.
        #[serde(default)]
        from: Option<String>,
        /// An older release is taken too, down to the floor.
        #[serde(default, skip_serializing_if = "is_not")]
        downgrade: bool,
        /// Why it cannot wait until the machine has run for a while.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        now: Option<String>,
    },
    /// Restarts into the staged update.
    UpdateApply {
        /// Why it cannot wait, neither for that nor for the window.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        now: Option<String>,
    },
    /// Goes back to the other slot.
    UpdateRollback {
        /// As in `update-apply`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        now: Option<String>,
    },
    /// Document, keys, certificates and passphrase in one encrypted file.
    Export {
        /// Encrypts it.
        passphrase: Passphrase,
        /// Where it goes.
        #[serde(default)]
        to: Destination,
    },
    /// Brings an export back, as a new generation.
    Import {
        /// The file, in base64.
        data: String,
        /// Decrypts it.
        passphrase: Passphrase,
        /// Only say what would change.
        #[serde(default)]
        check: bool,
        /// As in `config-apply`.
        #[serde(default)]
        confirm_secs: Option<u64>,
    },
    /// Brings an export back that lies on the stick with the label POSTERNCFG.
    ImportStick {
        /// The file on the stick; none: the only backup (`*.pbk`) there.
        #[serde(default)]
        name: Option<String>,
        /// Decrypts it.
        passphrase: Passphrase,
        /// Only say what would change.
        #[serde(default)]
        check: bool,
        /// As in `config-apply`.
        #[serde(default)]
        confirm_secs: Option<u64>,
    },
    /// Ethernet ports, and whether a cable is in each; on a box that belongs to nobody yet they are
    /// switched on for it, and say nothing.
    Ports {},
    /// Has the lamp of a port blink.
    PortBlink {
        /// The port, as `ports` calls it.
        name: String,
        /// How long, within bounds.
        secs: u64,
    },
    /// Certificates and DKIM keys.
    Certificates {},
    /// How the clock is kept.
    Clock {},
    /// Lines of the journal.
    LogShow {
        /// Only of this unit.
        #[serde(default)]
        unit: Option<String>,
        /// Only of this priority or a graver one: `err`, `warning`, ...
        #[serde(default)]
        priority: Option<String>,
        /// Only with these words in it.
        #[serde(default)]
        words: Option<String>,
        /// Only of the last so many seconds.
        #[serde(default)]
        since_secs: Option<u64>,
        /// How many, the newest; within bounds.
        #[serde(default)]
        lines: Option<u64>,
    },
    /// Tries one thing by one interface or egress, and by no other.
    Diagnose {
        /// What.
        test: Test,
        /// By which: `manage0`, or the name of an egress.
        role: String,
        /// To whom.
        target: String,
    },
    /// What a supporter wants to see, without secrets.
    SupportBundle {
        /// Where it goes.
        #[serde(default)]
        to: Destination,
    },
    /// Makes the box as new.
    FactoryReset {
        /// Mail that waits stays.
        keep_spool: bool,
        /// The box's own hostname, so that nobody does it by mistake.
        word: String,
    },
    /// Restarts the box.
    Reboot {},
    /// Switches the box off.
    PowerOff {},
    /// The name of the box.
    Hostname {},
    /// The host role's own audit trail.
    AuditShow {
        /// Which part.
        #[serde(default)]
        page: PageAsk,
    },
    /// Checks that audit trail.
    AuditVerify {},
    /// Passes a request of the control socket on to the gateway.
    Relay {
        /// As the control socket takes it.
        request: Value,
    },
}

/// What somebody must be to ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Standing {
    /// A user that may connect.
    Guest,
    /// Root, somebody who has said the passphrase, or the console of a box that belongs to nobody
    /// yet.
    Claimant,
    /// Root, or somebody who has said the passphrase.
    Administrator,
}

impl HostRequest {
    /// The verb as the command line has it.
    #[must_use]
    pub fn action(&self) -> &'static str {
        match self {
            Self::Hello { .. } => "hello",
            Self::Status {} => "host status",
            Self::Login { .. } => "login",
            Self::Logout {} => "logout",
            Self::SetPassphrase { .. } => "passphrase",
            Self::Setup { check: true, .. } => "setup --check",
            Self::Setup { .. } => "setup",
            Self::DnsRecords {} => "dns records",
            Self::RecoveryKey { .. } => "recovery key",
            Self::RecoveryKeyRenew {} => "recovery key --renew",
            Self::ConfigShow { .. } => "config show",
            Self::ConfigCheck { .. } => "config check",
            Self::ConfigDiff { .. } => "config diff",
            Self::ConfigApply { .. } => "config apply",
            Self::ConfigSet { .. } => "config set",
            Self::ConfigAddress { .. } => "config address",
            Self::ConfigConfirm {} => "config confirm",
            Self::ConfigRollback { .. } => "config rollback",
            Self::ConfigHistory {} => "config history",
            Self::UpdateStatus {} => "update status",
            Self::UpdateCheck {} => "update check",
            Self::UpdateStage { .. } => "update stage",
            Self::UpdateApply { .. } => "update apply",
            Self::UpdateRollback { .. } => "update rollback",
            Self::Export { .. } => "backup",
            Self::Import { check: true, .. } => "restore --check",
            Self::Import { .. } => "restore",
            Self::ImportStick { check: true, .. } => "restore --stick --check",
            Self::ImportStick { .. } => "restore --stick",
            Self::Ports {} => "ports",
            Self::PortBlink { .. } => "port blink",
            Self::Certificates {} => "certificates",
            Self::Clock {} => "clock",
            Self::LogShow { .. } => "log",
            Self::Diagnose { .. } => "diagnose",
            Self::SupportBundle { .. } => "support-bundle",
            Self::FactoryReset { .. } => "factory-reset",
            Self::Reboot {} => "reboot",
            Self::PowerOff {} => "power-off",
            Self::Hostname {} => "hostname",
            Self::AuditShow { .. } => "host audit show",
            Self::AuditVerify {} => "host audit verify",
            Self::Relay { .. } => "relay",
        }
    }

    /// The least standing that may ask this.
    #[must_use]
    pub fn standing(&self) -> Standing {
        match self {
            Self::Hello { .. }
            | Self::Status {}
            | Self::Login { .. }
            | Self::Logout {}
            | Self::Hostname {} => Standing::Guest,
            Self::Setup { .. }
            | Self::RecoveryKey { .. }
            | Self::ConfigCheck { .. }
            | Self::Import { .. }
            | Self::ImportStick { .. }
            | Self::Ports {}
            | Self::PortBlink { .. }
            | Self::Clock {}
            | Self::Reboot {}
            | Self::PowerOff {} => Standing::Claimant,
            _ => Standing::Administrator,
        }
    }

    /// Whether it changes something: then it is recorded before it is done, and not done if it
    /// cannot be recorded.
    #[must_use]
    pub fn changes(&self) -> bool {
        matches!(
            self,
            Self::SetPassphrase { .. }
                | Self::Setup { check: false, .. }
                | Self::RecoveryKey { .. }
                | Self::RecoveryKeyRenew {}
                | Self::ConfigApply { .. }
                | Self::ConfigSet { .. }
                | Self::ConfigAddress { .. }
                | Self::ConfigConfirm {}
                | Self::ConfigRollback { .. }
                | Self::UpdateStage { .. }
                | Self::UpdateApply { .. }
                | Self::UpdateRollback { .. }
                | Self::Export { .. }
                | Self::Import { check: false, .. }
                | Self::ImportStick { check: false, .. }
                | Self::SupportBundle { .. }
                | Self::FactoryReset { .. }
                | Self::Reboot {}
                | Self::PowerOff {}
        )
    }

    /// Whether the machine ends its work for it. Whoever asked at a console is ended with it, and
    /// hears an answer only if it is refused.
    #[must_use]
    pub fn ends_machine(&self) -> bool {
        matches!(
            self,
            Self::UpdateApply { .. }
                | Self::UpdateRollback { .. }
                | Self::FactoryReset { .. }
                | Self::Reboot {}
                | Self::PowerOff {}
        )
    }

    /// To what, for the audit trail; never a secret.
    #[must_use]
    pub fn subject(&self) -> String {
        match self {
            Self::ConfigApply { confirm_secs, comment, .. } => {
                let confirm = match confirm_secs {
                    Some(secs) if *secs > 0 => format!("to be confirmed within {secs} s"),
                    _ => "final".to_owned(),
                };
                comment.as_ref().map_or(confirm.clone(), |why| format!("{confirm}: {why}"))
            }
            // The value may be a secret.
            Self::ConfigSet { key, .. } => key.clone(),
            Self::ConfigAddress { interface, ipv4, ipv6, .. } => {
                let told = [ipv4, ipv6].into_iter().flatten();
                told.fold(interface.clone(), |text, address| format!("{text} {address}"))
            }
            Self::ConfigRollback { generation } | Self::ConfigShow { generation } => {
                generation.map_or_else(String::new, |number| format!("generation {number}"))
            }
            Self::UpdateStage { from, downgrade, now } => {
                let older = downgrade.then(|| "an older one too".to_owned());
                let now = now.as_ref().map(|why| format!("now: {why}"));
                let told = [from.clone(), older, now].into_iter().flatten();
                told.collect::<Vec<_>>().join(", ")
            }
            Self::UpdateApply { now: Some(why) } | Self::UpdateRollback { now: Some(why) } => {
                format!("now: {why}")
            }
            Self::FactoryReset { keep_spool: true, .. } => "keep the spool".to_owned(),
            Self::FactoryReset { .. } => "everything".to_owned(),
            Self::ImportStick { name, .. } => name.clone().unwrap_or_default(),
            Self::PortBlink { name, secs } => format!("{name} for {secs} s"),
            Self::Diagnose { test, role, target } => format!("{test} {target} by {role}"),
            Self::Export { to: Destination::Stick, .. }
            | Self::SupportBundle { to: Destination::Stick } => "to the stick".to_owned(),
            Self::Relay { request } => {
                request.get("verb").and_then(Value::as_str).unwrap_or_default().to_owned()
            }
            _ => String::new(),
        }
    }
}

/// A wish that is not there is not on the wire: a role of an older version knows no such field.
#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
fn is_not(wish: &bool) -> bool {
    !wish
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn updates_are_asked_for_with_reasons_and_without() {
        for (request, line) in [
            (HostRequest::UpdateApply { now: None }, r#"{"verb":"update-apply"}"#),
            (
                HostRequest::UpdateStage { from: None, downgrade: false, now: None },
                r#"{"verb":"update-stage","from":null}"#,
            ),
            (
                HostRequest::UpdateRollback { now: Some("it is abused".to_owned()) },
                r#"{"verb":"update-rollback","now":"it is abused"}"#,
            ),
        ] {
            assert_eq!(serde_json::to_string(&request).unwrap(), line);
            assert_eq!(serde_json::from_str::<HostRequest>(line).unwrap(), request);
        }
        let now = Some("it is abused".to_owned());
        let stage = HostRequest::UpdateStage { from: Some("usb".to_owned()), downgrade: true, now };
        assert_eq!(stage.subject(), "usb, an older one too, now: it is abused");
    }

    #[test]
    fn the_form_on_the_wire_is_stable() {
        let apply = HostRequest::ConfigApply {
            document: "version = 1".to_owned(),
            confirm_secs: Some(600),
            comment: None,
        };
        let line =
            r#"{"verb":"config-apply","document":"version = 1","confirm_secs":600,"comment":null}"#;
        assert_eq!(serde_json::to_string(&apply).unwrap(), line);
        assert_eq!(serde_json::from_str::<HostRequest>(line).unwrap(), apply);
        for bad in [
            r#"{"verb":"reboot","now":true}"#,
            r#"{"verb":"factory-reset","word":"x"}"#,
            r#"{"verb":"shell","text":"ls"}"#,
            r#"{"verb":"export","passphrase":"x","to":"/etc/passwd"}"#,
        ] {
            assert!(serde_json::from_str::<HostRequest>(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_passphrase_is_in_no_print_and_in_no_record() {
        let said = || Passphrase::new("open sesame".to_owned());
        for request in [
            HostRequest::Login { passphrase: said(), tty: None },
            HostRequest::SetPassphrase { old: Some(said()), new: said() },
            HostRequest::Setup { text: said(), check: false, confirm_secs: None },
            HostRequest::Export { passphrase: said(), to: Destination::Answer },
        ] {
            assert!(!format!("{request:?} {}", request.subject()).contains("sesame"));
        }
    }

    #[test]
    fn a_guest_only_looks_and_nothing_that_changes_is_for_guests() {
        let everyone = [HostRequest::Status {}, HostRequest::Hello { tty: None }];
        assert!(everyone.iter().all(|request| request.standing() == Standing::Guest));
        assert!(everyone.iter().all(|request| !request.changes()));
        let reset = HostRequest::FactoryReset { keep_spool: true, word: String::new() };
        assert_eq!(reset.standing(), Standing::Administrator);
        assert!(reset.changes());
        assert_eq!(HostRequest::Reboot {}.standing(), Standing::Claimant);
    }
}
