//! What the catalog plane tells the node.

use crate::base::identity::{Identity, NodeId};
use crate::catalog::record::Key;

/// Something that the traffic of the catalog brought to light.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Fact {
    /// Records of an origin that are served have changed.
    Records { origin: NodeId, keys: Vec<Key> },
    /// The records of a node were dropped, because its operator said so.
    ForceLeft { node: NodeId, told_by: NodeId },
    /// A peer spoke in a session.
    Heard(NodeId),
    /// Somebody opened a session under our own node id.
    Duplicate(Identity),
    /// A session with a member that answered our hello is complete.
    Joined,
}
