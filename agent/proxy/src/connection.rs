//! A connection over HTTP: which version the client speaks, its calls, and its end.

use std::future::{Future, poll_fn};
use std::io;
use std::mem::MaybeUninit;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWriteExt, ReadBuf};
use tokio::time::{Instant, sleep, timeout, timeout_at};

use crate::forward::forward;
use crate::idle::{Clock, Over};
use crate::phase::{Phase, PhaseChange};
use crate::refusal::{Code, Refusal};
use crate::route::Client;
use crate::stream::{Stream, Watched};

/// The first bytes of a client of HTTP/2.
const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// The most bytes that are read before the version is known.
const FIRST_READ_BYTES: usize = 4 << 10;
/// The buffer of a connection over HTTP/1.1, at least. A longer head makes it longer.
const MIN_BUFFER_BYTES: usize = 64 << 10;

/// A client of HTTP/2 that is silent is pinged, and is gone when it does not answer.
const PING_INTERVAL: Duration = Duration::from_secs(30);
const PING_TIMEOUT: Duration = Duration::from_secs(10);
/// Bytes of answers that wait for each stream of HTTP/2.
const SEND_BUFFER_BYTES: usize = 64 << 10;
/// Calls that a client of HTTP/2 has reset while they were not looked at yet, before its connection is closed: rapid reset.
const MAX_PENDING_RESETS: usize = 20;
/// Streams that were reset for an error of the client, before its connection is closed.
const MAX_ERROR_RESETS: usize = 256;
/// The time that the system has to take the answer to a head that came too slowly.
const LAST_ANSWER_WITHIN: Duration = Duration::from_secs(1);
/// The time in which a connection of HTTP/2 that was told to end does.
const GOODBYE_WITHIN: Duration = Duration::from_secs(5);

/// The time that a connection without any request has to send one, once the proxy drains.
const FIRST_REQUEST_WITHIN: Duration = Duration::from_secs(1);

/// Serves a connection until it ends. While it has no call, it has no buffers.
pub(crate) async fn serve(client: Arc<Client>, mut stream: Stream) {
    let mut read = Bytes::new();
    let mut version = None;
    loop {
        let begins = match read.is_empty() {
            true => wait(&client, &mut stream, &mut version).await,
            false => Ok(Some(std::mem::take(&mut read))),
        };
        read = match begins {
            Ok(Some(read)) => read,
            Ok(None) => return,
            Err(error) => return told(&client, &error),
        };
        let is_plain = version != Some(Version::Http2);
        let io = TokioIo::new(Watched { stream, read, is_plain, client: client.clone() });
        let parked = match is_plain {
            true => Box::pin(serve_http1(&client, io)).await,
            false => Box::pin(serve_http2(&client, io)).await.map(|()| None),
        };
        (stream, read) = match parked {
            Ok(Some(parked)) => parked,
            Ok(None) => return,
            Err(error) => {
                if error.is_parse() {
                    client.route.counters.refused(Code::Malformed);
                }
                return told(&client, &error);
            }
        };
    }
}

/// The version that a client speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Version {
    Http1,
    Http2,
}

/// A client may break its connection at any time.
fn told(client: &Client, error: &dyn std::error::Error) {
    tracing::debug!(%error, service = &*client.route.service, "a client's connection ended early");
}

/// Waits for the first bytes of a request. At the first one it reads until the version is known. `None` when there is none, in
/// time or before the proxy drains.
async fn wait(
    client: &Client,
    stream: &mut Stream,
    version: &mut Option<Version>,
) -> io::Result<Option<Bytes>> {
    let common = &client.route.common;
    let is_new = version.is_none();
    let idle = client.activity.idle_since() + common.limits.idle_timeout;
    let has_begun = AtomicBool::new(false);
    let reading = async {
        let mut deadline = idle;
        let mut read = BytesMut::new();
        loop {
            let more = timeout_at(deadline, first_bytes(stream)).await?;
            let is_open = more.as_ref().is_ok_and(|more| !more.is_empty());
            has_begun.fetch_or(is_open, Relaxed);
            read.extend_from_slice(&more?);
            let length = read.len().min(PREFACE.len());
            let may_be_http2 = version.is_none() && read[..length] == PREFACE[..length];
            if may_be_http2 && length < PREFACE.len() && is_open {
                deadline = deadline.min(Instant::now() + common.limits.head_timeout);
                continue;
            }
            let is_http2 = may_be_http2 && length == PREFACE.len();
            *version = Some(if is_http2 { Version::Http2 } else { Version::Http1 });
            return Ok(Some(read.freeze()).filter(|read| !read.is_empty()));
        }
    };
    let drained = async {
        common.phases.reached(Phase::Drains).await;
        if is_new {
            // The first request may be on its way.
            sleep(FIRST_REQUEST_WITHIN).await;
        }
        if has_begun.load(Relaxed) {
            // A head that has begun has its time.
            common.phases.reached(Phase::Ends).await;
        }
    };
    let read: io::Result<_> = tokio::select! {
        read = reading => read,
        () = drained => Ok(None),
    };
    match read {
        Err(error) if error.kind() == io::ErrorKind::TimedOut => {
            let counters = &client.route.counters;
            match has_begun.load(Relaxed) {
                true => counters.head_closed.add(1),
                false => counters.idle_closed.add(1),
            }
            Ok(None)
        }
        read => read,
    }
}

