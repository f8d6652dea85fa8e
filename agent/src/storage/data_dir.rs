//! The data directory: opened by one agent at a time.

use std::fs::{File, TryLockError};
use std::io::{Read, Seek, SeekFrom, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use hobnob_membership::{Epoch, NodeId};
use tracing::warn;

use super::durable;
use super::error::{FileError, OpenError, WriteError};
use super::identity::NodeIdentity;
use super::log::{RegistrationLog, TornTail};
use hobnob_api::Registration;

/// The most peers that are remembered for a restart.
pub const MAX_PEERS: usize = 64;

const LOCK_FILE: &str = "lock";
const EPOCH_FILE: &str = "epoch";
const PEERS_FILE: &str = "peers.json";

/// An open data directory. Nobody else can open it until this one is dropped or its process ends, however it ends.
///
/// Every method may block on the disk; see the [module](crate::storage) for where to call them.
pub struct DataDir {
    path: PathBuf,
    identity: NodeIdentity,
    epoch: Epoch,
    log: RegistrationLog,
    torn_tail: Option<TornTail>,
    /// Holds the lock for as long as it is open.
    _lock: File,
}

impl DataDir {
    /// Opens the data directory of an agent of this cluster, creating it (mode 0700) when it is not there.
    ///
    /// # Errors
    /// Another agent has it open, it belongs to another cluster, the disk refuses, or a file in it is damaged. See
    /// [`OpenError`].
    pub fn open(path: impl Into<PathBuf>, cluster: &str) -> Result<Self, OpenError> {
        let path = path.into();
        durable::create_dir(&path)?;
        let lock = lock(&path)?;
        let identity = NodeIdentity::load(&path, cluster)?;
        let epoch = load_epoch(&path)?;
        let (log, torn_tail) = RegistrationLog::open(&path)?;
        if let Some(TornTail { path, line, bytes }) = &torn_tail {
            warn!(path = %path.display(), line, bytes, "cut off an unfinished last line, which was never acknowledged");
        }
        let identity = match identity {
            Some(identity) => identity,
            None => {
                if log.registrations().next().is_some() {
                    warn!(path = %path.display(), "node.json is gone, and registrations are there: this agent is a new member with them, and the earlier one stays in the cluster as down until it is forgotten");
                }
                NodeIdentity::create(&path, cluster)?
            }
        };
        Ok(Self { path, identity, epoch, log, torn_tail, _lock: lock })
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The id of this node, made at its first start; never 0.
    #[must_use]
    pub fn node_id(&self) -> NodeId {
        self.identity.node_id
    }

    /// What tells this node from another that happens to have the same id, made at its first start.
    #[must_use]
    pub fn instance_key(&self) -> u128 {
        self.identity.instance_key
    }

    /// What was cut off the registration log when it was opened, if the last writer was stopped in the middle of a
    /// write. Already logged as a warning.
    #[must_use]
    pub fn torn_tail(&self) -> Option<&TornTail> {
        self.torn_tail.as_ref()
    }

    /// Mints the [epoch of a new life](Epoch::of_new_life). [`Epoch::MAX`] is minted again and again.
    ///
    /// # Errors
    /// It could not be made durable. Do not start with an epoch that was not returned.
    pub fn mint_epoch(&mut self, wall_ms: u64, salt: u16) -> Result<Epoch, WriteError> {
        let epoch = Epoch::of_new_life(self.epoch, wall_ms, salt);
        self.write_epoch(epoch)?;
        Ok(epoch)
    }

    /// Remembers an epoch that was raised while the agent ran, so that the next life starts above it. A lower one than
    /// is remembered changes nothing.
    ///
    /// # Errors
    /// It could not be made durable.
    pub fn save_epoch(&mut self, epoch: Epoch) -> Result<(), WriteError> {
        if epoch > self.epoch { self.write_epoch(epoch.min(Epoch::MAX)) } else { Ok(()) }
    }

    fn write_epoch(&mut self, epoch: Epoch) -> Result<(), WriteError> {
        durable::replace(&self.path.join(EPOCH_FILE), format!("{epoch}\n").as_bytes())?;
        self.epoch = epoch;
        Ok(())
    }

    /// The registrations, by id.
    pub fn registrations(&self) -> impl Iterator<Item = &Registration> {
        self.log.registrations()
    }

    /// Adds a registration, or replaces the one with the same [id](Registration::instance_id). It is durable when this
    /// returns.
    ///
    /// # Errors
    /// There are [`MAX_REGISTRATIONS`](super::MAX_REGISTRATIONS), it is larger than
    /// [`MAX_REGISTRATION_BYTES`](super::MAX_REGISTRATION_BYTES), or it could not be made durable. The registrations
    /// are then as they were.
    pub fn put_registration(&mut self, registration: &Registration) -> Result<(), WriteError> {
        self.log.put(registration)
    }

    /// Removes the registration with this id and returns whether there was one. The removal is durable when this
    /// returns.
    ///
    /// # Errors
    /// It could not be made durable. The registrations are then as they were.
    pub fn remove_registration(&mut self, id: &str) -> Result<bool, WriteError> {
        self.log.remove(id)
    }

    /// Gossip addresses of peers that were alive when they were last [saved](Self::save_peers). They are hints: what
    /// cannot be read is left out, with a warning.
    #[must_use]
    pub fn peers(&self) -> Vec<SocketAddr> {
        let path = self.path.join(PEERS_FILE);
        let peers = match durable::read(&path).map_err(OpenError::from) {
            Ok(None) => return Vec::new(),
            Ok(Some(bytes)) => {
                serde_json::from_slice::<Vec<SocketAddr>>(&bytes).map_err(|error| error.to_string())
            }
            Err(error) => Err(error.to_string()),
        };
        match peers {
            Ok(peers) => peers.into_iter().take(MAX_PEERS).collect(),
            Err(error) => {
                warn!(path = %path.display(), error, "the remembered peers cannot be read; the agent goes on without");
                Vec::new()
            }
        }
    }

    /// Remembers gossip addresses of living peers for a restart: the first [`MAX_PEERS`] of them, in place of those
    /// remembered before.
    ///
    /// # Errors
    /// They could not be written.
    pub fn save_peers(&mut self, peers: &[SocketAddr]) -> Result<(), WriteError> {
        let kept: Vec<String> =
            peers.iter().take(MAX_PEERS).map(|peer| format!("\"{peer}\"")).collect();
        durable::replace(
            &self.path.join(PEERS_FILE),
            format!("[{}]\n", kept.join(",")).as_bytes(),
        )?;
        Ok(())
    }
}

/// Takes the lock of a directory and leaves our process id in it for whoever is refused.
fn lock(dir: &Path) -> Result<File, OpenError> {
    let path = dir.join(LOCK_FILE);
    let mut file = durable::open(&path)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let mut text = String::new();
            // Without a readable id the refusal is still right, only less helpful.
            let _ = file.read_to_string(&mut text);
            return Err(OpenError::Locked { dir: dir.to_owned(), pid: text.trim().parse().ok() });
        }
        Err(TryLockError::Error(error)) => return Err(FileError::of("lock", &path)(error).into()),
    }
    file.set_len(0)
        .and_then(|()| file.seek(SeekFrom::Start(0)))
        .and_then(|_| writeln!(file, "{}", std::process::id()))
        .map_err(FileError::of("write", &path))?;
    Ok(file)
}

fn load_epoch(dir: &Path) -> Result<Epoch, OpenError> {
    let path = dir.join(EPOCH_FILE);
    let Some(bytes) = durable::read(&path)? else { return Ok(Epoch::default()) };
    match str::from_utf8(&bytes).map(|text| text.trim().parse()) {
        Ok(Ok(epoch)) if Epoch(epoch) <= Epoch::MAX => Ok(Epoch(epoch)),
        _ => Err(OpenError::CorruptEpoch { path }),
    }
}

#[cfg(test)]
impl DataDir {
    /// Makes the next append fail, as a full disk would.
    pub(super) fn break_log(&mut self) {
        self.log.break_file();
    }
}
