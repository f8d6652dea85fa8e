//! A probe by the gRPC health protocol: `grpc.health.v1.Health/Check`.
//!
//! The request and the answer are protobuf messages with one field each, written here by hand: over the HTTP/2 of `h2`, that
//! needs no code generator and a quarter of the crates of a gRPC framework.

use bytes::{BufMut, Bytes, BytesMut};
use h2::client;
use hyper::http::{HeaderMap, Request, StatusCode};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{Instant, timeout_at};

use super::limited::Limited;
use super::{ProbeError, driving};
use crate::checks::outcome::Outcome;

/// Bytes of the answer. The longest that means anything has seven.
const MAX_ANSWER_BYTES: usize = 4 * 1024;
/// Bytes of the head of the answer.
const MAX_HEAD_BYTES: u32 = 16 * 1024;
/// Bytes that a frame and its length take before its message.
const PREFIX_BYTES: usize = 5;
const METHOD: &str = "/grpc.health.v1.Health/Check";

/// Asks for the health of a service, and judges the answer.
pub(super) async fn ask(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    scheme: &str,
    authority: &str,
    service: &str,
    deadline: Instant,
) -> Result<Outcome, ProbeError> {
    let connecting = client::Builder::new()
        .enable_push(false)
        .max_header_list_size(MAX_HEAD_BYTES)
        .handshake::<_, Bytes>(Limited::new(stream));
    let connected = timeout_at(deadline, connecting).await.map_err(|_| ProbeError::NoAnswer)?;
    let (sender, connection) = connected?;
    let exchange = async {
        let exchanged = timeout_at(deadline, exchange(sender, scheme, authority, service)).await;
        exchanged.map_err(|_| ProbeError::NoAnswer)?
    };
    driving(connection, exchange).await
}

async fn exchange(
    sender: client::SendRequest<Bytes>,
    scheme: &str,
    authority: &str,
    service: &str,
) -> Result<Outcome, ProbeError> {
    let request = Request::post(format!("{scheme}://{authority}{METHOD}"))
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .header("user-agent", super::http::USER_AGENT)
        .body(())?;
    let mut sender = sender.ready().await?;
    let (answer, mut body) = sender.send_request(request, false)?;
    body.send_data(message(service), true)?;
    let (head, mut body) = answer.await?.into_parts();
    if head.status != StatusCode::OK {
        return Ok(Outcome::failure(format!("HTTP {}, which is no answer of gRPC", head.status)));
    }
    // An answer without a body has its trailers in the head.
    if let Some(code) = code(&head.headers) {
        return Ok(refused(code, &head.headers, service));
    }
    let mut read = BytesMut::new();
    while let Some(data) = body.data().await {
        let data = data?;
        let _ = body.flow_control().release_capacity(data.len());
        if read.len() + data.len() > MAX_ANSWER_BYTES {
            return Ok(Outcome::failure(format!(
                "the answer is longer than {MAX_ANSWER_BYTES} bytes"
            )));
        }
        read.extend_from_slice(&data);
    }
    let trailers = body.trailers().await?.unwrap_or_default();
    match code(&trailers) {
        Some(0) => Ok(judge(&read)),
        Some(code) => Ok(refused(code, &trailers, service)),
        None => Ok(Outcome::failure("the answer ends without the status of gRPC")),
    }
}

/// The code of an answer: 0 when the call succeeded.
fn code(headers: &HeaderMap) -> Option<u32> {
    headers.get("grpc-status")?.to_str().ok()?.parse().ok()
}

fn refused(code: u32, headers: &HeaderMap, service: &str) -> Outcome {
    let reason = match code {
        0 => "the answer is empty".to_owned(),
        5 => format!("the server does not know the service `{service}`"),
        12 => "the server does not speak the health protocol".to_owned(),
        code => {
            let said = headers.get("grpc-message").and_then(|said| said.to_str().ok());
            format!("gRPC status {code}: {}", said.unwrap_or("no reason given"))
        }
    };
    Outcome::failure(reason)
}

