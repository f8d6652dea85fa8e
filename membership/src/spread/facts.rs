//! Facts: what the catalog plane reports to the node.

use crate::base::identity::{Identity, NodeId};
use crate::catalog::record::Key;

use super::confirming::Confirmation;

/// Something that the catalog plane learned and the node has to know.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Fact {
    /// Records of an origin that are served have changed.
    Records { origin: NodeId, keys: Vec<Key> },
    /// The records of a node were dropped because an operator made it force-leave.
    ForceLeft { node: NodeId, told_by: NodeId },
    /// The members that were asked to confirm our records have, or their time is over.
    Confirmation(Confirmation),
    /// A peer sent a frame in a session.
    Heard(NodeId),
    /// A peer opened a session under our own node id.
    Duplicate(Identity),
    /// A session with a member that answered our hello is complete.
    Joined,
}
