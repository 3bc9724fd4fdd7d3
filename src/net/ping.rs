//! Echo requests over a ping socket, which needs no right but its group
//! (`net.ipv4.ping_group_range`), and what routers say of them (`IP_RECVERR`).

use std::io::{self, IoSliceMut};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::sockopt::{Ipv4RecvErr, Ipv6RecvErr};
use nix::sys::socket::{ControlMessageOwned, MsgFlags, SockaddrStorage, recvmsg, setsockopt};
use socket2::SockRef;

/// Octets behind the header: what ping(8) sends.
const CONTENT_OCTETS: usize = 56;

/// Types of ICMP in both families (RFC 792, RFC 4443).
const ECHO: (u8, u8) = (8, 128);
const ECHO_REPLY: (u8, u8) = (0, 129);
const TIME_EXCEEDED: (u8, u8) = (11, 3);

/// Who found the error (linux/errqueue.h).
const ORIGIN_ICMP: u8 = 2;
const ORIGIN_ICMP6: u8 = 3;

/// What came of one request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Echo {
    /// The host answered after so long.
    Answered(Duration),
    /// The request used up its hops at this router.
    Passed(IpAddr, Duration),
    /// A router or the host refused it; with ICMP's type and code.
    Refused(IpAddr, u8, u8),
    /// Nobody said anything.
    Silent,
}

/// A ping socket that is connected to its host.
#[derive(Debug)]
pub struct Ping {
    socket: OwnedFd,
    v6: bool,
    sequence: u16,
}

impl Ping {
    /// Takes a socket of the broker's.
    ///
    /// # Errors
    /// It is no ping socket.
    pub fn new(socket: OwnedFd, v6: bool) -> io::Result<Self> {
        if v6 {
            setsockopt(&socket, Ipv6RecvErr, &true)?;
        } else {
            setsockopt(&socket, Ipv4RecvErr, &true)?;
        }
        SockRef::from(&socket).set_nonblocking(true)?;
        Ok(Self { socket, v6, sequence: 0 })
    }

    /// Asks once, and waits; blocks. With `hops` the request goes no further than so many routers.
    ///
    /// # Errors
    /// It cannot be sent: something of ours is missing, or the guard does not let it out.
    pub fn echo(&mut self, hops: Option<u8>, wait: Duration) -> io::Result<Echo> {
        let socket = SockRef::from(&self.socket);
        match hops.map(u32::from) {
            Some(hops) if self.v6 => socket.set_unicast_hops_v6(hops)?,
            Some(hops) => socket.set_ttl_v4(hops)?,
            None => {}
        }
        self.sequence = self.sequence.wrapping_add(1);
        let begun = Instant::now();
        // An error that an earlier request brought is told by the next call, whatever that is.
        if self.send().is_err() {
            self.send()?;
        }
        loop {
            let left = wait.saturating_sub(begun.elapsed());
            if left.is_zero() {
                return Ok(Echo::Silent);
            }
            let millis = u16::try_from(left.as_millis()).unwrap_or(u16::MAX).max(1);
            let mut ready = [PollFd::new(self.socket.as_fd(), PollFlags::POLLIN)];
            if poll(&mut ready, PollTimeout::from(millis))? == 0 {
                continue;
            }
            if let Some(told) = self.told(begun)? {
                return Ok(told);
            }
            if self.answered() {
                return Ok(Echo::Answered(begun.elapsed()));
            }
        }
    }

    fn of_family(&self, (v4, v6): (u8, u8)) -> u8 {
        if self.v6 { v6 } else { v4 }
    }

    /// The kernel writes identifier and checksum.
    fn send(&self) -> io::Result<()> {
        let mut request = [0; 8 + CONTENT_OCTETS];
        request[0] = self.of_family(ECHO);
        request[6..8].copy_from_slice(&self.sequence.to_be_bytes());
        SockRef::from(&self.socket).send(&request).map(|_| ())
    }

    /// Whether the answer to the last request has come.
    fn answered(&self) -> bool {
        let mut answer = [0; 256];
        // An error was in the queue already, and has been read there.
        while let Ok(octets) = nix::unistd::read(&self.socket, &mut answer) {
            let sequence = answer[6..8] == self.sequence.to_be_bytes();
            if octets >= 8 && answer[0] == self.of_family(ECHO_REPLY) && sequence {
                return true;
            }
        }
        false
    }

    /// What a router said of the last request.
    fn told(&self, begun: Instant) -> io::Result<Option<Echo>> {
        loop {
            let mut request = [0; 256];
            let mut parts = [IoSliceMut::new(&mut request)];
            let mut room = vec![0; 512];
            let flags = MsgFlags::MSG_ERRQUEUE | MsgFlags::MSG_DONTWAIT;
            let descriptor = self.socket.as_raw_fd();
            let heard =
                match recvmsg::<SockaddrStorage>(descriptor, &mut parts, Some(&mut room), flags) {
                    Ok(heard) => heard,
                    Err(nix::Error::EAGAIN) => return Ok(None),
                    Err(error) => return Err(error.into()),
                };
            let octets = heard.bytes;
            let mut found = None;
            for message in heard.cmsgs()? {
                found = match message {
                    ControlMessageOwned::Ipv4RecvErr(error, Some(from)) => {
                        let from = Ipv4Addr::from(u32::from_be(from.sin_addr.s_addr));
                        Some((error, IpAddr::V4(from)))
                    }
                    ControlMessageOwned::Ipv6RecvErr(error, Some(from)) => {
                        Some((error, IpAddr::V6(Ipv6Addr::from(from.sin6_addr.s6_addr))))
                    }
                    _ => continue,
                };
            }
            // What came back begins with our own request.
            let ours = octets < 8 || request[6..8] == self.sequence.to_be_bytes();
            let Some((error, from)) = found.filter(|_| ours) else { continue };
            if ![ORIGIN_ICMP, ORIGIN_ICMP6].contains(&error.ee_origin) {
                let code = i32::try_from(error.ee_errno).unwrap_or_default();
                return Err(io::Error::from_raw_os_error(code));
            }
            let exceeded = error.ee_type == self.of_family(TIME_EXCEEDED);
            return Ok(Some(if exceeded {
                Echo::Passed(from, begun.elapsed())
            } else {
                Echo::Refused(from, error.ee_type, error.ee_code)
            }));
        }
    }
}

/// What ICMP's "destination unreachable" means (RFC 792, RFC 1812 5.2.7.1, RFC 4443 3.1).
#[must_use]
pub fn refusal(v6: bool, kind: u8, code: u8) -> &'static str {
    match (v6, kind, code) {
        (false, 3, 0 | 6) | (true, 1, 0) => "it knows no way there",
        (false, 3, 1 | 7) | (true, 1, 3) => "it does not find the host on the last wire",
        (false, 3, 9 | 10 | 13) | (true, 1, 1 | 5 | 6) => "a firewall forbids it",
        (false, 3, 4) | (true, 2, _) => "the packet is too large for the way",
        _ => "it cannot be reached",
    }
}
