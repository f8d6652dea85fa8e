//! Messages of failure detection: pings, votes, and updates of members.

use std::time::Duration;

use xxhash_rust::xxh3::xxh3_64;

use crate::base::datacenter::DatacenterId;
use crate::base::identity::{Epoch, Identity, NodeId};
use crate::base::limits::{MAX_MEMBER_BUCKETS, MAX_REFEREES};
use crate::codec::{Block, DecodeError, Field, Reader, Writer, block};

use super::datacenter::{Isolation, Reach, RemoteMember, RoundTrip};
use super::verdict::Verdict;

const UPDATE_ALIVE: u8 = 0;
const UPDATE_DOWN: u8 = 1;
const UPDATE_REMOTE: u8 = 2;
const UPDATE_REACH: u8 = 3;
const UPDATE_ISOLATION: u8 = 4;
const UPDATE_ROUND_TRIP: u8 = 5;

/// A question whether the receiver is alive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ping {
    /// The sender.
    pub sender: NodeId,
    /// A random number drawn by the sender.
    pub nonce: [u8; 4],
}
block!(Ping { sender, nonce });

/// The local health that a node reports of itself: its longest stall, in tenths of a second, rounded up, until it has
/// run for ten minutes without a stall. A prompt node reports 0; a node that has not proven itself yet reports 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct LocalHealth(pub u8);

impl Field for LocalHealth {
    fn put(&self, writer: &mut Writer) {
        writer.byte(self.0);
    }

    fn take(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        reader.byte().map(Self)
    }
}

impl LocalHealth {
    /// The node has not stalled for long.
    pub const PROMPT: Self = Self(0);
    /// The node started a short time ago, and may yet stall.
    pub const UNPROVEN: Self = Self(1);
}

/// The answer to a ping. It is shorter than the ping, so that nobody can amplify traffic with a forged source address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pong {
    /// The tag of the ping and of the node that answers: see [`pong_tag`].
    pub tag: [u8; 4],
    /// The low half of the digest of the members that the sender knows.
    pub members: [u8; 4],
    /// The reliability with which the sender answers in time.
    pub local_health: LocalHealth,
}
block!(Pong { tag, members, local_health });

/// The answer of one node to a nonce: the low half of XXH3-64 over node id and nonce. Another node that has taken over
/// the address answers with another tag, so its pong is no sign of life of the first.
#[must_use]
pub fn pong_tag(node: NodeId, nonce: [u8; 4]) -> [u8; 4] {
    let [a, b, c, d, e, f, g, h] = node.0.to_le_bytes();
    let [i, j, k, l] = nonce;
    let [tag @ .., _, _, _, _] = xxh3_64(&[a, b, c, d, e, f, g, h, i, j, k, l]).to_le_bytes();
    tag
}

/// A question to a referee: do you hear this member?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ask {
    /// The sender.
    pub sender: NodeId,
    /// The suspect.
    pub suspect: NodeId,
    /// The epoch of the suspect, as the sender knows it.
    pub epoch: Epoch,
}
block!(Ask { sender, suspect, epoch });

/// The answer of a referee: what it knows of a suspect now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Vote {
    /// The referee.
    pub sender: NodeId,
    /// The suspect.
    pub suspect: NodeId,
    /// Milliseconds since the suspect last answered the referee. The largest number stands for that and all above, and
    /// for a suspect that never answered.
    pub silence_ms: u16,
    /// Milliseconds for which the referee has probed the suspect without stalling.
    pub probed_ms: u16,
    /// The local health of the suspect, if it is known.
    pub local_health: Option<LocalHealth>,
    /// Whether the host of the suspect completed a TCP handshake since the referee began to probe.
    pub tcp_probe_answered: bool,
}
block!(Vote { sender, suspect, silence_ms, probed_ms, local_health, tcp_probe_answered });

impl Vote {
    /// The time since the suspect last answered; `None` when it is unknown.
    #[must_use]
    pub fn silence(&self) -> Option<Duration> {
        (self.silence_ms < u16::MAX).then(|| Duration::from_millis(u64::from(self.silence_ms)))
    }

    /// The time for which the referee has probed the suspect.
    #[must_use]
    pub fn probed(&self) -> Duration {
        Duration::from_millis(u64::from(self.probed_ms))
    }
}

/// The findings of a node about a member whose process may have exited. Nobody asked for them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExitVote {
    /// The sender.
    pub sender: NodeId,
    /// The member.
    pub suspect: NodeId,
    /// The epoch of the member, as the sender knows it.
    pub epoch: Epoch,
    /// Whether the member showed a sign of life. Then none of what follows counts.
    pub alive: bool,
    /// Whether the connection that the sender held to the member closed or was reset, without a goodbye.
    pub closed: bool,
    /// Whether it closed, and was not reset.
    pub by_fin: bool,
    /// Whether the member's host refused a new connection.
    pub refused: bool,
}
block!(ExitVote { sender, suspect, epoch, alive, closed, by_fin, refused });

