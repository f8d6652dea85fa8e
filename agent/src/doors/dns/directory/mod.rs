//! What is looked up by other keys than the registry has.
//!
//! The indexes of names follow the catalog: a query takes in what changed since the one before, so that it is always answered
//! from the present, at the cost of the changes. What belongs to an address or a tag is gathered from all instances, off the
//! task that answers, and is up to a second old.

mod gathered;
mod members;
mod services;

use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::{ArcSwap, ArcSwapOption};

use crate::services::{KnownMember, Registry};

use gathered::Gathered;
pub(super) use gathered::Named;
use members::Members;
use services::ServiceNames;

/// The indexes. Readers share them.
#[derive(Default)]
pub(super) struct Directory {
    index: ArcSwap<Index>,
    updating: Mutex<()>,
    gathered: ArcSwapOption<Gathered>,
    gathering: Mutex<()>,
}

/// The names of members and services at one moment.
#[derive(Clone, Default)]
pub(super) struct Index {
    pub(super) members: Members,
    pub(super) services: ServiceNames,
}

impl Directory {
    /// The names as they are now.
    pub(super) fn index(&self, registry: &Registry) -> Arc<Index> {
        let ((members, revision), services) = (registry.members(), registry.services());
        let is_of_now =
            |index: &Index| index.members.is_of(revision) && index.services.is_of(&services);
        let index = self.index.load_full();
        if is_of_now(&index) {
            return index;
        }
        let _updating = self.updating.lock().unwrap_or_else(PoisonError::into_inner);
        let mut index = self.index.load_full();
        if !is_of_now(&index) {
            let mut next = Index::clone(&index);
            next.members.follow(&members, revision);
            next.services.follow(&services);
            index = Arc::new(next);
            self.index.store(index.clone());
        }
        index
    }

    /// What belongs to addresses and tags; `None` if it is too old, so that it has to be gathered first.
    pub(super) fn gathered(&self) -> Option<Arc<Gathered>> {
        self.gathered.load_full().filter(|gathered| gathered.is_fresh())
    }

    /// Gathers it from all instances, unless another thread just did. It takes a while.
    pub(super) fn gather(&self, registry: &Registry) {
        let _gathering = self.gathering.lock().unwrap_or_else(PoisonError::into_inner);
        if self.gathered().is_none() {
            self.gathered.store(Some(Arc::new(Gathered::of(registry))));
        }
    }
}

/// The IP address of a member; `None` for one of which only records are left.
pub(super) fn address_of(known: &KnownMember) -> Option<std::net::IpAddr> {
    let address = known.member.gossip_address.parse::<std::net::SocketAddr>().ok()?;
    Some(address.ip().to_canonical())
}

/// The labels of a name from the last to the first, so that what stands below a name begins with it.
fn backwards(name: &str) -> String {
    name.rsplit('.').collect::<Vec<_>>().join(".")
}

/// The beginning of whatever stands below a name.
fn below(name: &str) -> String {
    let mut start = backwards(name);
    start.push('.');
    start
}
