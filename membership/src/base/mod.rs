//! What every part needs: identities, time, configuration, limits, counters, and the seam to the world.

pub(crate) mod cluster;
pub(crate) mod config;
pub(crate) mod counters;
pub(crate) mod identity;
pub(crate) mod io;
pub mod limits;
pub(crate) mod provenance;
pub(crate) mod time;
