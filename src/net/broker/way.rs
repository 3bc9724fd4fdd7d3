//! Asks the kernel whether an egress has a route, which kind, and how its router is (rtnetlink,
//! RFC 3549).
//!
//! Not by trying: a socket that is bound to an interface without a route takes every destination
//! for a neighbour on the wire and waits for an answer to ARP that never comes. `RTM_GETROUTE` with
//! `RTM_F_FIB_MATCH` gives the entry of the table itself, or an error if there is none.

use std::io;
use std::net::IpAddr;

use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType};

/// Message types and flags of linux/netlink.h and linux/rtnetlink.h.
const NLMSG_ERROR: u16 = 2;
const RTM_NEWROUTE: u16 = 24;
const RTM_GETROUTE: u16 = 26;
const NLM_F_REQUEST: u16 = 1;
const RTM_F_FIB_MATCH: u32 = 0x2000;
const RTA_DST: u16 = 1;
const RTA_SRC: u16 = 2;
const RTA_OIF: u16 = 4;
const RTA_GATEWAY: u16 = 5;
const RTM_NEWNEIGH: u16 = 28;
const RTM_GETNEIGH: u16 = 30;
const NDA_DST: u16 = 1;
const NUD_INCOMPLETE: u16 = 0x01;
const NUD_FAILED: u16 = 0x20;
const RTN_UNICAST: u8 = 1;
const RTN_LOCAL: u8 = 2;

/// Octets of the message header and of the route header behind it.
const HEADERS: usize = 16 + 12;

/// What the kernel knows of a neighbour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Neighbour {
    /// Nothing, or that it was there: nobody has had to ask lately.
    Quiet,
    /// It is being asked for the first time, or again.
    Asked,
    /// It did not answer.
    Silent,
}

/// Checks that `to` has a route from `source` by the interface with this index. Returns the router
/// on the way; none: `to` is on the wire itself, or there are several.
///
/// # Errors
/// There is no route, or the kernel was not asked.
pub fn exists(index: Option<u32>, source: IpAddr, to: IpAddr) -> io::Result<Option<IpAddr>> {
    read(&ask(&question(index, source, to))?, index)
}

/// What the kernel knows of `router` at the interface with this index. Sends nothing.
///
/// # Errors
/// The kernel was not asked, or spoke nonsense.
pub fn neighbour(index: u32, router: IpAddr) -> io::Result<Neighbour> {
    let mut message = head(RTM_GETNEIGH);
    message.extend_from_slice(&[family(router).0, 0, 0, 0]);
    message.extend_from_slice(&index.to_ne_bytes());
    message.extend_from_slice(&[0; 4]);
    attribute(&mut message, NDA_DST, &octets(router));
    let answer = ask(&closed(message))?;
    let state = match kind_of(&answer)? {
        // Nobody has spoken to it yet.
        NLMSG_ERROR => return Ok(Neighbour::Quiet),
        RTM_NEWNEIGH => answer.get(24..26).and_then(|two| two.try_into().ok()),
        _ => None,
    };
    let state = state.map(u16::from_ne_bytes).ok_or_else(|| odd("a neighbour without a state"))?;
    Ok(match state {
        NUD_FAILED => Neighbour::Silent,
        NUD_INCOMPLETE => Neighbour::Asked,
        _ => Neighbour::Quiet,
    })
}

fn ask(question: &[u8]) -> io::Result<Vec<u8>> {
    // Protocol 0 is NETLINK_ROUTE.
    let (family, kind) = (AddressFamily::NETLINK, SocketType::RAW);
    let socket = rustix::net::socket_with(family, kind, SocketFlags::CLOEXEC, None)?;
    rustix::net::send(&socket, question, SendFlags::empty())?;
    let mut answer = vec![0; 4096];
    let (octets, _) = rustix::net::recv(&socket, &mut answer[..], RecvFlags::empty())?;
    answer.truncate(octets);
    Ok(answer)
}

fn odd(what: &str) -> io::Error {
    io::Error::other(format!("an answer of rtnetlink is odd: {what}"))
}

/// The family of an address and its bits.
fn family(address: IpAddr) -> (u8, u8) {
    match address {
        IpAddr::V4(_) => (2, 32),
        IpAddr::V6(_) => (10, 128),
    }
}

fn head(kind: u16) -> Vec<u8> {
    let mut message = Vec::with_capacity(96);
    message.extend_from_slice(&[0; 4]); // length, at the end
    message.extend_from_slice(&kind.to_ne_bytes());
    message.extend_from_slice(&NLM_F_REQUEST.to_ne_bytes());
    message.extend_from_slice(&[0; 8]); // sequence and port: the socket is used once
    message
}

fn closed(mut message: Vec<u8>) -> Vec<u8> {
    let length = u32::try_from(message.len()).unwrap_or(u32::MAX);
    message[..4].copy_from_slice(&length.to_ne_bytes());
    message
}

