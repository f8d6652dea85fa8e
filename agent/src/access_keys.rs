//! Access keys: with one of them a client may ask and make changes over HTTP. The data directory has their hashes. The keys
//! themselves are with those whom they were given to, and nowhere else.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, chown};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::queries::timestamp::timestamp;
use crate::regular_file;

/// The file in the data directory.
pub const FILE: &str = "access-keys.json";
/// The begin of each key, by which people and scanners for secrets know one.
const PREFIX: &str = "hobnobkey_";
/// Random bytes of a key.
const KEY_BYTES: usize = 32;
/// The most keys of an agent.
const MAX_KEYS: usize = 256;
/// The most bytes of the file.
const MAX_FILE_BYTES: u64 = 64 << 10;
/// The longest name of a key, in bytes.
const MAX_NAME_BYTES: usize = 128;
/// The purpose of the hash.
const CONTEXT: &str = "hobnob 2026-11-30 access keys";

/// What a key allows. Each right has those before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AccessRights {
    /// To ask.
    Read,
    /// To make changes.
    Write,
}

/// A key, without its secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccessKey {
    /// Its id, by which it is revoked.
    pub id: String,
    /// Its name, for people.
    pub name: String,
    /// What it allows.
    pub rights: AccessRights,
    /// When it was made, in milliseconds since 1970, by the clock of its host.
    pub created_ms: u64,
    /// The hash of the key.
    hash: String,
}

impl AccessKey {
    /// When it was made, in UTC as in RFC 3339.
    #[must_use]
    pub fn created(&self) -> String {
        timestamp(self.created_ms)
    }
}

#[derive(Debug, Default, Serialize, Deserialize)]
struct Keys {
    keys: Vec<AccessKey>,
}

/// Access keys cannot be read or changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AccessKeyError {
    /// The data directory is not there: no agent has used it yet.
    #[error("there is no data directory {}", .0.display())]
    NoDirectory(PathBuf),
    /// The system refuses something.
    #[error("cannot use {}: {source}", .path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The error of the system.
        source: io::Error,
    },
    /// The file is damaged.
    #[error("{} holds no access keys: {reason}", .path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// There are as many as may be.
    #[error("there are {MAX_KEYS} access keys, and more are not allowed: revoke one")]
    TooMany,
    /// The name is too long, or has characters that cannot be printed.
    #[error(
        "the name of an access key has {MAX_NAME_BYTES} bytes at most, without characters that cannot be printed"
    )]
    BadName,
    /// No key has this id.
    #[error("there is no access key `{0}`")]
    Unknown(String),
}

/// Makes a key. The text is what a client sends, and is not kept.
///
/// # Errors
/// See [`AccessKeyError`]. Nothing is changed then.
pub fn create(
    data_dir: &Path,
    name: &str,
    rights: AccessRights,
    now_ms: u64,
) -> Result<(AccessKey, Zeroizing<String>), AccessKeyError> {
    if name.len() > MAX_NAME_BYTES || hobnob_api::names::printable(name) != name {
        return Err(AccessKeyError::BadName);
    }
    let mut keys = Locked::open(data_dir)?;
    if keys.keys.len() >= MAX_KEYS {
        return Err(AccessKeyError::TooMany);
    }
    let secret: Zeroizing<[u8; KEY_BYTES]> = Zeroizing::new(rand::random());
    let encoded = Zeroizing::new(BASE64_URL_SAFE_NO_PAD.encode(*secret));
    let text = Zeroizing::new(format!("{PREFIX}{}", *encoded));
    let id = format!("{:08x}", rand::random::<u32>());
    let (name, created_ms, hash) = (name.to_owned(), now_ms, hash(&text));
    let key = AccessKey { id, name, rights, created_ms, hash };
    keys.keys.push(key.clone());
    keys.save()?;
    Ok((key, text))
}

