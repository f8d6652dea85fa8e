//! Messages by which changes spread between datacenters.

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

/// A sign of life of a datacenter to a gateway of another one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Beat {
    /// The sender, a gateway.
    pub sender: NodeId,
    /// The digest of the origins of its own datacenter.
    pub home: u64,
    /// Heads of them that moved lately, the latest first.
    pub recent: Vec<Head>,
    /// Datacenters that are out of reach for the sender.
    pub lacks: Vec<DatacenterId>,
    /// The digests of datacenters that are out of reach for the sender or for the receiver.
    pub others: Vec<PartDigest>,
    /// Whether the sender has not heard the receiver's datacenter lately, and asks for a beat in return.
    pub asks: bool,
}
block!(Beat { sender, home as Fixed, recent, lacks, others, asks });
