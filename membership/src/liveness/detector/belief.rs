//! What a node remembers of a verdict that it believes.

use crate::base::identity::NodeId;
use crate::base::time::Time;
use crate::wire::Verdict;

/// Why a node believes that another is down.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Belief {
    /// The verdict.
    pub verdict: Verdict,
    /// Who told us; ourselves when it is our own.
    pub told_by: NodeId,
    /// Since when we believe it.
    pub since: Time,
}
