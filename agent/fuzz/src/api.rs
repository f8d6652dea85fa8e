//! Messages of a client to the unix socket, in both dialects, and answers of an agent.

use std::fmt::Debug;

use bytes::BytesMut;
use hobnob_agent::checks;
use hobnob_api::codec::{BinaryCodec, CodecError, Dialect, JsonCodec, Malformed};
use hobnob_api::{Call, Reply, Request};
use tokio_util::codec::{Decoder, Encoder};

/// A longer message may exceed the limit once its defaults are written out.
const MAX_REWRITTEN_BYTES: usize = 16 * 1024;

/// Reads the bytes as all that came on a connection, of a client and of an agent; then as one message.
pub fn check(bytes: &[u8]) {
    let line = [bytes, b"\n"].concat();
    let frame = [&(bytes.len() as u32).to_be_bytes(), bytes].concat();
    for bytes in [bytes, &line, &frame] {
        let calls = match bytes.first().map(|first| Dialect::of_first_byte(*first)) {
            Some(Dialect::Json) => received(JsonCodec::server, bytes),
            _ => received(BinaryCodec::server, bytes),
        };
        calls.iter().filter(|_| bytes.len() <= MAX_REWRITTEN_BYTES).for_each(survives);
        received::<Reply, _>(JsonCodec::client, bytes);
        received::<Reply, _>(BinaryCodec::client, bytes);
    }
}

/// The valid messages of a connection. They are the same however the bytes are cut into reads.
fn received<T, C>(codec: fn() -> C, bytes: &[u8]) -> Vec<T>
where
    T: Debug,
    C: Decoder<Item = Result<T, Malformed>, Error = CodecError>,
{
    let at_once = read(codec(), &[bytes]);
    let (left, right) = bytes.split_at(bytes.len() / 2);
    let in_parts = read(codec(), &[left, right]);
    assert_eq!(format!("{at_once:?}"), format!("{in_parts:?}"));
    at_once.into_iter().filter_map(Result::ok).collect()
}

fn read<T, C>(mut codec: C, parts: &[&[u8]]) -> Vec<Result<T, Malformed>>
where
    C: Decoder<Item = Result<T, Malformed>, Error = CodecError>,
{
    let (mut buffer, mut items) = (BytesMut::new(), Vec::new());
    for part in parts {
        buffer.extend_from_slice(part);
        loop {
            match codec.decode(&mut buffer) {
                Ok(Some(item)) => items.push(item),
                Ok(None) => break,
                // The connection is closed.
                Err(_) => return items,
            }
        }
    }
    while let Ok(Some(item)) = codec.decode_eof(&mut buffer) {
        items.push(item);
    }
    items
}

/// A call that can be read can be written, in both dialects, and is read again as the same.
fn survives(call: &Call) {
    let mut written = BytesMut::new();
    JsonCodec::client().encode(call, &mut written).expect("a call in JSON");
    assert_eq!(read(JsonCodec::server(), &[&written]), [Ok(call.clone())]);
    written.clear();
    BinaryCodec::client().encode(call, &mut written).expect("a call in the binary dialect");
    assert_eq!(read(BinaryCodec::server(), &[&written]), [Ok(call.clone())]);
    if let Request::Register(registration) = &call.request {
        for check in &registration.checks {
            let _ = checks::validate(check, true).map_err(|error| error.to_string());
        }
    }
}
