//! A connection over HTTP: which version the client speaks, its calls, and its end.

use std::future::{Future, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::io::AsyncReadExt;
use tokio::time::{Instant, timeout, timeout_at};

use crate::config::Limits;
use crate::forward::forward;
use crate::idle::{Clock, Over};
use crate::phase::{Phase, PhaseChange};
use crate::route::Client;
use crate::stream::{Stream, Watched};

/// What a client of HTTP/2 sends first.
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
/// The time in which a connection of HTTP/2 that was told to end does.
const GOODBYE_WITHIN: Duration = Duration::from_secs(5);

/// Serves a connection until it ends.
pub(crate) async fn serve(client: Arc<Client>, mut stream: Stream) {
    let common = client.route.common.clone();
    let sniffed = tokio::select! {
        sniffed = sniff(&mut stream, &common.limits) => sniffed,
        // Nothing was asked yet.
        () = common.phases.reached(Phase::Drains) => return,
    };
    let (is_http2, read) = match sniffed {
        Ok((_, read)) if read.is_empty() => return,
        Ok(sniffed) => sniffed,
        Err(error) if error.kind() == io::ErrorKind::TimedOut => {
            client.route.counters.idle_closed.add(1);
            return;
        }
        Err(error) => {
            tracing::debug!(%error, service = &*client.route.service, "a client broke before its first request");
            return;
        }
    };
    let io = TokioIo::new(Watched { stream, read, activity: client.activity.clone() });
    let ended = match is_http2 {
        true => serve_http2(&client, io).await,
        false => serve_http1(&client, io).await,
    };
    if let Err(error) = ended {
        tracing::debug!(%error, service = &*client.route.service, "a client's connection ended early");
    }
}

/// Reads until it is clear whether the client speaks HTTP/2.
async fn sniff(stream: &mut Stream, limits: &Limits) -> io::Result<(bool, Bytes)> {
    let mut read = BytesMut::with_capacity(FIRST_READ_BYTES);
    let mut deadline = Instant::now() + limits.idle_timeout;
    loop {
        let is_open = timeout_at(deadline, stream.read_buf(&mut read)).await?? > 0;
        if read.len() < PREFACE.len() {
            deadline = deadline.min(Instant::now() + limits.head_timeout);
        }
        let length = read.len().min(PREFACE.len());
        let may_be_http2 = read[..length] == PREFACE[..length];
        if !is_open || !may_be_http2 || length == PREFACE.len() {
            return Ok((may_be_http2 && length == PREFACE.len(), read.freeze()));
        }
    }
}

async fn serve_http1(client: &Arc<Client>, io: TokioIo<Watched>) -> hyper::Result<()> {
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
    let clock = Clock::new(limits, true);
    drive(client, Pin::new(&mut connection), clock, |connection| connection.graceful_shutdown())
        .await
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
    let clock = Clock::new(limits, false);
    drive(client, pin!(connection), clock, |connection| connection.graceful_shutdown()).await
}

/// Drives a connection until it ends, its time is over, or the proxy ends. While the proxy drains, it ends with its calls.
async fn drive<C>(
    client: &Client,
    mut connection: Pin<&mut C>,
    mut clock: Clock,
    let_go: impl Fn(Pin<&mut C>),
) -> hyper::Result<()>
where
    C: Future<Output = hyper::Result<()>>,
{
    let common = &client.route.common;
    let mut change = PhaseChange::new(&common.phases);
    let mut is_let_go = false;
    let mut over = None;
    poll_fn(|cx: &mut Context<'_>| {
        match change.poll(cx) {
            Phase::Serves => {}
            Phase::Drains if is_let_go => {}
            Phase::Drains => {
                is_let_go = true;
                let_go(connection.as_mut());
            }
            Phase::Ends => return Poll::Ready(Ok(())),
        }
        if let Poll::Ready(ended) = connection.as_mut().poll(cx) {
            return Poll::Ready(ended);
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
    let Some(over) = over else { return Ok(()) };
    let counters = &client.route.counters;
    match over {
        Over::Idle => counters.idle_closed.add(1),
        Over::Head => counters.head_closed.add(1),
        Over::Stalled => counters.stall_closed.add(1),
    }
    if over == Over::Idle {
        // A client of HTTP/2 is told that it may go on elsewhere.
        let_go(connection.as_mut());
        let ended = tokio::select! {
            ended = timeout(GOODBYE_WITHIN, connection) => ended,
            () = common.phases.reached(Phase::Ends) => return Ok(()),
        };
        return ended.unwrap_or(Ok(()));
    }
    Ok(())
}
