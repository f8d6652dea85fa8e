//! The file with what operators did to the instances of this agent, so that it outlasts a restart.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use tracing::error;

use crate::storage::disk::{Disk, FileError};
use crate::storage::error::OpenError;
use crate::storage::format::{self, DocumentError};
use crate::storage::limits::MAX_LIST_FILE_BYTES;

/// The name of the file in the data directory.
pub(in crate::storage) const FILE: &str = "upkeep.json";
/// The format that this version writes, and the only one that it reads.
const FORMAT: u32 = 2;

/// What operators did to the instances of this agent.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredUpkeep {
    /// The maintenance of all instances.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<StoredMaintenance>,
    /// What was done to single instances, by their id.
    #[serde(default)]
    pub instances: BTreeMap<String, StoredActs>,
}

/// What an operator did to one instance.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredActs {
    /// Its maintenance.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub maintenance: Option<StoredMaintenance>,
    /// Its drain.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drain: Option<StoredDrain>,
}

/// A maintenance.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredMaintenance {
    /// The reason; empty when none was given.
    pub reason: String,
    /// Its beginning, in milliseconds since 1970 (UTC).
    pub since_ms: u64,
}

/// A drain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredDrain {
    /// Its beginning, in milliseconds since 1970 (UTC).
    pub since_ms: u64,
    /// Milliseconds from its beginning to its end.
    pub over_ms: u64,
}

impl StoredUpkeep {
    /// The acts on an instance, changed; nothing is kept of an instance on which there are none.
    pub fn change(&mut self, id: &str, change: impl FnOnce(&mut StoredActs)) {
        let mut acts = self.instances.remove(id).unwrap_or_default();
        change(&mut acts);
        if acts != StoredActs::default() {
            self.instances.insert(id.to_owned(), acts);
        }
    }
}

/// The upkeep; none when there is no file yet, or when it cannot be read.
pub(in crate::storage) fn load(disk: &dyn Disk) -> StoredUpkeep {
    let path = disk.path(FILE);
    let bytes = match disk.read(FILE, MAX_LIST_FILE_BYTES).map_err(OpenError::from) {
        Ok(Some(bytes)) => Ok(bytes),
        Ok(None) => return StoredUpkeep::default(),
        Err(error) => Err(error.to_string()),
    };
    let stored = bytes.and_then(|bytes| {
        format::decode(&path, &bytes, FORMAT).map_err(|error| match error {
            DocumentError::Format(error) => error.to_string(),
            DocumentError::Malformed(reason) => reason,
        })
    });
    stored.unwrap_or_else(|error| {
        error!(path = %path.display(), error, "the maintenance and the drains cannot be read: instances that were taken out are offered again");
        StoredUpkeep::default()
    })
}

/// Replaces the upkeep.
pub(in crate::storage) fn save(
    disk: &mut dyn Disk,
    upkeep: &StoredUpkeep,
) -> Result<(), FileError> {
    let content = format::encode(disk, FILE, FORMAT, upkeep)?;
    disk.replace(FILE, &content)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::fake_disk::FakeDisk;

    /// Written by version 0.1.0. These bytes never change: a version that cannot read them needs a new format.
    const RECORDED: &str = r#"{"format":2,"written_by":"0.1.0","agent":{"reason":"kernel","since_ms":1700000000000},"instances":{"web-1":{"maintenance":{"reason":"","since_ms":1700000000001}},"web-2":{"drain":{"since_ms":1700000000002,"over_ms":30000}}}}
"#;

    #[test]
    fn recorded_upkeep_is_read_and_written_alike() {
        let disk = FakeDisk::new();
        assert_eq!(load(&disk), StoredUpkeep::default());
        disk.set_content(FILE, RECORDED);
        let upkeep = load(&disk);
        assert_eq!(upkeep.instances.len(), 2);
        let mut fresh = FakeDisk::new();
        save(&mut fresh, &upkeep).expect("saved");
        let written = String::from_utf8(fresh.content(FILE)).expect("text");
        assert_eq!(written.replace(env!("CARGO_PKG_VERSION"), "0.1.0"), RECORDED);
        disk.set_content(FILE, RECORDED.replace("\"format\":2", "\"format\":3"));
        assert_eq!(load(&disk), StoredUpkeep::default());
    }

    #[test]
    fn nothing_is_kept_of_an_instance_without_acts() {
        let mut upkeep = StoredUpkeep::default();
        let drain = StoredDrain { since_ms: 1, over_ms: 2 };
        upkeep.change("web-1", |acts| acts.drain = Some(drain));
        assert_eq!(upkeep.instances.len(), 1);
        upkeep.change("web-1", |acts| acts.drain = None);
        assert_eq!(upkeep, StoredUpkeep::default());
    }
}
