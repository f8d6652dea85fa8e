//! What this room tells the node.

use std::net::SocketAddr;

use crate::base::datacenter::DatacenterId;
use crate::base::identity::{Epoch, Identity, NodeId};
use crate::catalog::record::Text;
use crate::wire::{RemoteMember, Update};

/// A beat that this room wants sent.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct WantedBeat {
    pub(crate) datacenter: DatacenterId,
    /// The receiver; `None` for the gateways there in our own places.
    pub(crate) to: Option<Identity>,
    /// Whether it asks for one in return.
    pub(crate) asks: bool,
    /// Members of our datacenter that changed.
    pub(crate) updates: Vec<RemoteMember>,
}

/// Something that happened to other datacenters, or to their members.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Fact {
    /// The entry of a member of another datacenter is new or different.
    Member(NodeId),
    /// The datacenter of a member is gone for good: nothing of it is to be kept.
    Forgotten(NodeId),
    /// Another datacenter holds a member of ours down, in the life in which it is alive here.
    Accused { node: NodeId, epoch: Epoch, accuser: Option<NodeId> },
    /// A beat is to be sent to other datacenters.
    Beat(WantedBeat),
    /// The members of our pool are to be told.
    Tell(Update),
    /// A datacenter went out of reach of ours, or is back.
    Reach(DatacenterId),
    /// An operator isolated a datacenter from ours at this member, or ended that.
    Isolation { datacenter: DatacenterId, by: NodeId },
    /// More than half of the datacenters, of so many, went out of reach at once.
    CutOff { lost: Vec<DatacenterId>, of: usize },
    /// No hello was answered at an address where another datacenter is looked for.
    Unanswered { address: SocketAddr },
    /// A node under the name of our own datacenter answers at an address where another one was looked for.
    SameDatacenter { address: SocketAddr },
    /// A node of another datacenter answers at an address where ours was looked for.
    OtherDatacenter { address: SocketAddr, name: Text },
}
