//! The listening socket of the HTTP door, with its limits.

use std::io;
use std::net::SocketAddr;
use std::sync::atomic::Ordering;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use hyper::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::access::{Access, Reach};
use super::connection::Connection;
use super::counters::{HttpCounters, count};
use super::limits::{HEAD_WITHIN, MAX_HEAD_BYTES, MAX_HEAD_FIELDS};
use super::read_ahead::ReadAhead;
use super::routes::{Routes, router};
use super::stream::Impatient;
use super::tls::{Tls, TlsError};
use crate::config::HttpTls;
use crate::descriptors;
use crate::doors::unix::handler::Handler;
use crate::progress::Progress;

/// The pause after a connection could not be accepted, most likely for want of a file descriptor.
const PAUSE_AFTER_FAILURE: Duration = Duration::from_millis(50);

/// The HTTP door could not be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HttpError {
    /// The address cannot be had.
    #[error("cannot listen for HTTP on {addr}: {source}")]
    Listen {
        /// The address.
        addr: SocketAddr,
        /// The error of the system.
        source: io::Error,
    },
    /// The certificate cannot be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
}

/// Where and how the door listens.
#[derive(Clone, Debug)]
pub(crate) struct Listening {
    pub(crate) addr: SocketAddr,
    pub(crate) tls: Option<HttpTls>,
    /// Whether metrics are for everybody who reaches the address.
    pub(crate) has_open_metrics: bool,
}

impl Listening {
    fn reach(&self, addr: SocketAddr) -> Reach {
        match (addr.ip().is_loopback(), &self.tls) {
            (true, _) => Reach::Host,
            (false, Some(_)) => Reach::Encrypted { has_open_metrics: self.has_open_metrics },
            (false, None) => Reach::Clear,
        }
    }
}

/// The listening socket. It answers from its start on; before the agent is ready, it says so.
pub(crate) struct HttpDoor {
    listener: TcpListener,
    addr: SocketAddr,
    routes: Arc<Routes>,
    tls: Option<Arc<Tls>>,
    /// Connections at the same time. A further one is closed and counted.
    connections: usize,
}

impl HttpDoor {
    /// Listens there. It waits for the disk that has the certificate.
    pub(crate) async fn bind(
        listening: Listening,
        access: Access,
        progress: Progress,
    ) -> Result<Self, HttpError> {
        let connections = descriptors::shares().http;
        Self::bind_for(connections, listening, Listening::reach, access, progress).await
    }

    /// Listens there, for so many connections at the same time.
    pub(super) async fn bind_for(
        connections: usize,
        listening: Listening,
        reach: impl FnOnce(&Listening, SocketAddr) -> Reach,
        access: Access,
        progress: Progress,
    ) -> Result<Self, HttpError> {
        let failed = |source| HttpError::Listen { addr: listening.addr, source };
        let listener = TcpListener::bind(listening.addr).await.map_err(failed)?;
        let addr = listener.local_addr().map_err(failed)?;
        let reach = reach(&listening, addr);
        let tls = listening.tls.map(Tls::read).transpose()?.map(Arc::new);
        let routes = Arc::new(Routes::new(reach, connections, access, progress));
        Ok(Self { listener, addr, routes, tls, connections })
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
        let places = Arc::new(Semaphore::new(self.connections));
        let counters = &self.routes.counters;
        let mut connections = JoinSet::new();
        let mut is_failing = false;
        if let Some(tls) = &self.tls {
            connections.spawn(tls.clone().follow());
        }
        loop {
            let stream = match self.listener.accept().await {
                Ok((stream, _)) => {
                    is_failing = false;
                    stream
                }
                Err(error) => {
                    count(&counters.accepts_failed);
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
            let (router, tls) = (router.clone(), self.tls.clone());
            connections.spawn(async move {
                let _place = place;
                match begin(stream, tls.as_deref(), router).await {
                    End::Closed => {}
                    End::Idle => count(&open.0.idle),
                    End::Failed => count(&open.0.failed),
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

/// The end of a connection.
enum End {
    /// Its client closed it, or asked for that.
    Closed,
    /// It had no further request in time.
    Idle,
    Failed,
}

/// Begins a connection, with TLS if there is any, and answers its requests.
async fn begin(stream: TcpStream, tls: Option<&Tls>, router: axum::Router) -> End {
    // Answers are written whole, and nobody gains by a wait for more.
    if stream.set_nodelay(true).is_err() {
        return End::Failed;
    }
    let stream = Impatient::new(stream);
    let Some(tls) = tls else { return converse(stream, router).await };
    match timeout(HEAD_WITHIN, tls.accept(stream)).await {
        Ok(Ok(stream)) => converse(stream, router).await,
        Ok(Err(_)) | Err(_) => End::Failed,
    }
}

/// Answers the requests of a connection, one after the other.
async fn converse<S>(stream: S, router: axum::Router) -> End
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (stream, lookout) = ReadAhead::new(stream);
    let connection = Arc::new(Connection::new(lookout));
    let (answers, of) = (TowerToHyperService::new(router), connection.clone());
    let service = service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(of.clone());
        answers.call(request)
    });
    let conversation = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_WITHIN)
        .max_buf_size(MAX_HEAD_BYTES)
        .max_headers(MAX_HEAD_FIELDS)
        .serve_connection(TokioIo::new(stream), service);
    match conversation.await {
        Ok(()) => End::Closed,
        Err(error) if error.is_timeout() && connection.was_used() => End::Idle,
        Err(_) => End::Failed,
    }
}
