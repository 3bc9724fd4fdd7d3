//! Verbs that look: ports, papers, clock, journal.

use super::super::papers;
use super::{Done, HostDesk};
use crate::control::answer::{Answer, Trouble, TroubleKind};
use crate::control::diagnose::Test;
use crate::control::host::HostAnswer;
use crate::control::host::answer::LinkRow;
use crate::control::host::request::HostRequest;
use crate::control::request::Request;
use crate::event::Event;
use crate::host::log::{LogAsk, NoLog};
use crate::host::machine::System;
use crate::host::{clock, log, ports, timekeeping};
use crate::service::diagnose::interface::{Errand, Found};
use crate::service::diagnose::way_of;

impl HostDesk {
    pub(super) fn look(&self, request: HostRequest) -> Done<HostAnswer> {
        match request {
            HostRequest::Ports {} => Ok(HostAnswer::Ports(self.ports())),
            HostRequest::PortBlink { name, secs } => blink(&name, secs),
            HostRequest::Certificates {} => self.certificates(),
            HostRequest::Clock {} => Ok(HostAnswer::Text(timekeeping::state(&self.system()))),
            HostRequest::LogShow { unit, priority, words, since_secs, lines } => {
                self.journal(&LogAsk { unit, priority, words, since_secs, lines })
            }
            HostRequest::Diagnose { test, role, target } => self.diagnose(test, role, target),
            other => {
                let text = format!("{} is not done here", other.action());
                Err(Trouble::new(TroubleKind::Invalid, text))
            }
        }
    }

    fn system(&self) -> System {
        System::new(self.paths.clone())
    }

    /// On a box that belongs to nobody the ports are off, and an off port does not say whether
    /// there is a cable; on any other they are what the document says.
    fn ports(&self) -> Vec<LinkRow> {
        if self.unclaimed() && self.paths.is_appliance() && self.paths.is_real() {
            for fault in ports::switch_on(&self.system()) {
                let (room, fault) = ("host".to_owned(), fault.to_string());
                self.herald.tell(Event::FaultSeen { room, fault });
            }
        }
        super::super::status::rows(&self.paths, ports::ports())
    }

    fn certificates(&self) -> Done<HostAnswer> {
        let text = std::fs::read_to_string(self.paths.document()).map_err(|_| {
            Trouble::new(TroubleKind::NotFound, "there is no configuration yet, so no certificate")
        })?;
        let reading =
            crate::config::read(&text, &crate::config::Anywhere).map_err(|complaints| {
                let lines: Vec<String> = complaints.iter().map(ToString::to_string).collect();
                Trouble::new(TroubleKind::Conflict, lines.join("\n"))
            })?;
        let papers = papers::all(&self.paths, &reading.config, clock::wall());
        Ok(HostAnswer::Certificates(papers))
    }

    /// By an egress the gateway and its broker do it; by another interface a unit of its own.
    fn diagnose(&self, test: Test, role: String, target: String) -> Done<HostAnswer> {
        let document = std::fs::read_to_string(self.paths.document()).unwrap_or_default();
        let reading = crate::config::read(&document, &crate::config::Anywhere);
        let config = reading.map(|reading| reading.config).map_err(|_| {
            let why = "there is no good configuration, and without one nothing leaves this box";
            Trouble::new(TroubleKind::Conflict, why)
        })?;
        let interface = config.network.interfaces.iter().any(|known| known.name == role);
        if way_of(&config, &role).is_ok() || !interface || !self.paths.is_appliance() {
            let request = Request::Diagnose { test, role, target };
            let request = serde_json::to_value(request).unwrap_or_default();
            let HostAnswer::Relayed(answer) = self.relay(request)? else {
                return Err(Trouble::new(TroubleKind::Fault, "the gateway's answer is none"));
            };
            return match serde_json::from_value(answer) {
                Ok(Answer::Diagnosed(found)) => Ok(HostAnswer::Diagnosed(found)),
                Ok(Answer::Trouble(trouble)) => Err(trouble),
                _ => Err(Trouble::new(TroubleKind::Fault, "the gateway's answer is none")),
            };
        }
        let errand = serde_json::to_value(Errand { test, role, target }).unwrap_or_default();
        match serde_json::from_value(self.system().diagnose(&errand)?) {
            Ok(Found::Diagnosed(found)) => Ok(HostAnswer::Diagnosed(found)),
            Ok(Found::Trouble(trouble)) => Err(trouble),
            Err(error) => Err(Trouble::new(TroubleKind::Fault, error.to_string())),
        }
    }

    fn journal(&self, ask: &LogAsk) -> Done<HostAnswer> {
        let text = log::show(&self.system(), ask).map_err(|no| match no {
            NoLog::Wish(text) => Trouble::new(TroubleKind::Invalid, text),
            NoLog::Fault(fault) => fault.into(),
        })?;
        Ok(HostAnswer::Text(text))
    }
}

fn blink(name: &str, secs: u64) -> Done<HostAnswer> {
    match ports::blink(name, secs) {
        Ok(secs) => Ok(HostAnswer::Done(format!("the lamp of {name} blinked for {secs} s"))),
        Err(why) => Err(Trouble::new(TroubleKind::Conflict, why)),
    }
}
