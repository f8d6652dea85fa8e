//! Frames of a sync session, one stream each.

use super::WireError;
use super::credentials::{Credentials, HandedGeneration, HandedRevocations, Refusal};
use super::datacenter::{Introduction, Tables};
use super::envelope::{CLEAR, SEALED, check_first_byte};
use super::liveness::{Ping, Pong};
use super::request::{Answer, Question, Reply, Request, check_body};
use crate::base::cluster::ClusterMark;
use crate::base::datacenter::DatacenterId;
use crate::base::identity::{Identity, NodeId};
use crate::base::limits::MAX_FRAME_BYTES;
use crate::catalog::{Delta, Version, Want};
use crate::codec::{Block, DecodeError, Field, Reader, Writer, block};

const OPENING: u8 = 1;
const MEMBERS: u8 = 2;
const SKETCH: u8 = 3;
const MORE: u8 = 4;
const HEADS: u8 = 5;
const DELTAS: u8 = 6;
const LAST_DELTAS: u8 = 7;
const END: u8 = 8;
const DATACENTER: u8 = 9;
const PING: u8 = 10;
const PONG: u8 = 11;
const TABLES: u8 = 12;
const REQUEST: u8 = 13;
const ANSWER: u8 = 14;
const QUESTION: u8 = 15;
const REPLY: u8 = 16;
const CREDENTIALS: u8 = 20;
const GENERATIONS: u8 = 21;
const REVOCATIONS: u8 = 22;
const REFUSAL: u8 = 23;

/// The first frame from the side that opens a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Opening {
    /// The cluster of the sender. A node serves no session of another cluster.
    pub cluster: ClusterMark,
    /// The sender.
    pub identity: Identity,
    /// The digest of the members that the sender knows.
    pub members: u64,
    /// The digest of the part of the sender's catalog that the session is about.
    pub catalog: u64,
    /// The datacenter of the sender.
    pub datacenter: DatacenterId,
    /// The datacenter whose origins the session is about; `None` when it is about all.
    pub scope: Option<DatacenterId>,
}
block!(Opening { cluster, identity, members as Fixed, catalog as Fixed } later { datacenter: DatacenterId::UNKNOWN, scope: None });

/// The sender's lag behind a head of the receiver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lag {
    /// The highest four bytes of the hash of the receiver's head.
    pub head: [u8; 4],
    /// The number of versions, up to that head, that the sender lacks.
    pub versions: u8,
    /// The garbage collection floor of the sender, as in [`Want`].
    pub gc_floor: Version,
}
block!(Lag { head, versions, gc_floor });

/// The sender's knowledge of some origins.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Heads {
    flags: u8,
    /// Heads of the sender.
    pub heads: Vec<Want>,
    /// The same for origins whose head at the receiver the sender knows from the sketch.
    pub lags: Vec<Lag>,
    /// The highest four bytes of the hashes of heads of the receiver whose origins the sender does not know.
    pub unknown: Vec<[u8; 4]>,
}
block!(Heads { flags, heads, lags, unknown });

impl Heads {
    const LAST: u8 = 1;
    const WHOLE: u8 = 2;
    const BEYOND: u8 = 4;

    /// Heads after which more come.
    #[must_use]
    pub fn part(heads: Vec<Want>, lags: Vec<Lag>, unknown: Vec<[u8; 4]>) -> Self {
        Self { flags: 0, heads, lags, unknown }
    }

    /// The number of listed items.
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

    /// The same, and all together are the heads of every origin that the sender knows, not only of those that differ.
    #[must_use]
    pub fn whole(self) -> Self {
        Self { flags: self.flags | Self::WHOLE, ..self }
    }

    /// The same, and deltas of the sender follow although nobody asked: what it knows beyond gaps.
    #[must_use]
    pub fn beyond(self) -> Self {
        Self { flags: self.flags | Self::BEYOND, ..self }
    }

    /// Whether no more heads follow.
    #[must_use]
    pub fn is_last(&self) -> bool {
        self.flags & Self::LAST != 0
    }

    /// Whether origins that are not listed are unknown to the sender.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.flags & Self::WHOLE != 0
    }

    /// Whether deltas of the sender follow in any case.
    #[must_use]
    pub fn is_beyond(&self) -> bool {
        self.flags & Self::BEYOND != 0
    }

    /// Flags of a later version are left out.
    fn validate(self) -> Result<Self, DecodeError> {
        let flags = self.flags & (Self::LAST | Self::WHOLE | Self::BEYOND);
        if flags != 0 && flags & Self::LAST == 0 {
            return Err(DecodeError::Invalid("heads with flags before the last of them"));
        }
        Ok(Self { flags, ..self })
    }
}

/// A coded symbol of a sketch: the XOR of some elements of the set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Symbol {
    /// The XOR of the elements.
    pub(crate) sum: [u8; 8],
    /// The XOR of their check values.
    pub(crate) check: [u8; 4],
    /// The number of elements, modulo 256. It serves only to estimate how many symbols are needed.
    pub(crate) count: u8,
}