fn question(index: Option<u32>, source: IpAddr, to: IpAddr) -> Vec<u8> {
    let (family, bits) = family(to);
    let mut message = head(RTM_GETROUTE);
    message.extend_from_slice(&[family, bits, bits, 0, 0, 0, 0, 0]);
    message.extend_from_slice(&RTM_F_FIB_MATCH.to_ne_bytes());
    attribute(&mut message, RTA_DST, &octets(to));
    attribute(&mut message, RTA_SRC, &octets(source));
    if let Some(index) = index {
        attribute(&mut message, RTA_OIF, &index.to_ne_bytes());
    }
    closed(message)
}

fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(v4) => v4.octets().to_vec(),
        IpAddr::V6(v6) => v6.octets().to_vec(),
    }
}

/// All our values are multiples of four octets, so no padding is needed.
fn attribute(message: &mut Vec<u8>, kind: u16, value: &[u8]) {
    let length = u16::try_from(value.len() + 4).unwrap_or(u16::MAX);
    message.extend_from_slice(&length.to_ne_bytes());
    message.extend_from_slice(&kind.to_ne_bytes());
    message.extend_from_slice(value);
}

/// IPv6 takes the interface of a question for a wish and may answer with the route of another one:
/// that is none for us.
fn read(answer: &[u8], index: Option<u32>) -> io::Result<Option<IpAddr>> {
    let short = || odd("short");
    match kind_of(answer)? {
        NLMSG_ERROR => {
            let code = answer.get(16..20).and_then(|four| four.try_into().ok());
            let code = code.map(i32::from_ne_bytes).ok_or_else(short)?;
            Err(io::Error::from_raw_os_error(-code))
        }
        RTM_NEWROUTE => match answer.get(..HEADERS).ok_or_else(short)?[16 + 7] {
            RTN_UNICAST | RTN_LOCAL => {
                let found =
                    value(&answer[HEADERS..], RTA_OIF).and_then(|four| four.try_into().ok());
                match (index, found.map(u32::from_ne_bytes)) {
                    (Some(wanted), Some(found)) if wanted != found => {
                        Err(io::Error::other("the route is by another interface"))
                    }
                    _ => Ok(value(&answer[HEADERS..], RTA_GATEWAY).and_then(address)),
                }
            }
            _ => Err(io::Error::other("the table says unreachable")),
        },
        _ => Err(odd("of another kind")),
    }
}

fn kind_of(answer: &[u8]) -> io::Result<u16> {
    let kind = answer.get(4..6).and_then(|two| two.try_into().ok()).map(u16::from_ne_bytes);
    kind.ok_or_else(|| odd("short"))
}

fn address(octets: &[u8]) -> Option<IpAddr> {
    let v4 = <[u8; 4]>::try_from(octets).map(IpAddr::from);
    v4.or_else(|_| <[u8; 16]>::try_from(octets).map(IpAddr::from)).ok()
}

/// The value of an attribute of a route; one with several next hops has neither interface nor
/// router.
fn value(mut attributes: &[u8], wanted: u16) -> Option<&[u8]> {
    while let Some(header) = attributes.get(..4) {
        let length = usize::from(u16::from_ne_bytes([header[0], header[1]]));
        let kind = u16::from_ne_bytes([header[2], header[3]]);
        let value = attributes.get(4..length)?;
        if kind == wanted {
            return Some(value);
        }
        attributes = attributes.get(length.next_multiple_of(4)..)?;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_has_a_route_and_nonsense_is_none() {
        let loopback: IpAddr = "127.0.0.1".parse().unwrap();
        let index = nix::net::if_::if_nametoindex("lo").unwrap();
        exists(Some(index), loopback, loopback).unwrap();
        exists(None, loopback, loopback).unwrap();
        assert!(exists(Some(index), loopback, "8.8.8.8".parse().unwrap()).is_err());
        for short in [&[][..], &[0; 5], &[24, 0, 0, 0, 24, 0]] {
            assert!(read(short, None).is_err());
        }
    }

    #[test]
    fn the_route_of_another_interface_is_none() {
        let mut answer = vec![0; HEADERS];
        answer[4..6].copy_from_slice(&RTM_NEWROUTE.to_ne_bytes());
        answer[16 + 7] = RTN_UNICAST;
        assert!(read(&answer, Some(7)).is_ok());
        attribute(&mut answer, RTA_DST, &[0; 16]);
        attribute(&mut answer, RTA_OIF, &7_u32.to_ne_bytes());
        assert!(read(&answer, Some(7)).is_ok() && read(&answer, None).is_ok());
        assert!(read(&answer, Some(8)).is_err());
        // An attribute that is longer than the message, or of no length, ends the search.
        assert_eq!(value(&[200, 0, 1, 0, 0], RTA_OIF), None);
        assert_eq!(value(&[0, 0, 4, 0, 0], RTA_OIF), None);
    }
}
