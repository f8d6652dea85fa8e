//! The file with the gossip addresses of peers, to say hello to after a restart.
//!
//! Its content is a hint: a file that cannot be read is ignored with a warning, and replaced later.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};
use tracing::warn;

use super::disk::{Disk, FileError};
use super::error::OpenError;
use super::format::{self, DocumentError};
use super::limits::{MAX_PEERS, MAX_SMALL_FILE_BYTES};

/// The name of the file in the data directory.
pub(super) const FILE: &str = "peers.json";
/// The format that this version writes, and the only one that it reads.
pub(super) const FORMAT: u32 = 2;

/// The gossip addresses that an agent remembers, at most [`MAX_PEERS`] of each kind.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Peers {
    /// Addresses of members of its own datacenter.
    #[serde(rename = "peers")]
    pub members: Vec<SocketAddr>,
    /// Addresses of members of other datacenters.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub elsewhere: Vec<SocketAddr>,
}

impl Peers {
    fn truncate(&mut self) {
        self.members.truncate(MAX_PEERS);
        self.elsewhere.truncate(MAX_PEERS);
    }
}

/// The remembered addresses.
pub(super) fn load(disk: &dyn Disk) -> Peers {
    let path = disk.path(FILE);
    let bytes = match disk.read(FILE, MAX_SMALL_FILE_BYTES).map_err(OpenError::from) {
        Ok(Some(bytes)) => Ok(bytes),
        Ok(None) => return Peers::default(),
        Err(error) => Err(error.to_string()),
    };
    let stored = bytes.and_then(|bytes| {
        format::decode(&path, &bytes, FORMAT).map_err(|error| match error {
            DocumentError::Format(error) => error.to_string(),
            DocumentError::Malformed(reason) => reason,
        })
    });
    let mut peers: Peers = stored.unwrap_or_else(|error| {
        warn!(path = %path.display(), error, "the remembered peers cannot be read; the agent starts without them");
        Peers::default()
    });
    peers.truncate();
    peers
}

/// Replaces the remembered addresses by these, up to the limit.
pub(super) fn save(disk: &mut dyn Disk, peers: &Peers) -> Result<(), FileError> {
    let mut peers = peers.clone();
    peers.truncate();
    let content = format::encode(disk, FILE, FORMAT, &peers)?;
    disk.replace(FILE, &content)
}
