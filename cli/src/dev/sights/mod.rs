//! What the agents see of each other and of the services.

mod observer;
pub(super) mod snapshot;
mod watches;

pub(super) use observer::Observer;
pub(super) use snapshot::Snapshot;
pub(super) use watches::{Offer, Sighting, Watches};
