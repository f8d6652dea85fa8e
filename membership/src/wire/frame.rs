//! Frames of a sync session, one stream each.

use serde::{Deserialize, Serialize};

use super::liveness::{Ping, Pong};
use super::{List, VERSION, WireError, from_bytes, to_bytes};
use crate::base::cluster::ClusterMark;
use crate::base::identity::Identity;
use crate::base::limits::MAX_FRAME_BYTES;
use crate::catalog::{Delta, Version, Want};
use crate::spread::sketch::Symbol;

const OPENING: u8 = 1;
const MEMBERS: u8 = 2;
const SKETCH: u8 = 3;
const MORE: u8 = 4;
const HEADS: u8 = 5;
const DELTAS: u8 = 6;
const LAST_DELTAS: u8 = 7;
const END: u8 = 8;
const PING: u8 = 10;
const PONG: u8 = 11;

/// What who opens a session says first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Opening {
    /// The cluster of the speaker; no other is served.
    pub cluster: ClusterMark,
    /// Who is speaking.
    pub identity: Identity,
    /// The digest of its members.
    #[serde(with = "fixed")]
    pub members: u64,
    /// The digest of its catalog.
    #[serde(with = "fixed")]
    pub catalog: u64,
}

/// How far the speaker is behind a head that the other side has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lag {
    /// The highest four bytes of the hash of that head.
    pub head: [u8; 4],
    /// How many of the last versions up to it the speaker lacks.
    pub versions: u8,
    /// The floor of what it knows, as in [`Want`].
    pub gc_floor: Version,
}

/// How far the speaker knows some origins.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Heads {
    flags: u8,
    /// The heads.
    #[serde(deserialize_with = "super::list")]
    pub heads: Vec<Want>,
    /// The same of origins of which it knows what the other side has.
    #[serde(deserialize_with = "super::list")]
    pub lags: Vec<Lag>,
    /// The highest four bytes of the hashes of heads that the other side has and the speaker knows nothing else of.
    #[serde(deserialize_with = "super::list")]
    pub unknown: Vec<[u8; 4]>,
}

impl Heads {
    const LAST: u8 = 1;
    const WHOLE: u8 = 2;
    const BEYOND: u8 = 4;

    /// Heads after which more come.
    #[must_use]
    pub fn part(heads: Vec<Want>, lags: Vec<Lag>, unknown: Vec<[u8; 4]>) -> Self {
        Self { flags: 0, heads, lags, unknown }
    }

    /// How much is listed.
    #[must_use]
    pub fn len(&self) -> usize {
        self.heads.len() + self.lags.len() + self.unknown.len()
    }

    /// Whether nothing is listed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The same as the last of their kind: no more heads follow.
    #[must_use]
    pub fn last(self) -> Self {
        Self { flags: self.flags | Self::LAST, ..self }
    }

    /// The same, and all together are the heads of every origin that the speaker knows, not only of those that differ.
    #[must_use]
    pub fn whole(self) -> Self {
        Self { flags: self.flags | Self::WHOLE, ..self }
    }

    /// The same, and deltas of the speaker follow although nobody asked: what it knows beyond gaps.
    #[must_use]
    pub fn beyond(self) -> Self {
        Self { flags: self.flags | Self::BEYOND, ..self }
    }

    /// Whether no more heads follow.
    #[must_use]
    pub fn is_last(&self) -> bool {
        self.flags & Self::LAST != 0
    }

    /// Whether origins that are not listed are unknown to the speaker.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.flags & Self::WHOLE != 0
    }

    /// Whether deltas of the speaker follow in any case.
    #[must_use]
    pub fn is_beyond(&self) -> bool {
        self.flags & Self::BEYOND != 0
    }

    fn validate(self) -> Result<Self, WireError> {
        let known = Self::LAST | Self::WHOLE | Self::BEYOND;
        if self.flags & !known != 0 || (self.flags & known != 0 && !self.is_last()) {
            return Err(WireError::Invalid("heads with flags that say nothing"));
        }
        Ok(self)
    }
}

/// The beginning, or the rest, of a coded set of heads.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sketch {
    /// How many heads are in the set.
    pub heads: u32,
    /// The symbols that follow those of the frames before.
    #[serde(deserialize_with = "super::list")]
    pub symbols: Vec<Symbol>,
}

