//! Where two pipes meet: name servers are asked through sockets of the broker.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::{TcpStream, UdpSocket};

use crate::dns::{Opening, Sockets};
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
