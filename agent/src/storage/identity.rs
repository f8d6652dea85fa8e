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
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct NodeIdentity {
    /// Its name on the wire; never 0.
    pub(super) node_id: NodeId,
    /// Tells it from another node that happens to have the same id.
    pub(super) instance_key: u128,
}

/// The file's content: both as hexadecimal digits, because JSON numbers end at 2^53 for many readers.
#[derive(Deserialize)]
struct Stored {
    node_id: String,
    instance_key: String,
}

impl NodeIdentity {
    /// Reads the identity from `dir`, or makes a random one and writes it.
    pub(super) fn load_or_create(dir: &Path) -> Result<Self, OpenError> {
        let path = dir.join(FILE);
        if let Some(bytes) = durable::read(&path)? {
            return Self::parse(&bytes)
                .map_err(|reason| OpenError::CorruptIdentity { path, reason });
        }
        let identity = Self {
            node_id: NodeId(rand::random_range(1..=u64::MAX)),
            instance_key: rand::random(),
        };
        durable::replace(&path, identity.to_json().as_bytes())?;
        Ok(identity)
    }

    fn to_json(self) -> String {
        format!(
            "{{\"node_id\":\"{}\",\"instance_key\":\"{:032x}\"}}\n",
            self.node_id, self.instance_key
        )
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
                Ok(Self { node_id, instance_key })
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
        let identity = NodeIdentity { node_id: NodeId(0xab), instance_key: 0xcd };
        assert_eq!(NodeIdentity::parse(identity.to_json().as_bytes()), Ok(identity));
    }

    #[test]
    fn damage_is_refused() {
        let key = "0".repeat(32);
        for (text, reason) in [
            (String::new(), "EOF"),
            ("{}".to_owned(), "node_id"),
            (format!(r#"{{"node_id":"12","instance_key":"{key}"}}"#), "16 hexadecimal digits"),
            (format!(r#"{{"node_id":"0000000000000000","instance_key":"{key}"}}"#), "is 0"),
            (
                r#"{"node_id":"0000000000000001","instance_key":"1"}"#.to_owned(),
                "32 hexadecimal digits",
            ),
        ] {
            let error = NodeIdentity::parse(text.as_bytes()).expect_err(&text);
            assert!(error.contains(reason), "{text:?}: {error}");
        }
    }
}
