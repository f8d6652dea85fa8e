//! The files with what an agent of a sealed cluster remembers of the keys of others: generations, revocations and the
//! succession of CA keys in one, certificates in the other.
//!
//! Other members hold all of it. An agent that lost a file enters with its certificate, and is told again.

use hobnob_keys::{Certificate, DecodeError, Generation, SignedCommand, Succession};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64;
use zeroize::Zeroizing;

use super::super::disk::{Disk, FileError};
use super::super::error::OpenError;
use super::super::format::{self, DocumentError};
use super::super::limits::MAX_LIST_FILE_BYTES;
use super::encoding::{SecretText, bytes_of, text_of};

/// The names of the files in the data directory.
pub(in crate::storage) const KEYS_FILE: &str = "keys.json";
pub(in crate::storage) const MEMBERS_FILE: &str = "members.json";
/// The format that this version writes, and the only one that it reads.
const FORMAT: u32 = 1;
/// More than a generation, or the head of the file, takes.
const MAX_ENTRY_BYTES: usize = 4_096;

/// The keys of others that an agent of a sealed cluster remembers. `Debug` shows no secret.
#[derive(Clone, Debug, Default)]
pub struct KeptKeys {
    /// The generations, each with whether it was in use.
    pub generations: Vec<(Generation, bool)>,
    /// The revocations.
    pub revocations: Vec<SignedCommand>,
    /// The succession of CA keys that it took.
    pub succession: Option<Succession>,
    /// The certificates of members.
    pub certificates: Vec<Certificate>,
}

#[derive(Serialize, Deserialize)]
struct StoredKeys {
    generations: Vec<StoredGeneration>,
    revocations: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    succession: Option<String>,
}

#[derive(Serialize, Deserialize)]
struct StoredGeneration {
    in_use: bool,
    generation: SecretText,
}

#[derive(Serialize, Deserialize)]
struct StoredMembers {
    certificates: Vec<String>,
}

/// Hashes of what both files hold, so that a file is written only when its content changed.
#[derive(Debug, Default)]
pub(in crate::storage) struct Written {
    keys: Option<u64>,
    members: Option<u64>,
}

impl KeptKeys {
    /// Reads both files; nothing when there are none.
    pub(in crate::storage) fn load(disk: &dyn Disk) -> Result<Self, OpenError> {
        let mut kept = Self::default();
        if let Some(stored) = read(disk, KEYS_FILE)? {
            let StoredKeys { generations, revocations, succession } = stored;
            let corrupt = |reason| corrupt(disk, KEYS_FILE, reason);
            for StoredGeneration { in_use, generation } in generations {
                let bytes = generation.bytes().map_err(corrupt)?;
                let generation =
                    Generation::decode(&bytes).map_err(|error| corrupt(error.to_string()))?;
                kept.generations.push((generation, in_use));
            }
            kept.revocations = all(&revocations, SignedCommand::decode).map_err(corrupt)?;
            let succession = all(succession.as_slice(), Succession::decode).map_err(corrupt)?;
            kept.succession = succession.into_iter().next();
        }
        if let Some(StoredMembers { certificates }) = read(disk, MEMBERS_FILE)? {
            kept.certificates = all(&certificates, Certificate::decode)
                .map_err(|reason| corrupt(disk, MEMBERS_FILE, reason))?;
        }
        Ok(kept)
    }

    /// Replaces the files whose content changed.
    pub(in crate::storage) fn save(
        &self,
        disk: &mut dyn Disk,
        written: &mut Written,
    ) -> Result<(), FileError> {
        let generations = self.generations.iter().map(|(generation, in_use)| StoredGeneration {
            in_use: *in_use,
            generation: SecretText::of(&generation.encode()),
        });
        let revocations = self.revocations.iter().map(|command| text_of(command.as_bytes()));
        let stored = StoredKeys {
            generations: generations.collect(),
            revocations: revocations.collect(),
            succession: self.succession.as_ref().map(|succession| text_of(&succession.encode())),
        };
        let entries = 1 + stored.generations.len() + stored.revocations.len();
        let max_len = entries * MAX_ENTRY_BYTES;
        let content = format::encode_secret(disk, KEYS_FILE, FORMAT, &stored, max_len)?;
        replace_if_new(disk, KEYS_FILE, &content, &mut written.keys)?;
        let certificates =
            self.certificates.iter().map(|certificate| text_of(certificate.as_bytes()));
        let stored = StoredMembers { certificates: certificates.collect() };
        let content = format::encode(disk, MEMBERS_FILE, FORMAT, &stored)?;
        replace_if_new(disk, MEMBERS_FILE, &content, &mut written.members)
    }
}

fn replace_if_new(
    disk: &mut dyn Disk,
    file: &str,
    content: &[u8],
    written: &mut Option<u64>,
) -> Result<(), FileError> {
    let hash = Some(xxh3_64(content));
    if *written != hash {
        disk.replace(file, content)?;
        *written = hash;
    }
    Ok(())
}

fn read<T: DeserializeOwned>(disk: &dyn Disk, file: &str) -> Result<Option<T>, OpenError> {
    let Some(bytes) = disk.read(file, MAX_LIST_FILE_BYTES)?.map(Zeroizing::new) else {
        return Ok(None);
    };
    match format::decode(&disk.path(file), &bytes, FORMAT) {
        Ok(stored) => Ok(Some(stored)),
        Err(DocumentError::Format(error)) => Err(error),
        Err(DocumentError::Malformed(reason)) => Err(corrupt(disk, file, reason)),
    }
}

fn corrupt(disk: &dyn Disk, file: &str, reason: String) -> OpenError {
    OpenError::CorruptKeys { path: disk.path(file), reason }
}

fn all<T>(
    texts: &[String],
    decode: impl Fn(&[u8]) -> Result<T, DecodeError>,
) -> Result<Vec<T>, String> {
    let decoded =
        texts.iter().map(|text| decode(&bytes_of(text)?).map_err(|error| error.to_string()));
    decoded.collect()
}
