//! The files of a member of a sealed cluster.

mod encoding;
mod keys;
mod membership;
mod node_key;
#[cfg(test)]
mod tests;

pub use keys::KeptKeys;
pub(super) use keys::Written;
use keys::{KEYS_FILE, MEMBERS_FILE};
pub(super) use membership::FILE as MEMBERSHIP_FILE;
pub use membership::KeptMembership;
pub(super) use node_key::{load as load_node_key, save as save_node_key};

/// The files of a member of a sealed cluster.
pub(super) const FILES: [&str; 4] = [node_key::FILE, MEMBERSHIP_FILE, KEYS_FILE, MEMBERS_FILE];
