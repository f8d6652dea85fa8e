//! A query from its bytes to the bytes of its answer, the same over UDP and TCP. Most answers take no wait.

use std::net::IpAddr;
use std::sync::Arc;

use domain::base::iana::OptRcode;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::spawn_blocking;

use super::aliases::completed;
use super::answer::{Answer, Transport, Written, write};
use super::counters::{DnsCounters, count};
use super::forwarding::Forwarder;
use super::message::{Query, Read, read};
use super::outgoing::Outgoing;
use super::zone::{Found, Zone};

/// Records of one name in an answer over UDP: more than fit.
const MAX_UDP_RECORDS: usize = 128;
/// Records of one name in an answer over TCP.
const MAX_TCP_RECORDS: usize = 1_024;

/// Queries that wait at the same time until all instances have been looked at. A further one fails and is counted.
pub(super) const MAX_GATHERS: usize = 256;

/// What answers. Shared by all sockets of the door.
pub(super) struct Taking {
    pub(super) zone: Arc<Zone>,
    pub(super) counters: Arc<DnsCounters>,
    pub(super) forwarder: Option<Forwarder>,
    pub(super) gathers: Arc<Semaphore>,
    /// Whether others than this host reach the door.
    is_open: bool,
}

/// What to do with a query.
pub(super) enum Taken {
    Ignore,
    Send(Vec<u8>),
    /// The client is answered by [`Taking::finish`].
    Wait(Pending),
}

/// What a query waits for, and its place among those that do.
pub(super) enum Pending {
    /// All instances have to be looked at.
    Gather(OwnedSemaphorePermit),
    /// Another server is to be asked.
    Forward(Box<Forward>),
}

/// A question to another server.
pub(super) struct Forward {
    question: Outgoing,
    /// The answer to which the other one belongs; `None` if that is passed on as it is.
    begun: Option<Answer>,
    _place: OwnedSemaphorePermit,
}

/// How a query came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Came {
    /// From this address, as its sender says.
    Udp(IpAddr),
    Tcp,
}

impl Taking {
    pub(super) fn new(
        zone: Zone,
        counters: Arc<DnsCounters>,
        forwarder: Option<Forwarder>,
        is_open: bool,
    ) -> Self {
        let gathers = Arc::new(Semaphore::new(MAX_GATHERS));
        Self { zone: Arc::new(zone), counters, forwarder, gathers, is_open }
    }

    /// Answers a query if that takes no wait.
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

    /// Answers a query that has to wait, within the time that servers have.
    pub(super) async fn finish(
        &self,
        bytes: &[u8],
        came: Came,
        pending: Pending,
    ) -> Option<Vec<u8>> {
        let forward = match pending {
            Pending::Forward(forward) => forward,
            Pending::Gather(place) => {
                self.gather().await;
                drop(place);
                match self.take(bytes, came) {
                    Taken::Wait(Pending::Forward(forward)) => forward,
                    Taken::Send(answer) => return Some(answer),
                    Taken::Ignore => return None,
                    // It is too old by now, so that this host has no time for it.
                    Taken::Wait(Pending::Gather(_)) => return self.failed(bytes, came),
                }
            }
        };
        let Forward { question, begun, _place } = *forward;
        let reply = match &self.forwarder {
            Some(forwarder) => forwarder.ask(&question).await,
            None => None,
        };
        match (begun, reply) {
            (None, Some(reply)) => Some(reply),
            (None, None) => self.failed(bytes, came),
            (Some(begun), Some(reply)) => self.written(bytes, completed(begun, &reply), came),
            (Some(begun), None) => self.written(bytes, begun, came),
        }
    }

    /// Looks at all instances, on a thread that may take its time.
    async fn gather(&self) {
        let zone = self.zone.clone();
        if let Err(error) = spawn_blocking(move || zone.gather()).await {
            tracing::error!(%error, "the names of addresses cannot be gathered");
        }
    }

    fn answer(&self, query: &Query<'_>, came: Came) -> Taken {
        let Some(question) = &query.question else { return Taken::Ignore };
        let most = if came == Came::Tcp { MAX_TCP_RECORDS } else { MAX_UDP_RECORDS };
        let counters = &self.counters;
        match self.zone.find(question, most) {
            Found::Answer(answer) => {
                count(&counters.queries);
                if answer.rcode == OptRcode::NXDOMAIN {
                    count(&counters.negative);
                }
                match answer.alias.clone().filter(|_| self.forwarder.is_some()) {
                    Some(alias) => {
                        let question = Outgoing::for_alias(query, &alias, came == Came::Tcp);
                        self.forward(query, question, Some(*answer), came)
                    }
                    None => self.send(query, *answer, came),
                }
            }
            Found::Gathering => match self.gathers.clone().try_acquire_owned() {
                Ok(place) => Taken::Wait(Pending::Gather(place)),
                Err(_) => {
                    count(&counters.gathers_dropped);
                    self.send(query, Answer::empty(OptRcode::SERVFAIL), came)
                }
            },
            Found::Elsewhere if self.forwarder.is_some() => {
                let question = Outgoing::of(query, came == Came::Tcp);
                self.forward(query, question, None, came)
            }
            Found::Elsewhere => {
                count(&counters.refused);
                self.send(query, Answer::empty(OptRcode::REFUSED), came)
            }
        }
    }

    /// Has another server asked. Where that cannot be, the client gets what was begun.
    fn forward(
        &self,
        query: &Query<'_>,
        question: Option<Outgoing>,
        begun: Option<Answer>,
        came: Came,
    ) -> Taken {
        let place = self.forwarder.as_ref().and_then(Forwarder::place);
        match (question, place) {
            (Some(question), Some(place)) => {
                Taken::Wait(Pending::Forward(Box::new(Forward { question, begun, _place: place })))
            }
            _ => {
                let failure = || Answer::empty(OptRcode::SERVFAIL);
                self.send(query, begun.unwrap_or_else(failure), came)
            }
        }
    }

    fn failed(&self, bytes: &[u8], came: Came) -> Option<Vec<u8>> {
        self.written(bytes, Answer::empty(OptRcode::SERVFAIL), came)
    }

    /// The bytes of an answer to a query that had to wait.
    fn written(&self, bytes: &[u8], answer: Answer, came: Came) -> Option<Vec<u8>> {
        let (Read::Asked(query) | Read::Faulty(query, _)) = read(bytes) else { return None };
        Some(self.write(&query, answer, came))
    }

    fn send(&self, query: &Query<'_>, answer: Answer, came: Came) -> Taken {
        Taken::Send(self.write(query, answer, came))
    }

    fn write(&self, query: &Query<'_>, answer: Answer, came: Came) -> Vec<u8> {
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
        bytes
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
