//! What liveness tells the node.

use std::net::SocketAddr;
use std::time::Duration;

use crate::base::identity::{Epoch, Identity, NodeId};
use crate::liveness::detector::Verdict;

/// Something that happened to the members, or to us among them.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Fact {
    /// A member's entry in the table is new or different.
    Member(NodeId),
    /// We hear at least one other member.
    Connected,
    /// We hear nobody.
    Isolated,
    /// We go by a new epoch.
    EpochRaised(Epoch),
    /// A peer remembers an epoch of ours that we never reached: our records begin this one.
    EpochPassed(Epoch),
    /// Somebody answered our hello.
    Welcomed { by: SocketAddr },
    /// A member that answered has what we need: open a session with it.
    Reachable(Identity),
    /// Our own loop came so late.
    StoodStill(Duration),
    /// A peer declared us down.
    CalledDown(Verdict),
    /// All members that we watch answer by stream, and not by datagram.
    DatagramsBlocked,
    /// Datagrams are answered again.
    DatagramsPass,
    /// Another agent runs under our node id, and gives way.
    DuplicateNodeId { address: SocketAddr },
    /// Another agent runs under our node id, and we give way.
    GaveWay { to: SocketAddr },
    /// The agent that we gave way to is gone.
    Resumed,
}
