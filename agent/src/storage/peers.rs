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

#[derive(Serialize, Deserialize)]
struct StoredPeers {
    peers: Vec<SocketAddr>,
}

/// The remembered gossip addresses, at most [`MAX_PEERS`].
pub(super) fn load(disk: &dyn Disk) -> Vec<SocketAddr> {
    let path = disk.path(FILE);
    let bytes = match disk.read(FILE, MAX_SMALL_FILE_BYTES).map_err(OpenError::from) {
        Ok(Some(bytes)) => Ok(bytes),
        Ok(None) => return Vec::new(),
        Err(error) => Err(error.to_string()),
    };
    let stored = bytes.and_then(|bytes| {
        format::decode(&path, &bytes, FORMAT).map_err(|error| match error {
            DocumentError::Format(error) => error.to_string(),
            DocumentError::Malformed(reason) => reason,
        })
    });
    match stored {
        Ok(StoredPeers { mut peers }) => {
            peers.truncate(MAX_PEERS);
            peers
        }
        Err(error) => {
            warn!(path = %path.display(), error, "the remembered peers cannot be read; the agent starts without them");
            Vec::new()
        }
    }
}

/// Replaces the remembered addresses by the first [`MAX_PEERS`] of these.
pub(super) fn save(disk: &mut dyn Disk, peers: &[SocketAddr]) -> Result<(), FileError> {
    let peers = peers.iter().take(MAX_PEERS).copied().collect();
    let content = format::encode(disk, FILE, FORMAT, &StoredPeers { peers })?;
    disk.replace(FILE, &content)
}
