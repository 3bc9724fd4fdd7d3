//! hickory's sockets, made by the broker.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use hickory_resolver::net::runtime::iocompat::AsyncIoTokioAsStd;
use hickory_resolver::net::runtime::{DnsUdpSocket, RuntimeProvider, TokioHandle, TokioTime};
use tokio::io::ReadBuf;
use tokio::net::{TcpStream, UdpSocket};

use super::Sockets;
use crate::base::limits::DNS_TIMEOUT;

/// Makes sockets for the resolver of one egress.
#[derive(Clone)]
pub(super) struct Provider {
    handle: TokioHandle,
    sockets: Arc<dyn Sockets>,
    egress: Arc<str>,
}

impl Provider {
    pub(super) fn new(sockets: Arc<dyn Sockets>, egress: &str) -> Self {
        Self { handle: TokioHandle::default(), sockets, egress: egress.into() }
    }
}

type Opening<T> = super::Opening<'static, T>;

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
        let (sockets, egress) = (Arc::clone(&self.sockets), Arc::clone(&self.egress));
        Box::pin(async move {
            let wait = wait.unwrap_or(DNS_TIMEOUT);
            sockets.tcp(&egress, server, wait).await.map(AsyncIoTokioAsStd)
        })
    }

    fn bind_udp(&self, _local: SocketAddr, server: SocketAddr) -> Opening<Self::Udp> {
        let (sockets, egress) = (Arc::clone(&self.sockets), Arc::clone(&self.egress));
        Box::pin(async move {
            let socket = sockets.udp(&egress, server).await?;
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
