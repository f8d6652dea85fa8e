//! An instance as readers of the registry see it.

use std::ops::Deref;
use std::sync::{Arc, OnceLock};

use hobnob_balancer::Target;
use hobnob_membership::record::Health;
use hobnob_membership::view::{Instance, InstanceStatus};

/// An instance, with what is derived from it once for all readers.
#[derive(Debug)]
pub(crate) struct Entry {
    instance: Arc<Instance>,
    target_id: Arc<str>,
    /// Made by the first reader that needs it, for all of them.
    print: OnceLock<Print>,
}

/// An instance as an answer shows it, in brief.
#[derive(Clone, Copy, Debug)]
pub(super) struct Print {
    /// Bytes of it in an answer, its age and whether it is offered aside.
    pub(super) bytes: usize,
    /// A hash of the same.
    pub(super) looks: u64,
}

impl Entry {
    pub(crate) fn new(instance: Arc<Instance>) -> Self {
        let target_id = target_id(&instance).into();
        Self { instance, target_id, print: OnceLock::new() }
    }

    /// Whether its checks pass and its node lives.
    pub(crate) fn is_healthy(&self) -> bool {
        self.status == InstanceStatus::Healthy
    }

    /// Whether a pick may choose it. `last_known` is whether instances of lost nodes are offered too: those whose checks
    /// passed when they were last known.
    pub(crate) fn is_offered(&self, last_known: bool) -> bool {
        let was_passing = || self.down_since.is_some() && self.health == Health::Passing;
        self.is_healthy() || (last_known && was_passing())
    }

    pub(super) fn print(&self, make: impl FnOnce() -> Print) -> Print {
        *self.print.get_or_init(make)
    }

    pub(super) fn target(self: &Arc<Self>) -> Target<Arc<Self>> {
        Target { id: self.target_id.clone(), weight: self.service.weight, item: self.clone() }
    }
}

/// Entries are never changed, but replaced: only the same one is equal. Versions of a map are thus compared by address.
impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        std::ptr::eq(self, other)
    }
}

impl Eq for Entry {}

impl Deref for Entry {
    type Target = Instance;

    fn deref(&self) -> &Instance {
        &self.instance
    }
}

/// The name of an instance in balancers. It is the same on every agent, so that a key picks the same instance everywhere.
pub(crate) fn target_id(instance: &Instance) -> String {
    format!("{}/{}", instance.origin, instance.id)
}
