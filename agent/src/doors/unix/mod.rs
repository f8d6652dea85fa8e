//! The unix socket: JSON lines and binary frames.

mod connection;
pub(crate) mod counters;
pub(crate) mod handler;
pub(crate) mod places;
pub(crate) mod server;
