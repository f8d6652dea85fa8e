//! The data directory: what an agent keeps across restarts.
//!
//! | file | holds | written |
//! |---|---|---|
//! | `lock` | the process id of the agent that uses the directory | at every start |
//! | `node.json` | node id, instance key and cluster | once, at the first start |
//! | `epoch.json` | the highest epoch that was ever minted here | at every start, and when peers know a higher one |
//! | `registrations.log` | the registrations, see `log.rs` | at every change |
//! | `peers.json` | addresses of peers, to say hello at after a restart | now and then |
//!
//! Every file but the lock begins with its format and the version of Hobnob that wrote it, see `format.rs`: fields of
//! later versions are ignored, other formats refused.
//!
//! Everything here blocks on the disk. [`DataDir`] is `Send`, wants `&mut self` for every change and knows nothing of
//! async: it is made to be moved through `tokio::task::spawn_blocking` and back.

mod data_dir;
mod disk;
mod epoch;
mod error;
#[cfg(test)]
pub(crate) mod fake_disk;
mod format;
mod identity;
mod limits;
mod log;
mod peers;
mod registration;
#[cfg(test)]
mod tests;

pub use data_dir::DataDir;
pub use error::{OpenError, WriteError};
pub use limits::{MAX_PEERS, MAX_REGISTRATION_BYTES, MAX_REGISTRATIONS};
pub use log::TornTail;
pub use registration::{StoredBalancing, StoredCheck, StoredRegistration};
