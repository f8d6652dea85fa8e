//! Frames of a sync session, one stream each.

use serde::{Deserialize, Serialize};

use super::liveness::{Ping, Pong};
use super::{List, VERSION, WireError, from_bytes, to_bytes};
use crate::catalog::{Delta, Want};
use crate::cluster::ClusterMark;
use crate::identity::Identity;
use crate::limits::MAX_FRAME_BYTES;

const OPENING: u8 = 1;
const MEMBERS: u8 = 2;
const HEADS: u8 = 3;
const HEADS_END: u8 = 4;
const DELTAS: u8 = 5;
const END: u8 = 6;
const PING: u8 = 10;
const PONG: u8 = 11;

/// What either side of a session says first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Opening {
    /// The cluster of the speaker; no other is served.
    pub cluster: ClusterMark,
    /// Who is speaking.
    pub identity: Identity,
    /// The digest of its members.
    pub members: u64,
    /// The digest of its catalog.
    pub catalog: u64,
}

/// A frame of a sync session.
#[derive(Clone, Debug, PartialEq)]
pub enum Frame {
    /// The first frame of each side.
    Opening(Opening),
    /// Active members with their incarnations.
    Members(Vec<(Identity, u16)>),
    /// How far the speaker knows each origin.
    Heads(Vec<Want>),
    /// No heads follow.
    HeadsEnd,
    /// What the other side lacks.
    Deltas(Vec<Delta>),
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
            Self::Heads(heads) => (HEADS, to_bytes(heads, limit)?),
            Self::HeadsEnd => (HEADS_END, Vec::new()),
            Self::Deltas(deltas) => (DELTAS, to_bytes(deltas, limit)?),
            Self::End => (END, Vec::new()),
            Self::Ping(cluster, ping) => (PING, to_bytes(&(cluster, ping), limit)?),
            Self::Pong(pong) => (PONG, to_bytes(pong, limit)?),
        };
        let mut bytes = Vec::with_capacity(body.len() + 2);
        bytes.extend_from_slice(&[VERSION, kind]);
        bytes.extend_from_slice(&body);
        Ok(bytes)
    }

    /// Whether these bytes claim to ask for, or to give, a sign of life.
    pub(crate) fn is_sign_of_life(bytes: &[u8]) -> bool {
        matches!(bytes, [_, PING | PONG, ..])
    }

    /// Reads a frame.
    ///
    /// # Errors
    /// When it is malformed, of another version, or of a kind that we do not know.
    pub fn decode(bytes: &[u8]) -> Result<Self, WireError> {
        let [version, kind, body @ ..] = bytes else { return Err(WireError::Truncated) };
        if *version != VERSION {
            return Err(WireError::Version(*version));
        }
        let limit = MAX_FRAME_BYTES - 2;
        match *kind {
            OPENING => from_bytes(body, limit).map(Self::Opening),
            MEMBERS => from_bytes(body, limit).map(|List(members)| Self::Members(members)),
            HEADS => from_bytes(body, limit).map(|List(heads)| Self::Heads(heads)),
            HEADS_END => empty(body).map(|()| Self::HeadsEnd),
            DELTAS => {
                let List(deltas): List<Delta> = from_bytes(body, limit)?;
                deltas.iter().try_for_each(Delta::validate)?;
                Ok(Self::Deltas(deltas))
            }
            END => empty(body).map(|()| Self::End),
            PING => from_bytes(body, limit).map(|(cluster, ping)| Self::Ping(cluster, ping)),
            PONG => from_bytes(body, limit).map(Self::Pong),
            kind => Err(WireError::Kind(kind)),
        }
    }
}

fn empty(body: &[u8]) -> Result<(), WireError> {
    if body.is_empty() { Ok(()) } else { Err(WireError::TrailingBytes(body.len())) }
}