/// The keys, the oldest first.
///
/// # Errors
/// See [`AccessKeyError`].
pub fn list(data_dir: &Path) -> Result<Vec<AccessKey>, AccessKeyError> {
    if !data_dir.is_dir() {
        return Err(AccessKeyError::NoDirectory(data_dir.to_owned()));
    }
    read(&data_dir.join(FILE))
}

/// Revokes the key with this id. A running agent refuses it at once.
///
/// # Errors
/// See [`AccessKeyError`]. Nothing is changed then.
pub fn revoke(data_dir: &Path, id: &str) -> Result<AccessKey, AccessKeyError> {
    let mut keys = Locked::open(data_dir)?;
    let place = keys.keys.iter().position(|key| key.id == id);
    let place = place.ok_or_else(|| AccessKeyError::Unknown(id.to_owned()))?;
    let revoked = keys.keys.remove(place);
    keys.save()?;
    Ok(revoked)
}

/// The hash of a key. A key is random, so that nobody finds it by trying.
fn hash(key: &str) -> String {
    blake3::Hash::from(blake3::derive_key(CONTEXT, key.as_bytes())).to_hex().to_string()
}

fn read(path: &Path) -> Result<Vec<AccessKey>, AccessKeyError> {
    let damaged = |reason: String| AccessKeyError::Damaged { path: path.to_owned(), reason };
    let text = match regular_file::read(path, MAX_FILE_BYTES) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) if error.kind() == io::ErrorKind::FileTooLarge => {
            return Err(damaged(error.to_string()));
        }
        Err(source) => return Err(AccessKeyError::Io { path: path.to_owned(), source }),
    };
    let read: Result<Keys, _> = serde_json::from_slice(&text);
    read.map(|read| read.keys).map_err(|error| damaged(error.to_string()))
}

/// Gives a file to the owner of the data directory, who runs the agent.
fn belongs_as(file: &Path, data_dir: &Path) -> io::Result<()> {
    let owner = fs::metadata(data_dir)?;
    if fs::metadata(file)?.uid() == owner.uid() {
        return Ok(());
    }
    chown(file, Some(owner.uid()), Some(owner.gid()))
}

/// The keys of a data directory that nobody else changes meanwhile.
struct Locked {
    data_dir: PathBuf,
    keys: Vec<AccessKey>,
    _lock: File,
}

impl Locked {
    fn open(data_dir: &Path) -> Result<Self, AccessKeyError> {
        if !data_dir.is_dir() {
            return Err(AccessKeyError::NoDirectory(data_dir.to_owned()));
        }
        let path = data_dir.join(format!("{FILE}.lock"));
        let failed = |source| AccessKeyError::Io { path: path.clone(), source };
        let mut options = OpenOptions::new();
        options.create(true).truncate(false).write(true).mode(0o600);
        let lock = options.open(&path).map_err(failed)?;
        belongs_as(&path, data_dir).map_err(failed)?;
        lock.lock().map_err(failed)?;
        let keys = read(&data_dir.join(FILE))?;
        Ok(Self { data_dir: data_dir.to_owned(), keys, _lock: lock })
    }

    /// Replaces the file.
    fn save(&self) -> Result<(), AccessKeyError> {
        let path = self.data_dir.join(FILE);
        let new = self.data_dir.join(format!("{FILE}.new"));
        let written = || -> io::Result<()> {
            let text = serde_json::to_vec_pretty(&Keys { keys: self.keys.clone() })?;
            let mut options = OpenOptions::new();
            let mut file =
                options.create(true).truncate(true).write(true).mode(0o600).open(&new)?;
            belongs_as(&new, &self.data_dir)?;
            file.write_all(&text)?;
            file.sync_all()?;
            fs::rename(&new, &path)?;
            File::open(&self.data_dir)?.sync_all()
        };
        written().map_err(|source| AccessKeyError::Io { path: path.clone(), source })
    }
}

/// The keys as a running agent knows them: it reads the file again when it was replaced.
#[derive(Debug)]
pub(crate) struct KnownKeys {
    path: PathBuf,
    known: Mutex<Option<(Version, Arc<Vec<AccessKey>>)>>,
}