/// A fixed row of bytes, not a block. Another coding of sets would use another kind of frame.
impl Field for Symbol {
    fn put(&self, writer: &mut Writer) {
        self.sum.put(writer);
        self.check.put(writer);
        self.count.put(writer);
    }

    fn take(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self { sum: reader.array()?, check: reader.array()?, count: reader.byte()? })
    }
}

impl Symbol {
    /// Bytes of a symbol on the wire.
    pub const BYTES: usize = 13;
}

/// The beginning, or the rest, of a coded set of heads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sketch {
    /// The number of heads in the set.
    pub heads: u32,
    /// The symbols that follow those of the frames before.
    pub symbols: Vec<Symbol>,
}
block!(Sketch { heads, symbols });

/// A frame of a sync session.
#[derive(Clone, Debug, PartialEq)]
pub enum Frame {
    /// The first frame from the side that opened the stream.
    Opening(Opening),
    /// The active members that the sender knows.
    Members(Vec<Identity>),
    /// Coded heads of the sender.
    Sketch(Sketch),
    /// A request for this many more symbols. With 0 it asks for all heads instead.
    More(u32),
    /// The sender's knowledge of the origins that differ.
    Heads(Heads),
    /// Deltas that the receiver lacks.
    Deltas {
        /// The deltas.
        deltas: Vec<Delta>,
        /// Whether this is the last frame of the sender.
        last: bool,
    },
    /// The last frame of the sender, without deltas.
    End,
    /// The first frame of each side of a stream on which tables of members are exchanged.
    Datacenter(Introduction),
    /// Members of datacenters that the receiver lacks.
    Tables(Tables),
    /// A stream probe: a ping from a member of this cluster. It is the only frame of its side of the stream.
    Ping(ClusterMark, Ping),
    /// The answer to a stream probe.
    Pong(Pong),
    /// A request to a member: the only frame of its side of the stream.
    Request(Request),
    /// The answer to a request.
    Answer(Answer),
    /// A question to a voter, or its like. Others may follow on the stream.
    Question(Question),
    /// The reply to a question.
    Reply(Reply),
    /// The first frame of each side in a sealed cluster.
    Credentials(Credentials),
    /// Generations that the receiver lacks.
    Generations(Vec<HandedGeneration>),
    /// Revocations that the receiver may lack.
    Revocations(HandedRevocations),
    /// The sender does not let the receiver in.
    Refusal(Refusal),
}

impl Frame {
    fn kind(&self) -> u8 {
        match self {
            Self::Opening(_) => OPENING,
            Self::Members(_) => MEMBERS,
            Self::Sketch(_) => SKETCH,
            Self::More(_) => MORE,
            Self::Heads(_) => HEADS,
            Self::Deltas { last: false, .. } => DELTAS,
            Self::Deltas { last: true, .. } => LAST_DELTAS,
            Self::End => END,
            Self::Datacenter(_) => DATACENTER,
            Self::Tables(_) => TABLES,
            Self::Ping(..) => PING,
            Self::Pong(_) => PONG,
            Self::Request(_) => REQUEST,
            Self::Answer(_) => ANSWER,
            Self::Question(_) => QUESTION,
            Self::Reply(_) => REPLY,
            Self::Credentials(_) => CREDENTIALS,
            Self::Generations(_) => GENERATIONS,
            Self::Revocations(_) => REVOCATIONS,
            Self::Refusal(_) => REFUSAL,
        }
    }

    fn put_fields(&self, writer: &mut Writer) {
        match self {
            Self::Opening(opening) => opening.put_fields(writer),
            Self::Members(members) => members.put(writer),
            Self::Sketch(sketch) => sketch.put_fields(writer),
            Self::More(symbols) => symbols.put(writer),
            Self::Heads(heads) => heads.put_fields(writer),
            Self::Deltas { deltas, .. } => deltas.put(writer),
            Self::End => {}
            Self::Datacenter(introduction) => introduction.put_fields(writer),
            Self::Tables(tables) => tables.put_fields(writer),
            Self::Ping(cluster, ping) => {
                cluster.put(writer);
                ping.put_fields(writer);
            }
            Self::Pong(pong) => pong.put_fields(writer),
            Self::Request(request) => request.put_fields(writer),
            Self::Question(question) => question.put_fields(writer),
            Self::Reply(reply) => reply.put_fields(writer),
            Self::Answer(answer) => answer.put_fields(writer),
            Self::Credentials(credentials) => credentials.put_fields(writer),
            Self::Generations(handed) => handed.put(writer),
            Self::Revocations(handed) => handed.put_fields(writer),
            Self::Refusal(refusal) => refusal.put_fields(writer),
        }
    }

