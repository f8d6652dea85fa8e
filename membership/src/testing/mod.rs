//! A small network and bounds, shared by tests, benches and fuzzing.
//!
//! The feature `testing` adds this module. No production binary has it.

pub mod bounds;
mod network;
pub mod sealed;

pub use network::{
    Arrival, Link, Network, config, health, identity, instance, large, node, node_as, node_of,
    record, web,
};
