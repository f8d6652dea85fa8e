//! Datagrams: messages in an envelope.

use super::WireError;
use super::ages::Ages;
use super::claim::Claim;
use super::datacenter::ReachVote;
use super::envelope::Envelope;
use super::gateways::{Beat, Tell, TellAck};
use super::liveness::{Ask, Compare, ExitVote, Listing, MemberUpdates, Ping, Pong, Vote};
use crate::base::datacenter::DatacenterId;
use crate::base::identity::{Epoch, Identity, NodeId};
use crate::catalog::{Delta, Head, Version, Want};
use crate::codec::{Block, DecodeError, Field, Reader, Writer, block};

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
const EXIT_VOTE: u8 = 17;
const REACH_VOTE: u8 = 21;
const TELL: u8 = 22;
const TELL_ACK: u8 = 23;
const BULK: u8 = 25;
const BEAT: u8 = 26;
const CONFIRM: u8 = 30;
const CONFIRMED: u8 = 31;

/// A hello to a seed address, and the answers to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hello {
    /// A random number drawn by the node that says hello. The answer carries it back.
    pub token: u64,
    /// The sender. In a referral it is the member to say hello to instead.
    pub identity: Identity,
    /// The datacenter of the sender; in a referral, too.
    pub datacenter: DatacenterId,
    /// The low half of a hash of the tables of other datacenters that the sender holds.
    pub tables: [u8; 4],
}
block!(Hello { token, identity } later { datacenter: DatacenterId::UNKNOWN, tables: [0; 4] });

/// A summary of the catalog of the sender.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Digest {
    /// The sender.
    pub sender: NodeId,
    /// The digest of its whole catalog.
    pub catalog: u64,
    /// The heads that changed lately.
    pub recent: Vec<Head>,
}
block!(Digest { sender, catalog as Fixed, recent });

/// A request for versions that the sender lacks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pull {
    /// The sender.
    pub sender: NodeId,
    /// The versions that it lacks.
    pub wants: Vec<Want>,
}
block!(Pull { sender, wants });

/// A question whether the receiver has applied the records of an origin up to a version, and the answer that it has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Confirm {
    /// The sender.
    pub sender: NodeId,
    /// The origin.
    pub origin: NodeId,
    /// The epoch of the origin; in the answer the one that is served.
    pub epoch: Epoch,
    /// The version; in the answer the one up to which all are served.
    pub version: Version,
}
block!(Confirm { sender, origin, epoch, version });

/// One message of a datagram.
#[derive(Clone, Debug, PartialEq)]
pub enum Message {
    /// A hello to a seed.
    Hello(Hello),
    /// The answer to a hello.
    Welcome(Hello),
    /// The answer of a seed that has no room: another member to say hello to.
    Referral(Hello),
    /// Rumors, their sender, and how old they are. Answers to pulls are rumors of an unknown age.
    Rumors(NodeId, Vec<Delta>, Ages),
    /// A digest.
    Digest(Digest),
    /// A request for versions that the sender lacks.
    Pull(Pull),
    /// A claim to a node id, sent to a possible duplicate.
    Claim(Claim),
    /// A question whether the receiver is alive.
    Ping(Ping),
    /// The answer to a ping.
    Pong(Pong),
    /// A question to a referee.
    Ask(Ask),
    /// The answer of a referee.
    Vote(Vote),
    /// Updates of members.
    MemberUpdates(MemberUpdates),
    /// Digests of a view of the members.
    Compare(Compare),
    /// A part of a view of the members.
    Listing(Listing),
    /// The findings of a node about a member whose process may have exited.
    ExitVote(ExitVote),
    /// The findings of a gateway about another datacenter.
    ReachVote(ReachVote),
    /// A question whether the receiver has applied records.
    Confirm(Confirm),
    /// The answer that it has.
    Confirmed(Confirm),
    /// News of an origin for a gateway of its datacenter.
    Tell(Tell),
    /// The answer of the gateway.
    TellAck(TellAck),
    /// A sign of life of a datacenter, as a rule with what its sender holds.
    Beat(Beat),
    /// Rumors of what a session with another datacenter brought, and their sender.
    Bulk(NodeId, Vec<Delta>),
}

