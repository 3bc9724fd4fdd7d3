//! A bed with names, a receiving host and the real daemon, as the tests of whole mail need it.

use std::net::{IpAddr, SocketAddr};
use std::os::fd::OwnedFd;
use std::time::Duration;

use socket2::{Domain, Protocol, SockAddr, Socket, Type};

use crate::bed::capture::Heard;
use crate::bed::gateway::{Application, Gateway};
use crate::bed::names::Names;
use crate::bed::receiver::{Manner, Receiver};
use crate::bed::wires::{Bed, Family, Wire};

/// Longer than a delivery takes on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// Retries in seconds, so that a test sees them; patience enough that nothing expires.
pub(crate) const RETRY: &str = "first = \"1s\"\nlongest = \"2s\"\nlifetime = \"1h\"\n\
                                delay_notice = \"never\"";

/// Everything.
pub(crate) struct Town {
    pub(crate) gateway: Gateway,
    pub(crate) receiver: Receiver,
    pub(crate) names: Names,
    pub(crate) bed: Bed,
    _folder: tempfile::TempDir,
}

impl Town {
    /// `example.net`, `four.test` and `six.test` have the same host, by both families, IPv4 and
    /// IPv6. `zone` is what else the root holds.
    pub(crate) fn new(zone: &str) -> Self {
        let bed = Bed::new();
        let folder = tempfile::Builder::new().prefix("postern-names").tempdir().unwrap();
        let hosts = Family::BOTH.map(|family| family.host(7));
        bed.add_hosts(&hosts);
        let [v4, v6] = hosts;
        let records = format!(
            "example.net. MX 10 mx.example.net.\n\
             mx.example.net. A {v4}\nmx.example.net. AAAA {v6}\n\
             four.test. MX 10 mx.four.test.\nmx.four.test. A {v4}\n\
             six.test. MX 10 mx.six.test.\nmx.six.test. AAAA {v6}\n\
             example.org. MX 10 mx.example.net.\n{zone}"
        );
        let names = Names::serve(&bed, folder.path(), &records);
        let manner = Manner::Takes;
        let receiver = Receiver::start(&bed.internet, "mx.example.net", &hosts, manner, None);
        let gateway = Gateway::start(&bed, RETRY, "[trust]\ndane = \"off\"\nmta_sts = false\n");
        Self { gateway, receiver, names, bed, _folder: folder }
    }

    /// An application that submits.
    pub(crate) fn application(&self) -> Application {
        self.gateway.application(&self.bed)
    }

    /// What was heard since the last time; nothing of it may be wrong.
    pub(crate) fn listen(&self, when: &str) -> Heard {
        let heard = self.bed.capture.take();
        assert_eq!(heard.wrong, [], "{when}");
        let counted = self.bed.counted();
        assert_eq!(counted.passed, 0, "{when}: {counted:?}");
        heard
    }
}

/// Advertises a router to everybody on a wire, as a machine that should not be there would.
pub(crate) fn advertise(bed: &Bed, wire: Wire) {
    let index = bed.internet.within(|| {
        let index = nix::net::if_::if_nametoindex(wire.far()).unwrap();
        let socket = Socket::new(Domain::IPV6, Type::RAW, Some(Protocol::ICMPV6)).unwrap();
        socket.set_multicast_hops_v6(255).unwrap();
        socket.set_multicast_if_v6(index).unwrap();
        // RFC 4861 4.2: type 134, hop limit 64, no flags, 1800 s, no times; then the prefix of the
        // wire (option 3), on the link and for addresses of one's own making.
        let mut advert = vec![134, 0, 0, 0, 64, 0, 7, 8, 0, 0, 0, 0, 0, 0, 0, 0];
        let IpAddr::V6(router) = wire.router(Family::V6) else { unreachable!("asked for IPv6") };
        advert.extend([3, 4, 64, 0xc0]);
        advert.extend([0, 0, 7, 8, 0, 0, 7, 8, 0, 0, 0, 0]);
        advert.extend(&router.octets()[..8]);
        advert.extend([0; 8]);
        let all: SocketAddr = "[ff02::1]:0".parse().unwrap();
        socket.send_to(&advert, &SockAddr::from(all)).unwrap();
        let _closed: OwnedFd = socket.into();
        index
    });
    assert!(index > 0);
}
