//! What the agents see of each other and of the services.

mod observer;
pub(super) mod snapshot;

pub(super) use observer::Observer;
pub(super) use snapshot::Snapshot;