impl Message {
    /// The member that sent the message, as the message says. A pong and a referral do not say it.
    pub(crate) fn sender(&self) -> Option<NodeId> {
        Some(match self {
            Self::Hello(hello) | Self::Welcome(hello) => hello.identity.node_id,
            Self::Referral(_) | Self::Pong(_) => return None,
            Self::Rumors(sender, ..) | Self::Bulk(sender, _) => *sender,
            Self::Tell(tell) => tell.sender,
            Self::TellAck(ack) => ack.sender,
            Self::Beat(beat) => beat.sender,
            Self::Digest(digest) => digest.sender,
            Self::Pull(pull) => pull.sender,
            Self::Claim(claim) => claim.identity.node_id,
            Self::Ping(ping) => ping.sender,
            Self::Ask(ask) => ask.sender,
            Self::Vote(vote) => vote.sender,
            Self::MemberUpdates(updates) => updates.sender,
            Self::Compare(compare) => compare.sender,
            Self::Listing(listing) => listing.sender,
            Self::ExitVote(vote) => vote.sender,
            Self::ReachVote(vote) => vote.sender,
            Self::Confirm(confirm) | Self::Confirmed(confirm) => confirm.sender,
        })
    }

    fn kind(&self) -> u8 {
        match self {
            Self::Hello(_) => HELLO,
            Self::Welcome(_) => WELCOME,
            Self::Referral(_) => REFERRAL,
            Self::Rumors(..) => RUMORS,
            Self::Digest(_) => DIGEST,
            Self::Pull(_) => PULL,
            Self::Claim(_) => CLAIM,
            Self::Ping(_) => PING,
            Self::Pong(_) => PONG,
            Self::Ask(_) => ASK,
            Self::Vote(_) => VOTE,
            Self::MemberUpdates(_) => MEMBER_UPDATES,
            Self::Compare(_) => COMPARE,
            Self::Listing(_) => LISTING,
            Self::ExitVote(_) => EXIT_VOTE,
            Self::ReachVote(_) => REACH_VOTE,
            Self::Confirm(_) => CONFIRM,
            Self::Confirmed(_) => CONFIRMED,
            Self::Tell(_) => TELL,
            Self::TellAck(_) => TELL_ACK,
            Self::Beat(_) => BEAT,
            Self::Bulk(..) => BULK,
        }
    }

    fn put_fields(&self, writer: &mut Writer) {
        match self {
            Self::Hello(hello) | Self::Welcome(hello) | Self::Referral(hello) => {
                hello.put_fields(writer);
            }
            Self::Rumors(sender, deltas, ages) => {
                sender.put(writer);
                deltas.put(writer);
                ages.put(writer);
            }
            Self::Bulk(sender, deltas) => {
                sender.put(writer);
                deltas.put(writer);
            }
            Self::Digest(digest) => digest.put_fields(writer),
            Self::Pull(pull) => pull.put_fields(writer),
            Self::Claim(claim) => claim.put_fields(writer),
            Self::Ping(ping) => ping.put_fields(writer),
            Self::Pong(pong) => pong.put_fields(writer),
            Self::Ask(ask) => ask.put_fields(writer),
            Self::Vote(vote) => vote.put_fields(writer),
            Self::MemberUpdates(member_updates) => member_updates.put_fields(writer),
            Self::Compare(compare) => compare.put_fields(writer),
            Self::Listing(listing) => listing.put_fields(writer),
            Self::ExitVote(vote) => vote.put_fields(writer),
            Self::ReachVote(vote) => vote.put_fields(writer),
            Self::Confirm(confirm) | Self::Confirmed(confirm) => confirm.put_fields(writer),
            Self::Tell(tell) => tell.put_fields(writer),
            Self::TellAck(ack) => ack.put_fields(writer),
            Self::Beat(beat) => beat.put_fields(writer),
        }
    }

