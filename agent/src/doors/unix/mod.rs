//! The unix sockets, with JSON lines and binary frames: the full one, and one that answers questions only.

pub(crate) mod answer;
mod changing;
mod connection;
mod counters;
pub(crate) mod door;
pub(crate) mod error;
pub(crate) mod handler;
pub(crate) mod permissions;
mod places;
mod reading;
pub(crate) mod server;
pub(crate) mod sockets;
