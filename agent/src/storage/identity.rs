//! The file with the identity of this node. It is written once and then only read, unless the node gets another key.

use std::path::Path;
use std::str::FromStr;

use hobnob_membership::NodeId;
use serde::{Deserialize, Serialize};

use super::disk::Disk;
use super::error::OpenError;
use super::format::{self, DocumentError};
use super::limits::MAX_SMALL_FILE_BYTES;

/// The name of the file in the data directory.
pub(super) const FILE: &str = "node.json";
/// The format that this version writes, and the only one that it reads.
pub(super) const FORMAT: u32 = 2;

/// The identity of a node, for as long as its data directory lives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct NodeIdentity {
    /// Its node id; never 0.
    pub(super) node_id: NodeId,
    /// The key that tells this node from another node that happens to have the same id.
    pub(super) instance_key: u128,
    /// The cluster that it belongs to.
    pub(super) cluster: String,
}

/// The fields of the file. Numbers are hexadecimal digits, because many JSON readers lose precision above 2^53.
#[derive(Serialize, Deserialize)]
struct StoredIdentity {
    node_id: String,
    instance_key: String,
    cluster: String,
}

impl NodeIdentity {
    /// Reads the identity; `None` when there is none yet.
    pub(super) fn load(disk: &dyn Disk) -> Result<Option<Self>, OpenError> {
        let path = disk.path(FILE);
        let Some(bytes) = disk.read(FILE, MAX_SMALL_FILE_BYTES)? else { return Ok(None) };
        match Self::parse(&path, &bytes) {
            Ok(identity) => Ok(Some(identity)),
            Err(DocumentError::Format(error)) => Err(error),
            Err(DocumentError::Malformed(reason)) => {
                Err(OpenError::CorruptIdentity { path, reason })
            }
        }
    }

    /// Makes a random identity and writes it.
    pub(super) fn create(disk: &mut dyn Disk, cluster: &str) -> Result<Self, OpenError> {
        let identity = Self::of_node(NodeId(rand::random_range(1..=u64::MAX)), cluster);
        identity.save(disk)?;
        Ok(identity)
    }

    /// The identity of a node with this id.
    pub(super) fn of_node(node_id: NodeId, cluster: &str) -> Self {
        Self { node_id, instance_key: rand::random(), cluster: cluster.to_owned() }
    }

    /// Replaces the identity.
    pub(super) fn save(&self, disk: &mut dyn Disk) -> Result<(), OpenError> {
        let content = format::encode(disk, FILE, FORMAT, &self.to_stored())?;
        Ok(disk.replace(FILE, &content)?)
    }

    fn to_stored(&self) -> StoredIdentity {
        StoredIdentity {
            node_id: self.node_id.to_string(),
            instance_key: format!("{:032x}", self.instance_key),
            cluster: self.cluster.clone(),
        }
    }

    fn parse(path: &Path, bytes: &[u8]) -> Result<Self, DocumentError> {
        let malformed = |reason: &str| DocumentError::Malformed(reason.to_owned());
        let stored: StoredIdentity = format::decode(path, bytes, FORMAT)?;
        let node_id: NodeId = stored
            .node_id
            .parse()
            .map_err(|error: <NodeId as FromStr>::Err| malformed(&error.to_string()))?;
        if node_id == NodeId(0) {
            return Err(malformed("the node id is 0"));
        }
        match u128::from_str_radix(&stored.instance_key, 16) {
            Ok(instance_key) if stored.instance_key.len() == 32 => {
                Ok(Self { node_id, instance_key, cluster: stored.cluster })
            }
            _ => Err(malformed("the instance key is not 32 hexadecimal digits")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::fake_disk::FakeDisk;

    fn load(text: &str) -> Result<Option<NodeIdentity>, OpenError> {
        let disk = FakeDisk::new();
        disk.set_content(FILE, text);
        NodeIdentity::load(&disk)
    }

    #[test]
    fn a_created_identity_is_loaded() {
        let mut disk = FakeDisk::new();
        assert_eq!(NodeIdentity::load(&disk).expect("readable"), None);
        let created = NodeIdentity::create(&mut disk, "a \"b\"").expect("created");
        assert_eq!(created.cluster, "a \"b\"");
        assert_eq!(NodeIdentity::load(&disk).expect("readable"), Some(created));
    }

    #[test]
    fn damage_is_refused() {
        let key = "0".repeat(32);
        for (fields, reason) in [
            (String::new(), "node_id"),
            (
                format!(r#","node_id":"12","instance_key":"{key}","cluster":"c""#),
                "16 hexadecimal digits",
            ),
            (
                format!(r#","node_id":"0000000000000000","instance_key":"{key}","cluster":"c""#),
                "is 0",
            ),
            (format!(r#","node_id":"0000000000000001","instance_key":"{key}""#), "cluster"),
            (
                r#","node_id":"0000000000000001","instance_key":"1","cluster":"c""#.to_owned(),
                "32 hexadecimal digits",
            ),
        ] {
            let text = format!(r#"{{"format":2{fields}}}"#);
            let error = load(&text).expect_err(&text).to_string();
            assert!(error.contains(reason), "{text:?}: {error}");
        }
        let error = load("").expect_err("damaged").to_string();
        assert!(error.contains("EOF"), "{error}");
    }
}
