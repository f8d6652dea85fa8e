//! Types that every part of a node uses: identities, time, timers, parameters, limits, counters, streams, outputs, and
//! the switches of known bugs.

pub(crate) mod bucket;
pub(crate) mod cluster;
pub(crate) mod counters;
pub(crate) mod datacenter;
pub(crate) mod durations;
pub(crate) mod identity;
pub(crate) mod io;
pub mod limits;
pub(crate) mod mutants;
pub(crate) mod protocol;
#[cfg(feature = "testing")]
pub(crate) mod shared_map;
pub(crate) mod time;
pub(crate) mod timers;
