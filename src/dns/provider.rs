//! hickory's sockets, made by the broker.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use hickory_resolver::net::runtime::iocompat::AsyncIoTokioAsStd;
use hickory_resolver::net::runtime::{DnsUdpSocket, RuntimeProvider, TokioHandle, TokioTime};
use tokio::io::ReadBuf;
use tokio::net::{TcpStream, UdpSocket};

use crate::base::limits::DNS_TIMEOUT;
use crate::net::egress::{EgressClient, EgressError};

/// Makes sockets for the resolver of one egress.
#[derive(Clone)]
pub(super) struct Provider {
    handle: TokioHandle,
    client: EgressClient,
    egress: Arc<str>,
}

impl Provider {
    pub(super) fn new(client: EgressClient, egress: &str) -> Self {
        Self { handle: TokioHandle::default(), client, egress: egress.into() }
    }
}

type Opening<T> = Pin<Box<dyn Send + Future<Output = io::Result<T>>>>;

impl RuntimeProvider for Provider {
    type Handle = TokioHandle;
    type Timer = TokioTime;
    type Udp = Datagrams;
    type Tcp = AsyncIoTokioAsStd<TcpStream>;

    fn create_handle(&self) -> Self::Handle {
        self.handle.clone()
    }

    fn connect_tcp(
        &self,
        server: SocketAddr,
        _bind: Option<SocketAddr>,
        wait: Option<Duration>,
    ) -> Opening<Self::Tcp> {
        let (client, egress) = (self.client.clone(), Arc::clone(&self.egress));
        Box::pin(async move {
            let wait = wait.unwrap_or(DNS_TIMEOUT);
            let stream = client.connect_tcp(&egress, server, wait).await.map_err(kind)?;
            Ok(AsyncIoTokioAsStd(stream))
        })
    }

    fn bind_udp(&self, _local: SocketAddr, server: SocketAddr) -> Opening<Self::Udp> {
        let (client, egress) = (self.client.clone(), Arc::clone(&self.egress));
        Box::pin(async move {
            let socket = client.udp(&egress, server).await.map_err(kind)?;
            Ok(Datagrams { socket, server })
        })
    }
}

/// A UDP socket that is connected to one name server: the kernel drops everybody else's answers.
pub(super) struct Datagrams {
    socket: UdpSocket,
    server: SocketAddr,
}

impl DnsUdpSocket for Datagrams {
    type Time = TokioTime;

    fn poll_recv_from(
        &self,
        cx: &mut Context<'_>,
        octets: &mut [u8],
    ) -> Poll<io::Result<(usize, SocketAddr)>> {
        let mut buffer = ReadBuf::new(octets);
        ready!(self.socket.poll_recv(cx, &mut buffer))?;
        Poll::Ready(Ok((buffer.filled().len(), self.server)))
    }

    fn poll_send_to(
        &self,
        cx: &mut Context<'_>,
        octets: &[u8],
        target: SocketAddr,
    ) -> Poll<io::Result<usize>> {
        if target != self.server {
            return Poll::Ready(Err(io::ErrorKind::AddrNotAvailable.into()));
        }
        self.socket.poll_send(cx, octets)
    }
}

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
