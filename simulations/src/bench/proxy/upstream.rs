//! The servers behind the proxies: a small answer to each request, at once or after a time.

use std::convert::Infallible;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::{Body, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use hyper_util::server::graceful::GracefulShutdown;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

/// The body of each answer.
pub(super) const ANSWER: &str = "hello, world\n";
/// Connections that cannot be taken now are tried for again after this time.
const ACCEPT_PAUSE: Duration = Duration::from_millis(10);

/// How servers answer.
#[derive(Clone, Copy, Debug)]
pub struct UpstreamSetting {
    /// Servers, each with a port of its own.
    pub count: usize,
    /// The time from a request to its answer.
    pub delay: Duration,
    /// The status of each answer.
    pub status: StatusCode,
}

/// Serves on free ports of loopback, whose addresses `listening` hears in turn. Ends with SIGTERM, after the calls under way.
///
/// # Errors
/// No port is free, or signals cannot be handled.
pub fn serve(setting: UpstreamSetting, mut listening: impl FnMut(SocketAddr)) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut terminated = signal(SignalKind::terminate())?;
        let shutdown = Arc::new(GracefulShutdown::new());
        let mut listeners = Vec::new();
        for _ in 0..setting.count {
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
            let address = listener.local_addr()?;
            listeners.push(tokio::spawn(accept(listener, setting, shutdown.clone())));
            listening(address);
        }
        terminated.recv().await;
        listeners.iter().for_each(tokio::task::JoinHandle::abort);
        for listener in listeners {
            // It was ended here, and its port with it.
            let _ = listener.await;
        }
        if let Some(shutdown) = Arc::into_inner(shutdown) {
            shutdown.shutdown().await;
        }
        Ok(())
    })
}

async fn accept(listener: TcpListener, setting: UpstreamSetting, shutdown: Arc<GracefulShutdown>) {
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(ACCEPT_PAUSE).await;
            continue;
        };
        // Costs speed at worst.
        let _ = stream.set_nodelay(true);
        let answer = service_fn(move |request| answer(request, setting));
        let connection = http1::Builder::new().serve_connection(TokioIo::new(stream), answer);
        let watched = shutdown.watch(connection);
        tokio::spawn(async move {
            // A connection that fails is one that the proxy closed; a caller counts what it misses.
            let _ = watched.await;
        });
    }
}

async fn answer(
    request: Request<Incoming>,
    setting: UpstreamSetting,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let body = request.into_body();
    // Read to its end, so that the connection stays. One that breaks off ends the connection.
    if !body.is_end_stream() {
        let _ = body.collect().await;
    }
    if !setting.delay.is_zero() {
        tokio::time::sleep(setting.delay).await;
    }
    let mut response = Response::new(Full::new(Bytes::from_static(ANSWER.as_bytes())));
    *response.status_mut() = setting.status;
    Ok(response)
}
