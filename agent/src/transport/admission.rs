//! Admission: limits on the connections that peers open, in all and from one host.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::limits::{MAX_ACCEPTED, MAX_ACCEPTED_PER_HOST};

/// Admits connections. Clones share the same limits.
#[derive(Clone, Debug)]
pub(super) struct Admission {
    free: Arc<Semaphore>,
    taken: Arc<Mutex<HashMap<IpAddr, usize>>>,
}

/// The admission of one connection. It ends when this is dropped.
#[derive(Debug)]
pub(super) struct Place {
    host: Option<IpAddr>,
    admission: Admission,
    _permit: OwnedSemaphorePermit,
}

impl Admission {
    pub(super) fn new() -> Self {
        Self { free: Arc::new(Semaphore::new(MAX_ACCEPTED)), taken: Arc::default() }
    }

    /// Admits a connection from this address, unless a limit is reached.
    pub(super) fn take(&self, from: IpAddr) -> Option<Place> {
        let permit = self.free.clone().try_acquire_owned().ok()?;
        let host = host(from);
        if let Some(host) = host {
            let mut taken = self.taken();
            let count = taken.entry(host).or_default();
            if *count >= MAX_ACCEPTED_PER_HOST {
                return None;
            }
            *count += 1;
        }
        Some(Place { host, admission: self.clone(), _permit: permit })
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
fn host(address: IpAddr) -> Option<IpAddr> {
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
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn one_host_cannot_have_all_places() {
        let admission = Admission::new();
        let mut taken: Vec<Place> =
            (0..MAX_ACCEPTED_PER_HOST).filter_map(|_| admission.take(ip("192.0.2.1"))).collect();
        assert_eq!(taken.len(), MAX_ACCEPTED_PER_HOST);
        assert!(admission.take(ip("192.0.2.1")).is_none());
        assert!(admission.take(ip("::ffff:192.0.2.1")).is_none(), "the same host");
        assert!(admission.take(ip("192.0.2.2")).is_some());
        taken.pop();
        assert!(admission.take(ip("192.0.2.1")).is_some());
    }

    #[test]
    fn the_addresses_of_one_network_are_one_host() {
        let admission = Admission::new();
        let addresses = (0..MAX_ACCEPTED_PER_HOST).map(|n| ip(&format!("2001:db8::{n:x}")));
        let taken: Vec<Place> = addresses.filter_map(|address| admission.take(address)).collect();
        assert_eq!(taken.len(), MAX_ACCEPTED_PER_HOST);
        assert!(admission.take(ip("2001:db8::ffff")).is_none());
        assert!(admission.take(ip("2001:db8:0:1::1")).is_some());
    }

    #[test]
    fn loopback_may_take_all_and_no_more() {
        let admission = Admission::new();
        let taken: Vec<Place> =
            (0..MAX_ACCEPTED).filter_map(|_| admission.take(ip("127.0.0.1"))).collect();
        assert_eq!(taken.len(), MAX_ACCEPTED);
        assert!(admission.take(ip("127.0.0.1")).is_none());
        assert!(admission.take(ip("192.0.2.1")).is_none());
        drop(taken);
        assert!(admission.taken().is_empty());
        assert!(admission.take(ip("192.0.2.1")).is_some());
    }
}
