//! A query from its bytes to the bytes of its answer, the same over UDP and TCP. Nothing here waits.

use std::net::IpAddr;
use std::sync::Arc;

use domain::base::iana::OptRcode;

use super::answer::{Answer, Transport, Written, write};
use super::counters::{DnsCounters, count};
use super::forwarding::{Forwarder, Outgoing};
use super::message::{Query, Read, read};
use super::zone::{Found, Zone};

/// Instances in an answer over UDP: more than fit.
const MAX_UDP_INSTANCES: usize = 128;
/// Instances in an answer over TCP.
const MAX_TCP_INSTANCES: usize = 1_024;

/// What answers. Shared by all sockets of the door.
pub(super) struct Taking {
    pub(super) zone: Zone,
    pub(super) counters: Arc<DnsCounters>,
    pub(super) forwarder: Option<Arc<Forwarder>>,
    /// Whether others than this host reach the door.
    pub(super) is_open: bool,
}

/// What to do with a query.
pub(super) enum Taken {
    Ignore,
    Send(Vec<u8>),
    /// Another server is to be asked, and the client is answered later.
    Forward(Outgoing),
}

/// How a query came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Came {
    /// From this address, as its sender says.
    Udp(IpAddr),
    Tcp,
}

impl Taking {
    pub(super) fn take(&self, bytes: &[u8], came: Came) -> Taken {
        match read(bytes) {
            Read::Ignored => {
                count(&self.counters.ignored);
                Taken::Ignore
            }
            Read::Faulty(query, rcode) => {
                let is_malformed = rcode == OptRcode::FORMERR;
                let counters = &self.counters;
                count(if is_malformed { &counters.malformed } else { &counters.unsupported });
                self.send(&query, Answer::empty(rcode), came)
            }
            Read::Asked(query) => self.answer(&query, came),
        }
    }

    fn answer(&self, query: &Query<'_>, came: Came) -> Taken {
        let Some(question) = &query.question else { return Taken::Ignore };
        let most = if came == Came::Tcp { MAX_TCP_INSTANCES } else { MAX_UDP_INSTANCES };
        match (self.zone.find(question, most), &self.forwarder) {
            (Found::Answer(answer), _) => {
                let counters = &self.counters;
                count(&counters.queries);
                if answer.rcode == OptRcode::NXDOMAIN {
                    count(&counters.negative);
                }
                self.send(query, *answer, came)
            }
            (Found::Elsewhere, Some(_)) => match Outgoing::of(query, came == Came::Tcp) {
                Some(outgoing) => Taken::Forward(outgoing),
                None => self.send(query, Answer::empty(OptRcode::FORMERR), came),
            },
            (Found::Elsewhere, None) => {
                count(&self.counters.refused);
                self.send(query, Answer::empty(OptRcode::REFUSED), came)
            }
        }
    }

    /// The answer that a forwarded query gets when no server answered it, or none could be asked.
    pub(super) fn failure(&self, bytes: &[u8], came: Came) -> Option<Vec<u8>> {
        let (Read::Asked(query) | Read::Faulty(query, _)) = read(bytes) else { return None };
        match self.send(&query, Answer::empty(OptRcode::SERVFAIL), came) {
            Taken::Send(bytes) => Some(bytes),
            Taken::Ignore | Taken::Forward(_) => None,
        }
    }

    fn send(&self, query: &Query<'_>, answer: Answer, came: Came) -> Taken {
        let answer = Answer { is_recursive: self.forwarder.is_some(), ..answer };
        let written = match came {
            Came::Tcp => write(query, &answer, Transport::Tcp),
            Came::Udp(from) if self.is_open && !is_near(from) => {
                // The address may be a lie, and the answer sent to somebody who did not ask. TCP proves it.
                let bare = Answer { is_cut: true, ..Answer::empty(OptRcode::NOERROR) };
                write(query, &bare, Transport::Udp(query.udp_limit()))
            }
            Came::Udp(_) => write(query, &answer, Transport::Udp(query.udp_limit())),
        };
        let Written { bytes, is_truncated } = written;
        if is_truncated {
            count(&self.counters.truncated);
        }
        Taken::Send(bytes)
    }
}

/// Whether an address is of this host or of a network of one's own (RFC 1918, 4193, 6598, link-local).
fn is_near(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(ip) => {
            let [a, b, ..] = ip.octets();
            let is_shared = a == 100 && (64..128).contains(&b);
            ip.is_loopback() || ip.is_private() || ip.is_link_local() || is_shared
        }
        IpAddr::V6(ip) => ip.is_loopback() || ip.is_unique_local() || ip.is_unicast_link_local(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_of_ones_own_are_near() {
        let near =
            ["127.0.0.1", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.1.1", "100.64.0.1"];
        for near in near.into_iter().chain(["::1", "fd00::1", "fe80::1", "::ffff:10.0.0.1"]) {
            assert!(is_near(near.parse().expect("an address")), "{near}");
        }
        for far in ["1.1.1.1", "172.32.0.1", "100.128.0.1", "2001:db8::1", "::ffff:1.1.1.1"] {
            assert!(!is_near(far.parse().expect("an address")), "{far}");
        }
    }
}
