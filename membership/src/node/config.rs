//! What a node is started with: who it is, what it knows, and the parameters of the protocol.

use crate::base::cluster::ClusterId;
use crate::base::identity::Identity;
use crate::base::protocol::Protocol;
use crate::catalog::record::{Key, NodeRecord, Value};

/// Everything that a node needs to know at its start.
#[derive(Clone, Debug)]
pub struct Config {
    /// Which cluster it belongs to; it hears and reaches nodes of this one only.
    pub cluster: ClusterId,
    /// The identity of the node. Its epoch is also that of its records.
    pub identity: Identity,
    /// How it describes itself.
    pub node: NodeRecord,
    /// What it knows of its services when it starts. A restarted node that has all of them here shows the others no
    /// moment without them.
    pub records: Vec<(Key, Value)>,
    /// Seeds every random choice: the same seed and inputs give the same outputs.
    pub seed: u64,
    /// The protocol's parameters.
    pub protocol: Protocol,
}
