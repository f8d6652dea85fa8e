//! The wire format: the messages of a datagram, and the frames of a stream.
//!
//! A datagram is an [`Envelope`] around messages. Each message is a kind and a block. The checksum of the envelope is
//! seeded with the cluster, so a receiver drops noise, damaged datagrams and those of other clusters. A frame of a stream
//! is a kind and fields; QUIC protects its integrity. A receiver skips and counts messages of an unknown kind. The module
//! `codec` says how blocks and fields can grow, and `docs/protocol/wire.md` has every byte.
//!
//! Both planes speak through this module: it knows base and catalog, and neither plane.

mod ages;
mod claim;
mod credentials;
mod datacenter;
mod datagram;
mod envelope;
mod frame;
mod gateways;
mod liveness;
mod outbox;
mod request;
mod verdict;

pub use crate::base::limits::WIRE_VERSION as VERSION;
use crate::codec::DecodeError;
pub use ages::Ages;
pub(crate) use ages::MAX_AGE_BYTES;
pub use claim::{Claim, Life};
pub(crate) use credentials::certificate_mark;
pub use credentials::{Credentials, GenerationMark, HandedGeneration, HandedRevocations, Refusal};
pub use datacenter::{
    HomeVerdict, Introduction, Isolation, Reach, ReachVote, RemoteMember, RoundTrip, TableDigest,
    Tables,
};
pub use datagram::{
    Confirm, DatagramBuilder, Digest, Hello, Message, Messages, Pull, decode_datagram,
};
pub(crate) use datagram::{Packed, ShortForm};
pub use envelope::Envelope;
pub(crate) use envelope::check_first_byte;

pub use frame::{Frame, Heads, Lag, Opening, Sketch, Symbol};
pub use gateways::{Beat, Echo, PartDigest, Summary, Tell, TellAck};
pub use liveness::{
    Ask, Compare, ExitVote, Listing, LocalHealth, MemberUpdates, Ping, Pong, Update, Vote, pong_tag,
};
pub(crate) use outbox::Outbox;
pub use request::{Answer, Question, Reply, Request, Taken};
pub use verdict::{Cause, Verdict};

/// Why bytes could not be read, or a message not be written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WireError {
    /// The bytes end before the envelope does.
    #[error("the datagram is cut short")]
    Truncated,
    /// A protocol version that we do not speak.
    #[error("protocol version {0} is not ours ({VERSION})")]
    Version(u8),
    /// One of the sealed forms of this version, which a clear cluster does not open.
    #[error("the datagram is sealed")]
    Sealed,
    /// A form of this version that nothing is known of.
    #[error("unknown form {0}")]
    Form(u8),
    /// Noise, corruption, or another protocol.
    #[error("the checksum does not match")]
    Checksum,
    /// A datagram of another cluster.
    #[error("of another cluster")]
    OtherCluster,
    /// More bytes than fit.
    #[error("{len} bytes are more than the limit of {limit}")]
    TooLarge {
        /// Their number.
        len: usize,
        /// The number that is allowed.
        limit: usize,
    },
    /// A message or a frame is malformed, or of an unknown kind.
    #[error("malformed: {0}")]
    Content(#[from] DecodeError),
}
