//! What an agent keeps across restarts, in one directory: who it is, its epoch, its registrations and the peers that
//! it knew.
//!
//! | file | holds | written |
//! |---|---|---|
//! | `lock` | the process id of the agent that uses the directory | at every start |
//! | `node.json` | node id and instance key | once, at the first start |
//! | `epoch` | the highest epoch that was ever minted here | at every start, and when peers know a higher one |
//! | `registrations.log` | the registrations, see `log.rs` | at every change |
//! | `peers.json` | addresses of peers, to knock at after a restart | now and then |
//!
//! Everything here blocks on the disk. [`DataDir`] is `Send`, wants `&mut self` for every change and knows nothing of
//! async: it is made to live on a thread of its own, behind a channel, or to be moved through
//! `tokio::task::spawn_blocking` and back.

mod data_dir;
mod durable;
mod error;
mod identity;
mod log;
#[cfg(test)]
mod tests;

pub use data_dir::{DataDir, MAX_PEERS};
pub use error::{OpenError, WriteError};
pub use log::{MAX_REGISTRATION_BYTES, MAX_REGISTRATIONS, TornTail};