/// A frame of a sync session.
#[derive(Clone, Debug, PartialEq)]
pub enum Frame {
    /// The first frame of who opened the stream.
    Opening(Opening),
    /// Active members with their incarnations.
    Members(Vec<(Identity, u16)>),
    /// Coded heads of the speaker.
    Sketch(Sketch),
    /// Asks for so many more symbols; with 0, for all heads instead.
    More(u32),
    /// How far the speaker knows the origins that differ, or what it wants.
    Heads(Heads),
    /// What the other side lacks; nothing follows when it is the last.
    Deltas {
        /// The deltas.
        deltas: Vec<Delta>,
        /// Whether they end what the speaker says.
        last: bool,
    },
    /// Nothing follows.
    End,
    /// A question whether somebody of this cluster is there, alone on its stream.
    Ping(ClusterMark, Ping),
    /// The answer to it.
    Pong(Pong),
}

impl Frame {
    /// Writes the frame.
    ///
    /// # Errors
    /// [`WireError::TooLarge`] beyond [`MAX_FRAME_BYTES`].
    pub fn encode(&self) -> Result<Vec<u8>, WireError> {
        let limit = MAX_FRAME_BYTES - 2;
        let (kind, body) = match self {
            Self::Opening(opening) => (OPENING, to_bytes(opening, limit)?),
            Self::Members(members) => (MEMBERS, to_bytes(members, limit)?),
            Self::Sketch(sketch) => (SKETCH, to_bytes(sketch, limit)?),
            Self::More(symbols) => (MORE, to_bytes(symbols, limit)?),
            Self::Heads(heads) => (HEADS, to_bytes(heads, limit)?),
            Self::Deltas { deltas, last: false } => (DELTAS, to_bytes(deltas, limit)?),
            Self::Deltas { deltas, last: true } => (LAST_DELTAS, to_bytes(deltas, limit)?),
            Self::End => (END, Vec::new()),
            Self::Ping(cluster, ping) => (PING, to_bytes(&(cluster, ping), limit)?),
            Self::Pong(pong) => (PONG, to_bytes(pong, limit)?),
        };
        let mut bytes = Vec::with_capacity(body.len() + 2);
        bytes.push(kind);
        // Who opens a stream tells the version; all that follows is of the same.
        if matches!(kind, OPENING | PING) {
            bytes.push(VERSION);
        }
        bytes.extend_from_slice(&body);
        Ok(bytes)
    }

    /// Whether these bytes claim to ask for, or to give, a sign of life.
    pub(crate) fn is_sign_of_life(bytes: &[u8]) -> bool {
        matches!(bytes, [PING | PONG, ..])
    }

    /// Reads a frame.
    ///
    /// # Errors
    /// When it is malformed, of another version, or of a kind that we do not know.
    pub fn decode(bytes: &[u8]) -> Result<Self, WireError> {
        let limit = MAX_FRAME_BYTES - 2;
        let [kind, body @ ..] = bytes else { return Err(WireError::Truncated) };
        match *kind {
            OPENING => from_bytes(of_our_version(body)?, limit).map(Self::Opening),
            MEMBERS => from_bytes(body, limit).map(|List(members)| Self::Members(members)),
            SKETCH => from_bytes(body, limit).map(Self::Sketch),
            MORE => from_bytes(body, limit).map(Self::More),
            HEADS => from_bytes(body, limit).and_then(Heads::validate).map(Self::Heads),
            DELTAS | LAST_DELTAS => {
                let List(deltas): List<Delta> = from_bytes(body, limit)?;
                deltas.iter().try_for_each(Delta::validate)?;
                Ok(Self::Deltas { deltas, last: *kind == LAST_DELTAS })
            }
            END => empty(body).map(|()| Self::End),
            PING => {
                let (cluster, ping) = from_bytes(of_our_version(body)?, limit)?;
                Ok(Self::Ping(cluster, ping))
            }
            PONG => from_bytes(body, limit).map(Self::Pong),
            kind => Err(WireError::Kind(kind)),
        }
    }
}

/// What follows the version.
fn of_our_version(bytes: &[u8]) -> Result<&[u8], WireError> {
    match bytes {
        [VERSION, body @ ..] => Ok(body),
        [version, ..] => Err(WireError::Version(*version)),
        [] => Err(WireError::Truncated),
    }
}

fn empty(body: &[u8]) -> Result<(), WireError> {
    if body.is_empty() { Ok(()) } else { Err(WireError::TrailingBytes(body.len())) }
}

/// A hash: eight bytes, since no length saves any.
mod fixed {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub(super) fn serialize<S: Serializer>(hash: &u64, serializer: S) -> Result<S::Ok, S::Error> {
        hash.to_le_bytes().serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
        <[u8; 8]>::deserialize(deserializer).map(u64::from_le_bytes)
    }
}
