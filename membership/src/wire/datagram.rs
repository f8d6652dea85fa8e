//! Datagrams: a checksummed envelope around messages.

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::liveness::{Ask, Compare, Listing, MemberUpdates, Ping, Pong, Vote};
use super::{List, VERSION, WireError, from_bytes, to_bytes};
use crate::base::cluster::ClusterId;
use crate::base::identity::{Identity, NodeId};
use crate::base::limits::MAX_DATAGRAM_BYTES;
use crate::catalog::{Delta, Head, Want};
use crate::liveness::duplicate::Claim;

/// Bytes before the first message: version, checksum and the tag of the cluster.
const ENVELOPE_BYTES: usize = 7;
/// Where that tag begins, and what is checksummed.
const TAG_AT: usize = 5;
/// Bytes before the body of each message: kind and length.
const MESSAGE_HEADER_BYTES: usize = 3;

const SWIM: u8 = 1;
const HELLO: u8 = 2;
const WELCOME: u8 = 3;
const RUMORS: u8 = 4;
const DIGEST: u8 = 5;
const PULL: u8 = 6;
const CLAIM: u8 = 7;
const REFERRAL: u8 = 8;
const PING: u8 = 10;
const PONG: u8 = 11;
const ASK: u8 = 12;
const VOTE: u8 = 13;
const MEMBER_UPDATES: u8 = 14;
const COMPARE: u8 = 15;
const LISTING: u8 = 16;

/// A knock at a seed address, and the answers to it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// Drawn by who knocks; the answer must carry it back.
    pub token: u64,
    /// Who sends this; in a referral, who is to be asked instead.
    pub identity: Identity,
}

/// What a node holds, in few bytes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Digest {
    /// Who sends this.
    pub sender: NodeId,
    /// The digest of its catalog.
    pub catalog: u64,
    /// The heads that moved lately.
    #[serde(deserialize_with = "super::list")]
    pub recent: Vec<Head>,
}

/// A request for what the sender lacks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pull {
    /// Who sends this.
    pub sender: NodeId,
    /// What it lacks.
    #[serde(deserialize_with = "super::list")]
    pub wants: Vec<Want>,
}

/// One message of a datagram.
#[derive(Clone, Debug, PartialEq)]
pub enum Message<'a> {
    /// A packet of foca's, without its destination.
    Swim(&'a [u8]),
    /// A knock at a seed.
    Hello(Hello),
    /// The answer to a knock.
    Welcome(Hello),
    /// The answer of who has no time: another member to knock at.
    Referral(Hello),
    /// News, from the node that is named.
    Rumors(NodeId, Vec<Delta>),
    /// A digest.
    Digest(Digest),
    /// A request for repair.
    Pull(Pull),
    /// To another agent under the sender's node id.
    Claim(Claim),
    /// A question whether somebody is there.
    Ping(Ping),
    /// The answer to it.
    Pong(Pong),
    /// A question to a referee.
    Ask(Ask),
    /// What a referee knows.
    Vote(Vote),
    /// News of members.
    MemberUpdates(MemberUpdates),
    /// Digests of a view of the members.
    Compare(Compare),
    /// A part of a view of the members.
    Listing(Listing),
}

/// Collects messages into one datagram.
#[derive(Debug)]
pub struct DatagramBuilder {
    bytes: Vec<u8>,
}

impl Default for DatagramBuilder {
    fn default() -> Self {
        let mut bytes = Vec::with_capacity(256);
        bytes.extend_from_slice(&[VERSION, 0, 0, 0, 0, 0, 0]);
        Self { bytes }
    }
}

impl DatagramBuilder {
    /// Bytes that one message's body may take in a datagram of its own.
    pub const MAX_BODY_BYTES: usize = MAX_DATAGRAM_BYTES - ENVELOPE_BYTES - MESSAGE_HEADER_BYTES;

    /// Whether nothing was added yet.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.bytes.len() == ENVELOPE_BYTES
    }

    /// Adds a message; leaves the datagram as it was when there is no room.
    ///
    /// # Errors
    /// [`WireError::TooLarge`] when it does not fit.
    pub fn push(&mut self, message: &Message<'_>) -> Result<(), WireError> {
        let len = self.bytes.len() + MESSAGE_HEADER_BYTES;
        let Some(room) = MAX_DATAGRAM_BYTES.checked_sub(len) else {
            return Err(WireError::TooLarge { len, limit: MAX_DATAGRAM_BYTES });
        };
        match message {
            Message::Swim(packet) if packet.len() > room => {
                Err(WireError::TooLarge { len: packet.len(), limit: room })
            }
            Message::Swim(packet) => {
                self.append(SWIM, packet);
                Ok(())
            }
            Message::Hello(hello) => self.encode(HELLO, hello, room),
            Message::Welcome(hello) => self.encode(WELCOME, hello, room),
            Message::Referral(hello) => self.encode(REFERRAL, hello, room),
            Message::Rumors(sender, deltas) => self.encode(RUMORS, &(sender, deltas), room),
            Message::Digest(digest) => self.encode(DIGEST, digest, room),
            Message::Pull(pull) => self.encode(PULL, pull, room),
            Message::Claim(claim) => self.encode(CLAIM, claim, room),
            Message::Ping(ping) => self.encode(PING, ping, room),
            Message::Pong(pong) => self.encode(PONG, pong, room),
            Message::Ask(ask) => self.encode(ASK, ask, room),
            Message::Vote(vote) => self.encode(VOTE, vote, room),
            Message::MemberUpdates(member_updates) => {
                self.encode(MEMBER_UPDATES, member_updates, room)
            }
            Message::Compare(compare) => self.encode(COMPARE, compare, room),
            Message::Listing(listing) => self.encode(LISTING, listing, room),
        }
    }

    /// The finished datagram, for nodes of this cluster.
    #[must_use]
    pub fn finish(mut self, cluster: ClusterId) -> Vec<u8> {
        self.bytes[TAG_AT..ENVELOPE_BYTES].copy_from_slice(&cluster.tag());
        let checksum = checksum(&self.bytes[TAG_AT..], cluster);
        self.bytes[1..TAG_AT].copy_from_slice(&checksum);
        self.bytes
    }

    fn encode<T: Serialize>(&mut self, kind: u8, body: &T, room: usize) -> Result<(), WireError> {
        let body = to_bytes(body, room)?;
        self.append(kind, &body);
        Ok(())
    }

    fn append(&mut self, kind: u8, body: &[u8]) {
        let len = u16::try_from(body.len()).unwrap_or(u16::MAX);
        self.bytes.push(kind);
        self.bytes.extend_from_slice(&len.to_le_bytes());
        self.bytes.extend_from_slice(body);
    }
}