    fn take_fields(kind: u8, reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        match kind {
            HELLO => Hello::take_fields(reader).map(Self::Hello),
            WELCOME => Hello::take_fields(reader).map(Self::Welcome),
            REFERRAL => Hello::take_fields(reader).map(Self::Referral),
            RUMORS | BULK => {
                let (sender, deltas) = (NodeId::take(reader)?, Vec::<Delta>::take(reader)?);
                deltas.iter().try_for_each(Delta::validate)?;
                Ok(match kind {
                    RUMORS => Self::Rumors(sender, deltas, Ages::take(reader)?),
                    _ => Self::Bulk(sender, deltas),
                })
            }
            TELL => {
                let tell = Tell::take_fields(reader)?;
                tell.validate()?;
                Ok(Self::Tell(tell))
            }
            TELL_ACK => TellAck::take_fields(reader).map(Self::TellAck),
            BEAT => {
                let beat = Beat::take_fields(reader)?;
                beat.validate()?;
                Ok(Self::Beat(beat))
            }
            DIGEST => Digest::take_fields(reader).map(Self::Digest),
            PULL => Pull::take_fields(reader).map(Self::Pull),
            CLAIM => Claim::take_fields(reader).map(Self::Claim),
            PING => Ping::take_fields(reader).map(Self::Ping),
            PONG => Pong::take_fields(reader).map(Self::Pong),
            ASK => Ask::take_fields(reader).map(Self::Ask),
            VOTE => Vote::take_fields(reader).map(Self::Vote),
            MEMBER_UPDATES => {
                let member_updates = MemberUpdates::take_fields(reader)?;
                member_updates.validate()?;
                Ok(Self::MemberUpdates(member_updates))
            }
            COMPARE => {
                let compare = Compare::take_fields(reader)?;
                compare.validate()?;
                Ok(Self::Compare(compare))
            }
            LISTING => Listing::take_fields(reader).map(Self::Listing),
            EXIT_VOTE => ExitVote::take_fields(reader).map(Self::ExitVote),
            REACH_VOTE => ReachVote::take_fields(reader).map(Self::ReachVote),
            CONFIRM => Confirm::take_fields(reader).map(Self::Confirm),
            CONFIRMED => Confirm::take_fields(reader).map(Self::Confirmed),
            kind => Err(DecodeError::Unknown(kind)),
        }
    }
}

/// The messages of one datagram, without an envelope.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Packed {
    bytes: Vec<u8>,
    /// The member that they are for, if no other has a use for them.
    receiver: Option<NodeId>,
}

/// A message that has a short form in a sealed cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ShortForm {
    /// A ping.
    Ping,
    /// A pong.
    Pong,
    /// A digest that names no heads.
    Digest,
}

impl Packed {
    /// Whether there is no message.
    pub(super) fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// The bytes of the messages.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The same messages for one member.
    pub(super) fn for_receiver(self, receiver: NodeId) -> Self {
        Self { receiver: Some(receiver), ..self }
    }

    /// The member that the messages are for, if it was named.
    pub(crate) fn receiver(&self) -> Option<NodeId> {
        self.receiver
    }

    /// The short form of these messages: that of a pong, or that of a ping or a digest without heads for one member, if it is
    /// the only message.
    pub(crate) fn short_form(&self) -> Option<ShortForm> {
        let &[kind, len, .., last] = &self.bytes[..] else { return None };
        let is_only = usize::from(len) + 2 == self.bytes.len();
        match kind {
            PONG if is_only => Some(ShortForm::Pong),
            _ if !is_only || self.receiver.is_none() => None,
            PING => Some(ShortForm::Ping),
            // No list follows the sender and the hash, or an empty one.
            DIGEST if usize::from(len) == 8 + 8 + 1 && last == 0 => Some(ShortForm::Digest),
            _ => None,
        }
    }

