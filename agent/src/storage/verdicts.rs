//! The file with the latest verdicts of checks, so that a restart of the agent alone withdraws no instance.
//!
//! Its content is a hint, which the checks confirm or correct soon. It is written some time after a verdict changed, and
//! not flushed. Verdicts of an earlier boot of the host are not taken over, since the services started anew as well; that
//! also holds where the system does not tell its boots apart.

use std::collections::BTreeMap;
use std::fs;
use std::sync::Arc;
use std::time::Duration;

use hobnob_membership::record::Health;
use serde::{Deserialize, Serialize};
use tracing::warn;

use super::disk::{Disk, FileError};
use super::error::OpenError;
use super::format::{self, DocumentError};
use super::limits::MAX_LIST_FILE_BYTES;
use crate::clock::wall_clock_ms;

/// The name of the file in the data directory.
pub(super) const FILE: &str = "verdicts.json";
/// The format that this version writes, and the only one that it reads.
pub(super) const FORMAT: u32 = 2;
/// Where Linux tells the boots of a host apart.
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

/// The latest verdict of a check: passing, warning or failing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeptVerdict {
    /// What was probed, with a hash of how. The verdict says nothing about another target.
    pub target: String,
    /// The verdict.
    pub health: Health,
    /// The time of the change to it, in milliseconds since 1970.
    pub since_ms: u64,
}

impl KeptVerdict {
    /// The time since the change, by the clock of the host; nothing when that went back.
    pub(crate) fn age(&self) -> Duration {
        Duration::from_millis(wall_clock_ms().saturating_sub(self.since_ms))
    }
}

#[derive(Serialize, Deserialize)]
struct StoredVerdicts {
    boot: String,
    verdicts: BTreeMap<Arc<str>, StoredVerdict>,
}

#[derive(Serialize, Deserialize)]
struct StoredVerdict {
    target: String,
    /// `passing`, `warning`, `failing`, or a word of a later version.
    health: String,
    since_ms: u64,
}

impl StoredVerdict {
    fn of(kept: &KeptVerdict) -> Option<Self> {
        let health = match kept.health {
            Health::Passing => "passing",
            Health::Warning => "warning",
            Health::Failing => "failing",
            Health::Unknown => return None,
        };
        let target = kept.target.clone();
        Some(Self { target, health: health.to_owned(), since_ms: kept.since_ms })
    }

    fn kept(self) -> Option<KeptVerdict> {
        let health = match self.health.as_str() {
            "passing" => Health::Passing,
            "warning" => Health::Warning,
            "failing" => Health::Failing,
            _ => return None,
        };
        Some(KeptVerdict { target: self.target, health, since_ms: self.since_ms })
    }
}

/// The boot of this host; empty where the system does not tell.
pub(super) fn boot() -> String {
    fs::read_to_string(BOOT_ID).map_or(String::new(), |id| id.trim().to_owned())
}

/// The verdicts of this boot, by the key of their check.
pub(super) fn load(disk: &dyn Disk, boot: &str) -> BTreeMap<Arc<str>, KeptVerdict> {
    let path = disk.path(FILE);
    let bytes = match disk.read(FILE, MAX_LIST_FILE_BYTES).map_err(OpenError::from) {
        Ok(Some(bytes)) => Ok(bytes),
        Ok(None) => return BTreeMap::new(),
        Err(error) => Err(error.to_string()),
    };
    let stored: Result<StoredVerdicts, String> = bytes.and_then(|bytes| {
        format::decode(&path, &bytes, FORMAT).map_err(|error| match error {
            DocumentError::Format(error) => error.to_string(),
            DocumentError::Malformed(reason) => reason,
        })
    });
    match stored {
        Ok(stored) if boot.is_empty() || stored.boot != boot => BTreeMap::new(),
        Ok(StoredVerdicts { verdicts, .. }) => {
            let kept = verdicts.into_iter().map(|(id, verdict)| Some((id, verdict.kept()?)));
            kept.flatten().collect()
        }
        Err(error) => {
            warn!(path = %path.display(), error, "the kept verdicts of checks cannot be read; each check begins anew");
            BTreeMap::new()
        }
    }
}

/// Replaces the kept verdicts.
pub(super) fn save(
    disk: &mut dyn Disk,
    boot: String,
    verdicts: &BTreeMap<Arc<str>, KeptVerdict>,
) -> Result<(), FileError> {
    let stored = verdicts.iter().map(|(id, kept)| Some((id.clone(), StoredVerdict::of(kept)?)));
    let stored = StoredVerdicts { boot, verdicts: stored.flatten().collect() };
    let content = format::encode(disk, FILE, FORMAT, &stored)?;
    disk.replace_unflushed(FILE, &content)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::fake_disk::FakeDisk;

    /// Written by version 0.1.0. These bytes never change: a version that cannot read them needs a new format.
    const RECORDED: &str = r#"{"format":2,"written_by":"0.1.0","boot":"b1","verdicts":{"db":{"target":"127.0.0.1:5432","health":"failing","since_ms":1700000000000},"web-1":{"target":"http://127.0.0.1/","health":"passing","since_ms":1700000000001}}}
"#;

    fn disk_with(content: impl Into<Vec<u8>>) -> FakeDisk {
        let disk = FakeDisk::new();
        disk.set_content(FILE, content);
        disk
    }

    fn recorded() -> BTreeMap<Arc<str>, KeptVerdict> {
        let verdict = |target: &str, health, since_ms| KeptVerdict {
            target: target.to_owned(),
            health,
            since_ms,
        };
        let db = verdict("127.0.0.1:5432", Health::Failing, 1_700_000_000_000);
        let web = verdict("http://127.0.0.1/", Health::Passing, 1_700_000_000_001);
        BTreeMap::from([("db".into(), db), ("web-1".into(), web)])
    }

    #[test]
    fn recorded_verdicts_are_read_and_written_alike() {
        assert_eq!(load(&disk_with(RECORDED), "b1"), recorded());
        let mut disk = FakeDisk::new();
        let mut verdicts = recorded();
        let target = "127.0.0.1:1".to_owned();
        let unknown = KeptVerdict { target, health: Health::Unknown, since_ms: 1 };
        verdicts.insert("new".into(), unknown);
        save(&mut disk, "b1".to_owned(), &verdicts).expect("saved");
        let written = String::from_utf8(disk.content(FILE)).expect("text");
        assert_eq!(written.replace(env!("CARGO_PKG_VERSION"), "0.1.0"), RECORDED);
    }

    #[test]
    fn verdicts_of_another_boot_are_not_taken_over() {
        assert_eq!(load(&disk_with(RECORDED), "b2"), BTreeMap::new());
        let nameless = RECORDED.replace("\"b1\"", "\"\"");
        assert_eq!(load(&disk_with(nameless), ""), BTreeMap::new(), "any boot has no name there");
        assert_eq!(boot(), boot());
    }

    #[test]
    fn a_file_of_a_later_version_is_read_as_far_as_it_is_known() {
        let later = RECORDED
            .replace("\"boot\"", "\"new\":[1],\"boot\"")
            .replace("\"failing\"", "\"draining\",\"by\":\"alice\"");
        let verdicts = load(&disk_with(later), "b1");
        assert_eq!(verdicts.keys().map(|id| &**id).collect::<Vec<_>>(), ["web-1"]);
        for unreadable in
            [RECORDED.replace("\"format\":2", "\"format\":3"), RECORDED[..60].to_owned()]
        {
            assert_eq!(load(&disk_with(unreadable), "b1"), BTreeMap::new(), "it is a hint");
        }
    }
}
