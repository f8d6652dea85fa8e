//! The connections to one instance.

use std::collections::VecDeque;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use http::{Request, Response};
use hyper::body::Incoming;
use hyper::client::conn::{TrySendError, http1};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep_until, timeout};

use super::body::SentBody;
use super::config::{CallConfig, Protocol};
use super::error::Reason;
use super::http2::{Http2, InFlight};
use super::stats::Level;
use crate::types::Instance;

/// A kept connection whose last answer has just ended may need a moment until it takes the next request.
const READY_WITHIN: Duration = Duration::from_millis(5);

/// The connections to one instance.
pub(super) struct Upstream {
    address: String,
    port: u16,
    /// The connections of HTTP/1.1 without a call.
    kept: Mutex<Kept>,
    /// The connections of HTTP/2.
    pub(super) http2: Arc<Http2>,
    /// The open connections of the caller.
    pub(super) open: Arc<Level>,
}

/// The connections of HTTP/1.1 without a call. The last one is taken first.
#[derive(Default)]
struct Kept {
    idle: VecDeque<Idle>,
    /// Whether a task closes those that are idle for too long.
    is_swept: bool,
}

struct Idle {
    since: Instant,
    sender: http1::SendRequest<SentBody>,
}

/// A try that got no answer.
pub(super) struct Failed {
    pub(super) reason: Reason,
    /// Whether the instance may have seen the request.
    pub(super) may_have_arrived: bool,
}

/// A connection that an answer is read from.
pub(super) enum Used {
    Http1(UsedHttp1),
    Http2(InFlight),
}

pub(super) struct UsedHttp1 {
    upstream: Arc<Upstream>,
    sender: http1::SendRequest<SentBody>,
    max_idle: usize,
    idle_timeout: Duration,
}

impl Used {
    /// Keeps the connection for the next call. Its answer has ended.
    pub(super) fn keep(self) {
        match self {
            Self::Http1(used) => used.keep(),
            Self::Http2(in_flight) => drop(in_flight),
        }
    }
}

impl UsedHttp1 {
    fn keep(self) {
        if self.sender.is_closed() || self.max_idle == 0 {
            return;
        }
        let mut kept = self.upstream.lock();
        if kept.idle.len() >= self.max_idle {
            kept.idle.pop_front();
        }
        kept.idle.push_back(Idle { since: Instant::now(), sender: self.sender });
        if !std::mem::replace(&mut kept.is_swept, true) {
            tokio::spawn(sweep(Arc::downgrade(&self.upstream), self.idle_timeout));
        }
    }
}

/// Closes connections that are idle for too long, until none is left.
async fn sweep(upstream: Weak<Upstream>, idle_timeout: Duration) {
    let mut next = Instant::now() + idle_timeout;
    loop {
        sleep_until(next).await;
        let Some(upstream) = upstream.upgrade() else { return };
        let mut kept = upstream.lock();
        let now = Instant::now();
        kept.idle.retain(|idle| !idle.sender.is_closed() && now < idle.since + idle_timeout);
        match kept.idle.front() {
            Some(oldest) => next = oldest.since + idle_timeout,
            None => {
                kept.is_swept = false;
                return;
            }
        }
    }
}

impl Upstream {
    pub(super) fn new(instance: &Instance, open: Arc<Level>) -> Self {
        Self {
            address: instance.address.clone(),
            port: instance.port,
            kept: Mutex::default(),
            http2: Arc::default(),
            open,
        }
    }

    /// Whether it leads to where the instance is now.
    pub(super) fn leads_to(&self, instance: &Instance) -> bool {
        self.port == instance.port && self.address == instance.address
    }

