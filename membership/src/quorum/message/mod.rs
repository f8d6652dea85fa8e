//! What nodes ask voters, and what voters answer.

mod checks;
mod encoding;

use smol_str::SmolStr;

use super::chain::{Ballot, Chain, Configuration, Proposal};
use super::entry::{Entry, Fence, OriginEnd};
use super::voter::image::{Change, Cursor, VoterLife};
use crate::base::identity::{Epoch, NodeId};
use crate::codec::{DecodeError, Field, Reader, Writer, block};

/// Bytes of registers in one part of a message.
pub(crate) const PAGE_BYTES: usize = 16 * 1024;
/// Bytes of one message, beside one last part.
pub(crate) const MESSAGE_BYTES: usize = 24 * 1024;
/// Parts of one message. Further ones are not read.
pub(crate) const MAX_PARTS: usize = 64;

/// Several questions to one voter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ask {
    /// Names the questions. It is drawn at random.
    pub number: u64,
    /// What the asker knows of the configurations.
    pub chain: Option<Chain>,
    /// The questions.
    pub parts: Vec<Part>,
}
block!(Ask { number as Fixed, chain, parts });

/// The answers to the questions of an [`Ask`], in their order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// The number of the questions.
    pub number: u64,
    /// The voter that answers.
    pub voice: Voice,
    /// What the voter knows of the configurations.
    pub chain: Option<Chain>,
    /// The answers.
    pub answers: Vec<Answer>,
}
block!(Reply { number as Fixed, voice, chain, answers });

/// A voter, and what it remembers of the others.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Voice {
    /// Its token; 0 if it has never drawn one.
    pub token: u64,
    /// How often it recovered.
    pub recoveries: u32,
    /// Whether its image of what it acknowledged is lost.
    pub is_lost: bool,
    /// What it remembers of the recoveries of others.
    pub lives: Vec<VoterLife>,
}
block!(Voice { token as Fixed, recoveries, is_lost, lives });

/// A question about one service, with registers for the voter to take first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Look {
    /// The service.
    pub service: SmolStr,
    /// Registers that the voter joins, and keeps, before it answers.
    pub entries: Vec<Entry>,
    /// Ends of origins that it joins.
    pub ends: Vec<OriginEnd>,
    /// The digest at which the voter needs not list its registers.
    pub known: u128,
    /// Whether the voter lists its registers if it has another digest.
    pub lists: bool,
    /// The register, by origin and id, after which the list begins.
    pub after: Option<Last>,
}
block!(Look { service, entries, ends, known, lists, after });

/// The last register of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Last {
    /// Its origin.
    pub origin: NodeId,
    /// The instance.
    pub id: SmolStr,
}
block!(Last { origin, id });

/// A write of an origin, for a voter to keep.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Deposit {
    /// The registers.
    pub entries: Vec<Entry>,
    /// Ends of origins, by an operator's word.
    pub ends: Vec<OriginEnd>,
    /// The life of the origin; none for an operator.
    pub fence: Option<Fence>,
}
block!(Deposit { entries, ends, fence });

/// One question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    /// Join registers, and tell the digest of a service.
    Look(Look),
    /// Keep a write.
    Write(Deposit),
    /// Draw a token for the configuration with this number. An operator may vouch that there was no first configuration before.
    Enlist(u64, bool),
    /// Accept the first configuration.
    Found(Configuration),
    /// Promise to refuse lower attempts to decide the configuration with this number.
    Prepare(u64, Ballot),
    /// Accept a proposal.
    Accept(Proposal),
    /// Tell whether the voter holds what the predecessor of the configuration with this number held.
    CaughtUp(u64),
    /// Tell how often the asker recovered, as far as the voter remembers.
    Lives,
    /// Note that the asker recovers for this time, and send a part of the image.
    Recover(Recover),
    /// Send a part of the image.
    Image(Option<Cursor>),
    /// A question of a later version.
    Unknown,
}

/// A voter that recovers, and the part of the image that it asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recover {
    /// Its token.
    pub token: u64,
    /// The number of its recoveries, this one among them.
    pub recoveries: u32,
    /// Where the part begins.
    pub after: Option<Cursor>,
}
block!(Recover { token as Fixed, recoveries, after });

/// The answer to a [`Look`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// The digest of the service, after the registers were joined.
    pub digest: u128,
    /// Registers, if the digest is not the known one.
    pub entries: Vec<Entry>,
    /// Ends of their origins.
    pub ends: Vec<OriginEnd>,
    /// The last register, if there are more.
    pub next: Option<Last>,
    /// Whether all registers beyond the start of the list, or beyond `next`, are in it.
    pub is_listed: bool,
}
block!(Seen { digest, entries, ends, next, is_listed });

/// A part of an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// What it holds.
    pub changes: Vec<Change>,
    /// Where the next part begins, if there is one.
    pub next: Option<Cursor>,
}
block!(Page { changes, next });

/// The answer to one question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The voter did what was asked.
    Done,
    /// The voter does not vote: it has no seat, or it has lost its disk and has not recovered.
    NotVoting,
    /// The digest of a service.
    Seen(Seen),
    /// A later life of the origin, or another key, is known.
    Fenced(Epoch),
    /// There is no room for further registers.
    Full,
    /// The token that was drawn.
    Enlisted(u64),
    /// Another first configuration was accepted, or another successor is decided.
    Taken(Option<Configuration>),
    /// Lower attempts are refused; what was accepted before.
    Promised(Option<Proposal>),
    /// A higher attempt is under way.
    Refused(Ballot),
    /// Whether the voter holds what it has to.
    CaughtUp(bool),
    /// How often the asker recovered.
    Life(u32),
    /// A part of the image.
    Page(Page),
    /// The voter does not know the question.
    Unknown,
    /// The reply has no room for this answer. The question is asked again.
    Later,
    /// The voter cannot tell whether it accepted a first configuration before.
    Forgetful,
}

/// A message between two nodes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// Questions to a voter.
    Ask(Ask),
    /// Its answers.
    Reply(Reply),
}

impl Message {
    /// The message as bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut writer = Writer::default();
        match self {
            Self::Ask(ask) => {
                writer.byte(1);
                ask.put(&mut writer);
            }
            Self::Reply(reply) => {
                writer.byte(2);
                reply.put(&mut writer);
            }
        }
        writer.into_bytes()
    }

    /// Reads a message.
    ///
    /// # Errors
    /// The bytes are no message, or a part of it is out of range.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        let message = match reader.byte()? {
            1 => Self::Ask(Ask::take(&mut reader)?),
            2 => Self::Reply(Reply::take(&mut reader)?),
            kind => return Err(DecodeError::Unknown(kind)),
        };
        message.check()?;
        Ok(message)
    }

    fn check(&self) -> Result<(), DecodeError> {
        let (chain, parts, are_valid) = match self {
            Self::Ask(ask) => (&ask.chain, ask.parts.len(), ask.parts.iter().all(Part::is_valid)),
            Self::Reply(reply) => {
                let are_valid =
                    reply.voice.is_valid() && reply.answers.iter().all(Answer::is_valid);
                (&reply.chain, reply.answers.len(), are_valid)
            }
        };
        if !are_valid {
            return Err(DecodeError::Invalid("a part of a message is out of range"));
        }
        if chain.as_ref().is_some_and(|chain| !chain.is_valid()) {
            return Err(DecodeError::Invalid("a configuration of voters is out of range"));
        }
        if parts > MAX_PARTS {
            return Err(DecodeError::Invalid("a message has too many parts"));
        }
        Ok(())
    }
}
