//! A small network and bounds, shared by tests, benches and fuzzing.
//!
//! The feature `testing` adds this module. No production binary has it.

pub mod bounds;
mod datacenters;
mod network;
mod samples;
pub mod sealed;

pub use crate::node::settled::Settled;
pub use crate::node::sharing::Shared;
pub use datacenters::{NAMES, node_in};
pub use network::{Arrival, Link, Network};
pub use samples::{config, health, identity, instance, large, node, node_as, node_of, record, web};
