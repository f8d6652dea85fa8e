//! bincode with limits.

use ::bincode::config::{Configuration, Limit, LittleEndian, Varint};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// A message cannot be written or read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BinaryError {
    #[error("it takes {len} bytes; the limit is {limit}")]
    TooLarge { len: usize, limit: usize },
    #[error("{0} bytes follow the message")]
    TrailingBytes(usize),
    #[error(transparent)]
    Encode(#[from] ::bincode::error::EncodeError),
    #[error(transparent)]
    Decode(#[from] ::bincode::error::DecodeError),
}

/// bincode charges every integer its full width, so that a legal message may count as 16 times its length.
const LIMIT_FACTOR: usize = 16;

type Limited<const N: usize> = Configuration<LittleEndian, Varint, Limit<N>>;

/// Writes a message of at most `limit` bytes.
pub(crate) fn to_bytes<T: Serialize>(message: &T, limit: usize) -> Result<Vec<u8>, BinaryError> {
    let bytes = ::bincode::serde::encode_to_vec(message, ::bincode::config::standard())?;
    if bytes.len() > limit {
        return Err(BinaryError::TooLarge { len: bytes.len(), limit });
    }
    Ok(bytes)
}

/// Reads a message that takes all of `bytes`, at most `limit` of them. What it allocates is bounded by their number,
/// whatever the lengths inside claim.
pub(crate) fn from_bytes<T: DeserializeOwned>(
    bytes: &[u8],
    limit: usize,
) -> Result<T, BinaryError> {
    if bytes.len() > limit {
        return Err(BinaryError::TooLarge { len: bytes.len(), limit });
    }
    let (message, read) = decode(bytes)?;
    if read == bytes.len() {
        Ok(message)
    } else {
        Err(BinaryError::TrailingBytes(bytes.len() - read))
    }
}

fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<(T, usize), BinaryError> {
    const SMALL: usize = 1 << 10;
    const MEDIUM: usize = 16 << 10;
    const LARGE: usize = 1 << 20;
    const HUGE: usize = 16 << 20;
    fn with<T: DeserializeOwned, const N: usize>(bytes: &[u8]) -> Result<(T, usize), BinaryError> {
        let config: Limited<N> = ::bincode::config::standard().with_limit::<N>();
        Ok(::bincode::serde::decode_from_slice(bytes, config)?)
    }
    match bytes.len() {
        len if len <= SMALL => with::<T, { LIMIT_FACTOR * SMALL }>(bytes),
        len if len <= MEDIUM => with::<T, { LIMIT_FACTOR * MEDIUM }>(bytes),
        len if len <= LARGE => with::<T, { LIMIT_FACTOR * LARGE }>(bytes),
        len if len <= HUGE => with::<T, { LIMIT_FACTOR * HUGE }>(bytes),
        len => Err(BinaryError::TooLarge { len, limit: HUGE }),
    }
}
