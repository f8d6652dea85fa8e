//! The connections to one instance.

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use http::{Request, Response};
use hyper::body::Incoming;
use hyper::client::conn::{TrySendError, http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};

use super::body::SentBody;
use super::config::{CallConfig, Protocol};
use super::error::Reason;
use crate::types::Instance;

/// A kept connection whose last answer has just ended may need a moment until it takes the next request.
const READY_WITHIN: Duration = Duration::from_millis(5);

/// A connection of HTTP/2 with calls is pinged, and ends without an answer: all calls to an instance depend on it.
const PING_INTERVAL: Duration = Duration::from_secs(5);
const PING_TIMEOUT: Duration = Duration::from_secs(3);

/// The connections to one instance.
pub(super) struct Upstream {
    address: String,
    port: u16,
    /// The connections of HTTP/1.1 without a call. The last one is taken first.
    idle: Mutex<VecDeque<Idle>>,
    /// The connection of HTTP/2.
    shared: tokio::sync::Mutex<Option<http2::SendRequest<SentBody>>>,
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
pub(super) struct Used {
    upstream: Arc<Upstream>,
    sender: http1::SendRequest<SentBody>,
    max_idle: usize,
    idle_timeout: Duration,
}

impl Used {
    /// Keeps the connection for the next call. Its answer has ended.
    pub(super) fn keep(self) {
        if self.sender.is_closed() {
            return;
        }
        let now = Instant::now();
        let mut idle = self.upstream.lock();
        while let Some(oldest) = idle.front()
            && (idle.len() >= self.max_idle || now - oldest.since >= self.idle_timeout)
        {
            idle.pop_front();
        }
        if self.max_idle > 0 {
            idle.push_back(Idle { since: now, sender: self.sender });
        }
    }
}

impl Upstream {
    pub(super) fn new(instance: &Instance) -> Self {
        Self {
            address: instance.address.clone(),
            port: instance.port,
            idle: Mutex::default(),
            shared: tokio::sync::Mutex::default(),
        }
    }

    /// Whether it leads to where the instance is now.
    pub(super) fn leads_to(&self, instance: &Instance) -> bool {
        self.port == instance.port && self.address == instance.address
    }

    /// Sends a request, and waits for the head of its answer.
    pub(super) async fn send(
        self: &Arc<Self>,
        request: Request<SentBody>,
        config: &CallConfig,
        now: Instant,
    ) -> Result<(Response<Incoming>, Option<Used>), Failed> {
        match config.protocol {
            Protocol::Http1 => self.send_http1(request, config, now).await,
            Protocol::Http2 => Ok((Box::pin(self.send_http2(request, config)).await?, None)),
        }
    }

    async fn send_http1(
        self: &Arc<Self>,
        mut request: Request<SentBody>,
        config: &CallConfig,
        now: Instant,
    ) -> Result<(Response<Incoming>, Option<Used>), Failed> {
        loop {
            let (mut sender, is_fresh) = match self.take_idle(config.idle_timeout, now).await {
                Some(sender) => (sender, false),
                None => (Box::pin(self.connect_http1(config)).await?, true),
            };
            match sender.try_send_request(request).await {
                Ok(response) => {
                    let used = Used {
                        upstream: self.clone(),
                        sender,
                        max_idle: config.max_idle_connections,
                        idle_timeout: config.idle_timeout,
                    };
                    return Ok((response, Some(used)));
                }
                Err(error) => request = unsent(error, is_fresh)?,
            }
        }
    }

    async fn take_idle(
        &self,
        idle_timeout: Duration,
        now: Instant,
    ) -> Option<http1::SendRequest<SentBody>> {
        loop {
            let Idle { since, mut sender } = self.lock().pop_back()?;
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
        let stream = self.connect(config.connect_timeout).await.map_err(unconnected)?;
        let handshake = http1::handshake(TokioIo::new(stream)).await;
        let (sender, connection) = handshake.map_err(|error| not_sent(Reason::Broken(error)))?;
        // The error of a connection is that of its request.
        tokio::spawn(async { drop(connection.await) });
        Ok(sender)
    }

    async fn send_http2(
        &self,
        mut request: Request<SentBody>,
        config: &CallConfig,
    ) -> Result<Response<Incoming>, Failed> {
        loop {
            let (mut sender, is_fresh) = {
                let mut shared = self.shared.lock().await;
                match shared.as_ref().filter(|sender| !sender.is_closed()) {
                    Some(sender) => (sender.clone(), false),
                    None => (shared.insert(self.connect_http2(config).await?).clone(), true),
                }
            };
            match sender.try_send_request(request).await {
                Ok(response) => return Ok(response),
                Err(error) => request = unsent(error, is_fresh)?,
            }
        }
    }

    async fn connect_http2(
        &self,
        config: &CallConfig,
    ) -> Result<http2::SendRequest<SentBody>, Failed> {
        let stream = self.connect(config.connect_timeout).await.map_err(unconnected)?;
        let handshake = http2::Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .keep_alive_interval(PING_INTERVAL)
            .keep_alive_timeout(PING_TIMEOUT)
            .handshake(TokioIo::new(stream))
            .await;
        let (sender, connection) = handshake.map_err(|error| not_sent(Reason::Broken(error)))?;
        tokio::spawn(async { drop(connection.await) });
        Ok(sender)
    }

    async fn connect(&self, within: Duration) -> Result<TcpStream, Reason> {
        connect((self.address.as_str(), self.port), within).await
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Idle>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
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

fn unconnected(reason: Reason) -> Failed {
    not_sent(reason)
}

fn not_sent(reason: Reason) -> Failed {
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
            Err(Failed { reason: Reason::Body(error), may_have_arrived: true })
        }
        None => Err(Failed { reason: Reason::Broken(error), may_have_arrived: true }),
    }
}
