//! The kernel's answer to the question whether an IP address is one of this network namespace.
//!
//! It is a lookup of a route over `NETLINK_ROUTE`: the route to an own address has the type `local`. Binding a socket to the
//! address would not tell, since a host may allow that for addresses of others (`ip_nonlocal_bind`).

use std::io;
use std::net::IpAddr;

use rustix::io::Errno;

use super::netlink::{Answer, Lookup, Netlink};

/// The type of a request: `RTM_GETROUTE`.
const GET_ROUTE: u16 = 26;
/// The type of an answer: `RTM_NEWROUTE`.
const NEW_ROUTE: u16 = 24;
/// Bytes of `struct rtmsg`.
const RTMSG: usize = 12;
/// The place of the route's type in an answer.
const TYPE_AT: usize = 7;
/// The type of a route to an address of this namespace: `RTN_LOCAL`.
const LOCAL: u8 = 2;
/// The attribute with the destination: `RTA_DST`.
const DESTINATION: u16 = 1;
/// The question whether an address is one of this namespace.
const LOOKUP: Lookup<IpAddr> = Lookup { kind: GET_ROUTE, write, meaning };

/// The way to ask. See the module.
pub(super) struct Routes(Netlink);

impl Routes {
    pub(super) fn open() -> io::Result<Self> {
        Ok(Self(Netlink::open(None)?))
    }

    /// Whether each address is of this namespace; `None` where the kernel does not say.
    ///
    /// # Errors
    /// The socket does not work any more: open another one.
    pub(super) fn are_local(&mut self, ips: &[IpAddr]) -> io::Result<Vec<Option<bool>>> {
        self.0.ask(&LOOKUP, ips)
    }
}

fn write(ip: &IpAddr, body: &mut Vec<u8>) {
    let (family, octets): (u8, &[u8]) = match ip {
        IpAddr::V4(ip) => (2, &ip.octets()),
        IpAddr::V6(ip) => (10, &ip.octets()),
    };
    let attribute = body.len() + RTMSG;
    body.extend([family, (octets.len() * 8) as u8]);
    body.resize(attribute, 0);
    body.extend((4 + octets.len() as u16).to_ne_bytes());
    body.extend(DESTINATION.to_ne_bytes());
    body.extend(octets);
}

fn meaning(answer: Answer<'_>) -> Option<bool> {
    match answer {
        Answer::Message { kind: NEW_ROUTE, body } => body.get(TYPE_AT).map(|kind| *kind == LOCAL),
        Answer::Error(Errno::NETUNREACH | Errno::HOSTUNREACH) => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_is_local_and_an_address_for_documentation_is_not() {
        let ips = ["127.0.0.1", "127.7.7.7", "192.0.2.1", "2001:db8::1"];
        let ips = ips.map(|ip| ip.parse().expect("an address"));
        let mut routes = Routes::open().expect("opened");
        let local = routes.are_local(&ips).expect("asked");
        assert_eq!(local[..3], [Some(true), Some(true), Some(false)]);
        assert_ne!(local[3], Some(true));
    }
}
