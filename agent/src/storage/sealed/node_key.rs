//! The file with the secret key of this node. It is written once and then only read.

use hobnob_keys::NodeKey;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::super::disk::{Disk, FileError};
use super::super::error::OpenError;
use super::super::format::{self, DocumentError};
use super::super::limits::MAX_SMALL_FILE_BYTES;
use super::encoding::SecretText;

/// The name of the file in the data directory.
pub(in crate::storage) const FILE: &str = "node.key";
/// The format that this version writes, and the only one that it reads.
const FORMAT: u32 = 1;
/// More than the file has.
const MAX_BYTES: usize = 512;

#[derive(Serialize, Deserialize)]
struct StoredKey {
    secret_key: SecretText,
}

/// Reads the key; `None` when there is none yet.
pub(in crate::storage) fn load(disk: &dyn Disk) -> Result<Option<NodeKey>, OpenError> {
    let path = disk.path(FILE);
    let Some(bytes) = disk.read(FILE, MAX_SMALL_FILE_BYTES)?.map(Zeroizing::new) else {
        return Ok(None);
    };
    let corrupt = |reason| OpenError::CorruptNodeKey { path: path.clone(), reason };
    let stored: StoredKey = match format::decode(&path, &bytes, FORMAT) {
        Ok(stored) => stored,
        Err(DocumentError::Format(error)) => return Err(error),
        Err(DocumentError::Malformed(reason)) => return Err(corrupt(reason)),
    };
    let seed = stored.secret_key.bytes().map_err(corrupt)?;
    match <&[u8; 32]>::try_from(&seed[..]) {
        Ok(seed) => Ok(Some(NodeKey::from_seed(seed))),
        Err(_) => Err(corrupt(format!("the key has {} bytes instead of 32", seed.len()))),
    }
}

/// Writes the key.
pub(in crate::storage) fn save(disk: &mut dyn Disk, key: &NodeKey) -> Result<(), FileError> {
    let stored = StoredKey { secret_key: SecretText::of(key.seed()) };
    let content = format::encode_secret(disk, FILE, FORMAT, &stored, MAX_BYTES)?;
    disk.replace(FILE, &content)
}
