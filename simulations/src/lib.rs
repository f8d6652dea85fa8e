//! Hobnob in virtual time: nodes of the real protocol on a network that loses, delays and cuts.
//!
//! A [`World`] is one loop around [`hobnob_membership::Node`], as the agent's driver is: deliver an input, drain the
//! outputs, go on to whatever is due next. All randomness comes from one seed, so a run can be repeated to the letter.

#![forbid(unsafe_code)]

mod network;
mod world;

pub use network::{Link, Network};
pub use world::{World, node_id};
