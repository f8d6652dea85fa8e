//! A verdict that a node believes, and its source.

use crate::base::identity::NodeId;
use crate::base::time::Time;
use crate::wire::Verdict;

/// Why a node believes that another is down.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Belief {
    /// The verdict that the node believes.
    pub verdict: Verdict,
    /// The node that told us the verdict; this node for a verdict of its own.
    pub told_by: NodeId,
    /// When we began to believe the verdict.
    pub since: Time,
}
