//! Admission: limits on the connections that peers open, in all, of strangers and from one host.

use std::collections::{HashMap, HashSet};
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::limits::{MAX_ACCEPTED, MAX_ACCEPTED_OF_STRANGERS, MAX_ACCEPTED_PER_HOST};
use super::pace::PeerKind;

/// The addresses of the members' endpoints.
#[derive(Debug, Default)]
pub(super) struct MemberAddresses(HashSet<SocketAddr>);

impl MemberAddresses {
    /// The kind of peer at this address. A member may open connections from another port than it is known by, except on
    /// loopback, which many agents share.
    pub(super) fn kind_of(&self, address: SocketAddr) -> PeerKind {
        if self.0.contains(&source(address)) { PeerKind::Member } else { PeerKind::Stranger }
    }
}

impl FromIterator<SocketAddr> for MemberAddresses {
    fn from_iter<T: IntoIterator<Item = SocketAddr>>(addresses: T) -> Self {
        Self(addresses.into_iter().map(source).collect())
    }
}

/// The part of an address that tells members apart.
fn source(address: SocketAddr) -> SocketAddr {
    let ip = address.ip().to_canonical();
    (ip, if ip.is_loopback() { address.port() } else { 0 }).into()
}

/// Admits connections. Clones share the same limits.
#[derive(Clone, Debug)]
pub(super) struct Admission {
    free: Arc<Semaphore>,
    free_for_strangers: Arc<Semaphore>,
    taken: Arc<Mutex<HashMap<IpAddr, usize>>>,
}

/// The admission of one connection. It ends when this is dropped.
#[derive(Debug)]
pub(super) struct Place {
    host: Option<IpAddr>,
    admission: Admission,
    _permit: OwnedSemaphorePermit,
    _permit_of_stranger: Option<OwnedSemaphorePermit>,
}

impl Admission {
    pub(super) fn new() -> Self {
        Self {
            free: Arc::new(Semaphore::new(MAX_ACCEPTED)),
            free_for_strangers: Arc::new(Semaphore::new(MAX_ACCEPTED_OF_STRANGERS)),
            taken: Arc::default(),
        }
    }

    /// Admits a connection from this address, unless a limit is reached.
    pub(super) fn take(&self, from: IpAddr, kind: PeerKind) -> Option<Place> {
        let permit = self.free.clone().try_acquire_owned().ok()?;
        let permit_of_stranger = match kind {
            PeerKind::Member => None,
            PeerKind::Stranger => Some(self.free_for_strangers.clone().try_acquire_owned().ok()?),
        };
        let host = host(from);
        if let Some(host) = host {
            let mut taken = self.taken();
            let count = taken.entry(host).or_default();
            if *count >= MAX_ACCEPTED_PER_HOST {
                return None;
            }
            *count += 1;
        }
        Some(Place {
            host,
            admission: self.clone(),
            _permit: permit,
            _permit_of_stranger: permit_of_stranger,
        })
    }

    /// Waits until every admitted connection has ended.
    pub(super) async fn all_free(&self) {
        let _ = self.free.acquire_many(MAX_ACCEPTED as u32).await;
    }

    /// Locks the map, for a look-up only. It is valid between any two statements, so a panic that poisoned the lock
    /// does no harm.
    fn taken(&self) -> MutexGuard<'_, HashMap<IpAddr, usize>> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let Some(host) = self.host else { return };
        let mut taken = self.admission.taken();
        if let Some(count) = taken.get_mut(&host) {
            *count -= 1;
            if *count == 0 {
                taken.remove(&host);
            }
        }
    }
}

/// The host that an address counts for. With IPv6 it is the network of 64 bits, since one host may have all addresses
/// of one. `None` for loopback: many agents share that address, and no remote peer can use it.
pub(super) fn host(address: IpAddr) -> Option<IpAddr> {
    match address.to_canonical() {
        address if address.is_loopback() => None,
        IpAddr::V6(address) => {
            let network = u128::from(address) & !u128::from(u64::MAX);
            Some(Ipv6Addr::from(network).into())
        }
        address => Some(address),
    }
}

#[cfg(test)]
mod tests {
    use super::PeerKind::{Member, Stranger};
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn one_host_cannot_have_all_places() {
        let admission = Admission::new();
        let mut taken: Vec<Place> = (0..MAX_ACCEPTED_PER_HOST)
            .filter_map(|_| admission.take(ip("192.0.2.1"), Member))
            .collect();
        assert_eq!(taken.len(), MAX_ACCEPTED_PER_HOST);
        assert!(admission.take(ip("192.0.2.1"), Member).is_none());
        assert!(admission.take(ip("::ffff:192.0.2.1"), Member).is_none(), "the same host");
        assert!(admission.take(ip("192.0.2.2"), Member).is_some());
        taken.pop();
        assert!(admission.take(ip("192.0.2.1"), Member).is_some());
    }

    #[test]
    fn the_addresses_of_one_network_are_one_host() {
        let admission = Admission::new();
        let addresses = (0..MAX_ACCEPTED_PER_HOST).map(|n| ip(&format!("2001:db8::{n:x}")));
        let taken: Vec<Place> =
            addresses.filter_map(|address| admission.take(address, Member)).collect();
        assert_eq!(taken.len(), MAX_ACCEPTED_PER_HOST);
        assert!(admission.take(ip("2001:db8::ffff"), Member).is_none());
        assert!(admission.take(ip("2001:db8:0:1::1"), Member).is_some());
    }

    #[test]
    fn loopback_may_take_all_and_no_more() {
        let admission = Admission::new();
        let taken: Vec<Place> =
            (0..MAX_ACCEPTED).filter_map(|_| admission.take(ip("127.0.0.1"), Member)).collect();
        assert_eq!(taken.len(), MAX_ACCEPTED);
        assert!(admission.take(ip("127.0.0.1"), Member).is_none());
        assert!(admission.take(ip("192.0.2.1"), Member).is_none());
        drop(taken);
        assert!(admission.taken().is_empty());
        assert!(admission.take(ip("192.0.2.1"), Member).is_some());
    }

    #[test]
    fn strangers_leave_room_for_members() {
        let admission = Admission::new();
        let from = ip("127.0.0.1");
        let strangers: Vec<Place> =
            (0..MAX_ACCEPTED).filter_map(|_| admission.take(from, Stranger)).collect();
        assert_eq!(strangers.len(), MAX_ACCEPTED_OF_STRANGERS);
        let members: Vec<Place> =
            (0..MAX_ACCEPTED).filter_map(|_| admission.take(from, Member)).collect();
        assert_eq!(members.len(), MAX_ACCEPTED - MAX_ACCEPTED_OF_STRANGERS);
        drop(strangers);
        assert!(admission.take(from, Stranger).is_some());
    }

    #[test]
    fn a_member_is_known_by_its_host_and_on_loopback_by_its_port() {
        let at = |text: &str| -> SocketAddr { text.parse().expect("an address") };
        let members: MemberAddresses =
            ["192.0.2.1:7947", "127.0.0.1:7947"].map(at).into_iter().collect();
        for (address, kind) in [
            ("192.0.2.1:7947", Member),
            ("192.0.2.1:40000", Member),
            ("[::ffff:192.0.2.1]:7947", Member),
            ("192.0.2.2:7947", Stranger),
            ("127.0.0.1:7947", Member),
            ("127.0.0.1:40000", Stranger),
        ] {
            assert_eq!(members.kind_of(at(address)), kind, "{address}");
        }
    }
}
