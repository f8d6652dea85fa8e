//! The limits of a data directory.

/// The most bytes of one registration in the log. The record of the instance has a lower limit.
pub const MAX_REGISTRATION_BYTES: usize = 32 * 1024;
/// The most bytes of a file that describes this node alone: many times what one has.
pub(super) const MAX_SMALL_FILE_BYTES: u64 = 64 * 1024;
/// The most bytes of a file with an entry for each of the members, revocations or checks that an agent knows at most.
pub(super) const MAX_LIST_FILE_BYTES: u64 = 256 * 1024 * 1024;
/// The most bytes of the registration log, which has that many entries and as much again that is out of date.
pub(super) const MAX_LOG_BYTES: u64 = 4 * 1024 * 1024 * 1024;
/// The most peers that are remembered for a restart.
pub const MAX_PEERS: usize = 64;
