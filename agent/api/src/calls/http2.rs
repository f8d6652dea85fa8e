//! The connections of HTTP/2 to one instance.

use std::error::Error;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use http::{Request, Response};
use hyper::body::Incoming;
use hyper::client::conn::{TrySendError, http2};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::time::{Instant, timeout_at};

use super::body::SentBody;
use super::config::{CallConfig, Protocol};
use super::error::Reason;
use super::opening::{Begun, Opening, Watched};
use super::upstream::{Failed, Upstream, not_sent};

/// The most connections of HTTP/2 to one instance. Each takes as many calls at a time as the instance says.
const MAX_CONNECTIONS: usize = 32;

/// A connection with calls is pinged, and ends without an answer: many calls depend on it.
const PING_INTERVAL: Duration = Duration::from_secs(5);
const PING_TIMEOUT: Duration = Duration::from_secs(3);

/// The connections of HTTP/2 to one instance. The first one that takes a further call gets it. A further connection is made when
/// none does, and at most one without a call is kept.
#[derive(Default)]
pub(super) struct Http2 {
    connections: Mutex<Vec<Arc<Connection>>>,
    /// Held by the call that makes a connection. Inside is the last one that did not come about.
    connecting: tokio::sync::Mutex<Option<Unconnected>>,
    /// Whether the instance has ever begun with HTTP/2.
    is_spoken: AtomicBool,
}

struct Connection {
    sender: http2::SendRequest<SentBody>,
    /// What drives the connection, which knows how many calls the instance takes; `None` once it has ended, so that calls which
    /// wait for it end.
    driver: Arc<Mutex<Option<Driver>>>,
    begun: Begun,
    calls: AtomicUsize,
    /// The most calls at a time, as far as it is known.
    max_calls: AtomicUsize,
}

type Driver = http2::Connection<TokioIo<Watched>, SentBody, TokioExecutor>;

/// A call over a connection, until its answer has ended.
pub(super) struct InFlight {
    http2: Arc<Http2>,
    connection: Arc<Connection>,
}

/// A connection that did not come about. The calls that waited for it fail in the same way.
struct Unconnected {
    at: Instant,
    /// `None` when its time was over.
    error: Option<(io::ErrorKind, Option<i32>)>,
}

impl Upstream {
    /// Sends a request over HTTP/2, and waits for the head of its answer.
    pub(super) async fn send_http2(
        &self,
        mut request: Request<SentBody>,
        config: &CallConfig,
        may_have_arrived: &AtomicBool,
    ) -> Result<(Response<Incoming>, InFlight), Failed> {
        loop {
            let (in_flight, is_fresh) = match self.http2.begin() {
                Some(in_flight) => (in_flight, false),
                None => self.begin_after_others(config.connect_timeout).await?,
            };
            may_have_arrived.store(true, Relaxed);
            let mut sender = in_flight.connection.sender.clone();
            match sender.try_send_request(request).await {
                Ok(response) => return Ok((response, in_flight)),
                Err(error) => request = in_flight.unsent(error, is_fresh, config)?,
            }
            may_have_arrived.store(false, Relaxed);
        }
    }

    /// Makes a connection, or waits for the call that does. Returns whether this call made it.
    async fn begin_after_others(&self, within: Duration) -> Result<(InFlight, bool), Failed> {
        let begun = Instant::now();
        let late = |_| not_sent(Reason::ConnectTimeout(within));
        let connecting = timeout_at(begun + within, self.http2.connecting.lock());
        let mut last = connecting.await.map_err(late)?;
        if let Some(in_flight) = self.http2.begin() {
            return Ok((in_flight, false));
        }
        if let Some(unconnected) = last.as_ref().filter(|unconnected| unconnected.at >= begun) {
            return Err(not_sent(unconnected.reason(within)));
        }
        if self.http2.lock().len() >= MAX_CONNECTIONS {
            return Err(not_sent(Reason::Busy(MAX_CONNECTIONS)));
        }
        match self.connect_http2(within).await {
            Ok(connection) => Ok((self.http2.add(connection), true)),
            Err(reason) => {
                *last = Some(Unconnected::by(&reason));
                Err(not_sent(reason))
            }
        }
    }

    async fn connect_http2(&self, within: Duration) -> Result<Connection, Reason> {
        let (stream, begun) = Watched::new(self.connect(within).await?);
        let (sender, driver) = http2::Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .keep_alive_interval(PING_INTERVAL)
            .keep_alive_timeout(PING_TIMEOUT)
            .handshake(TokioIo::new(stream))
            .await
            .map_err(Reason::Broken)?;
        let max_calls = AtomicUsize::new(driver.current_max_send_streams());
        let driver = Arc::new(Mutex::new(Some(driver)));
        let (driven, open) = (driver.clone(), self.open.enter());
        tokio::spawn(async move {
            // The error of a connection is that of its requests.
            poll_fn(|cx| drive(&driven, cx)).await;
            drop(open);
        });
        Ok(Connection { sender, driver, begun, calls: AtomicUsize::new(0), max_calls })
    }
}

