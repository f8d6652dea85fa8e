//! The file that says who this node is, written once and then only read.

use std::path::Path;
use std::str::FromStr;

use hobnob_membership::NodeId;
use serde::Deserialize;

use super::durable;
use super::error::OpenError;

/// The name of the file in the data directory.
pub(super) const FILE: &str = "node.json";

/// Who a node is, for as long as its data directory lives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct NodeIdentity {
    /// Its name on the wire; never 0.
    pub(super) node_id: NodeId,
    /// Tells it from another node that happens to have the same id.
    pub(super) instance_key: u128,
    /// The cluster that it belongs to.
    pub(super) cluster: String,
}

/// The file's content: the numbers as hexadecimal digits, because JSON numbers end at 2^53 for many readers.
#[derive(Deserialize)]
struct Stored {
    node_id: String,
    instance_key: String,
    cluster: String,
}

impl NodeIdentity {
    /// Reads the identity from `dir`; `None` when there is none yet.
    pub(super) fn load(dir: &Path, cluster: &str) -> Result<Option<Self>, OpenError> {
        let path = dir.join(FILE);
        let Some(bytes) = durable::read(&path)? else { return Ok(None) };
        let identity =
            Self::parse(&bytes).map_err(|reason| OpenError::CorruptIdentity { path, reason })?;
        if identity.cluster == cluster {
            return Ok(Some(identity));
        }
        let (stored, wanted) = (identity.cluster, cluster.to_owned());
        Err(OpenError::OtherCluster { dir: dir.to_owned(), stored, wanted })
    }

    /// Makes a random identity and writes it.
    pub(super) fn create(dir: &Path, cluster: &str) -> Result<Self, OpenError> {
        let identity = Self {
            node_id: NodeId(rand::random_range(1..=u64::MAX)),
            instance_key: rand::random(),
            cluster: cluster.to_owned(),
        };
        durable::replace(&dir.join(FILE), identity.to_json().as_bytes())?;
        Ok(identity)
    }

    fn to_json(&self) -> String {
        let Self { node_id, instance_key, cluster } = self;
        let key = format!("{instance_key:032x}");
        let stored =
            serde_json::json!({ "node_id": node_id, "instance_key": key, "cluster": cluster });
        format!("{stored}\n")
    }

    fn parse(bytes: &[u8]) -> Result<Self, String> {
        let stored: Stored = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
        let node_id: NodeId =
            stored.node_id.parse().map_err(|error: <NodeId as FromStr>::Err| error.to_string())?;
        if node_id == NodeId(0) {
            return Err("the node id is 0".to_owned());
        }
        match u128::from_str_radix(&stored.instance_key, 16) {
            Ok(instance_key) if stored.instance_key.len() == 32 => {
                Ok(Self { node_id, instance_key, cluster: stored.cluster })
            }
            _ => Err("the instance key is not 32 hexadecimal digits".to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let identity = NodeIdentity {
            node_id: NodeId(0xab),
            instance_key: 0xcd,
            cluster: "a \"b\"".to_owned(),
        };
        assert_eq!(NodeIdentity::parse(identity.to_json().as_bytes()), Ok(identity));
    }

    #[test]
    fn damage_is_refused() {
        let key = "0".repeat(32);
        for (text, reason) in [
            (String::new(), "EOF"),
            ("{}".to_owned(), "node_id"),
            (
                format!(r#"{{"node_id":"12","instance_key":"{key}","cluster":"c"}}"#),
                "16 hexadecimal digits",
            ),
            (
                format!(r#"{{"node_id":"0000000000000000","instance_key":"{key}","cluster":"c"}}"#),
                "is 0",
            ),
            (format!(r#"{{"node_id":"0000000000000001","instance_key":"{key}"}}"#), "cluster"),
            (
                r#"{"node_id":"0000000000000001","instance_key":"1","cluster":"c"}"#.to_owned(),
                "32 hexadecimal digits",
            ),
        ] {
            let error = NodeIdentity::parse(text.as_bytes()).expect_err(&text);
            assert!(error.contains(reason), "{text:?}: {error}");
        }
    }
}
