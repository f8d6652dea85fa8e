//! The processes that registered the instances of this agent. Other agents are not told.

use std::sync::Arc;

use arc_swap::ArcSwap;
use imbl::OrdMap;

use crate::storage::{DataDir, StoredRegistrant};

/// The process that registered each instance last, by the id of the instance. The registrar is the only writer; readers
/// wait neither for it nor for the disk. There are as many as registrations at most.
#[derive(Debug, Default)]
pub(super) struct Registrants(ArcSwap<OrdMap<Arc<str>, StoredRegistrant>>);

impl Registrants {
    /// Those that the data directory knows.
    pub(super) fn of(data_dir: &DataDir) -> Self {
        let known = data_dir.registrations().filter_map(|registration| {
            let id = registration.id.as_str();
            Some((Arc::from(id), data_dir.registrant(id)?))
        });
        Self(ArcSwap::from_pointee(known.collect()))
    }

    pub(super) fn get(&self, id: &str) -> Option<StoredRegistrant> {
        self.0.load().get(id).copied()
    }

    pub(super) fn set(&self, id: &str, registrant: StoredRegistrant) {
        self.0.store(Arc::new(self.0.load().update(Arc::from(id), registrant)));
    }

    pub(super) fn remove(&self, id: &str) {
        self.0.store(Arc::new(self.0.load().without(id)));
    }
}
