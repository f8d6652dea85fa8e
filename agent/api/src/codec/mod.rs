//! How calls and replies travel over the unix socket: as lines of JSON, or as length-prefixed bincode.
//!
//! A connection speaks one of the two from its first byte on (see [`Dialect`]). Both codecs tell two kinds of trouble
//! apart. A message that is well delimited and makes no sense is an *item*, [`Malformed`], after which the connection
//! can go on; a message that cannot be delimited is a [`CodecError`], after which it cannot. No buffer grows by what a
//! length field promises: only by bytes that came.

mod bincode;

use std::io;
use std::marker::PhantomData;

use bytes::{Buf, BufMut, BytesMut};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio_util::codec::{Decoder, Encoder};

use self::bincode::{from_bytes, to_bytes};
use crate::types::{Call, Reply};

/// Bytes of one request, without its line feed or length prefix.
pub const MAX_REQUEST_BYTES: usize = 1 << 20;
/// Bytes of one response, without its line feed or length prefix. Below 2^24, as requests are, so that the length
/// prefix of a binary frame starts with a zero byte and never looks like JSON.
pub const MAX_RESPONSE_BYTES: usize = (1 << 24) - 1;

const LENGTH_BYTES: usize = size_of::<u32>();

/// What a connection speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// One JSON object a line: for any language, without a library.
    Json,
    /// A big-endian `u32` length, then bincode: for the command line and the Rust client.
    Binary,
}

