//! The identity of a member: a node id that is kept for good, an epoch for each life, and the addresses at which it
//! listens.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::str::FromStr;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::codec::{Block, DecodeError, Field, Fixed, Reader, Writer};

/// A node's random 64-bit name on the wire, made at its first start and kept in its data directory.
///
/// Among 10,000 nodes the odds of a collision are 3 in 10^12. Written as 16 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
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

/// Eight bytes, little endian.
impl Field for NodeId {
    fn put(&self, writer: &mut Writer) {
        Fixed(self.0).put(writer);
    }

    fn take(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Fixed::take(reader).map(|id| Self(id.0))
    }
}

/// Hexadecimal text for people (a JSON number would lose digits in JavaScript), 8 bytes in binary formats.
impl Serialize for NodeId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            serializer.collect_str(self)
        } else {
            self.0.to_le_bytes().serialize(serializer)
        }
    }
}

impl<'de> Deserialize<'de> for NodeId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if deserializer.is_human_readable() {
            String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
        } else {
            <[u8; 8]>::deserialize(deserializer).map(|bytes| Self(u64::from_le_bytes(bytes)))
        }
    }
}

/// One life of a node. [`Epoch::of_new_life`] mints it at every start, so that it only grows.
///
/// A record's epoch is that of the life which wrote it. A member's epoch starts there too. A live member raises it by
/// one to refute a verdict that it is down, because down is final for an identity in SWIM.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Epoch(pub u64);

impl Epoch {
    /// The largest epoch that the wire carries (48 bits: milliseconds until the year 10889).
    pub const MAX: Self = Self((1 << 48) - 1);

    /// The last time of the wall clock, in ms since 1970, that an epoch follows: in the year 2492. The counters of datagrams begin at
    /// sixteen for each ms of the epoch and have 48 bits, of which a life needs some.
    pub const LAST_WALL_MS: u64 = (1 << 44) - (1 << 40);

    /// The epoch of a new life: the wall clock in milliseconds since 1970, so that epochs grow even if the disk was
    /// lost.
    ///
    /// A clock that is not past the `last` epoch on disk, or past [`Epoch::LAST_WALL_MS`], is wrong. The disk may then also be an old image, from which
    /// other lives began. The epoch is `last + 1 + salt` in this case. `salt` has to be random, so that the new life
    /// differs from those others.
    ///
    /// The epoch is at most [`Epoch::MAX`].
    #[must_use]
    pub fn of_new_life(last: Self, wall_ms: u64, salt: u16) -> Self {
        let salted = Self(last.next().0.saturating_add(u64::from(salt)));
        let is_right = wall_ms > last.0 && wall_ms <= Self::LAST_WALL_MS;
        if is_right { Self(wall_ms) } else { salted }.min(Self::MAX)
    }

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

/// Six bytes, little endian.
impl Field for Epoch {
    fn put(&self, writer: &mut Writer) {
        let [a, b, c, d, e, f, _, _] = (*self).min(Self::MAX).0.to_le_bytes();
        writer.raw(&[a, b, c, d, e, f]);
    }

    fn take(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let [a, b, c, d, e, f] = reader.array()?;
        Ok(Self(u64::from_le_bytes([a, b, c, d, e, f, 0, 0])))
    }
}

/// A member as SWIM knows it. Two identities of one node differ in epoch or address; the higher epoch replaces the
/// lower at once, so a restart or a change of address needs no waiting.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Identity {
    /// The id of the node.
    pub node_id: NodeId,
    /// The life of the node.
    pub epoch: Epoch,
    /// The gossip address, at which the node takes datagrams.
    pub addr: SocketAddr,
    /// The UDP port, at the IP address of `addr`, where the node takes QUIC streams (sync).
    pub sync_port: u16,
}

impl Identity {
    /// The address at which this member takes QUIC streams.
    #[must_use]
    pub fn sync_addr(&self) -> SocketAddr {
        SocketAddr::new(self.addr.ip(), self.sync_port)
    }
}

/// A block: 24 bytes with an IPv4 address, 36 with IPv6.
impl Block for Identity {
    fn put_fields(&self, writer: &mut Writer) {
        self.node_id.put(writer);
        self.epoch.put(writer);
        self.addr.ip().put(writer);
        self.addr.port().to_le_bytes().put(writer);
        self.sync_port.to_le_bytes().put(writer);
    }

    /// Refuses addresses that no datagram can be sent to, so that a hostile member cannot make us try.
    fn take_fields(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let (node_id, epoch) = (NodeId::take(reader)?, Epoch::take(reader)?);
        let ip = IpAddr::take(reader)?;
        let port = u16::from_le_bytes(reader.array()?);
        let sync_port = u16::from_le_bytes(reader.array()?);
        let broadcast = ip == IpAddr::V4(Ipv4Addr::BROADCAST);
        if port == 0 || sync_port == 0 || ip.is_unspecified() || ip.is_multicast() || broadcast {
            return Err(DecodeError::Invalid("an address that nobody can send to"));
        }
        Ok(Self { node_id, epoch, addr: SocketAddr::new(ip, port), sync_port })
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