    /// Sends a request, and waits for the head of its answer. `may_have_arrived` becomes true before the first byte is sent.
    pub(super) async fn send(
        self: &Arc<Self>,
        request: Request<SentBody>,
        protocol: Protocol,
        config: &CallConfig,
        now: Instant,
        may_have_arrived: &AtomicBool,
    ) -> Result<(Response<Incoming>, Option<Used>), Failed> {
        match protocol {
            Protocol::Http1 => self.send_http1(request, config, now, may_have_arrived).await,
            Protocol::Http2 => {
                let sending = self.send_http2(request, config, may_have_arrived);
                let (response, in_flight) = Box::pin(sending).await?;
                Ok((response, Some(Used::Http2(in_flight))))
            }
        }
    }

    async fn send_http1(
        self: &Arc<Self>,
        mut request: Request<SentBody>,
        config: &CallConfig,
        now: Instant,
        may_have_arrived: &AtomicBool,
    ) -> Result<(Response<Incoming>, Option<Used>), Failed> {
        loop {
            let (mut sender, is_fresh) = match self.take_idle(config.idle_timeout, now).await {
                Some(sender) => (sender, false),
                None => (Box::pin(self.connect_http1(config)).await?, true),
            };
            may_have_arrived.store(true, Relaxed);
            match sender.try_send_request(request).await {
                Ok(response) => {
                    let used = UsedHttp1 {
                        upstream: self.clone(),
                        sender,
                        max_idle: config.max_idle_connections,
                        idle_timeout: config.idle_timeout,
                    };
                    return Ok((response, Some(Used::Http1(used))));
                }
                Err(error) => request = unsent(error, is_fresh)?,
            }
            may_have_arrived.store(false, Relaxed);
        }
    }

    async fn take_idle(
        &self,
        idle_timeout: Duration,
        now: Instant,
    ) -> Option<http1::SendRequest<SentBody>> {
        loop {
            let Idle { since, mut sender } = self.lock().idle.pop_back()?;
            if sender.is_closed() || now.saturating_duration_since(since) >= idle_timeout {
                continue;
            }
            if sender.is_ready()
                || matches!(Box::pin(timeout(READY_WITHIN, sender.ready())).await, Ok(Ok(())))
            {
                return Some(sender);
            }
        }
    }

    async fn connect_http1(
        &self,
        config: &CallConfig,
    ) -> Result<http1::SendRequest<SentBody>, Failed> {
        let stream = self.connect(config.connect_timeout).await.map_err(not_sent)?;
        let handshake = http1::handshake(TokioIo::new(stream)).await;
        let (sender, connection) = handshake.map_err(|error| not_sent(Reason::Broken(error)))?;
        let open = self.open.enter();
        // The error of a connection is that of its request.
        tokio::spawn(async move {
            drop(connection.with_upgrades().await);
            drop(open);
        });
        Ok(sender)
    }

    pub(super) async fn connect(&self, within: Duration) -> Result<TcpStream, Reason> {
        connect((self.address.as_str(), self.port), within).await
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Connects over TCP, without the delay of small packets.
pub(super) async fn connect(address: (&str, u16), within: Duration) -> Result<TcpStream, Reason> {
    let connected: io::Result<TcpStream> = match timeout(within, TcpStream::connect(address)).await
    {
        Ok(connected) => connected,
        Err(_) => return Err(Reason::ConnectTimeout(within)),
    };
    connected.and_then(|stream| stream.set_nodelay(true).map(|()| stream)).map_err(Reason::Connect)
}

pub(super) fn not_sent(reason: Reason) -> Failed {
    Failed { reason, may_have_arrived: false }
}

/// The request, if nothing of it was sent over a kept connection: the server closed that meanwhile, which says nothing of it.
fn unsent(
    mut error: TrySendError<Request<SentBody>>,
    is_fresh: bool,
) -> Result<Request<SentBody>, Failed> {
    let request = error.take_message();
    let error = error.into_error();
    match request {
        Some(request) if !is_fresh => Ok(request),
        Some(_) => Err(not_sent(Reason::Broken(error))),
        None if error.is_user() => {
            Err(Failed { reason: Reason::Body(Arc::new(error)), may_have_arrived: true })
        }
        None => Err(Failed { reason: Reason::Broken(error), may_have_arrived: true }),
    }
}
