//! The listening socket of the HTTP door, with its limits.

use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::atomic::Ordering;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::counters::{HttpCounters, count};
use super::routes::{Routes, router};
use crate::doors::unix::handler::Handler;
use crate::progress::Progress;

/// Connections at the same time. A further one is closed and counted.
pub(super) const MAX_CONNECTIONS: usize = 32;
/// The longest head of a request, in bytes and fields.
pub(super) const MAX_HEAD_BYTES: usize = 8 << 10;
pub(super) const MAX_HEAD_FIELDS: usize = 64;
/// The time for a request and its answer. Afterwards the connection is closed.
pub(super) const CONNECTION_WITHIN: Duration = Duration::from_secs(10);
/// The time for the head of a request.
pub(super) const HEAD_WITHIN: Duration = Duration::from_secs(5);
/// The pause after a connection could not be accepted, most likely for want of a file descriptor.
const PAUSE_AFTER_FAILURE: Duration = Duration::from_millis(50);

/// The HTTP door could not be opened.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen for HTTP on {addr}: {source}")]
pub struct HttpError {
    addr: SocketAddr,
    /// The error of the system.
    source: io::Error,
}

/// The listening socket. It answers from its start on; before the agent is ready, it says so.
pub(crate) struct HttpDoor {
    listener: TcpListener,
    addr: SocketAddr,
    routes: Arc<Routes>,
}

impl HttpDoor {
    /// Listens there.
    pub(crate) async fn bind(addr: SocketAddr, progress: Progress) -> Result<Self, HttpError> {
        let failed = |source| HttpError { addr, source };
        let listener = TcpListener::bind(addr).await.map_err(failed)?;
        let addr = listener.local_addr().map_err(failed)?;
        let is_local = addr.ip().is_loopback();
        Ok(Self { listener, addr, routes: Arc::new(Routes::new(is_local, progress)) })
    }

    /// The bound address.
    pub(crate) fn addr(&self) -> SocketAddr {
        self.addr
    }

    pub(crate) fn counters(&self) -> Arc<HttpCounters> {
        self.routes.counters.clone()
    }

    /// The place for the handler, once the agent is ready.
    pub(crate) fn handler(&self) -> Arc<OnceLock<Arc<Handler>>> {
        self.routes.handler.clone()
    }

    /// Serves connections until dropped; then they end with it.
    pub(crate) async fn serve(self) {
        let router = router(self.routes.clone());
        let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
        let counters = &self.routes.counters;
        let mut connections = JoinSet::new();
        let mut is_failing = false;
        loop {
            let stream = match self.listener.accept().await {
                Ok((stream, _)) => {
                    is_failing = false;
                    stream
                }
                Err(error) => {
                    if !std::mem::replace(&mut is_failing, true) {
                        tracing::warn!(%error, http = %self.addr, "HTTP connections cannot be accepted for now");
                    }
                    tokio::time::sleep(PAUSE_AFTER_FAILURE).await;
                    continue;
                }
            };
            while connections.try_join_next().is_some() {}
            let Ok(place) = places.clone().try_acquire_owned() else {
                count(&counters.refused);
                continue;
            };
            count(&counters.accepted);
            let open = Open::new(counters.clone());
            let router = router.clone();
            connections.spawn(async move {
                let _place = place;
                if !answer(stream, router).await {
                    count(&open.0.failed);
                }
            });
        }
    }
}

/// An open connection, counted until it is dropped.
struct Open(Arc<HttpCounters>);

impl Open {
    fn new(counters: Arc<HttpCounters>) -> Self {
        count(&counters.connections);
        Self(counters)
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.connections.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Answers the one request of a connection. Returns whether it was answered in time.
async fn answer(stream: TcpStream, router: axum::Router) -> bool {
    let service = TowerToHyperService::new(router);
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_WITHIN)
        .max_buf_size(MAX_HEAD_BYTES)
        .max_headers(MAX_HEAD_FIELDS)
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), service);
    matches!(timeout(CONNECTION_WITHIN, pin!(connection)).await, Ok(Ok(())))
}
