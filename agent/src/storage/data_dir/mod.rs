//! The data directory. One agent at a time can open it.

mod locked;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use hobnob_membership::{Epoch, NodeId};
use tracing::warn;
use xxhash_rust::xxh3::xxh3_64;

use super::disk::Disk;
use super::epoch;
use super::error::{OpenError, WriteError};
use super::history::{HistoryFiles, ReadEvents};
use super::identity::{self, NodeIdentity};
use super::log::{RegistrationLog, TornTail};
use super::peers::{self, Peers};
use super::registration::{StoredRegistrant, StoredRegistration, StoredUpkeep, upkeep};
use super::sealed::{KeptKeys, Written};
use super::verdicts::{self, KeptVerdict};
use super::voter::VoterLogFile;

pub use locked::LockedDir;
pub(crate) use locked::holds_membership;

/// An open data directory. The same path cannot be opened again until this is dropped or its process ends.
///
/// Every method but the plain getters may block on the disk; the [module](crate::storage) documents where to call them.
pub struct DataDir {
    disk: Box<dyn Disk>,
    identity: NodeIdentity,
    epoch: Epoch,
    log: RegistrationLog,
    torn_tail: Option<TornTail>,
    written_keys: Written,
}

impl DataDir {
    /// Opens the data directory of an agent of this clear cluster. A missing directory is created (mode 0700).
    ///
    /// # Errors
    /// Another agent uses it, it belongs to another cluster, the system refuses an operation, or a file in it is
    /// damaged or of another format. See [`OpenError`].
    pub fn open(path: impl AsRef<Path>, cluster: &str) -> Result<Self, OpenError> {
        LockedDir::open(path)?.into_clear(cluster)
    }

    /// Opens the data directory on a disk that has no other writer.
    pub(crate) fn open_on(mut disk: Box<dyn Disk>, cluster: &str) -> Result<Self, OpenError> {
        let identity = NodeIdentity::load(disk.as_ref())?;
        if let Some(identity) = identity.as_ref().filter(|identity| identity.cluster != cluster) {
            let (stored, wanted) = (identity.cluster.clone(), cluster.to_owned());
            let dir = disk.path("");
            return Err(OpenError::OtherCluster { dir, stored, wanted });
        }
        let epoch = epoch::load(disk.as_ref())?;
        let (log, torn_tail) = RegistrationLog::open(disk.as_mut())?;
        if let Some(TornTail { path, line, bytes }) = &torn_tail {
            warn!(path = %path.display(), line, bytes, "cut off an unfinished last line, which was never acknowledged");
        }
        let identity = match identity {
            Some(identity) => identity,
            None => {
                if log.registrations().next().is_some() {
                    warn!(
                        path = %disk.path(identity::FILE).display(),
                        "the file is gone, but registrations are there: this agent starts as a new member with these \
                         registrations, and the earlier member stays in the cluster as down until it is forgotten"
                    );
                }
                NodeIdentity::create(disk.as_mut(), cluster)?
            }
        };
        Ok(Self { disk, identity, epoch, log, torn_tail, written_keys: Written::default() })
    }

    /// The node id, made at the first start; never 0.
    #[must_use]
    pub fn node_id(&self) -> NodeId {
        self.identity.node_id
    }

    /// The key that tells this node from another node with the same id, made at the first start.
    #[must_use]
    pub fn instance_key(&self) -> u128 {
        self.identity.instance_key
    }

    /// The end of the registration log that was cut off at opening, if the last writer stopped in the middle of a
    /// write. A warning was logged already.
    #[must_use]
    pub fn torn_tail(&self) -> Option<&TornTail> {
        self.torn_tail.as_ref()
    }

    /// Mints the [epoch of a new life](Epoch::of_new_life) and makes it durable. After [`Epoch::MAX`], the same epoch
    /// is minted again.
    ///
    /// # Errors
    /// The epoch could not be made durable. The node must not start then.
    pub fn mint_epoch(&mut self, wall_ms: u64, salt: u16) -> Result<Epoch, WriteError> {
        if wall_ms > Epoch::LAST_WALL_MS {
            warn!(
                wall_ms,
                "the clock of this host is centuries ahead, and the epoch of this agent does not follow it: set the clock"
            );
        }
        let epoch = Epoch::of_new_life(self.epoch, wall_ms, salt);
        self.write_epoch(epoch)?;
        Ok(epoch)
    }

    /// Remembers an epoch that was raised while the agent ran, so that the next life starts above it. An epoch that is
    /// not above the remembered one changes nothing.
    ///
    /// # Errors
    /// The epoch could not be made durable.
    pub fn save_epoch(&mut self, epoch: Epoch) -> Result<(), WriteError> {
        if epoch > self.epoch { self.write_epoch(epoch.min(Epoch::MAX)) } else { Ok(()) }
    }