/// A frame with `HealthCheckRequest { service }`.
fn message(service: &str) -> Bytes {
    let mut message = BytesMut::new();
    if !service.is_empty() {
        message.put_u8(0x0a);
        put_varint(&mut message, service.len() as u64);
        message.put_slice(service.as_bytes());
    }
    let mut frame = BytesMut::with_capacity(PREFIX_BYTES + message.len());
    frame.put_u8(0);
    frame.put_u32(message.len() as u32);
    frame.put_slice(&message);
    frame.freeze()
}

/// Judges a frame with `HealthCheckResponse { status }`.
fn judge(frame: &[u8]) -> Outcome {
    let message = match frame {
        [0, a, b, c, d, message @ ..]
            if u32::from_be_bytes([*a, *b, *c, *d]) as usize == message.len() =>
        {
            message
        }
        _ => return Outcome::failure("the answer is no message of gRPC"),
    };
    match status(message) {
        Some(1) => Outcome::success("SERVING"),
        Some(0) => Outcome::failure("UNKNOWN"),
        Some(2) => Outcome::failure("NOT_SERVING"),
        Some(3) => Outcome::failure("SERVICE_UNKNOWN"),
        Some(other) => Outcome::failure(format!("the health {other}, which is not known here")),
        None => Outcome::failure("the answer is no HealthCheckResponse"),
    }
}

/// The field `status`, which is 0 when it is absent. Other fields are skipped.
fn status(mut message: &[u8]) -> Option<u64> {
    let mut status = 0;
    while !message.is_empty() {
        let key = take_varint(&mut message)?;
        match key & 7 {
            0 => {
                let value = take_varint(&mut message)?;
                if key >> 3 == 1 {
                    status = value;
                }
            }
            1 => message = message.get(8..)?,
            2 => {
                let len = usize::try_from(take_varint(&mut message)?).ok()?;
                message = message.get(len..)?;
            }
            5 => message = message.get(4..)?,
            _ => return None,
        }
    }
    Some(status)
}

fn put_varint(bytes: &mut BytesMut, mut value: u64) {
    while value >= 0x80 {
        bytes.put_u8(value as u8 | 0x80);
        value >>= 7;
    }
    bytes.put_u8(value as u8);
}

fn take_varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for (at, byte) in bytes.iter().enumerate().take(10) {
        value |= u64::from(byte & 0x7f) << (7 * at);
        if byte & 0x80 == 0 {
            *bytes = &bytes[at + 1..];
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_a_frame_with_the_name_of_the_service() {
        assert_eq!(&message("")[..], [0, 0, 0, 0, 0]);
        assert_eq!(&message("web")[..], [0, 0, 0, 0, 5, 0x0a, 3, b'w', b'e', b'b']);
        let long = message(&"x".repeat(300));
        assert_eq!(long[5..8], [0x0a, 0xac, 2]);
    }

    #[test]
    fn an_answer_is_read_past_fields_of_later_versions() {
        for (frame, output) in [
            (&[0, 0, 0, 0, 2, 8, 1][..], "SERVING"),
            (&[0, 0, 0, 0, 0], "UNKNOWN"),
            (&[0, 0, 0, 0, 2, 8, 2], "NOT_SERVING"),
            (&[0, 0, 0, 0, 2, 8, 3], "SERVICE_UNKNOWN"),
            (&[0, 0, 0, 0, 7, 0x12, 3, 1, 2, 3, 8, 1], "SERVING"),
            (&[0, 0, 0, 0, 2, 8, 9], "the health 9"),
            (&[0, 0, 0, 0, 2, 8, 0x80], "no HealthCheckResponse"),
            (&[0, 0, 0, 0, 3, 0x12, 9, 1], "no HealthCheckResponse"),
            (&[0, 0, 0, 0, 9, 8, 1], "no message of gRPC"),
            (&[1, 0, 0, 0, 2, 8, 1], "no message of gRPC"),
            (&[], "no message of gRPC"),
        ] {
            let outcome = judge(frame);
            assert!(outcome.output().contains(output), "{frame:?}: {}", outcome.output());
            assert_eq!(outcome.is_success(), output == "SERVING");
        }
    }
}