/// A change of a member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Update {
    /// The member is alive.
    Alive(Identity),
    /// The member is down.
    Down(Verdict),
    /// A member of another datacenter changed, or is new.
    Remote(RemoteMember),
    /// A datacenter went out of reach of another, or is back.
    Reach(Reach),
    /// An operator isolated a datacenter from that of the sender, or ended that.
    Isolation(Isolation),
    /// A gateway of the datacenter of the sender measured the round trip to another one.
    RoundTrip(RoundTrip),
}

impl Update {
    /// The member. News of datacenters have a number of their own in its place.
    #[must_use]
    pub fn node(&self) -> NodeId {
        match self {
            Self::Alive(identity) => identity.node_id,
            Self::Down(verdict) => verdict.node,
            Self::Remote(member) => member.identity.node_id,
            Self::Reach(reach) => NodeId(reach.observer.0.rotate_left(32) ^ reach.target.0),
            Self::Isolation(order) => NodeId(!order.target.0),
            Self::RoundTrip(told) => NodeId(told.by.0.rotate_left(16) ^ told.target.0),
        }
    }
}

/// A kind and a block, so that a list can skip the kinds that a later version adds.
impl Field for Update {
    fn put(&self, writer: &mut Writer) {
        match self {
            Self::Alive(identity) => {
                writer.byte(UPDATE_ALIVE);
                writer.block(|writer| identity.put_fields(writer));
            }
            Self::Down(verdict) => {
                writer.byte(UPDATE_DOWN);
                writer.block(|writer| verdict.put_fields(writer));
            }
            Self::Remote(member) => {
                writer.byte(UPDATE_REMOTE);
                writer.block(|writer| member.put_fields(writer));
            }
            Self::Reach(reach) => {
                writer.byte(UPDATE_REACH);
                writer.block(|writer| reach.put_fields(writer));
            }
            Self::Isolation(order) => {
                writer.byte(UPDATE_ISOLATION);
                writer.block(|writer| order.put_fields(writer));
            }
            Self::RoundTrip(told) => {
                writer.byte(UPDATE_ROUND_TRIP);
                writer.block(|writer| told.put_fields(writer));
            }
        }
    }

    fn take(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let kind = reader.byte()?;
        reader.block(|reader| match kind {
            UPDATE_ALIVE => Identity::take_fields(reader).map(Self::Alive),
            UPDATE_DOWN => Verdict::take_fields(reader).map(Self::Down),
            UPDATE_REMOTE => RemoteMember::take_fields(reader).map(Self::Remote),
            UPDATE_REACH => Reach::take_fields(reader).map(Self::Reach),
            UPDATE_ISOLATION => Isolation::take_fields(reader).map(Self::Isolation),
            UPDATE_ROUND_TRIP => RoundTrip::take_fields(reader).map(Self::RoundTrip),
            kind => Err(DecodeError::Unknown(kind)),
        })
    }
}

/// Updates of members.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemberUpdates {
    /// The sender.
    pub sender: NodeId,
    /// The updates.
    pub updates: Vec<Update>,
    /// The datacenter of the sender.
    pub datacenter: DatacenterId,
}
block!(MemberUpdates { sender, updates } later { datacenter: DatacenterId::UNKNOWN });

impl MemberUpdates {
    pub(super) fn validate(&self) -> Result<(), DecodeError> {
        let fair = |update: &Update| match update {
            Update::Alive(_) | Update::Reach(_) | Update::Isolation(_) | Update::RoundTrip(_) => {
                true
            }
            Update::Remote(member) => member.validate().is_ok(),
            Update::Down(verdict) => verdict.referees.len() <= MAX_REFEREES,
        };
        if self.updates.iter().all(fair) {
            Ok(())
        } else {
            Err(DecodeError::Invalid("an update that breaks a limit"))
        }
    }
}

/// The digests of the sender's active members, one for each part of the ring.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Compare {
    /// The sender.
    pub sender: NodeId,
    /// The low half of the digest of each part of the ring.
    pub buckets: Vec<[u8; 4]>,
    /// The low half of a hash of the tables of other datacenters that the sender holds.
    pub tables: [u8; 4],
}
block!(Compare { sender, buckets } later { tables: [0; 4] });

impl Compare {
    pub(super) fn validate(&self) -> Result<(), DecodeError> {
        if self.buckets.len() == MAX_MEMBER_BUCKETS {
            Ok(())
        } else {
            Err(DecodeError::Invalid("not as many digests as the ring has parts"))
        }
    }
}

/// All active members of one part of the ring, as the sender knows them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listing {
    /// The sender.
    pub sender: NodeId,
    /// The number of the part.
    pub bucket: u8,
    /// Whether the sender asks for the same list in return.
    pub wanted: bool,
    /// The members.
    pub members: Vec<Identity>,
}
block!(Listing { sender, bucket, wanted, members });
