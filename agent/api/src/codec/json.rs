//! The JSON dialect: one object a line.

use std::marker::PhantomData;

use bytes::{BufMut, BytesMut};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio_util::codec::{Decoder, Encoder};

use super::{CLIENT, CodecError, IdOnly, Limits, Malformed, SERVER};
use crate::types::{Call, Reply};

/// Lines of JSON: reads `In`, writes `Out`.
#[derive(Debug)]
pub struct JsonCodec<In, Out> {
    limits: Limits,
    /// The length of the buffer's part that is known to have no line feed.
    scanned: usize,
    messages: PhantomData<fn(Out) -> In>,
}

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

impl<In, Out> JsonCodec<In, Out> {
    /// The same codec for messages of another type, which are serialized like `Out`.
    #[must_use]
    pub fn writing<Other>(self) -> JsonCodec<In, Other> {
        JsonCodec { limits: self.limits, scanned: self.scanned, messages: PhantomData }
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
                return self.limits.check_read(buffer.len()).map(|()| None);
            };
            let len = self.scanned + offset;
            self.limits.check_read(len)?;
            self.scanned = 0;
            let line = buffer.split_to(len + 1);
            if !line.trim_ascii().is_empty() {
                return Ok(Some(parse(&line)));
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
        Ok(if rest.trim_ascii().is_empty() { None } else { Some(parse(&rest)) })
    }
}

impl<In, Out: Serialize> Encoder<&Out> for JsonCodec<In, Out> {
    type Error = CodecError;

    fn encode(&mut self, message: &Out, buffer: &mut BytesMut) -> Result<(), CodecError> {
        let start = buffer.len();
        let written = serde_json::to_writer(buffer.writer(), message);
        let checked =
            written.map_err(|error| CodecError::Unencodable { reason: error.to_string() });
        let checked = checked.and_then(|()| self.limits.check_written(buffer.len() - start));
        match checked {
            Ok(()) => buffer.put_u8(b'\n'),
            Err(_) => buffer.truncate(start),
        }
        checked
    }
}

fn parse<T: DeserializeOwned>(line: &[u8]) -> Result<T, Malformed> {
    serde_json::from_slice(line).map_err(|error| Malformed {
        id: serde_json::from_slice::<IdOnly>(line).map_or(0, |call| call.id),
        reason: error.to_string(),
    })
}

#[cfg(test)]
mod tests {
    use super::super::MAX_REQUEST_BYTES;
    use super::super::tests::{call, reply};
    use super::*;
    use crate::{Query, Request};

    #[test]
    fn calls_and_replies_survive_byte_by_byte() {
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
    fn a_field_with_a_default_may_be_left_out() {
        let mut buffer = BytesMut::from(r#"{"request":{"resolve":{"service":"web"}}}"#);
        let Some(Ok(call)) = JsonCodec::server().decode_eof(&mut buffer).unwrap() else {
            panic!("a last line without a line feed is a line")
        };
        assert_eq!((call.id, call.request), (0, Request::Resolve(Query::new("web"))));
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
    fn an_endless_line_is_refused() {
        let mut server = JsonCodec::server();
        let mut buffer = BytesMut::from(&vec![b'x'; MAX_REQUEST_BYTES][..]);
        assert!(server.decode(&mut buffer).unwrap().is_none());
        buffer.put_u8(b'x');
        assert!(matches!(server.decode(&mut buffer), Err(CodecError::TooLarge { .. })));
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
        let encoded = JsonCodec::client().encode(&Call::new(1, request), &mut buffer);
        assert!(matches!(encoded, Err(CodecError::Unencodable { .. })));
        assert_eq!(buffer, "before");
    }
}
