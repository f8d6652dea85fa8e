//! Everything that answers a question from the agent's own view, for every door.

pub(crate) mod acknowledge;
pub(crate) mod asked;
pub(crate) mod datacenters;
pub(crate) mod drain;
pub(crate) mod echoes;
pub(crate) mod explain;
pub(crate) mod force_leave;
pub(crate) mod history;
pub(crate) mod info;
pub(crate) mod join;
pub(crate) mod members;
pub(crate) mod metrics;
pub(crate) mod observed;
pub(crate) mod offer;
mod only;
pub(crate) mod ordered;
pub(crate) mod parameters;
pub(crate) mod pick;
pub(crate) mod prune;
pub(crate) mod registrations;
pub(crate) mod resolve;
pub(crate) mod timestamp;
pub(crate) mod watch;