impl Dialect {
    /// The dialect of a connection that starts with this byte. White space may precede a JSON object, and other text
    /// is answered in text, so that who typed it can read what is wrong.
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
#[error("the message makes no sense: {reason}")]
pub struct Malformed {
    /// The id of the call, when that much could be read; else 0.
    pub id: u64,
    /// What is wrong with it.
    pub reason: String,
}

/// A connection that cannot go on, or a message that was not sent.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CodecError {
    /// The peer announced or sent a message beyond the limit. The connection has to be closed.
    #[error("a message is larger than the limit of {limit} bytes")]
    TooLarge {
        /// The most that is allowed.
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

/// Lines of JSON: reads `In`, writes `Out`.
#[derive(Debug)]
pub struct JsonCodec<In, Out> {
    limits: Limits,
    /// How much of the buffer is known to have no line feed.
    scanned: usize,
    messages: PhantomData<fn(Out) -> In>,
}

/// Length-prefixed bincode: reads `In`, writes `Out`.
#[derive(Debug)]
pub struct BinaryCodec<In, Out> {
    limits: Limits,
    messages: PhantomData<fn(Out) -> In>,
}

#[derive(Clone, Copy, Debug)]
struct Limits {
    read: usize,
    written: usize,
}

const SERVER: Limits = Limits { read: MAX_REQUEST_BYTES, written: MAX_RESPONSE_BYTES };
const CLIENT: Limits = Limits { read: MAX_RESPONSE_BYTES, written: MAX_REQUEST_BYTES };

impl JsonCodec<Call, Reply> {
    /// The agent's side.
    #[must_use]
    pub fn server() -> Self {
        Self { limits: SERVER, scanned: 0, messages: PhantomData }
    }
}

impl JsonCodec<Reply, Call> {
    /// The client's side.
    #[must_use]
    pub fn client() -> Self {
        Self { limits: CLIENT, scanned: 0, messages: PhantomData }
    }
}

impl BinaryCodec<Call, Reply> {
    /// The agent's side.
    #[must_use]
    pub fn server() -> Self {
        Self { limits: SERVER, messages: PhantomData }
    }
}

impl BinaryCodec<Reply, Call> {
    /// The client's side.
    #[must_use]
    pub fn client() -> Self {
        Self { limits: CLIENT, messages: PhantomData }
    }
}

impl<In: DeserializeOwned, Out> Decoder for JsonCodec<In, Out> {
    type Item = Result<In, Malformed>;
    type Error = CodecError;

    fn decode(&mut self, buffer: &mut BytesMut) -> Result<Option<Self::Item>, CodecError> {
        loop {
            let fresh = buffer.get(self.scanned..).unwrap_or_default();
            let Some(offset) = fresh.iter().position(|&byte| byte == b'\n') else {
                self.scanned = buffer.len();
                return self.within_limit(buffer.len()).map(|()| None);
            };
            let len = self.scanned + offset;
            self.within_limit(len)?;
            self.scanned = 0;
            let line = buffer.split_to(len + 1);
            if !line.trim_ascii().is_empty() {
                return Ok(Some(parse_json(&line)));
            }
        }
    }

    /// The last line may lack its line feed.
    fn decode_eof(&mut self, buffer: &mut BytesMut) -> Result<Option<Self::Item>, CodecError> {
        if let Some(item) = self.decode(buffer)? {
            return Ok(Some(item));
        }
        self.scanned = 0;
        let rest = buffer.split();
        Ok(if rest.trim_ascii().is_empty() { None } else { Some(parse_json(&rest)) })
    }
}

impl<In, Out> JsonCodec<In, Out> {
    fn within_limit(&self, len: usize) -> Result<(), CodecError> {
        let limit = self.limits.read;
        if len > limit { Err(CodecError::TooLarge { limit }) } else { Ok(()) }
    }
}

impl<In, Out: Serialize> Encoder<&Out> for JsonCodec<In, Out> {
    type Error = CodecError;

    fn encode(&mut self, message: &Out, buffer: &mut BytesMut) -> Result<(), CodecError> {
        let line = serde_json::to_vec(message).map_err(unencodable)?;
        if line.len() > self.limits.written {
            return Err(beyond(line.len(), self.limits.written));
        }
        buffer.reserve(line.len() + 1);
        buffer.put_slice(&line);
        buffer.put_u8(b'\n');
        Ok(())
    }
}

impl<In: DeserializeOwned, Out> Decoder for BinaryCodec<In, Out> {
    type Item = Result<In, Malformed>;
    type Error = CodecError;

    fn decode(&mut self, buffer: &mut BytesMut) -> Result<Option<Self::Item>, CodecError> {
        let Some(&prefix) = buffer.first_chunk::<LENGTH_BYTES>() else { return Ok(None) };
        let limit = self.limits.read;
        let len = usize::try_from(u32::from_be_bytes(prefix)).unwrap_or(usize::MAX);
        if len > limit {
            return Err(CodecError::TooLarge { limit });
        }
        if buffer.len() - LENGTH_BYTES < len {
            return Ok(None);
        }
        buffer.advance(LENGTH_BYTES);
        let body = buffer.split_to(len);
        let message = from_bytes(&body, limit);
        Ok(Some(message.map_err(|error| Malformed { id: 0, reason: error.to_string() })))
    }
}

impl<In, Out: Serialize> Encoder<&Out> for BinaryCodec<In, Out> {
    type Error = CodecError;

    fn encode(&mut self, message: &Out, buffer: &mut BytesMut) -> Result<(), CodecError> {
        let limit = self.limits.written;
        let body = to_bytes(message, limit).map_err(unencodable)?;
        let len = match u32::try_from(body.len()) {
            Ok(len) if body.len() <= limit => len,
            _ => return Err(beyond(body.len(), limit)),
        };
        buffer.reserve(LENGTH_BYTES + body.len());
        buffer.put_u32(len);
        buffer.put_slice(&body);
        Ok(())
    }
}

fn parse_json<T: DeserializeOwned>(line: &[u8]) -> Result<T, Malformed> {
    #[derive(serde::Deserialize)]
    struct IdOnly {
        #[serde(default)]
        id: u64,
    }

    serde_json::from_slice(line).map_err(|error| Malformed {
        id: serde_json::from_slice::<IdOnly>(line).map_or(0, |call| call.id),
        reason: error.to_string(),
    })
}

fn unencodable(error: impl std::error::Error) -> CodecError {
    CodecError::Unencodable { reason: error.to_string() }
}

fn beyond(len: usize, limit: usize) -> CodecError {
    CodecError::Unencodable { reason: format!("it takes {len} bytes; the limit is {limit}") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ApiError, ErrorCode, Query, Request, Response};

    fn call(id: u64) -> Call {
        Call { id, api: None, request: Request::Deregister { id: "web-1".to_owned() } }
    }

    fn reply(message: &str) -> Reply {
        let error = ApiError::new(ErrorCode::AgentStopping, message);
        Reply { id: 7, api: None, response: Response::Error(error) }
    }

    #[test]
    fn a_connection_speaks_json_or_binary_from_its_first_byte() {
        assert_eq!(Dialect::of_first_byte(b'{'), Dialect::Json);
        assert_eq!(Dialect::of_first_byte(b' '), Dialect::Json);
        assert_eq!(Dialect::of_first_byte(b'G'), Dialect::Json, "GET, from who took it for HTTP");
        assert_eq!(Dialect::of_first_byte(0), Dialect::Binary);
        assert_eq!(Dialect::of_first_byte(0xff), Dialect::Binary);
        assert_eq!((MAX_REQUEST_BYTES as u32).to_be_bytes()[0], 0);
        assert_eq!((MAX_RESPONSE_BYTES as u32).to_be_bytes()[0], 0);
    }

    #[test]
    fn binary_calls_and_replies_survive_byte_by_byte() {
        let mut bytes = BytesMut::new();
        BinaryCodec::client().encode(&call(1), &mut bytes).unwrap();
        BinaryCodec::client().encode(&call(2), &mut bytes).unwrap();
        let (mut server, mut buffer, mut calls) = (BinaryCodec::server(), BytesMut::new(), vec![]);
        for byte in bytes {
            buffer.put_u8(byte);
            calls.extend(server.decode(&mut buffer).unwrap());
        }
        assert_eq!(calls, [Ok(call(1)), Ok(call(2))]);

        server.encode(&reply("no"), &mut buffer).unwrap();
        assert_eq!(BinaryCodec::client().decode(&mut buffer).unwrap(), Some(Ok(reply("no"))));
        assert!(buffer.is_empty());
    }

    #[test]
    fn json_calls_and_replies_survive_byte_by_byte() {
        let mut bytes = BytesMut::from("\r\n  \n");
        JsonCodec::client().encode(&call(1), &mut bytes).unwrap();
        JsonCodec::client().encode(&call(2), &mut bytes).unwrap();
        let (mut server, mut buffer, mut calls) = (JsonCodec::server(), BytesMut::new(), vec![]);
        for byte in bytes {
            buffer.put_u8(byte);
            calls.extend(server.decode(&mut buffer).unwrap());
        }
        assert_eq!(calls, [Ok(call(1)), Ok(call(2))]);

        server.encode(&reply("no"), &mut buffer).unwrap();
        assert_eq!(JsonCodec::client().decode(&mut buffer).unwrap(), Some(Ok(reply("no"))));
    }

    #[test]
    fn json_leaves_out_what_has_a_default() {
        let mut buffer = BytesMut::from(r#"{"request":{"resolve":{"service":"web"}}}"#);
        let Some(Ok(call)) = JsonCodec::server().decode_eof(&mut buffer).unwrap() else {
            panic!("a last line without a line feed is a line")
        };
        let Request::Resolve(Query { service, namespace, all, .. }) = call.request else {
            panic!("{call:?}")
        };
        assert_eq!(
            (call.id, service.as_str(), namespace.as_str(), all),
            (0, "web", "default", false)
        );
    }

    #[test]
    fn a_malformed_line_names_its_call_and_the_next_line_is_read() {
        let mut buffer = BytesMut::from("{\"id\":9,\"request\":\"dance\"}\nnonsense\n");
        JsonCodec::client().encode(&call(3), &mut buffer).unwrap();
        let mut server = JsonCodec::server();
        let first = server.decode(&mut buffer).unwrap().unwrap().unwrap_err();
        assert_eq!(first.id, 9);
        assert!(first.reason.contains("dance"), "{first}");
        assert_eq!(server.decode(&mut buffer).unwrap().unwrap().unwrap_err().id, 0);
        assert_eq!(server.decode(&mut buffer).unwrap(), Some(Ok(call(3))));
    }

    #[test]
    fn a_malformed_frame_is_skipped() {
        let mut buffer = BytesMut::from(&[0, 0, 0, 3, 0xff, 0xff, 0xff][..]);
        BinaryCodec::client().encode(&call(4), &mut buffer).unwrap();
        let mut server = BinaryCodec::server();
        assert!(server.decode(&mut buffer).unwrap().unwrap().is_err());
        assert_eq!(server.decode(&mut buffer).unwrap(), Some(Ok(call(4))));
    }

    #[test]
    fn trailing_bytes_in_a_frame_are_malformed() {
        let mut buffer = BytesMut::new();
        BinaryCodec::client().encode(&call(4), &mut buffer).unwrap();
        buffer[LENGTH_BYTES - 1] += 1;
        buffer.put_u8(0);
        assert!(BinaryCodec::server().decode(&mut buffer).unwrap().unwrap().is_err());
    }

    #[test]
    fn hostile_lengths_are_refused_without_an_allocation() {
        for len in [MAX_REQUEST_BYTES as u32 + 1, 1 << 24, u32::MAX] {
            let mut buffer = BytesMut::from(&len.to_be_bytes()[..]);
            let (capacity, result) = (buffer.capacity(), BinaryCodec::server().decode(&mut buffer));
            assert!(matches!(result, Err(CodecError::TooLarge { limit: MAX_REQUEST_BYTES })));
            assert_eq!(buffer.capacity(), capacity);
        }
        let mut buffer = BytesMut::from(&(MAX_REQUEST_BYTES as u32).to_be_bytes()[..]);
        assert!(BinaryCodec::server().decode(&mut buffer).unwrap().is_none());
        assert!(buffer.capacity() < 1024, "a promise alone reserves nothing");
    }

    #[test]
    fn an_endless_line_is_refused() {
        let mut server = JsonCodec::server();
        let mut buffer = BytesMut::from(&vec![b'x'; MAX_REQUEST_BYTES][..]);
        assert!(server.decode(&mut buffer).unwrap().is_none());
        buffer.put_u8(b'x');
        assert!(matches!(server.decode(&mut buffer), Err(CodecError::TooLarge { .. })));
    }

    #[test]
    fn what_is_too_large_to_send_leaves_nothing_behind() {
        let request = Request::Deregister { id: "x".repeat(MAX_REQUEST_BYTES) };
        let (call, mut buffer) = (Call { id: 1, api: None, request }, BytesMut::new());
        let json = JsonCodec::client().encode(&call, &mut buffer);
        let binary = BinaryCodec::client().encode(&call, &mut buffer);
        assert!(matches!(json, Err(CodecError::Unencodable { .. })));
        assert!(matches!(binary, Err(CodecError::Unencodable { .. })));
        assert!(buffer.is_empty());
    }
}
