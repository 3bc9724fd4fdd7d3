//! Where two pipes meet: name servers are asked through sockets of the broker, and what becomes of
//! DNSSEC on the way is told.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpStream, UdpSocket};
use tokio::sync::watch;

use crate::dns::{Opening, Sockets, Verdict};
use crate::event::Event;
use crate::event::herald::Herald;
use crate::net::egress::{EgressClient, EgressError};

impl Sockets for EgressClient {
    fn tcp<'a>(
        &'a self,
        egress: &'a str,
        to: SocketAddr,
        wait: Duration,
    ) -> Opening<'a, TcpStream> {
        Box::pin(async move { self.connect_tcp(egress, to, wait).await.map_err(kind) })
    }

    fn udp<'a>(&'a self, egress: &'a str, to: SocketAddr) -> Opening<'a, UdpSocket> {
        Box::pin(async move { EgressClient::udp(self, egress, to).await.map_err(kind) })
    }

    fn suspended(&self, egress: &str) -> Option<String> {
        EgressClient::suspended(self, egress)
    }
}

/// Tells, as long as there is a resolver, whether the names of each egress can be proved.
pub(super) async fn tell_dnssec(
    mut verdicts: watch::Receiver<BTreeMap<String, Verdict>>,
    herald: Arc<Herald>,
) {
    let mut told = BTreeMap::new();
    while verdicts.changed().await.is_ok() {
        let now = verdicts.borrow_and_update().clone();
        for event in changed(&told, &now) {
            herald.tell(event);
        }
        told = now;
    }
}

fn changed(before: &BTreeMap<String, Verdict>, now: &BTreeMap<String, Verdict>) -> Vec<Event> {
    let news = now.iter().filter(|(egress, verdict)| before.get(*egress) != Some(*verdict));
    let event = |(egress, verdict): (&String, &Verdict)| match verdict {
        Ok(()) => Event::DnssecProved { egress: egress.clone() },
        Err(reason) => Event::DnssecLost { egress: egress.clone(), reason: reason.clone() },
    };
    news.map(event).collect()
}

/// The kind of an error survives the journey through the resolver, its words do too.
fn kind(error: EgressError) -> io::Error {
    let kind = match error {
        EgressError::Suspended(_) => io::ErrorKind::NetworkDown,
        EgressError::Refused => io::ErrorKind::ConnectionRefused,
        EgressError::TimedOut => io::ErrorKind::TimedOut,
        EgressError::Unreachable(_) => io::ErrorKind::HostUnreachable,
        EgressError::NotAllowed(_) => io::ErrorKind::PermissionDenied,
    };
    io::Error::new(kind, error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_has_changed_is_told() {
        let verdicts = |list: &[(&str, Verdict)]| {
            list.iter().map(|(name, verdict)| ((*name).to_owned(), verdict.clone())).collect()
        };
        let lost = Err("stripped".to_owned());
        let before = verdicts(&[("a", Ok(())), ("b", lost.clone())]);
        assert_eq!(changed(&before, &before), []);
        let after = verdicts(&[("a", lost), ("b", Ok(())), ("c", Ok(()))]);
        let text: Vec<_> = changed(&before, &after).iter().map(Event::text).collect();
        let expected = [
            "egress a cannot prove names by DNSSEC: stripped",
            "egress b proves names by DNSSEC",
            "egress c proves names by DNSSEC",
        ];
        assert_eq!(text, expected);
    }
}
