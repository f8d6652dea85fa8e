//! What every part needs: identities, time, parameters, limits, counters, and the words for streams and outputs.

pub(crate) mod cluster;
pub(crate) mod counters;
pub(crate) mod identity;
pub(crate) mod io;
pub mod limits;
pub(crate) mod protocol;
pub(crate) mod time;
pub(crate) mod timers;
