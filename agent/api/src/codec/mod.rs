//! The encodings of calls and replies on the unix socket: lines of JSON, and length-prefixed MessagePack.
//!
//! A connection speaks one of the two from its first byte on (see [`Dialect`]). Both codecs tell two kinds of trouble
//! apart. A message that is well delimited and makes no sense is an *item*, [`Malformed`], after which the connection
//! can go on; a message that cannot be delimited is a [`CodecError`], after which it cannot. No buffer grows by what a
//! length field promises: only by bytes that came.

mod binary;
mod json;

use std::io;

pub use binary::BinaryCodec;
pub use json::JsonCodec;

/// Bytes of one request, without its line feed or length prefix.
pub const MAX_REQUEST_BYTES: usize = 1 << 20;
/// Bytes of one response, without its line feed or length prefix. Below 2^24, as requests are, so that the length
/// prefix of a binary frame starts with a zero byte and never looks like JSON.
pub const MAX_RESPONSE_BYTES: usize = (1 << 24) - 1;

/// The language of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// One JSON object a line: for any language, without a library.
    Json,
    /// A big-endian `u32` length, then the same object in MessagePack.
    Binary,
}

impl Dialect {
    /// The dialect of a connection that starts with this byte. White space may precede a JSON object. Other text is
    /// answered in JSON too, so that a person who typed it can read what is wrong.
    #[must_use]
    pub fn of_first_byte(byte: u8) -> Self {
        if byte.is_ascii_graphic() || byte.is_ascii_whitespace() {
            Self::Json
        } else {
            Self::Binary
        }
    }
}

/// A message that was delimited and is not what was expected. The connection can go on after it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the message cannot be read: {reason}")]
pub struct Malformed {
    /// The id of the call, when that much could be read; else 0.
    pub id: u64,
    /// The reason why it is malformed.
    pub reason: String,
}

/// A connection that cannot go on, or a message that was not sent.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CodecError {
    /// The peer announced or sent a message beyond the limit. The connection has to be closed.
    #[error("a message is larger than the limit of {limit} bytes")]
    TooLarge {
        /// The limit.
        limit: usize,
    },
    /// The message cannot be encoded within the limit. Nothing of it was sent; the connection can go on.
    #[error("the message cannot be sent: {reason}")]
    Unencodable {
        /// Why.
        reason: String,
    },
    /// The socket failed, or was closed in the middle of a message.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// The most bytes of one message.
#[derive(Clone, Copy, Debug)]
struct Limits {
    read: usize,
    written: usize,
}

const SERVER: Limits = Limits { read: MAX_REQUEST_BYTES, written: MAX_RESPONSE_BYTES };
const CLIENT: Limits = Limits { read: MAX_RESPONSE_BYTES, written: MAX_REQUEST_BYTES };

impl Limits {
    fn check_read(self, len: usize) -> Result<(), CodecError> {
        if len > self.read { Err(CodecError::TooLarge { limit: self.read }) } else { Ok(()) }
    }

    fn check_written(self, len: usize) -> Result<(), CodecError> {
        if len <= self.written {
            return Ok(());
        }
        let reason = format!("it takes {len} bytes, and {} are allowed", self.written);
        Err(CodecError::Unencodable { reason })
    }
}

/// As much of a call as is needed to answer it with an error.
#[derive(serde::Deserialize)]
struct IdOnly {
    #[serde(default)]
    id: u64,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ApiError, Call, ErrorCode, Reply, Request, Response};

    pub(super) fn call(id: u64) -> Call {
        let request = Request::Deregister {
            id: "web-1".to_owned(),
            ack: None,
            datacenter: None,
            consistency: Default::default(),
            consistency_timeout_ms: None,
        };
        Call::new(id, request)
    }

    pub(super) fn reply(message: &str) -> Reply {
        let error = ApiError::new(ErrorCode::AgentStopping, message);
        Reply::new(7, Response::Error(error))
    }

    #[test]
    fn a_connection_speaks_json_or_binary_from_its_first_byte() {
        assert_eq!(Dialect::of_first_byte(b'{'), Dialect::Json);
        assert_eq!(Dialect::of_first_byte(b' '), Dialect::Json);
        assert_eq!(Dialect::of_first_byte(b'G'), Dialect::Json, "GET of an HTTP client");
        assert_eq!(Dialect::of_first_byte(0), Dialect::Binary);
        assert_eq!(Dialect::of_first_byte(0xff), Dialect::Binary);
    }
}
