//! The limits of a data directory.

/// The most bytes of one registration in the log. The record of the instance has a lower limit.
pub const MAX_REGISTRATION_BYTES: usize = 32 * 1024;
/// The most peers that are remembered for a restart.
pub const MAX_PEERS: usize = 64;
