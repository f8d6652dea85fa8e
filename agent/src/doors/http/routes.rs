//! What the HTTP door answers.

use std::fmt::Write;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use tokio::sync::Mutex;
use tokio::time::timeout;

use super::counters::{HttpCounters, count};
use super::host::is_this_host;
use crate::doors::unix::handler::Handler;
use crate::metrics::{Exposition, Readings};
use crate::progress::Progress;

/// The driver is asked for values this often at most. Scrapes in between get the same ones.
const READ_EVERY: Duration = Duration::from_secs(1);
/// The longest wait for the values.
const READ_WITHIN: Duration = Duration::from_secs(5);

const INDEX: &str = "\
Hobnob agent

/metrics   metrics for Prometheus
/healthz   whether each part of the agent makes progress
/readyz    whether it answers from a cluster that it hears
";

/// What the answers come from. Shared by all connections.
pub(super) struct Routes {
    pub(super) counters: Arc<HttpCounters>,
    /// Empty until the agent is ready.
    pub(super) handler: Arc<OnceLock<Arc<Handler>>>,
    /// Whether it listens for this host only.
    is_local: bool,
    progress: Progress,
    /// The values that were read last. One scrape reads, and others wait for it.
    read: Mutex<Option<(Instant, Arc<Readings>)>>,
}

impl Routes {
    pub(super) fn new(is_local: bool, progress: Progress) -> Self {
        Self {
            counters: Arc::default(),
            handler: Arc::default(),
            is_local,
            progress,
            read: Mutex::default(),
        }
    }

    /// The values, no older than [`READ_EVERY`].
    async fn read(&self) -> Result<Arc<Readings>, &'static str> {
        let handler = self.handler.get().ok_or("the agent is starting")?;
        let mut read = self.read.lock().await;
        if let Some((at, readings)) = &*read
            && at.elapsed() < READ_EVERY
        {
            return Ok(readings.clone());
        }
        let readings = match timeout(READ_WITHIN, handler.readings()).await {
            Ok(Ok(readings)) => Arc::new(readings),
            Ok(Err(_)) => return Err("the agent is stopping"),
            Err(_) => return Err("the driver does not answer"),
        };
        *read = Some((Instant::now(), readings.clone()));
        Ok(readings)
    }
}

/// The reason for which an agent is not ready.
pub(crate) fn unready(handler: Option<&Handler>, progress: &Progress) -> Option<&'static str> {
    let Some(handler) = handler else { return Some("starting: registrations are being restored") };
    if progress.is_leaving() {
        return Some("leaving: the agent is about to stop");
    }
    handler.is_isolated().then_some("isolated: the agent hears no other member")
}

pub(super) fn router(routes: Arc<Routes>) -> Router {
    Router::new()
        .route("/", get(|| async { INDEX }))
        .route("/metrics", get(metrics))
        .route("/healthz", get(health))
        .route("/readyz", get(ready))
        .layer(from_fn_with_state(routes.clone(), admit))
        .with_state(routes)
}

/// Counts a request, and refuses one that names another host.
async fn admit(State(routes): State<Arc<Routes>>, request: Request, next: Next) -> Response {
    let host = request.headers().get(header::HOST).and_then(|host| host.to_str().ok());
    // HTTP/1.0 and scripts may name none; browsers always do.
    if routes.is_local && host.is_some_and(|host| !is_this_host(host)) {
        count(&routes.counters.hosts_refused);
        let why = "this door is for this host: name it by its address or as localhost\n";
        return (StatusCode::MISDIRECTED_REQUEST, why).into_response();
    }
    count(&routes.counters.requests);
    next.run(request).await
}

async fn metrics(State(routes): State<Arc<Routes>>, headers: HeaderMap) -> Response {
    let accept = headers.get(header::ACCEPT).and_then(|accept| accept.to_str().ok());
    let exposition = Exposition::accepted(accept.unwrap_or_default());
    let readings = match routes.read().await {
        Ok(readings) => readings,
        Err(why) => return (StatusCode::SERVICE_UNAVAILABLE, format!("{why}\n")).into_response(),
    };
    match readings.write(exposition) {
        Ok(text) => ([(header::CONTENT_TYPE, exposition.content_type())], text).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")).into_response(),
    }
}

/// Says of each part when it last made progress.
async fn health(State(routes): State<Arc<Routes>>) -> Response {
    let parts = routes.progress.of_parts(Instant::now());
    // Before the agent is ready there are no loops that could beat.
    let is_started = routes.handler.get().is_some();
    let stuck = parts.iter().any(|part| is_started && part.is_stuck());
    let mut text = String::from(if stuck { "stuck\n" } else { "ok\n" });
    for progress in parts {
        let verdict = if is_started && progress.is_stuck() { "stuck" } else { "ok" };
        let (part, age) = (progress.part.name(), progress.age.as_secs_f64());
        let _ = writeln!(text, "{part}: {verdict}, {age:.1} s");
    }
    let status = if stuck { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::OK };
    (status, text).into_response()
}

async fn ready(State(routes): State<Arc<Routes>>) -> Response {
    match unready(routes.handler.get().map(AsRef::as_ref), &routes.progress) {
        Some(why) => (StatusCode::SERVICE_UNAVAILABLE, format!("{why}\n")).into_response(),
        None => "ready\n".into_response(),
    }
}
