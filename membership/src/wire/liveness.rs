//! What failure detection says by datagram: pings, votes, and news of members.

use std::time::Duration;

use xxhash_rust::xxh3::xxh3_64;

use crate::base::identity::{Epoch, Identity, NodeId};
use crate::base::limits::{MAX_MEMBER_BUCKETS, MAX_REFEREES};
use crate::codec::{Block, DecodeError, Field, Reader, Writer, block};

use super::verdict::Verdict;

const UPDATE_ALIVE: u8 = 0;
const UPDATE_DOWN: u8 = 1;

/// A question whether somebody is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ping {
    /// Who asks.
    pub sender: NodeId,
    /// Drawn by who asks.
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

/// The answer to a ping; shorter than that, so that a forged source address gains nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pong {
    /// Which ping, and who answers: see [`pong_tag`].
    pub tag: [u8; 4],
    /// The low half of the digest of the answerer's members.
    pub members: [u8; 4],
    /// How reliably the answerer answers in time.
    pub local_health: LocalHealth,
}
block!(Pong { tag, members, local_health });

/// What only the node that is meant answers to a nonce: the low half of XXH3-64 over node id and nonce. Nobody else's
/// answer counts as its sign of life, and who has taken over its address does not pass for it.
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
    /// Who asks.
    pub sender: NodeId,
    /// Of whom.
    pub suspect: NodeId,
    /// Of which of its lives.
    pub epoch: Epoch,
}
block!(Ask { sender, suspect, epoch });

/// What a referee knows, as of now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Vote {
    /// The referee.
    pub sender: NodeId,
    /// The suspect.
    pub suspect: NodeId,
    /// How long ago the suspect last answered it, in milliseconds; the largest number when it never did, or not for long.
    pub silence_ms: u16,
    /// For how long it has been looking, awake, in milliseconds.
    pub probed_ms: u16,
    /// The local health of the suspect, if it is known.
    pub local_health: Option<LocalHealth>,
    /// Whether the suspect's host completed a TCP handshake for it since the referee looks.
    pub tcp_probe_answered: bool,
}
block!(Vote { sender, suspect, silence_ms, probed_ms, local_health, tcp_probe_answered });

impl Vote {
    /// How long ago the suspect last answered; `None` when that is unknown.
    #[must_use]
    pub fn silence(&self) -> Option<Duration> {
        (self.silence_ms < u16::MAX).then(|| Duration::from_millis(u64::from(self.silence_ms)))
    }

    /// For how long the referee has been looking.
    #[must_use]
    pub fn probed(&self) -> Duration {
        Duration::from_millis(u64::from(self.probed_ms))
    }
}

/// Something that is true of a member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Update {
    /// It lives.
    Alive(Identity),
    /// It does not.
    Down(Verdict),
}

impl Update {
    /// Whom it is about.
    #[must_use]
    pub fn node(&self) -> NodeId {
        match self {
            Self::Alive(identity) => identity.node_id,
            Self::Down(verdict) => verdict.node,
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
        }
    }

    fn take(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let kind = reader.byte()?;
        reader.block(|reader| match kind {
            UPDATE_ALIVE => Identity::take_fields(reader).map(Self::Alive),
            UPDATE_DOWN => Verdict::take_fields(reader).map(Self::Down),
            kind => Err(DecodeError::Unknown(kind)),
        })
    }
}

/// News of members.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemberUpdates {
    /// Who sends this.
    pub sender: NodeId,
    /// The news.
    pub updates: Vec<Update>,
}
block!(MemberUpdates { sender, updates });

impl MemberUpdates {
    pub(super) fn validate(&self) -> Result<(), DecodeError> {
        let fair = |update: &Update| match update {
            Update::Alive(_) => true,
            Update::Down(verdict) => verdict.referees.len() <= MAX_REFEREES,
        };
        if self.updates.iter().all(fair) {
            Ok(())
        } else {
            Err(DecodeError::Invalid("a verdict with too many referees"))
        }
    }
}

/// The digests of the sender's active members, by where on the ring they stand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Compare {
    /// Who sends this.
    pub sender: NodeId,
    /// The low half of the digest of each part of the ring.
    pub buckets: Vec<[u8; 4]>,
}
block!(Compare { sender, buckets });

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
    /// Who sends this.
    pub sender: NodeId,
    /// Which part.
    pub bucket: u8,
    /// Whether the sender wants the same from us.
    pub wanted: bool,
    /// The members.
    pub members: Vec<Identity>,
}
block!(Listing { sender, bucket, wanted, members });