fn drive(driver: &Mutex<Option<Driver>>, cx: &mut Context<'_>) -> Poll<()> {
    let mut driver = driver.lock().unwrap_or_else(PoisonError::into_inner);
    let polled =
        driver.as_mut().map_or(Poll::Ready(()), |driver| Pin::new(driver).poll(cx).map(drop));
    if polled.is_ready() {
        *driver = None;
    }
    polled
}

impl Http2 {
    /// Begins a call over a connection that takes one.
    fn begin(self: &Arc<Self>) -> Option<InFlight> {
        let mut connections = self.lock();
        connections.retain(|connection| !connection.sender.is_closed());
        let free = connections.iter().find(|connection| connection.has_room())?;
        Some(self.call_over(free))
    }

    /// Begins a call over a new connection, which takes others from then on.
    fn add(self: &Arc<Self>, connection: Connection) -> InFlight {
        let connection = Arc::new(connection);
        let mut connections = self.lock();
        connections.push(connection.clone());
        self.call_over(&connection)
    }

    /// The connections must be locked.
    fn call_over(self: &Arc<Self>, connection: &Arc<Connection>) -> InFlight {
        connection.calls.fetch_add(1, Relaxed);
        InFlight { http2: self.clone(), connection: connection.clone() }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Arc<Connection>>> {
        self.connections.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Connection {
    fn has_room(&self) -> bool {
        // The task that drives it may be the one that calls, for a body that is made of another call.
        if let Ok(driver) = self.driver.try_lock()
            && let Some(driver) = &*driver
        {
            self.max_calls.store(driver.current_max_send_streams(), Relaxed);
        }
        self.calls.load(Relaxed) < self.max_calls.load(Relaxed)
    }

    fn is_unused(&self) -> bool {
        self.calls.load(Relaxed) == 0
    }
}

impl InFlight {
    /// The request, if nothing of it was sent over a connection that stood before.
    fn unsent(
        &self,
        mut error: TrySendError<Request<SentBody>>,
        is_fresh: bool,
        config: &CallConfig,
    ) -> Result<Request<SentBody>, Failed> {
        let request = error.take_message();
        let error = error.into_error();
        let may_have_arrived = request.is_none();
        let is_known = config.protocol == Protocol::Http2 || self.http2.is_spoken.load(Relaxed);
        match self.connection.begun.opening() {
            Opening::Http2 => self.http2.is_spoken.store(true, Relaxed),
            Opening::Other => return Err(not_sent(Reason::NotHttp2)),
            // It ended before a byte came.
            Opening::Nothing if !is_known && !error.is_timeout() => {
                return Err(Failed { reason: Reason::NotHttp2, may_have_arrived });
            }
            Opening::Nothing => {}
        }
        match request {
            Some(request) if !is_fresh => Ok(request),
            Some(_) => Err(not_sent(Reason::Broken(error))),
            None => Err(sent(error)),
        }
    }
}

/// The failure of a request that was sent. The instance may say that it did not process it (RFC 9113, section 8.7): it was above
/// the last one of a GOAWAY, or refused.
fn sent(error: hyper::Error) -> Failed {
    let told = told(&error).filter(|told| told.is_remote());
    let code = told.and_then(h2::Error::reason);
    let is_refused = code == Some(h2::Reason::REFUSED_STREAM);
    let is_above_last = told.is_some_and(h2::Error::is_go_away);
    let is_ending = is_above_last && code == Some(h2::Reason::NO_ERROR);
    Failed {
        reason: match is_refused || is_ending {
            true => Reason::Refused(error),
            false => Reason::Broken(error),
        },
        may_have_arrived: !is_refused && !is_above_last,
    }
}

fn told(error: &hyper::Error) -> Option<&h2::Error> {
    error.source()?.downcast_ref()
}

impl Drop for InFlight {
    fn drop(&mut self) {
        if self.connection.begun.opening() == Opening::Http2 {
            self.http2.is_spoken.store(true, Relaxed);
        }
        let mut connections = self.http2.lock();
        self.connection.calls.fetch_sub(1, Relaxed);
        let unused = connections.iter().filter(|connection| connection.is_unused()).count();
        if unused > 1 && self.connection.is_unused() {
            connections.retain(|connection| !Arc::ptr_eq(connection, &self.connection));
        }
    }
}

impl Unconnected {
    fn by(reason: &Reason) -> Self {
        let error = match reason {
            Reason::Connect(error) => Some((error.kind(), error.raw_os_error())),
            Reason::ConnectTimeout(_) => None,
            _ => Some((io::ErrorKind::ConnectionAborted, None)),
        };
        Self { at: Instant::now(), error }
    }

    fn reason(&self, within: Duration) -> Reason {
        match self.error {
            None => Reason::ConnectTimeout(within),
            Some((_, Some(code))) => Reason::Connect(io::Error::from_raw_os_error(code)),
            Some((kind, None)) => Reason::Connect(kind.into()),
        }
    }
}
