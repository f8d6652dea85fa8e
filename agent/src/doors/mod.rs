//! Doors: how programs on this host ask the agent. A door translates, and calls queries.

pub(crate) mod dns;
pub(crate) mod http;
pub(crate) mod threads;
pub(crate) mod unix;
