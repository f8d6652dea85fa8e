//! Tunnels: bytes between a client and an instance, over TCP or after an upgrade.

use std::io;
use std::os::fd::AsFd;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::task::{Context, Poll, ready};
use std::time::{Duration, SystemTime};

use hobnob_api::calls::{Answer, Connection};
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use rustix::net::sockopt::set_socket_linger;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf, copy_bidirectional};
use tokio::time::{Instant, sleep};

use crate::access_log::Line;
use crate::counters::Counter;
use crate::phase::Phase;
use crate::route::Client;
use crate::stream::Watched;

/// The end of a tunnel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TunnelEnd {
    /// Both sides have closed.
    Closed,
    /// The client broke it.
    BrokenByClient,
    /// The instance broke it.
    BrokenByInstance,
    /// Nothing moved for too long.
    Idle,
    /// The proxy ends.
    Ended,
}

impl TunnelEnd {
    fn name(self) -> &'static str {
        match self {
            Self::Closed => "end",
            Self::BrokenByInstance => "broken_off",
            Self::Idle => "idle",
            Self::BrokenByClient | Self::Ended => "cancelled",
        }
    }
}

/// Carries bytes after an upgrade, until both sides have closed.
pub(crate) async fn upgraded(client: Arc<Client>, on_upgrade: OnUpgrade, answer: Answer) {
    let (own, upstream) = tokio::join!(on_upgrade, answer.upgrade());
    match (own, upstream) {
        (Ok(own), Ok(upstream)) => {
            let own = match own.downcast::<TokioIo<Watched>>() {
                Ok(parts) => parts,
                Err(_) => return tracing::debug!("the client's stream is of another kind"),
            };
            let stream = own.io.into_inner();
            let read = [stream.read, own.read_buf].concat().into();
            carry(&client, Watched { read, ..stream }, upstream).await;
        }
        // A client that is gone by now needs no word.
        (Err(error), _) => tracing::debug!(%error, "the client left before its protocol changed"),
        (_, Err(error)) => {
            tracing::debug!(%error, "the instance left before its protocol changed");
            client.route.counters.broken_off.add(1);
        }
    }
}

/// Carries bytes both ways. A side that has closed its half may still receive. Each side is reset unless the other one has closed: half
/// of a transfer does not look like a whole one.
pub(crate) async fn carry<S>(client: &Client, stream: S, upstream: Connection) -> TunnelEnd
where
    S: AsyncRead + AsyncWrite + AsFd + Unpin,
{
    let (route, begun) = (&client.route, Instant::now());
    let _open = route.counters.tunnels.enter();
    route.counters.tunnels_opened.add(1);
    let (instance, tries) = (upstream.instance().clone(), upstream.tries());
    let received = Tally::new(&route.counters.tunnel_bytes_to_instance);
    let sent = Tally::new(&route.counters.tunnel_bytes_to_client);
    let mut own = Tallied { stream, read: &received, is_broken: false };
    let mut other = Tallied { stream: upstream, read: &sent, is_broken: false };
    let end = {
        let mut copying = pin!(copy_bidirectional(&mut own, &mut other));
        let mut ending = pin!(route.common.phases.reached(Phase::Ends));
        let idle = route.common.limits.tunnel_idle_timeout;
        let moved = || received.get() + sent.get();
        tokio::select! {
            copied = copying.as_mut() => match copied {
                Ok(_) => TunnelEnd::Closed,
                Err(_) => TunnelEnd::BrokenByInstance,
            },
            () = ending.as_mut() => TunnelEnd::Ended,
            () = stands_still(idle, moved) => TunnelEnd::Idle,
        }
    };
    let end = match end {
        TunnelEnd::BrokenByInstance if own.is_broken => TunnelEnd::BrokenByClient,
        end => end,
    };
    if end != TunnelEnd::Closed {
        reset_on_close(&own.stream);
        reset_on_close(&other.stream);
    }
    if end == TunnelEnd::Idle {
        route.counters.stall_closed.add(1);
    }
    if let Some(log) = &route.common.log {
        log.write(&Line {
            time: humantime::format_rfc3339_millis(SystemTime::now()).to_string(),
            service: &route.service,
            client: client.ends.map(|ends| ends.client.to_string()),
            protocol: Some("tunnel"),
            method: None,
            target: None,
            host: None,
            request_id: None,
            status: None,
            error: None,
            instance: Some(&instance.id),
            tries,
            bytes_received: Some(received.get()),
            bytes_sent: sent.get(),
            duration_ms: begun.elapsed().as_micros() as f64 / 1e3,
            ended: end.name(),
        });
    }
    end
}

/// Closes a connection with a reset once it is dropped. Over a unix socket there is none, and it just closes.
fn reset_on_close(stream: &impl AsFd) {
    if let Err(error) = set_socket_linger(stream, Some(Duration::ZERO)) {
        tracing::debug!(%error, "a connection closes without a reset");
    }
}

/// Resolves when a number has not changed for this long, or half as long again.
async fn stands_still(limit: Option<Duration>, moved: impl Fn() -> u64) {
    let Some(limit) = limit else { return std::future::pending().await };
    let (mut seen, mut still) = (moved(), 0);
    while still < 2 {
        sleep(limit / 2).await;
        let now = moved();
        still = if now == seen { still + 1 } else { 0 };
        seen = now;
    }
}

/// The bytes of one direction, of this tunnel and of all.
struct Tally<'a> {
    own: AtomicU64,
    all: &'a Counter,
}

impl<'a> Tally<'a> {
    fn new(all: &'a Counter) -> Self {
        Self { own: AtomicU64::new(0), all }
    }

    fn add(&self, count: u64) {
        self.own.fetch_add(count, Relaxed);
        self.all.add(count);
    }

    fn get(&self) -> u64 {
        self.own.load(Relaxed)
    }
}

/// A stream whose read bytes are counted, and which remembers that it broke.
struct Tallied<'a, S> {
    stream: S,
    read: &'a Tally<'a>,
    is_broken: bool,
}

impl<S> Tallied<'_, S> {
    fn noted<T>(&mut self, polled: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        self.is_broken |= matches!(polled, Poll::Ready(Err(_)));
        polled
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Tallied<'_, S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let polled = Pin::new(&mut self.stream).poll_read(cx, buffer);
        ready!(self.noted(polled))?;
        self.read.add((buffer.filled().len() - before) as u64);
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Tallied<'_, S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.noted(polled)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let polled = Pin::new(&mut self.stream).poll_flush(cx);
        self.noted(polled)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let polled = Pin::new(&mut self.stream).poll_shutdown(cx);
        self.noted(polled)
    }
}