    fn write_epoch(&mut self, epoch: Epoch) -> Result<(), WriteError> {
        epoch::save(self.disk.as_mut(), epoch)?;
        self.epoch = epoch;
        Ok(())
    }

    /// The log of this node as a voter of strong operations, to be opened. It is asked for before the epoch of the new life is minted: a
    /// directory without an epoch is that of a new node.
    #[must_use]
    pub fn voter_log(&self) -> VoterLogFile {
        let instance = xxh3_64(&self.identity.instance_key.to_le_bytes());
        let (node_id, is_first_start) = (self.identity.node_id, self.epoch == Epoch::default());
        VoterLogFile::new(self.disk.again(), node_id, instance, is_first_start)
    }

    /// The registrations, by id.
    pub fn registrations(&self) -> impl Iterator<Item = &StoredRegistration> {
        self.log.registrations()
    }

    /// The registration with this id.
    #[must_use]
    pub fn registration(&self, id: &str) -> Option<&StoredRegistration> {
        self.log.get(id)
    }

    /// The process that made the registration with this id. Versions that did not ask for it left none.
    #[must_use]
    pub fn registrant(&self, id: &str) -> Option<StoredRegistrant> {
        self.log.registrant(id)
    }

    /// Adds a registration, or replaces the one with the same id, and keeps which process made it. An equal registration
    /// changes nothing, whichever process made it. It is durable when this returns.
    ///
    /// # Errors
    /// There are already [`MAX_REGISTRATIONS`](hobnob_membership::limits::MAX_REGISTRATIONS), the registration is larger
    /// than [`MAX_REGISTRATION_BYTES`](super::MAX_REGISTRATION_BYTES), or it could not be made durable. The
    /// registrations are unchanged then.
    pub fn put_registration(
        &mut self,
        registration: &StoredRegistration,
        registered_by: Option<StoredRegistrant>,
    ) -> Result<(), WriteError> {
        self.log.put(self.disk.as_mut(), registration, registered_by)
    }

    /// Removes the registration with this id. Returns whether there was one. The removal is durable when this returns.
    ///
    /// # Errors
    /// The removal could not be made durable. The registrations are unchanged then.
    pub fn remove_registration(&mut self, id: &str) -> Result<bool, WriteError> {
        self.log.remove(self.disk.as_mut(), id)
    }

    /// The gossip addresses of peers that were alive when they were last [saved](Self::save_peers). They are hints: a
    /// file that cannot be read is ignored with a warning.
    #[must_use]
    pub fn peers(&self) -> Peers {
        peers::load(self.disk.as_ref())
    }

    /// Remembers the gossip addresses of living peers for a restart. The first [`MAX_PEERS`](super::MAX_PEERS) of each
    /// kind replace the addresses remembered before.
    ///
    /// # Errors
    /// The addresses could not be written.
    pub fn save_peers(&mut self, peers: &Peers) -> Result<(), WriteError> {
        Ok(peers::save(self.disk.as_mut(), peers)?)
    }

    /// Remembers the keys of others for a restart, in the place of those remembered before. A file whose content did not change
    /// since this was opened is left alone.
    ///
    /// # Errors
    /// A file could not be made durable.
    pub fn save_keys(&mut self, keys: &KeptKeys) -> Result<(), WriteError> {
        Ok(keys.save(self.disk.as_mut(), &mut self.written_keys)?)
    }

    /// What operators did to the instances: maintenance and drains. A file that cannot be read is ignored with an error in the log.
    #[must_use]
    pub fn upkeep(&self) -> StoredUpkeep {
        upkeep::load(self.disk.as_ref())
    }

    /// Remembers what operators did to the instances. It is durable when this returns.
    ///
    /// # Errors
    /// It could not be made durable.
    pub fn save_upkeep(&mut self, upkeep: &StoredUpkeep) -> Result<(), WriteError> {
        Ok(upkeep::save(self.disk.as_mut(), upkeep)?)
    }

    /// The files of the history, and what is in them. They have a writer of their own, which waits for no other change.
    pub(crate) fn history(&self) -> (HistoryFiles, ReadEvents) {
        HistoryFiles::open(self.disk.again())
    }

    /// The latest verdicts of checks of this boot of the host, by the id of their instance. They are hints: a file that
    /// cannot be read is ignored with a warning.
    #[must_use]
    pub fn verdicts(&self) -> BTreeMap<Arc<str>, KeptVerdict> {
        verdicts::load(self.disk.as_ref(), &verdicts::boot())
    }

    /// Remembers the latest verdicts of checks for a restart, in the place of those remembered before. They may be lost to a
    /// power failure.
    ///
    /// # Errors
    /// The verdicts could not be written.
    pub fn save_verdicts(
        &mut self,
        verdicts: &BTreeMap<Arc<str>, KeptVerdict>,
    ) -> Result<(), WriteError> {
        Ok(verdicts::save(self.disk.as_mut(), verdicts::boot(), verdicts)?)
    }
}
