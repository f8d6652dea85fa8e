//! The binary dialect: length-prefixed MessagePack.
//!
//! A message is the object that the JSON dialect has, with the same names, so that both grow by the same rules: a
//! client skips a field that it does not know, because every value says how long it is.

use std::marker::PhantomData;

use bytes::{Buf, BufMut, BytesMut};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio_util::codec::{Decoder, Encoder};

use super::{CLIENT, CodecError, IdOnly, Limits, Malformed, SERVER};
use crate::types::{Call, Reply};

/// Bytes of the length before each message, big-endian.
const LENGTH_BYTES: usize = size_of::<u32>();

/// Length-prefixed MessagePack: reads `In`, writes `Out`.
#[derive(Debug)]
pub struct BinaryCodec<In, Out> {
    limits: Limits,
    messages: PhantomData<fn(Out) -> In>,
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

impl<In, Out> BinaryCodec<In, Out> {
    /// The same codec for messages of another type, which are serialized like `Out`.
    #[must_use]
    pub fn writing<Other>(self) -> BinaryCodec<In, Other> {
        BinaryCodec { limits: self.limits, messages: PhantomData }
    }
}

impl<In: DeserializeOwned, Out> Decoder for BinaryCodec<In, Out> {
    type Item = Result<In, Malformed>;
    type Error = CodecError;

    fn decode(&mut self, buffer: &mut BytesMut) -> Result<Option<Self::Item>, CodecError> {
        let Some(&prefix) = buffer.first_chunk::<LENGTH_BYTES>() else { return Ok(None) };
        let len = usize::try_from(u32::from_be_bytes(prefix)).unwrap_or(usize::MAX);
        self.limits.check_read(len)?;
        if buffer.len() - LENGTH_BYTES < len {
            return Ok(None);
        }
        buffer.advance(LENGTH_BYTES);
        Ok(Some(parse(&buffer.split_to(len))))
    }
}

impl<In, Out: Serialize> Encoder<&Out> for BinaryCodec<In, Out> {
    type Error = CodecError;

    fn encode(&mut self, message: &Out, buffer: &mut BytesMut) -> Result<(), CodecError> {
        let start = buffer.len();
        let body = start + LENGTH_BYTES;
        buffer.put_bytes(0, LENGTH_BYTES);
        let written = rmp_serde::encode::write_named(&mut buffer.writer(), message);
        let checked =
            written.map_err(|error| CodecError::Unencodable { reason: error.to_string() });
        let checked = checked.and_then(|()| self.limits.check_written(buffer.len() - body));
        match checked {
            // The limits are far below the range of the prefix.
            Ok(()) => {
                let len = (buffer.len() - body) as u32;
                buffer[start..body].copy_from_slice(&len.to_be_bytes());
            }
            Err(_) => buffer.truncate(start),
        }
        checked
    }
}

fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, Malformed> {
    read(body).map_err(|reason| Malformed {
        id: rmp_serde::from_slice::<IdOnly>(body).map_or(0, |call| call.id),
        reason,
    })
}

/// Reads a message that takes all of `body`.
fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, String> {
    let mut deserializer = rmp_serde::Deserializer::new(body);
    let message = T::deserialize(&mut deserializer).map_err(|error| error.to_string())?;
    match deserializer.get_ref().len() {
        0 => Ok(message),
        rest => Err(format!("{rest} bytes follow the message")),
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{call, reply};
    use super::super::{MAX_REQUEST_BYTES, MAX_RESPONSE_BYTES};
    use super::*;
    use crate::Request;

    #[test]
    fn calls_and_replies_survive_byte_by_byte() {
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
    fn a_length_prefix_never_looks_like_json() {
        assert_eq!((MAX_REQUEST_BYTES as u32).to_be_bytes()[0], 0);
        assert_eq!((MAX_RESPONSE_BYTES as u32).to_be_bytes()[0], 0);
    }

    #[test]
    fn a_malformed_frame_is_skipped_and_names_its_call() {
        let mut buffer = BytesMut::from(&[0, 0, 0, 3, 0xff, 0xff, 0xff][..]);
        // {"id": 9, "dance": nil}
        buffer.put_slice(&[0, 0, 0, 12, 0x82, 0xa2, b'i', b'd', 9, 0xa5]);
        buffer.put_slice(b"dance\xc0");
        BinaryCodec::client().encode(&call(4), &mut buffer).unwrap();
        let mut server = BinaryCodec::server();
        assert_eq!(server.decode(&mut buffer).unwrap().unwrap().unwrap_err().id, 0);
        let second = server.decode(&mut buffer).unwrap().unwrap().unwrap_err();
        assert_eq!(second.id, 9);
        assert!(second.reason.contains("dance"), "{second}");
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
    fn a_hostile_length_is_refused_without_an_allocation() {
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
    fn a_message_that_is_too_large_leaves_nothing_behind() {
        let request = Request::Deregister {
            id: "x".repeat(MAX_REQUEST_BYTES),
            ack: None,
            datacenter: None,
            consistency: Default::default(),
            consistency_timeout_ms: None,
        };
        let mut buffer = BytesMut::from("before");
        let encoded = BinaryCodec::client().encode(&Call::new(1, request), &mut buffer);
        assert!(matches!(encoded, Err(CodecError::Unencodable { .. })));
        assert_eq!(buffer, "before");
    }
}
