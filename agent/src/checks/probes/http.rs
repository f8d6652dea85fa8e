//! An HTTP probe: one request over a fresh connection.

use std::time::Duration;

use bytes::Bytes;
use hobnob_api::StatusRange;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper::{Request, Response, StatusCode, header};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{Instant, timeout_at};

use super::limited::Limited;
use super::target::HttpTarget;
use super::{ProbeError, driving};
use crate::checks::outcome::{Outcome, one_line};

/// Bytes that are read of an answer's body. The rest is left unread and the connection closed.
pub const MAX_BODY_BYTES: usize = 4 * 1024;
/// The longest time that the body of an answer is waited for. The status decides, so a body that is held open, as that of
/// a stream of events, is left there.
const BODY_WITHIN: Duration = Duration::from_secs(1);
/// Bytes of an answer's head. A longer one is no valid answer.
pub const MAX_HEAD_BYTES: usize = 256 * 1024;
/// Fields of an answer's head. An answer with more is no valid one.
pub const MAX_HEAD_FIELDS: usize = 4_096;
pub(super) const USER_AGENT: &str = concat!("hobnob-health-check/", env!("CARGO_PKG_VERSION"));

/// Asks, and judges the answer by its status.
pub(super) async fn ask(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send,
    target: &HttpTarget,
    deadline: Instant,
) -> Result<Outcome, ProbeError> {
    let (mut sender, connection) = http1::Builder::new()
        .max_buf_size(MAX_HEAD_BYTES)
        .max_headers(MAX_HEAD_FIELDS)
        .handshake(TokioIo::new(Limited::new(stream)))
        .await?;
    let request = request(target)?;
    let exchange = async {
        let answered = timeout_at(deadline, sender.send_request(request)).await;
        let answer = answered.map_err(|_| ProbeError::NoAnswer)??;
        judge(answer, &target.expect, deadline).await
    };
    driving(connection, exchange).await
}

/// The request. A field that the check names takes the place of one of these.
fn request(target: &HttpTarget) -> Result<Request<Full<Bytes>>, ProbeError> {
    let body = Full::new(Bytes::from(target.body.clone().unwrap_or_default()));
    let mut request =
        Request::builder().method(target.method.as_str()).uri(&target.path).body(body)?;
    let fields = request.headers_mut();
    fields.insert(header::HOST, target.authority.parse()?);
    fields.insert(header::USER_AGENT, header::HeaderValue::from_static(USER_AGENT));
    fields.insert(header::ACCEPT, header::HeaderValue::from_static("*/*"));
    for (name, value) in &target.headers {
        let name = header::HeaderName::from_bytes(name.as_bytes());
        fields.insert(name.map_err(hyper::http::Error::from)?, value.parse()?);
    }
    fields.insert(header::CONNECTION, header::HeaderValue::from_static("close"));
    Ok(request)
}

async fn judge(
    response: Response<Incoming>,
    expect: &[StatusRange],
    deadline: Instant,
) -> Result<Outcome, ProbeError> {
    let (head, body) = response.into_parts();
    let status = head.status;
    let until = deadline.min(Instant::now() + BODY_WITHIN);
    let mut beginning = Vec::new();
    match timeout_at(until, read_beginning(body, &mut beginning)).await {
        Ok(read) => read?,
        Err(_) => tracing::trace!(%status, "the body of an answer is held open"),
    }
    let is_expected = match expect {
        [] => status.is_success(),
        ranges => ranges.iter().any(|range| range.contains(status.as_u16())),
    };
    Ok(if is_expected {
        Outcome::success(format!("HTTP {status}"))
    } else if status == StatusCode::TOO_MANY_REQUESTS {
        Outcome::warning(format!("HTTP {status}{}", quoted(&beginning)))
    } else if status.is_redirection() {
        Outcome::failure(format!(
            "HTTP {status}: redirects are not followed, check the URL it leads to"
        ))
    } else {
        Outcome::failure(format!("HTTP {status}{}", quoted(&beginning)))
    })
}

/// The beginning of a body, behind a status that is no success.
fn quoted(body: &[u8]) -> String {
    match one_line(body) {
        text if text.is_empty() => text,
        text => format!(": {text}"),
    }
}

/// Reads the body, so that its sender can finish, or the first [`MAX_BODY_BYTES`] of it.
async fn read_beginning(mut body: Incoming, read: &mut Vec<u8>) -> Result<(), hyper::Error> {
    while read.len() < MAX_BODY_BYTES
        && let Some(frame) = body.frame().await
    {
        if let Some(data) = frame?.data_ref() {
            let room = MAX_BODY_BYTES - read.len();
            read.extend_from_slice(&data[..data.len().min(room)]);
        }
    }
    Ok(())
}
