//! The configuration of a node: its identity, its records, and the parameters of the protocol.

use crate::base::cluster::ClusterId;
use crate::base::identity::Identity;
use crate::base::protocol::Protocol;
use crate::catalog::record::{Key, NodeRecord, Value};
use crate::trust::sealing::Sealing;

/// Everything that a node needs to know at its start.
#[derive(Clone, Debug)]
pub struct Config {
    /// The cluster that the node belongs to. It exchanges messages with nodes of this cluster only. In a sealed cluster it follows
    /// from `sealing`, whatever is here.
    pub cluster: ClusterId,
    /// The identity of the node. Its epoch is also that of its records. In a sealed cluster the node id follows from `sealing`.
    pub identity: Identity,
    /// The node record, with which the node describes itself. In a sealed cluster its name, datacenter and certificate follow
    /// from `sealing`, whatever is here.
    pub node: NodeRecord,
    /// The records of its services at its start. If a restarted node has all of them here, other members see no moment
    /// without them.
    pub records: Vec<(Key, Value)>,
    /// The seed of every random choice. The same seed and inputs give the same outputs.
    pub seed: u64,
    /// The parameters of the protocol.
    pub protocol: Protocol,
    /// The membership of the node in a sealed cluster; `None` in a clear one.
    pub sealing: Option<Box<Sealing>>,
}