    fn take_fields(kind: u8, reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        match kind {
            OPENING => Opening::take_fields(reader).map(Self::Opening),
            MEMBERS => Vec::take(reader).map(Self::Members),
            SKETCH => Sketch::take_fields(reader).map(Self::Sketch),
            MORE => u32::take(reader).map(Self::More),
            HEADS => Heads::take_fields(reader)?.validate().map(Self::Heads),
            DELTAS | LAST_DELTAS => {
                let deltas = Vec::<Delta>::take(reader)?;
                deltas.iter().try_for_each(Delta::validate)?;
                Ok(Self::Deltas { deltas, last: kind == LAST_DELTAS })
            }
            END => Ok(Self::End),
            DATACENTER => {
                let introduction = Introduction::take_fields(reader)?;
                introduction.validate()?;
                Ok(Self::Datacenter(introduction))
            }
            TABLES => {
                let tables = Tables::take_fields(reader)?;
                tables.validate()?;
                Ok(Self::Tables(tables))
            }
            PING => Ok(Self::Ping(Field::take(reader)?, Ping::take_fields(reader)?)),
            PONG => Pong::take_fields(reader).map(Self::Pong),
            REQUEST => {
                let request = Request::take_fields(reader)?;
                check_body(&request.body)?;
                Ok(Self::Request(request))
            }
            QUESTION => {
                let question = Question::take_fields(reader)?;
                check_body(&question.body)?;
                Ok(Self::Question(question))
            }
            REPLY => {
                let reply = Reply::take_fields(reader)?;
                check_body(&reply.body)?;
                Ok(Self::Reply(reply))
            }
            ANSWER => {
                let answer = Answer::take_fields(reader)?;
                check_body(&answer.body)?;
                Ok(Self::Answer(answer))
            }
            CREDENTIALS => Credentials::take_fields(reader).map(Self::Credentials),
            GENERATIONS => Vec::take(reader).map(Self::Generations),
            REVOCATIONS => HandedRevocations::take_fields(reader).map(Self::Revocations),
            REFUSAL => Refusal::take_fields(reader).map(Self::Refusal),
            kind => Err(DecodeError::Unknown(kind)),
        }
    }

    /// The byte that follows the kind of a frame which may begin a stream: the version and the form of all that follows.
    fn first_byte(kind: u8) -> Option<u8> {
        match kind {
            OPENING | DATACENTER | PING | REQUEST | QUESTION => Some(CLEAR),
            CREDENTIALS => Some(SEALED),
            _ => None,
        }
    }

    /// Whether these bytes claim to hand over generations or revocations.
    pub(crate) fn is_handed(bytes: &[u8]) -> bool {
        matches!(bytes, [GENERATIONS | REVOCATIONS, ..])
    }

    /// Whether these bytes claim to begin an exchange of tables.
    pub(crate) fn is_introduction(bytes: &[u8]) -> bool {
        matches!(bytes, [DATACENTER, ..])
    }

    /// Whether these bytes claim to be a request or a question.
    pub(crate) fn is_request(bytes: &[u8]) -> bool {
        matches!(bytes, [REQUEST | QUESTION, ..])
    }

    /// Whether these bytes claim to be a question.
    pub(crate) fn is_question(bytes: &[u8]) -> bool {
        matches!(bytes, [QUESTION, ..])
    }

    /// Whether these bytes are an end.
    pub(crate) fn is_end(bytes: &[u8]) -> bool {
        matches!(bytes, [END])
    }

    /// The node that the first frame of a session, an exchange, a stream probe or a request says it is from.
    pub(crate) fn named_sender(bytes: &[u8]) -> Option<NodeId> {
        match Self::decode(bytes) {
            Ok(Self::Opening(opening)) => Some(opening.identity.node_id),
            Ok(Self::Datacenter(introduction)) => Some(introduction.identity.node_id),
            Ok(Self::Ping(_, ping)) => Some(ping.sender),
            Ok(Self::Request(request)) => Some(request.sender),
            Ok(Self::Question(question)) => Some(question.sender),
            _ => None,
        }
    }

    /// Writes the frame.
    ///
    /// # Errors
    /// [`WireError::TooLarge`] beyond [`MAX_FRAME_BYTES`].
    pub fn encode(&self) -> Result<Vec<u8>, WireError> {
        let mut writer = Writer::default();
        writer.byte(self.kind());
        if let Some(byte) = Self::first_byte(self.kind()) {
            writer.byte(byte);
        }
        self.put_fields(&mut writer);
        match writer.len() {
            len if len > MAX_FRAME_BYTES => {
                Err(WireError::TooLarge { len, limit: MAX_FRAME_BYTES })
            }
            _ => Ok(writer.into_bytes()),
        }
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
        Self::read(bytes).map(|(frame, _)| frame)
    }

    /// Reads a frame. Returns with it how many elements of its lists were skipped because their kind is unknown.
    pub(crate) fn read(bytes: &[u8]) -> Result<(Self, u32), WireError> {
        if bytes.len() > MAX_FRAME_BYTES {
            return Err(WireError::TooLarge { len: bytes.len(), limit: MAX_FRAME_BYTES });
        }
        let mut reader = Reader::new(bytes);
        let kind = reader.byte()?;
        if let Some(expected) = Self::first_byte(kind) {
            let byte = reader.byte()?;
            if byte != expected {
                check_first_byte(byte)?;
                return Err(WireError::Form(byte >> 4));
            }
        }
        let frame = Self::take_fields(kind, &mut reader)?;
        Ok((frame, reader.skipped()))
    }
}