    /// The same rumors with their ages, if they have at most `room` bytes with them; else as they are. `self` is one message
    /// of rumors of unknown ages.
    pub(crate) fn with_ages(self, ages: &Ages, room: usize) -> Self {
        let mut reader = Reader::new(&self.bytes);
        // Unknown ages are an empty list at the end.
        let (Ok(kind), Ok([fields @ .., 0])) = (reader.byte(), reader.prefixed()) else {
            return self;
        };
        let mut writer = Writer::default();
        writer.byte(kind);
        writer.block(|writer| {
            writer.raw(fields);
            ages.put(writer);
        });
        let bytes = writer.into_bytes();
        if bytes.len() > room { self } else { Self { bytes, ..self } }
    }

    /// The messages as they are read.
    pub(crate) fn messages(&self) -> Messages<'_> {
        Messages::new(&self.bytes)
    }

    /// Adds a message, so that all have at most `room` bytes together; leaves them as they were when it does not fit.
    pub(super) fn push(&mut self, message: &Message, room: usize) -> Result<(), WireError> {
        let mut writer = Writer::default();
        writer.byte(message.kind());
        writer.block(|writer| message.put_fields(writer));
        let message = writer.into_bytes();
        let limit = room - self.bytes.len();
        if message.len() > limit {
            return Err(WireError::TooLarge { len: message.len(), limit });
        }
        if self.bytes.is_empty() {
            self.bytes = message;
        } else {
            self.bytes.extend_from_slice(&message);
        }
        Ok(())
    }
}

#[cfg(test)]
impl From<Vec<u8>> for Packed {
    fn from(bytes: Vec<u8>) -> Self {
        Self { bytes, receiver: None }
    }
}

/// Collects messages into one datagram, for tests: a node closes the envelope of its own datagrams itself.
#[derive(Debug)]
pub struct DatagramBuilder {
    envelope: Envelope,
    messages: Packed,
}

impl DatagramBuilder {
    /// A datagram without messages.
    #[must_use]
    pub fn new(envelope: Envelope) -> Self {
        Self { envelope, messages: Packed::default() }
    }

    /// Whether nothing was added yet.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.messages.is_empty()
    }

    /// Adds a message; leaves the datagram as it was when there is no room.
    ///
    /// # Errors
    /// [`WireError::TooLarge`] when it does not fit.
    pub fn push(&mut self, message: &Message) -> Result<(), WireError> {
        self.messages.push(message, self.envelope.messages_bytes())
    }

    /// The finished datagram.
    #[must_use]
    pub fn finish(self) -> Vec<u8> {
        self.envelope.close(self.messages.bytes())
    }
}

/// Opens the envelope of a datagram.
///
/// # Errors
/// When it is none that we read: too short, sealed, of another version or another cluster, or its checksum does not match.
pub fn decode_datagram<'a>(
    bytes: &'a [u8],
    envelope: &Envelope,
) -> Result<Messages<'a>, WireError> {
    envelope.open(bytes).map(Messages::new)
}

/// The messages of a datagram. It ends at the first one that is malformed, and skips and counts what is of a kind that
/// it does not know.
#[derive(Debug)]
pub struct Messages<'a> {
    reader: Reader<'a>,
}

impl<'a> Messages<'a> {
    /// Reads the messages between the bytes of an envelope.
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { reader: Reader::new(bytes) }
    }

    /// The number of messages, and elements of lists, that were skipped so far because their kind is unknown.
    #[must_use]
    pub fn skipped(&self) -> u32 {
        self.reader.skipped()
    }
}

impl Iterator for Messages<'_> {
    type Item = Result<Message, WireError>;

    fn next(&mut self) -> Option<Self::Item> {
        while !self.reader.is_empty() {
            match take_message(&mut self.reader) {
                Err(DecodeError::Unknown(_)) => self.reader.skip(),
                Err(error) => {
                    self.reader = self.reader.ended();
                    return Some(Err(error.into()));
                }
                Ok(message) => return Some(Ok(message)),
            }
        }
        None
    }
}

fn take_message(reader: &mut Reader<'_>) -> Result<Message, DecodeError> {
    let kind = reader.byte()?;
    reader.block(|reader| Message::take_fields(kind, reader))
}