fn checksum(bytes: &[u8], cluster: ClusterId) -> [u8; 4] {
    let [a, b, c, d, ..] = xxh3_64_with_seed(bytes, cluster.0).to_le_bytes();
    [a, b, c, d]
}

/// Opens the envelope of a datagram.
///
/// # Errors
/// When it is not one of ours: too short, another version, another cluster, a checksum that does not match.
pub fn decode_datagram(bytes: &[u8], cluster: ClusterId) -> Result<Messages<'_>, WireError> {
    let Some((envelope, messages)) = bytes.split_first_chunk::<ENVELOPE_BYTES>() else {
        return Err(WireError::Truncated);
    };
    let [version, a, b, c, d, tag @ ..] = envelope;
    if bytes.len() > MAX_DATAGRAM_BYTES {
        return Err(WireError::TooLarge { len: bytes.len(), limit: MAX_DATAGRAM_BYTES });
    }
    if *version != VERSION {
        return Err(WireError::Version(*version));
    }
    if *tag != cluster.tag() {
        return Err(WireError::OtherCluster);
    }
    if checksum(&bytes[TAG_AT..], cluster) != [*a, *b, *c, *d] {
        return Err(WireError::Checksum);
    }
    Ok(Messages { rest: messages })
}

/// The messages of a datagram. Ends at the first one that is malformed; skips kinds that it does not know.
#[derive(Debug)]
pub struct Messages<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for Messages<'a> {
    type Item = Result<Message<'a>, WireError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if self.rest.is_empty() {
                return None;
            }
            let Some((kind, body)) = self.split() else {
                self.rest = &[];
                return Some(Err(WireError::Truncated));
            };
            match decode_body(kind, body) {
                Err(WireError::Kind(_)) => {}
                Err(error) => {
                    self.rest = &[];
                    return Some(Err(error));
                }
                message => return Some(message),
            }
        }
    }
}

impl<'a> Messages<'a> {
    fn split(&mut self) -> Option<(u8, &'a [u8])> {
        let [kind, low, high, rest @ ..] = self.rest else { return None };
        let (body, rest) = rest.split_at_checked(usize::from(u16::from_le_bytes([*low, *high])))?;
        self.rest = rest;
        Some((*kind, body))
    }
}

fn decode_body(kind: u8, body: &[u8]) -> Result<Message<'_>, WireError> {
    let limit = DatagramBuilder::MAX_BODY_BYTES;
    match kind {
        SWIM => Ok(Message::Swim(body)),
        HELLO => from_bytes(body, limit).map(Message::Hello),
        WELCOME => from_bytes(body, limit).map(Message::Welcome),
        REFERRAL => from_bytes(body, limit).map(Message::Referral),
        RUMORS => {
            let (sender, List(deltas)): (NodeId, List<Delta>) = from_bytes(body, limit)?;
            deltas.iter().try_for_each(Delta::validate)?;
            Ok(Message::Rumors(sender, deltas))
        }
        DIGEST => from_bytes(body, limit).map(Message::Digest),
        PULL => from_bytes(body, limit).map(Message::Pull),
        CLAIM => from_bytes(body, limit).map(Message::Claim),
        PING => from_bytes(body, limit).map(Message::Ping),
        PONG => from_bytes(body, limit).map(Message::Pong),
        ASK => from_bytes(body, limit).map(Message::Ask),
        VOTE => from_bytes(body, limit).map(Message::Vote),
        MEMBER_UPDATES => {
            let member_updates: MemberUpdates = from_bytes(body, limit)?;
            member_updates.validate()?;
            Ok(Message::MemberUpdates(member_updates))
        }
        COMPARE => {
            let compare: Compare = from_bytes(body, limit)?;
            compare.validate()?;
            Ok(Message::Compare(compare))
        }
        LISTING => from_bytes(body, limit).map(Message::Listing),
        kind => Err(WireError::Kind(kind)),
    }
}