/// What tells one version of the file from another: each change makes a new file. `None` while there is none.
type Version = Option<(u64, SystemTime)>;

impl KnownKeys {
    pub(crate) fn new(data_dir: &Path) -> Self {
        Self { path: data_dir.join(FILE), known: Mutex::default() }
    }

    /// The key that a client brings, if it is one. It may read a small file.
    ///
    /// # Errors
    /// The file cannot be read.
    pub(crate) fn find(&self, brought: &str) -> Result<Option<AccessKey>, AccessKeyError> {
        // What has not this form is no key, and costs nothing.
        if !brought.starts_with(PREFIX) || brought.len() > 2 * KEY_BYTES {
            return Ok(None);
        }
        let known = self.read()?;
        // Hashes are compared: how long that takes tells nothing about a key.
        let hash = hash(brought);
        Ok(known.iter().find(|key| key.hash == hash).cloned())
    }

    fn read(&self) -> Result<Arc<Vec<AccessKey>>, AccessKeyError> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        // Before the file is read, so that a later version is read again.
        let version = self.version()?;
        if let Some((of, keys)) = &*known
            && *of == version
        {
            return Ok(keys.clone());
        }
        let keys = Arc::new(read(&self.path)?);
        *known = Some((version, keys.clone()));
        Ok(keys)
    }

    fn version(&self) -> Result<Version, AccessKeyError> {
        let found = fs::metadata(&self.path).and_then(|found| Ok((found.ino(), found.modified()?)));
        match found {
            Ok(version) => Ok(Some(version)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(AccessKeyError::Io { path: self.path.clone(), source }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_known_until_it_is_revoked_and_the_file_has_no_secret() {
        let home = tempfile::tempdir().expect("a directory");
        let known = KnownKeys::new(home.path());
        assert_eq!(known.find("hobnobkey_x").expect("there is no file"), None);
        let (key, text) = create(home.path(), "ci", AccessRights::Write, 7).expect("made");
        assert_eq!(known.find(&text).expect("read"), Some(key.clone()));
        for other in ["", "hobnobkey_", &text[1..], &format!("{}x", *text), &"x".repeat(1 << 16)] {
            assert_eq!(known.find(other).expect("read"), None, "{other}");
        }
        let path = home.path().join(FILE);
        let kept = fs::read_to_string(&path).expect("read");
        assert!(kept.contains(&key.id) && !kept.contains(&text[PREFIX.len()..]));
        assert_eq!(fs::metadata(&path).expect("there").mode() & 0o777, 0o600);
        let (second, _) = create(home.path(), "", AccessRights::Read, 8).expect("made");
        assert_eq!(list(home.path()).expect("read"), [key.clone(), second.clone()]);
        assert_eq!(revoke(home.path(), &key.id).expect("revoked"), key);
        assert_eq!(known.find(&text).expect("read"), None);
        let again = revoke(home.path(), &key.id).expect_err("it is gone");
        assert!(matches!(again, AccessKeyError::Unknown(_)));
        assert_eq!(list(home.path()).expect("read"), [second]);
    }

    #[test]
    fn what_is_no_directory_or_is_damaged_is_told() {
        let home = tempfile::tempdir().expect("a directory");
        let none = home.path().join("none");
        assert!(matches!(
            create(&none, "", AccessRights::Read, 0),
            Err(AccessKeyError::NoDirectory(_))
        ));
        assert!(matches!(
            create(home.path(), "a\u{7}", AccessRights::Read, 0),
            Err(AccessKeyError::BadName)
        ));
        fs::write(home.path().join(FILE), "{").expect("written");
        assert!(matches!(list(home.path()), Err(AccessKeyError::Damaged { .. })));
        assert!(matches!(
            create(home.path(), "", AccessRights::Read, 0),
            Err(AccessKeyError::Damaged { .. })
        ));
        let brought = format!("{PREFIX}x");
        assert!(KnownKeys::new(home.path()).find(&brought).is_err(), "no key counts then");
    }
}
