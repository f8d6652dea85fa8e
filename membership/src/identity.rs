//! Who a member is: a node that keeps its id for life, an epoch for each of its lives, and where it listens.

use std::fmt;
use std::net::SocketAddr;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A node's random 64-bit name on the wire, made at its first start and kept in its data directory.
///
/// Among 10,000 nodes the odds of a collision are 3 in 10^12. Written as 16 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct NodeId(pub u64);

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl fmt::Debug for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A node id is 16 hexadecimal digits.
#[derive(Debug, thiserror::Error)]
#[error("`{0}` is not a node id: it takes 16 hexadecimal digits")]
pub struct NodeIdError(String);

impl FromStr for NodeId {
    type Err = NodeIdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match u64::from_str_radix(text, 16) {
            Ok(id) if text.len() == 16 => Ok(Self(id)),
            _ => Err(NodeIdError(text.to_owned())),
        }
    }
}

/// One life of a node. Minted at every start as `max(persisted + 1, wall-clock ms)`, so that it only grows.
///
/// A record's epoch is that of the life which wrote it. A member's epoch starts there too, and is raised by one
/// whenever a live member has to contradict a verdict that it is down (SWIM's Down is terminal for an identity).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Epoch(pub u64);

impl Epoch {
    /// The largest epoch that the wire carries (48 bits: milliseconds until the year 10889).
    pub const MAX: Self = Self((1 << 48) - 1);

    /// The epoch after this one, at most [`Epoch::MAX`].
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0 + 1).min(Self::MAX)
    }
}

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// A member as SWIM knows it. Two identities of one node differ in epoch or address; the higher epoch replaces the
/// lower at once, so a restart or a change of address needs no waiting.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Identity {
    /// The node.
    pub node_id: NodeId,
    /// Which of its lives.
    pub epoch: Epoch,
    /// Where it takes datagrams (gossip).
    pub addr: SocketAddr,
    /// The UDP port, on the address of `addr`, where it takes QUIC streams (sync).
    pub sync_port: u16,
}

impl Identity {
    /// Where this member takes QUIC streams.
    #[must_use]
    pub fn sync_addr(&self) -> SocketAddr {
        SocketAddr::new(self.addr.ip(), self.sync_port)
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}@{}", self.node_id, self.epoch, self.addr)
    }
}

impl foca::Identity for Identity {
    type Addr = NodeId;

    fn renew(&self) -> Option<Self> {
        Some(Self { epoch: self.epoch.next(), ..*self })
    }

    fn addr(&self) -> NodeId {
        self.node_id
    }

    /// The higher epoch wins. Within one epoch (two agents on a copied data directory) the order of the addresses
    /// decides, so that every observer keeps the same one.
    fn win_addr_conflict(&self, other: &Self) -> bool {
        (self.epoch, self.addr, self.sync_port) > (other.epoch, other.addr, other.sync_port)
    }
}
