//! ping and trace: is the host there, how far is it, and who is on the way?

use std::net::IpAddr;
use std::time::Duration;

use super::{Outlook, Report, Target, unconnected};
use crate::control::check::Grade;
use crate::net::ping::{Echo, Ping, refusal};

/// Requests to one address, and the patience with each.
const ECHOES: usize = 3;
const ECHO_TIMEOUT: Duration = Duration::from_secs(2);

/// Routers on the longest way that is followed, and the patience with each: twenty of them that
/// are silent leave room in the time of a test.
const HOPS_MAX: u8 = 24;
const HOP_TIMEOUT: Duration = Duration::from_millis(1000);

/// Silent routers in a row after which the way is taken to end.
const SILENT_MAX: u32 = 8;

/// Echoes by one socket, on a thread that may wait.
async fn echo(
    ping: Ping,
    hops: Option<u8>,
    wait: Duration,
) -> (Option<Ping>, Result<Echo, String>) {
    let done = tokio::task::spawn_blocking(move || {
        let mut ping = ping;
        let heard = ping.echo(hops, wait).map_err(|error| error.to_string());
        (ping, heard)
    });
    match done.await {
        Ok((ping, heard)) => (Some(ping), heard),
        Err(error) => (None, Err(error.to_string())),
    }
}

fn millis(time: Duration) -> String {
    let micros = time.as_micros();
    format!("{}.{} ms", micros / 1000, micros % 1000 / 100)
}

impl Outlook<'_> {
    pub(super) async fn ping(&self, aim: &Target, report: &Report) {
        // One address of each family: the others are the same host.
        let found = self.addresses(aim, report).await;
        let firsts = [found.iter().find(|a| a.is_ipv4()), found.iter().find(|a| a.is_ipv6())];
        for address in firsts.into_iter().flatten() {
            self.ping_one(*address, report).await;
        }
    }

    async fn ping_one(&self, to: IpAddr, report: &Report) {
        let mut ping = match self.client.ping(&self.egress.name, to).await {
            Ok(ping) => Some(ping),
            Err(error) => return unconnected(report, "ping", to, &error),
        };
        let (mut times, mut said) = (Vec::new(), None);
        for _ in 0..ECHOES {
            let Some(socket) = ping.take() else { break };
            let (socket, heard) = echo(socket, None, ECHO_TIMEOUT).await;
            ping = socket;
            match heard {
                Ok(Echo::Answered(time)) => times.push(time),
                Ok(Echo::Refused(from, kind, code)) => {
                    said = Some(format!("{from} says: {}", refusal(to.is_ipv6(), kind, code)));
                }
                Ok(Echo::Passed(from, _)) => {
                    said = Some(format!("the way turns in a circle at {from}"));
                }
                Ok(Echo::Silent) => {}
                Err(why) => said = Some(format!("the request cannot leave: {why}")),
            }
        }
        let answers = times.len();
        let said = said.map_or_else(String::new, |said| format!("; {said}"));
        let advice = "trace the way; some hosts never answer a ping and are well all the same";
        match (times.iter().min(), times.iter().max()) {
            (Some(least), Some(most)) => {
                let grade = if answers == ECHOES { Grade::Pass } else { Grade::Warn };
                let text = format!(
                    "{to} answered {answers} of {ECHOES}, in {} to {}{said}",
                    millis(*least),
                    millis(*most)
                );
                report.step("ping", grade, text);
            }
            _ => report.fail("ping", format!("{to} answered none of {ECHOES}{said}"), advice),
        }
    }

    pub(super) async fn trace(&self, aim: &Target, report: &Report) {
        let Some(to) = self.addresses(aim, report).await.first().copied() else { return };
        let mut ping = match self.client.ping(&self.egress.name, to).await {
            Ok(ping) => Some(ping),
            Err(error) => return unconnected(report, "trace", to, &error),
        };
        let mut silent = 0;
        for hops in 1..=HOPS_MAX {
            let Some(socket) = ping.take() else { return };
            let (socket, heard) = echo(socket, Some(hops), HOP_TIMEOUT).await;
            ping = socket;
            let step = format!("hop {hops}");
            silent += 1;
            match heard {
                Ok(Echo::Answered(time)) => {
                    report.pass(step, format!("{to} in {}: here it is", millis(time)));
                    return;
                }
                Ok(Echo::Passed(router, time)) => {
                    silent = 0;
                    report.pass(step, format!("{router} in {}", millis(time)));
                }
                Ok(Echo::Refused(from, kind, code)) => {
                    let why = refusal(to.is_ipv6(), kind, code);
                    let next = format!("whoever runs {from} knows more: {why}");
                    report.fail(step, format!("{from} says: {why}"), &next);
                    return;
                }
                Ok(Echo::Silent) => report.step(step, Grade::Unknown, "nobody answers"),
                Err(why) => {
                    let next = "see the cable, the address and the router of this interface";
                    report.fail(step, format!("the request cannot leave: {why}"), next);
                    return;
                }
            }
            if silent >= SILENT_MAX {
                break;
            }
        }
        report.fail(
            "end",
            format!("{to} was not reached"),
            "the last router that answered is where the way ends; some firewalls hide what is \
             behind them, so try the connection itself (tls, smtp)",
        );
    }
}
