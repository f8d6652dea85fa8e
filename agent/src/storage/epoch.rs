//! The file with the highest epoch of this node, so that each life starts above the earlier ones.

use hobnob_membership::Epoch;
use serde::{Deserialize, Serialize};

use super::disk::{Disk, FileError};
use super::error::OpenError;
use super::format::{self, DocumentError};
use super::limits::MAX_SMALL_FILE_BYTES;

/// The name of the file in the data directory.
pub(super) const FILE: &str = "epoch.json";
/// The format that this version writes, and the only one that it reads.
pub(super) const FORMAT: u32 = 2;

#[derive(Serialize, Deserialize)]
struct StoredEpoch {
    epoch: u64,
}

/// Reads the epoch; the lowest epoch when there is no file yet.
pub(super) fn load(disk: &dyn Disk) -> Result<Epoch, OpenError> {
    let path = disk.path(FILE);
    let Some(bytes) = disk.read(FILE, MAX_SMALL_FILE_BYTES)? else { return Ok(Epoch::default()) };
    match format::decode(&path, &bytes, FORMAT) {
        Ok(StoredEpoch { epoch }) if Epoch(epoch) <= Epoch::MAX => Ok(Epoch(epoch)),
        Ok(_) => {
            Err(OpenError::CorruptEpoch { path, reason: "it is larger than any epoch".to_owned() })
        }
        Err(DocumentError::Format(error)) => Err(error),
        Err(DocumentError::Malformed(reason)) => Err(OpenError::CorruptEpoch { path, reason }),
    }
}

/// Replaces the stored epoch, in reserved room: an agent whose disk is full can still start.
pub(super) fn save(disk: &mut dyn Disk, epoch: Epoch) -> Result<(), FileError> {
    let content = format::encode(disk, FILE, FORMAT, &StoredEpoch { epoch: epoch.0 })?;
    disk.replace_in_reserve(FILE, &content)
}