/// The next bytes. There is no buffer while nothing comes.
async fn first_bytes(stream: &mut Stream) -> io::Result<Bytes> {
    poll_fn(|cx| {
        let mut bytes = [const { MaybeUninit::uninit() }; FIRST_READ_BYTES];
        let mut buffer = ReadBuf::uninit(&mut bytes);
        ready!(Pin::new(&mut *stream).poll_read(cx, &mut buffer))?;
        Poll::Ready(Ok(Bytes::copy_from_slice(buffer.filled())))
    })
    .await
}

/// Serves HTTP/1.1 until the connection ends, or has no call for a while. Then it returns the stream, and what was read of it.
async fn serve_http1(
    client: &Arc<Client>,
    io: TokioIo<Watched>,
) -> hyper::Result<Option<(Stream, Bytes)>> {
    let limits = &client.route.common.limits;
    let service = {
        let client = client.clone();
        service_fn(move |request| forward(client.clone(), request))
    };
    let mut connection = http1::Builder::new()
        .half_close(true)
        .max_header_size(limits.max_head_bytes)
        .max_buf_size(limits.max_head_bytes.max(MIN_BUFFER_BYTES))
        .serve_connection(io, service)
        .with_upgrades();
    let clock = Clock::http1(limits, client.activity.begun());
    let let_go = http1::UpgradeableConnection::graceful_shutdown;
    let over = drive(client, Pin::new(&mut connection), clock, let_go).await?;
    let Some(parts) = connection.into_parts() else { return Ok(None) };
    let stream = parts.io.into_inner().stream;
    if over == Some(Over::Head) {
        refuse_late_head(client, stream).await;
        return Ok(None);
    }
    // Also an empty rest holds the buffer that it was read into.
    let read = Some(parts.read_buf).filter(|read| !read.is_empty()).unwrap_or_default();
    Ok((over == Some(Over::Parked)).then_some((stream, read)))
}

/// Tells a client whose head took too long.
async fn refuse_late_head(client: &Client, mut stream: Stream) {
    let refusal = Refusal::new(Code::HeadTimeout, "the head of the request did not come in time");
    client.route.counters.refused(refusal.code);
    let answer = refusal.last_answer();
    let answered = async {
        stream.write_all(&answer).await?;
        stream.shutdown().await
    };
    // A client that takes no answer gets none.
    if let Ok(Err(error)) = timeout(LAST_ANSWER_WITHIN, answered).await {
        told(client, &error);
    }
}

async fn serve_http2(client: &Arc<Client>, io: TokioIo<Watched>) -> hyper::Result<()> {
    let limits = &client.route.common.limits;
    let service = {
        let client = client.clone();
        service_fn(move |request| forward(client.clone(), request))
    };
    let connection = http2::Builder::new(TokioExecutor::new())
        .timer(TokioTimer::new())
        .keep_alive_interval(PING_INTERVAL)
        .keep_alive_timeout(PING_TIMEOUT)
        .max_concurrent_streams(limits.max_streams)
        .max_header_list_size(u32::try_from(limits.max_head_bytes).unwrap_or(u32::MAX))
        .max_send_buf_size(SEND_BUFFER_BYTES)
        .max_pending_accept_reset_streams(MAX_PENDING_RESETS)
        .max_local_error_reset_streams(MAX_ERROR_RESETS)
        .serve_connection(io, service);
    let clock = Clock::http2(limits);
    drive(client, pin!(connection), clock, http2::Connection::graceful_shutdown).await.map(drop)
}

/// Drives a connection until it ends, its time is over, or the proxy ends. While the proxy drains, it ends with its calls. Returns which
/// time is over, if one is.
async fn drive<C>(
    client: &Client,
    mut connection: Pin<&mut C>,
    mut clock: Clock,
    let_go: impl Fn(Pin<&mut C>),
) -> hyper::Result<Option<Over>>
where
    C: Future<Output = hyper::Result<()>>,
{
    let common = &client.route.common;
    let mut change = PhaseChange::new(&common.phases);
    let mut is_let_go = false;
    let mut over = None;
    poll_fn(|cx: &mut Context<'_>| {
        loop {
            // A request that has come already is read before the connection is let go.
            if let Poll::Ready(ended) = connection.as_mut().poll(cx) {
                return Poll::Ready(ended);
            }
            match change.poll(cx) {
                Phase::Drains if !is_let_go => {
                    is_let_go = true;
                    let_go(connection.as_mut());
                }
                Phase::Serves | Phase::Drains => break,
                Phase::Ends => return Poll::Ready(Ok(())),
            }
        }
        match clock.poll(&client.activity, cx) {
            Poll::Ready(why) => {
                over = Some(why);
                Poll::Ready(Ok(()))
            }
            Poll::Pending => Poll::Pending,
        }
    })
    .await?;
    let counters = &client.route.counters;
    match over {
        None | Some(Over::Parked) => {}
        Some(Over::Idle) => counters.idle_closed.add(1),
        Some(Over::Head) => counters.head_closed.add(1),
        Some(Over::Stalled) => counters.stall_closed.add(1),
    }
    if over == Some(Over::Idle) {
        // A client of HTTP/2 is told that it may go on elsewhere.
        let_go(connection.as_mut());
        let goodbye = timeout(GOODBYE_WITHIN, connection);
        tokio::select! {
            ended = goodbye => ended.unwrap_or(Ok(()))?,
            () = common.phases.reached(Phase::Ends) => {}
        }
    }
    Ok(over)
}
