//! An HTTP probe: one `GET` over a fresh connection.

use std::convert::Infallible;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper::{Request, Response, header};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};

use super::ProbeError;
use super::target::HttpTarget;
use crate::checks::outcome::Outcome;

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
pub(super) async fn get(
    stream: TcpStream,
    target: &HttpTarget,
    deadline: Instant,
) -> Result<Outcome, ProbeError> {
    let (mut sender, connection) = http1::Builder::new()
        .max_buf_size(MAX_HEAD_BYTES)
        .max_headers(MAX_HEAD_FIELDS)
        .handshake(TokioIo::new(stream))
        .await?;
    let request = Request::get(&target.path)
        .header(header::HOST, &target.authority)
        .header(header::USER_AGENT, USER_AGENT)
        .header(header::ACCEPT, "*/*")
        .header(header::CONNECTION, "close")
        .body(Empty::<Bytes>::new())?;
    let exchange = async {
        let answered = timeout_at(deadline, sender.send_request(request)).await;
        judge(answered.map_err(|_| ProbeError::NoAnswer)??, deadline).await
    };
    // Driven here, not by a task, so that no part of the connection outlives the timeout. Its end decides nothing: an
    // answer may still be on its way through hyper's channels.
    let connection = async {
        let _ = connection.await;
        std::future::pending::<Infallible>().await
    };
    tokio::select! {
        outcome = exchange => outcome,
        never = connection => match never {},
    }
}

async fn judge(response: Response<Incoming>, deadline: Instant) -> Result<Outcome, ProbeError> {
    let (head, body) = response.into_parts();
    let status = head.status;
    let until = deadline.min(Instant::now() + BODY_WITHIN);
    match timeout_at(until, read_beginning(body)).await {
        Ok(read) => read?,
        Err(_) => tracing::trace!(%status, "the body of an answer is held open"),
    }
    if status.is_success() {
        Ok(Outcome::success(format!("HTTP {status}")))
    } else if status.is_redirection() {
        Ok(Outcome::failure(format!(
            "HTTP {status}: redirects are not followed, check the URL it leads to"
        )))
    } else {
        Ok(Outcome::failure(format!("HTTP {status}")))
    }
}

/// Reads the body, so that its sender can finish, or the first [`MAX_BODY_BYTES`] of it.
async fn read_beginning(mut body: Incoming) -> Result<(), hyper::Error> {
    let mut read = 0;
    while read < MAX_BODY_BYTES
        && let Some(frame) = body.frame().await
    {
        read += frame?.data_ref().map_or(0, Bytes::len);
    }
    Ok(())
}
