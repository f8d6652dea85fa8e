//! A data directory that is locked, before it is known which cluster its agent belongs to.

use std::path::{Path, PathBuf};

use hobnob_keys::NodeKey;
use hobnob_membership::NodeId;

use super::super::disk::{Disk, LockError, OsDisk};
use super::super::error::{OpenError, WriteError};
use super::super::identity::NodeIdentity;
use super::super::sealed::{self, KeptKeys, KeptMembership};
use super::DataDir;

/// A locked data directory. Only what decides about the cluster of its agent is read from it.
pub struct LockedDir {
    disk: Box<dyn Disk>,
}

impl LockedDir {
    /// Locks the data directory of an agent. A missing directory is created (mode 0700).
    ///
    /// # Errors
    /// Another agent uses it, or the system refuses an operation.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, OpenError> {
        let path = path.as_ref();
        let disk = OsDisk::open(path).map_err(|error| match error {
            LockError::Held(pid) => OpenError::Locked { dir: path.to_owned(), pid },
            LockError::File(error) => error.into(),
        })?;
        disk.warn_of_open_files(&sealed::FILES);
        Ok(Self { disk: Box::new(disk) })
    }

    /// A disk that has no other writer.
    #[cfg(test)]
    pub(crate) fn on(disk: Box<dyn Disk>) -> Self {
        Self { disk }
    }

    /// The membership of its agent in a sealed cluster, if it has one.
    ///
    /// # Errors
    /// The file cannot be read, is damaged or of another format.
    pub fn membership(&self) -> Result<Option<KeptMembership>, OpenError> {
        KeptMembership::load(self.disk.as_ref())
    }

    /// The key of its agent, if it has one.
    ///
    /// # Errors
    /// The file cannot be read, is damaged or of another format.
    pub fn node_key(&self) -> Result<Option<NodeKey>, OpenError> {
        sealed::load_node_key(self.disk.as_ref())
    }

    /// The keys of others that its agent remembers.
    ///
    /// # Errors
    /// A file cannot be read, is damaged or of another format.
    pub fn keys(&self) -> Result<KeptKeys, OpenError> {
        KeptKeys::load(self.disk.as_ref())
    }

    /// Keeps the key of its agent.
    ///
    /// # Errors
    /// It could not be made durable.
    pub fn save_node_key(&mut self, key: &NodeKey) -> Result<(), WriteError> {
        Ok(sealed::save_node_key(self.disk.as_mut(), key)?)
    }

    /// Keeps the membership of its agent.
    ///
    /// # Errors
    /// It could not be made durable.
    pub fn save_membership(&mut self, membership: &KeptMembership) -> Result<(), WriteError> {
        Ok(membership.save(self.disk.as_mut())?)
    }

    /// The path of a file, for messages.
    pub(crate) fn path(&self, file: &str) -> PathBuf {
        self.disk.path(file)
    }

    /// The data directory of an agent of a clear cluster.
    ///
    /// # Errors
    /// It belongs to another cluster, the system refuses an operation, or a file in it is damaged or of another format.
    pub fn into_clear(self, cluster: &str) -> Result<DataDir, OpenError> {
        DataDir::open_on(self.disk, cluster)
    }

    /// The data directory of a node of a sealed cluster. If it belonged to another node, this one takes it over.
    ///
    /// # Errors
    /// The system refuses an operation, or a file in it is damaged or of another format.
    pub fn into_sealed(mut self, cluster: &str, node_id: NodeId) -> Result<DataDir, OpenError> {
        let disk = self.disk.as_mut();
        match NodeIdentity::load(disk)? {
            Some(own) if own.node_id == node_id && own.cluster == cluster => {}
            Some(other) => {
                tracing::warn!(
                    path = %disk.path("").display(),
                    was = %other.node_id,
                    was_of = other.cluster,
                    node_id = %node_id,
                    cluster,
                    "the data directory belonged to another node: this agent starts as a new member with the registrations \
                     that are there, and the earlier one stays in its cluster as down until it is forgotten"
                );
                NodeIdentity { node_id, cluster: cluster.to_owned(), ..other }.save(disk)?;
            }
            None => NodeIdentity::of_node(node_id, cluster).save(disk)?,
        }
        DataDir::open_on(self.disk, cluster)
    }
}

/// Whether there is a membership in a sealed cluster at this path, which may be no data directory. Another process may change
/// that until the directory is locked.
pub(crate) fn holds_membership(path: &Path) -> bool {
    path.join(sealed::MEMBERSHIP_FILE).exists()
}
