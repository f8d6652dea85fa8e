//! The data directory: the files that an agent keeps across restarts.
//!
//! | file | content | written |
//! |---|---|---|
//! | `lock` | the process id of the agent that uses the directory | at every start |
//! | `node.json` | node id, instance key and cluster | once, at the first start |
//! | `node.key` | in a sealed cluster: the secret key of this node | once, at the first start with a token |
//! | `membership.json` | in a sealed cluster: certificate, CA keys and seeds | at the first start with a token, and with a newer one |
//! | `keys.json` | in a sealed cluster: generations (secret) and revocations | some time after they change |
//! | `members.json` | in a sealed cluster: the certificates of members | some time after they change |
//! | `epoch.json` | the highest epoch that this node took | at every start, and whenever the node raises its epoch |
//! | `epoch.reserve` | room for the next `epoch.json` | with it |
//! | `registrations.log` | the registrations, see `log.rs` | at every change |
//! | `history-*.log` | what this agent saw and did, see `history/` | soon after each event; not flushed |
//! | `peers.json` | gossip addresses of peers, to say hello to after a restart | some time after members change |
//! | `upkeep.json` | maintenance and drains | at every change of them |
//! | `voter.log` | what the agent keeps as a voter of strong operations, see `voter/` | before each answer as a voter |
//! | `verdicts.json` | the latest verdicts of checks, to start with after a restart | some time after a verdict changes; not flushed |
//!
//! Every file but the lock begins with its format and the version of Hobnob that wrote it, see `format.rs`. Fields of
//! later versions are ignored; other formats are refused.
//!
//! Everything here blocks on the disk. [`DataDir`] is `Send`, takes `&mut self` for every change and is not async:
//! callers move it through `tokio::task::spawn_blocking` and back.

#[cfg(test)]
mod compatibility;
mod data_dir;
mod disk;
mod epoch;
mod error;
#[cfg(test)]
pub(crate) mod fake_disk;
mod format;
mod history;
mod identity;
mod limits;
mod log;
mod peers;
mod registration;
mod sealed;
#[cfg(test)]
mod tests;
mod verdicts;
mod voter;

pub(crate) use data_dir::holds_membership;
pub use data_dir::{DataDir, LockedDir};
pub use error::{OpenError, WriteError};
pub(crate) use history::{HistoryFiles, ReadEvents, Shelf};
pub use history::{StoredBy, StoredEvent};
pub use limits::{MAX_PEERS, MAX_REGISTRATION_BYTES};
pub use log::TornTail;
pub use peers::Peers;
pub use registration::{
    StoredActs, StoredBalancing, StoredCheck, StoredDrain, StoredMaintenance, StoredRegistrant,
    StoredRegistration, StoredUpkeep,
};
pub use sealed::{KeptKeys, KeptMembership};
pub use verdicts::KeptVerdict;
pub use voter::{FoundVoter, VoterError, VoterLog, VoterLogFile};
