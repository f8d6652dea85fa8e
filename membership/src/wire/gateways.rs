//! Messages by which changes spread between datacenters.

use super::datacenter::RemoteMember;
use crate::base::datacenter::DatacenterId;
use crate::base::identity::NodeId;
use crate::catalog::{Delta, Head};
use crate::codec::{DecodeError, block};

/// News of an origin, told to a gateway of its own datacenter, which forwards them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tell {
    /// The sender: the origin.
    pub sender: NodeId,
    /// The number of the tell, which the answer carries back.
    pub number: u32,
    /// The parts of the links that the gateway forwards over: bit `n` stands for part `n`.
    pub parts: u8,
    /// The datacenters to forward to; empty for all.
    pub to: Vec<DatacenterId>,
    /// The news.
    pub deltas: Vec<Delta>,
}
block!(Tell { sender, number, parts, to, deltas });

impl Tell {
    pub(super) fn validate(&self) -> Result<(), DecodeError> {
        self.deltas.iter().try_for_each(Delta::validate)
    }
}

/// The answer to a tell: the gateway has the news and forwards them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TellAck {
    /// The sender.
    pub sender: NodeId,
    /// The number of the tell.
    pub number: u32,
    /// Datacenters among those to forward to that the gateway does not hear.
    pub unheard: Vec<DatacenterId>,
}
block!(TellAck { sender, number, unheard });

/// The digest of the origins of one datacenter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PartDigest {
    /// The datacenter.
    pub datacenter: DatacenterId,
    /// The digest.
    pub digest: u64,
}
block!(PartDigest { datacenter, digest as Fixed });

/// A sign of life of a datacenter to a member of another one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Beat {
    /// The sender.
    pub sender: NodeId,
    /// Its datacenter.
    pub datacenter: DatacenterId,
    /// The number of the beat, counted by the sender for each datacenter.
    pub number: u8,
    /// The last beat of the receiver that came to the sender.
    pub echo: Option<Echo>,
    /// Whether the sender has not heard the receiver's datacenter lately, and asks for a beat in return.
    pub asks: bool,
    /// Members of the sender's datacenter that changed.
    pub updates: Vec<RemoteMember>,
    /// What the sender holds; `None` in a bare sign of life.
    pub summary: Option<Summary>,
}
block!(Beat { sender, datacenter, number, echo, asks, updates, summary });

impl Beat {
    pub(super) fn validate(&self) -> Result<(), DecodeError> {
        self.updates.iter().try_for_each(RemoteMember::validate)
    }
}

/// A beat that came, named by the one that goes back. Both measure the round trip, and none has to be answered for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Echo {
    /// The number of the beat.
    pub number: u8,
    /// Tenths of a millisecond since it came.
    pub held: u16,
}
block!(Echo { number, held });

/// What a gateway holds, as one of another datacenter compares it with its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Summary {
    /// The digest of the origins of the sender's datacenter.
    pub home: u64,
    /// A hash of the living members of that datacenter, as the sender sees them.
    pub members: u64,
    /// A hash of the datacenters that the sender knows, its own among them.
    pub datacenters: [u8; 4],
    /// Heads of origins of its datacenter that moved lately, the latest first.
    pub recent: Vec<Head>,
    /// Datacenters that are out of reach for the sender.
    pub lacks: Vec<DatacenterId>,
    /// The digests of datacenters that are out of reach for the sender or for the receiver.
    pub others: Vec<PartDigest>,
}
block!(Summary { home as Fixed, members as Fixed, datacenters, recent, lacks, others });
