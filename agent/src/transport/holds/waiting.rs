//! The connections that peers have opened and on which they have proved nothing yet, in all and of each host.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::transport::admission::host;

/// The places for such connections. Clones share them.
#[derive(Clone, Debug)]
pub(super) struct Waiting {
    free: Arc<Semaphore>,
    per_host: usize,
    taken: Arc<Mutex<HashMap<IpAddr, usize>>>,
}

/// A place. It is free again when this is dropped.
#[derive(Debug)]
pub(super) struct WaitingPlace {
    host: Option<IpAddr>,
    waiting: Waiting,
    _permit: OwnedSemaphorePermit,
}

impl Waiting {
    /// So many places in all, and for each host. Loopback, which many agents share, may have all.
    pub(super) fn new(in_all: usize, per_host: usize) -> Self {
        Self { free: Arc::new(Semaphore::new(in_all)), per_host, taken: Arc::default() }
    }

    /// A place for a connection from this address, if there is one.
    pub(super) fn take(&self, from: IpAddr) -> Option<WaitingPlace> {
        let permit = self.free.clone().try_acquire_owned().ok()?;
        let host = host(from);
        if let Some(host) = host {
            let mut taken = self.taken();
            let count = taken.entry(host).or_default();
            if *count >= self.per_host {
                return None;
            }
            *count += 1;
        }
        Some(WaitingPlace { host, waiting: self.clone(), _permit: permit })
    }

    /// Locks the map, for a look-up only. It is valid between any two statements, so a panic that poisoned the lock does no harm.
    fn taken(&self) -> MutexGuard<'_, HashMap<IpAddr, usize>> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for WaitingPlace {
    fn drop(&mut self) {
        let Some(host) = self.host else { return };
        let mut taken = self.waiting.taken();
        if let Some(count) = taken.get_mut(&host) {
            *count -= 1;
            if *count == 0 {
                taken.remove(&host);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn one_host_leaves_places_for_others_and_loopback_may_have_all() {
        let waiting = Waiting::new(4, 2);
        let held: Vec<_> = (0..2).filter_map(|_| waiting.take(ip("192.0.2.1"))).collect();
        assert_eq!(held.len(), 2);
        assert!(waiting.take(ip("::ffff:192.0.2.1")).is_none(), "the same host");
        let others: Vec<_> = (0..4).filter_map(|_| waiting.take(ip("127.0.0.1"))).collect();
        assert_eq!(others.len(), 2, "four in all");
        assert!(waiting.take(ip("192.0.2.2")).is_none());
        drop((held, others));
        assert!(waiting.taken().is_empty());
        assert!(waiting.take(ip("192.0.2.1")).is_some());
    }
}
