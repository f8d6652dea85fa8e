//! What datacenters tell each other of their members, and what the members of one tell each other of the rest.

use crate::base::cluster::ClusterMark;
use crate::base::datacenter::{DatacenterId, Gateway};
use crate::base::identity::{Identity, NodeId};
use crate::base::limits::{MAX_DATACENTERS, MAX_NAME_BYTES};
use crate::catalog::record::Text;
use crate::codec::{DecodeError, Field, Reader, Writer, block};

/// The verdict of a datacenter on one of its members. In one epoch the greater one holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum HomeVerdict {
    /// The member is alive.
    Alive,
    /// The member is down.
    Down,
    /// The member left on purpose.
    Left,
}

/// One byte. A word of a later version reads as [`HomeVerdict::Down`].
impl Field for HomeVerdict {
    fn put(&self, writer: &mut Writer) {
        writer.byte(match self {
            Self::Alive => 0,
            Self::Down => 1,
            Self::Left => 2,
        });
    }

    fn take(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(match reader.byte()? {
            0 => Self::Alive,
            2 => Self::Left,
            _ => Self::Down,
        })
    }
}

/// A member of a datacenter, as that datacenter sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RemoteMember {
    /// The identity of the member.
    pub identity: Identity,
    /// The name of its datacenter.
    pub datacenter: Text,
    /// Whether it may be a gateway.
    pub gateway: Gateway,
    /// The verdict of its datacenter.
    pub verdict: HomeVerdict,
    /// The member that passed the verdict; `None` while the member is alive, or if the verdict did not reach the member that tells.
    pub accuser: Option<NodeId>,
}
block!(RemoteMember { identity, datacenter, gateway, verdict, accuser });

impl RemoteMember {
    /// The datacenter of the member.
    #[must_use]
    pub fn home(&self) -> DatacenterId {
        DatacenterId::named(&self.datacenter)
    }

    pub(super) fn validate(&self) -> Result<(), DecodeError> {
        fair_name(&self.datacenter)
    }
}

fn fair_name(name: &str) -> Result<(), DecodeError> {
    if name.is_empty() || name.len() > MAX_NAME_BYTES {
        return Err(DecodeError::Invalid("no name of a datacenter"));
    }
    Ok(())
}

/// Whether a datacenter reaches another one. Each change adds one, so an odd number says that it does not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reach {
    /// The datacenter that looks.
    pub observer: DatacenterId,
    /// The datacenter that is looked at.
    pub target: DatacenterId,
    /// The number of changes. The higher one holds.
    pub changes: u64,
}
block!(Reach { observer, target, changes });

impl Reach {
    /// Whether the target is out of reach.
    #[must_use]
    pub fn is_out(&self) -> bool {
        !self.changes.is_multiple_of(2)
    }
}

/// Whether an operator isolated another datacenter from the sender's. Each order adds one, so an odd number says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Isolation {
    /// The datacenter that is isolated, or is not any more.
    pub target: DatacenterId,
    /// The number of orders. The higher one holds.
    pub orders: u64,
    /// The member at which the newest order was given.
    pub by: NodeId,
    /// Whether the datacenter is gone for good: its members and their records are forgotten.
    pub forgets: bool,
}
block!(Isolation { target, orders, by } later { forgets: false });

impl Isolation {
    /// Whether the datacenter is isolated.
    #[must_use]
    pub fn is_isolated(&self) -> bool {
        !self.orders.is_multiple_of(2)
    }

    /// Whether the datacenter is isolated, and forgotten.
    #[must_use]
    pub fn is_forgotten(&self) -> bool {
        self.is_isolated() && self.forgets
    }
}

/// The round trip to another datacenter, as a gateway of the sender's own measured it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RoundTrip {
    /// The gateway.
    pub by: NodeId,
    /// The other datacenter.
    pub target: DatacenterId,
    /// A number above those of all round trips to that datacenter that the gateway knew of. Of one gateway the higher one holds.
    pub number: u64,
    /// The round trip in microseconds. The largest number stands for that and all above.
    pub micros: u32,
}
block!(RoundTrip { by, target, number, micros });

/// The findings of a gateway about another datacenter, for the other gateways of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReachVote {
    /// The sender.
    pub sender: NodeId,
    /// The datacenter that is looked at.
    pub target: DatacenterId,
    /// Milliseconds since the sender last heard it. The largest number stands for that and all above.
    pub silence_ms: u16,
    /// Milliseconds for which the sender has asked there without an answer.
    pub looked_ms: u16,
    /// Whether the sender asks for the same in return.
    pub wanted: bool,
}
block!(ReachVote { sender, target, silence_ms, looked_ms, wanted });

/// A datacenter by its hash, and the hash of its living members as the sender knows them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TableDigest {
    /// The datacenter.
    pub datacenter: DatacenterId,
    /// The hash.
    pub members: u64,
}
block!(TableDigest { datacenter, members as Fixed });

/// The first frame of each side of a stream on which two nodes exchange tables of members.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Introduction {
    /// The cluster of the sender.
    pub cluster: ClusterMark,
    /// The sender.
    pub identity: Identity,
    /// The name of its datacenter.
    pub datacenter: Text,
    /// Whether the sender looks for another datacenter than its own.
    pub is_wan: bool,
    /// Whether the sender has been a member for long enough to know all members of its datacenter.
    pub is_settled: bool,
    /// The tables that the sender holds, its own datacenter among them.
    pub tables: Vec<TableDigest>,
    /// A hash of what the sender knows of reach.
    pub reach: u64,
}
block!(Introduction { cluster, identity, datacenter, is_wan, is_settled, tables, reach as Fixed });

impl Introduction {
    pub(super) fn validate(&self) -> Result<(), DecodeError> {
        fair_name(&self.datacenter)?;
        if self.tables.len() > MAX_DATACENTERS {
            return Err(DecodeError::Invalid("too many datacenters"));
        }
        Ok(())
    }
}

/// A part of the tables that the receiver lacks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tables {
    /// Members.
    pub members: Vec<RemoteMember>,
    /// What the sender knows of reach.
    pub reach: Vec<Reach>,
    /// Whether no more follow.
    pub last: bool,
    /// The orders of operators to isolate datacenters.
    pub isolations: Vec<Isolation>,
    /// The round trips to other datacenters.
    pub round_trips: Vec<RoundTrip>,
}
block!(Tables { members, reach, last } later { isolations: Vec::new(), round_trips: Vec::new() });

impl Tables {
    pub(super) fn validate(&self) -> Result<(), DecodeError> {
        self.members.iter().try_for_each(RemoteMember::validate)
    }
}
