//! The wire format. This module owns every byte that a node sends or takes, and is the only one that knows bincode.
//!
//! A datagram is `version: u8, checksum: u32 LE, cluster: [u8; 2]` and then messages, each `kind: u8, len: u16 LE, body`.
//! The checksum is the low half of XXH3-64 over the rest, seeded with the cluster, so that noise, corruption and other
//! clusters end here. A receiver skips the kinds that it does not know. A stream frame is `kind: u8, body`;
//! QUIC sees to its integrity.
//!
//! Bodies are bincode 2 (little endian, variable-length integers) under a limit: bincode would otherwise allocate what
//! a hostile length field asks for.

mod datagram;
mod frame;
mod liveness;
mod outbox;
mod swim;

use std::fmt;
use std::marker::PhantomData;

use bincode::config::{Configuration, Limit, LittleEndian, Varint, standard};
use serde::de::{DeserializeOwned, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

pub use crate::spread::sketch::Symbol;
pub use datagram::{DatagramBuilder, Digest, Hello, Message, Messages, Pull, decode_datagram};
pub use frame::{Frame, Heads, Lag, Opening, Sketch};
pub use liveness::{Ask, Compare, Listing, MemberUpdates, Ping, Pong, Update, Vote, pong_tag};
pub(crate) use outbox::Outbox;
pub(crate) use swim::SwimCodec;
pub(crate) use swim::{
    overhear, restore_destination, source_of, strip_destination, without_members,
};

/// The version that every datagram and frame starts with.
pub const VERSION: u8 = 1;

/// Why bytes could not be read, or a value not be written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WireError {
    /// The bytes end too early.
    #[error("the message is cut short")]
    Truncated,
    /// A protocol version that we do not speak.
    #[error("protocol version {0} is not ours ({VERSION})")]
    Version(u8),
    /// Noise, corruption, or another protocol.
    #[error("the checksum does not match")]
    Checksum,
    /// A datagram of another cluster.
    #[error("of another cluster")]
    OtherCluster,
    /// A kind of frame that we do not know.
    #[error("unknown kind {0}")]
    Kind(u8),
    /// More bytes than the limit of this kind of message.
    #[error("{len} bytes are more than the limit of {limit}")]
    TooLarge {
        /// How many there are.
        len: usize,
        /// How many are allowed.
        limit: usize,
    },
    /// Bytes are left over.
    #[error("{0} bytes are left over")]
    TrailingBytes(usize),
    /// A value that breaks a rule of the protocol.
    #[error("{0}")]
    Invalid(&'static str),
    /// bincode could not read it.
    #[error("malformed: {0}")]
    Decode(#[from] bincode::error::DecodeError),
    /// bincode could not write it.
    #[error("cannot be encoded: {0}")]
    Encode(#[from] bincode::error::EncodeError),
}

/// bincode charges every integer its full width, so that a legal message may count as 16 times its length.
const LIMIT_FACTOR: usize = 16;

type Limited<const N: usize> = Configuration<LittleEndian, Varint, Limit<N>>;

/// Writes a value of at most `limit` bytes.
///
/// # Errors
/// [`WireError::TooLarge`] beyond the limit, [`WireError::Encode`] when the type cannot be written.
pub fn to_bytes<T: Serialize>(value: &T, limit: usize) -> Result<Vec<u8>, WireError> {
    let bytes = bincode::serde::encode_to_vec(value, standard())?;
    if bytes.len() > limit {
        Err(WireError::TooLarge { len: bytes.len(), limit })
    } else {
        Ok(bytes)
    }
}

/// Reads a value that takes all of `bytes`, at most `limit` of them.
///
/// # Errors
/// [`WireError::TooLarge`] beyond the limit, [`WireError::Decode`] when the bytes are malformed,
/// [`WireError::TrailingBytes`] when some are left over.
pub fn from_bytes<T: DeserializeOwned>(bytes: &[u8], limit: usize) -> Result<T, WireError> {
    if bytes.len() > limit {
        return Err(WireError::TooLarge { len: bytes.len(), limit });
    }
    let (value, read) = decode_prefix(bytes)?;
    if read == bytes.len() { Ok(value) } else { Err(WireError::TrailingBytes(bytes.len() - read)) }
}

/// How many bytes a value takes on the wire.
pub(crate) fn encoded_len<T: Serialize>(value: &T) -> usize {
    struct Count(usize);
    impl bincode::enc::write::Writer for Count {
        fn write(&mut self, bytes: &[u8]) -> Result<(), bincode::error::EncodeError> {
            self.0 += bytes.len();
            Ok(())
        }
    }
    let mut count = Count(0);
    match bincode::serde::encode_into_writer(value, &mut count, standard()) {
        Ok(()) => count.0,
        Err(_) => usize::MAX,
    }
}

/// Reads a list without making room for as many items as it claims to have: serde would allocate a megabyte for a few
/// hostile bytes.
pub(crate) fn list<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    deserializer: D,
) -> Result<Vec<T>, D::Error> {
    struct Items<T>(PhantomData<T>);
    impl<'de, T: Deserialize<'de>> Visitor<'de> for Items<T> {
        type Value = Vec<T>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a list")
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Vec<T>, A::Error> {
            let mut list = Vec::new();
            while let Some(item) = items.next_element()? {
                list.push(item);
            }
            Ok(list)
        }
    }
    deserializer.deserialize_seq(Items(PhantomData))
}

/// A whole body that is one [`list`].
#[derive(Deserialize)]
#[serde(bound = "T: Deserialize<'de>")]
struct List<T>(#[serde(deserialize_with = "list")] Vec<T>);

/// Reads a value from the front of `bytes` and tells how many it took. What it allocates is bounded by the length of
/// `bytes`, whatever the lengths inside claim: 64 times for a text, and for a list what its items take.
fn decode_prefix<T: DeserializeOwned>(bytes: &[u8]) -> Result<(T, usize), WireError> {
    const TINY: usize = 256;
    const SMALL: usize = 1 << 10;
    const RECORD: usize = 4 << 10;
    const MEDIUM: usize = 16 << 10;
    const FRAME: usize = 64 << 10;
    const LARGE: usize = 1 << 20;
    const HUGE: usize = 16 << 20;
    fn with<T: DeserializeOwned, const N: usize>(bytes: &[u8]) -> Result<(T, usize), WireError> {
        let config: Limited<N> = standard().with_limit::<N>();
        Ok(bincode::serde::decode_from_slice(bytes, config)?)
    }
    match bytes.len() {
        len if len <= TINY => with::<T, { LIMIT_FACTOR * TINY }>(bytes),
        len if len <= SMALL => with::<T, { LIMIT_FACTOR * SMALL }>(bytes),
        len if len <= RECORD => with::<T, { LIMIT_FACTOR * RECORD }>(bytes),
        len if len <= MEDIUM => with::<T, { LIMIT_FACTOR * MEDIUM }>(bytes),
        len if len <= FRAME => with::<T, { LIMIT_FACTOR * FRAME }>(bytes),
        len if len <= LARGE => with::<T, { LIMIT_FACTOR * LARGE }>(bytes),
        len if len <= HUGE => with::<T, { LIMIT_FACTOR * HUGE }>(bytes),
        len => Err(WireError::TooLarge { len, limit: HUGE }),
    }
}
