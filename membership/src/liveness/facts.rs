//! Events that liveness reports to the node.

use std::net::SocketAddr;
use std::time::Duration;

use crate::base::identity::{Epoch, Identity, NodeId};
use crate::liveness::detector::{LinkEnd, Verdict};
use crate::wire::Update;

/// Something that happened to the members, or to us among them.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Fact {
    /// A member's entry in the table is new or different.
    Member(NodeId),
    /// A member of our pool told something of another datacenter.
    Remote(Update),
    /// A member answered a ping at its address for the first time.
    Proven(NodeId),
    /// We hear at least one other member.
    Connected,
    /// We hear no other member.
    Isolated,
    /// Our identity has a new epoch.
    EpochRaised(Epoch),
    /// A peer remembers a later epoch of ours. Our records have to go on in this one, which is beyond it.
    EpochPassed(Epoch),
    /// A node answered our hello.
    Welcomed { by: SocketAddr },
    /// A member welcomed us, and a session with it should be opened.
    Reachable(Identity),
    /// The members of our own pool that we watch are this far away.
    FarPool(Duration),
    /// Our own loop stalled for this long.
    Stalled(Duration),
    /// A peer declared us down.
    DeclaredDown(Verdict),
    /// All members that we watch answer by stream, and not by datagram.
    DatagramsBlocked,
    /// Datagrams are answered again.
    DatagramsPass,
    /// Our link to a member is broken: it answers others, and not us.
    LinkBroken(NodeId),
    /// Our broken link to a member is none any more.
    LinkEnded(NodeId, LinkEnd),
    /// A duplicate of us runs at this address, and gives way.
    DuplicateNodeId { address: SocketAddr },
    /// A duplicate of us runs at this address, and we give way.
    GaveWay { to: SocketAddr },
    /// The duplicate that we gave way to is gone.
    Resumed,
}
