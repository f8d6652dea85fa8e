//! The processes that registered the instances of this agent. Other agents are not told.

use std::collections::BTreeSet;
use std::sync::Arc;

use arc_swap::ArcSwap;
use imbl::OrdMap;

use crate::storage::{DataDir, StoredRegistrant, StoredRegistration};

/// The process that registered each instance last, by the id of the instance, and the file that defines it. The registrar is
/// the only writer; readers wait neither for it nor for the disk. There are as many as registrations at most.
#[derive(Debug, Default)]
pub(super) struct Registrants(ArcSwap<OrdMap<Arc<str>, Registrant>>);

#[derive(Clone, Debug)]
struct Registrant {
    by: StoredRegistrant,
    source: Option<Arc<str>>,
    /// It was there when this agent started.
    is_restored: bool,
}

impl Registrants {
    /// Those that the data directory knows. The instances with the ids of `defined` were read from files at this start, and are
    /// not restored.
    pub(super) fn of(data_dir: &DataDir, defined: &BTreeSet<String>) -> Self {
        let known = data_dir.registrations().filter_map(|registration| {
            let by = data_dir.registrant(&registration.id)?;
            let source = registration.source.as_deref().map(Arc::from);
            Some((
                Arc::from(registration.id.as_str()),
                Registrant { by, source, is_restored: !defined.contains(&registration.id) },
            ))
        });
        Self(ArcSwap::from_pointee(known.collect()))
    }

    pub(super) fn get(&self, id: &str) -> Option<StoredRegistrant> {
        self.0.load().get(id).map(|registrant| registrant.by)
    }

    /// The name of the file that defines an instance.
    pub(super) fn source(&self, id: &str) -> Option<Arc<str>> {
        self.0.load().get(id)?.source.clone()
    }

    /// The number of instances that files define.
    pub(super) fn defined(&self) -> usize {
        self.0.load().values().filter(|registrant| registrant.source.is_some()).count()
    }

    /// Whether an instance is as it was when this agent started. Early versions kept no process, and this one always does.
    pub(super) fn is_restored(&self, id: &str) -> bool {
        self.0.load().get(id).is_none_or(|registrant| registrant.is_restored)
    }

    pub(super) fn set(&self, registration: &StoredRegistration, by: StoredRegistrant) {
        let source = registration.source.as_deref().map(Arc::from);
        let id = Arc::from(registration.id.as_str());
        self.0.store(Arc::new(
            self.0.load().update(id, Registrant { by, source, is_restored: false }),
        ));
    }

    pub(super) fn remove(&self, id: &str) {
        self.0.store(Arc::new(self.0.load().without(id)));
    }
}
