//! The limits of a data directory.

/// Registrations that one agent keeps; the catalog has room for about as many of one origin.
pub const MAX_REGISTRATIONS: usize = 4_096;
/// Bytes of one registration in the log. The record made of it is held to less.
pub const MAX_REGISTRATION_BYTES: usize = 32 * 1024;
/// Peers that are remembered for a restart.
pub const MAX_PEERS: usize = 64;
