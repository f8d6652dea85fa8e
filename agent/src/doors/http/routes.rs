//! What the HTTP door answers.

use std::fmt::Write;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Extension, Router};
use futures_util::StreamExt;
use tokio::sync::Mutex;
use tokio::time::timeout;

use super::access::{Access, Reach};
use super::answer::Refused;
use super::connection::Connection;
use super::counters::{HttpCounters, count};
use super::host::{is_same_origin, is_this_host};
use super::limits::{Limits, MAX_BODIES_BYTES, MAX_HTTP_BYTES};
use super::{console, consul, events, own, prometheus};
use crate::access_keys::AccessRights;
use crate::budget::Budget;
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
/ui        the console, for browsers

/v1/hobnob/resolve?service=web   what `hobnob resolve` asks, and other questions
/v1/hobnob/watch?service=web     the same and every change, as Server-Sent Events
/v1/sd/prometheus                targets for Prometheus
/v1/health/service/web           what clients of Consul ask
";

/// What the answers come from. Shared by all connections.
pub(super) struct Routes {
    pub(super) counters: Arc<HttpCounters>,
    /// Empty until the agent is ready.
    pub(super) handler: Arc<OnceLock<Arc<Handler>>>,
    pub(super) limits: Limits,
    /// The budget of the connections of this door, once the agent is ready.
    budget: OnceLock<Arc<Budget>>,
    body_budget: OnceLock<Arc<Budget>>,
    reach: Reach,
    access: Access,
    progress: Progress,
    /// The values that were read last. One scrape reads, and others wait for it.
    read: Mutex<Option<(Instant, Arc<Readings>)>>,
}

impl Routes {
    pub(super) fn new(
        reach: Reach,
        connections: usize,
        access: Access,
        progress: Progress,
    ) -> Self {
        let counters: Arc<HttpCounters> = Arc::default();
        Self {
            limits: Limits::new(connections, counters.clone()),
            counters,
            budget: OnceLock::new(),
            body_budget: OnceLock::new(),
            handler: Arc::default(),
            reach,
            access,
            progress,
            read: Mutex::default(),
        }
    }

    /// The agent behind the door.
    ///
    /// # Errors
    /// It is starting.
    pub(super) fn handler(&self) -> Result<&Arc<Handler>, Refused> {
        self.handler.get().ok_or_else(Refused::starting)
    }

    /// The budget of the connections of this door.
    pub(super) fn budget(&self, handler: &Handler) -> &Arc<Budget> {
        self.budget.get_or_init(|| handler.budget.part(MAX_HTTP_BYTES))
    }

    /// The part of it for bodies that are being read.
    pub(super) fn body_budget(&self, handler: &Handler) -> &Arc<Budget> {
        self.body_budget.get_or_init(|| self.budget(handler).part(MAX_BODIES_BYTES))
    }

    /// Whether a request may do this: the name of its key. Counts a refusal.
    pub(super) async fn allow(
        &self,
        headers: &HeaderMap,
        wanted: AccessRights,
    ) -> Result<String, Refused> {
        let allowed = self.access.allow(headers, wanted).await;
        allowed.inspect_err(|_| count(&self.counters.keys_refused))
    }

    /// Whether a request names this host and comes from no page of another origin. Counts a refusal.
    fn judge(&self, headers: &HeaderMap) -> Result<(), Refused> {
        let text = |name| headers.get(name).map(|value| value.to_str().unwrap_or("?"));
        let (host, origin) = (text(header::HOST), text(header::ORIGIN));
        if headers.get_all(header::HOST).iter().nth(1).is_some() {
            count(&self.counters.hosts_refused);
            return Err(Refused::bad("a request names one host"));
        }
        if headers.get_all(header::ORIGIN).iter().nth(1).is_some() {
            count(&self.counters.origins_refused);
            return Err(Refused::bad("a request names one origin"));
        }
        // HTTP/1.0 and scripts may name none; browsers always do.
        if self.reach == Reach::Host && host.is_some_and(|host| !is_this_host(host)) {
            count(&self.counters.hosts_refused);
            let why = "this door is for this host: name it by its address or as localhost";
            return Err(Refused::new(StatusCode::MISDIRECTED_REQUEST, why));
        }
        if origin.is_some_and(|origin| !is_same_origin(origin, host.unwrap_or_default())) {
            count(&self.counters.origins_refused);
            let why = "a page of another origin may not ask this door";
            return Err(Refused::new(StatusCode::FORBIDDEN, why));
        }
        Ok(())
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
    let questions = Router::new()
        .route("/v1/hobnob/watch", get(events::watch))
        .route("/v1/hobnob/watch_members", get(events::watch_members))
        .route("/v1/hobnob/{question}", get(own::answer))
        .route("/v1/sd/prometheus", get(prometheus::targets))
        .merge(consul::router())
        .merge(console::questions())
        .layer(from_fn_with_state(routes.clone(), admit_question));
    Router::new()
        .route("/", get(|| async { INDEX }))
        .route("/metrics", get(metrics))
        .route("/healthz", get(health))
        .route("/readyz", get(ready))
        .merge(console::page().layer(from_fn_with_state(routes.clone(), admit_page)))
        .merge(questions)
        .layer(from_fn_with_state(routes.clone(), admit))
        .with_state(routes)
}

/// Counts a request, and refuses one that names another host, or that comes from a page of another origin.
async fn admit(
    State(routes): State<Arc<Routes>>,
    Extension(connection): Extension<Arc<Connection>>,
    request: Request,
    next: Next,
) -> Response {
    connection.count_request();
    if let Err(refused) = routes.judge(request.headers()) {
        return refused.into_response();
    }
    count(&routes.counters.requests);
    let mut response = next.run(request).await;
    let nosniff = HeaderValue::from_static("nosniff");
    response.headers_mut().insert(header::X_CONTENT_TYPE_OPTIONS, nosniff);
    response
}

/// Admits questions of this host, and from beyond it those that come encrypted and with a key.
async fn admit_question(
    State(routes): State<Arc<Routes>>,
    request: Request,
    next: Next,
) -> Response {
    match routes.reach {
        Reach::Host => next.run(request).await,
        Reach::Encrypted { .. } => admit_with_key(&routes, request, next).await,
        Reach::Clear => refuse_in_clear().into_response(),
    }
}

/// Admits a question with a key that allows it. A wait and a stream end with the key.
async fn admit_with_key(routes: &Routes, request: Request, next: Next) -> Response {
    if let Err(refused) = routes.allow(request.headers(), AccessRights::Read).await {
        return refused.into_response();
    }
    // A change that has begun is made.
    if !request.method().is_safe() {
        return next.run(request).await;
    }
    let headers = request.headers().clone();
    let mut revoked = Box::pin(routes.access.clone().revoked(headers, AccessRights::Read));
    let response = tokio::select! {
        biased;
        response = next.run(request) => response,
        () = &mut revoked => {
            count(&routes.counters.keys_refused);
            let why = "Permission denied: the access key was revoked while this waited";
            return Refused::new(StatusCode::FORBIDDEN, why).into_response();
        }
    };
    let event_stream = HeaderValue::from_static("text/event-stream");
    if response.headers().get(header::CONTENT_TYPE) != Some(&event_stream) {
        return response;
    }
    response.map(|body| Body::from_stream(body.into_data_stream().take_until(revoked)))
}

/// Admits those who want the console, unless their keys would come in clear.
async fn admit_page(State(routes): State<Arc<Routes>>, request: Request, next: Next) -> Response {
    match routes.reach {
        Reach::Host | Reach::Encrypted { .. } => next.run(request).await,
        Reach::Clear => refuse_in_clear().into_response(),
    }
}

fn refuse_in_clear() -> Refused {
    let why = "beyond this host this door answers /metrics, /healthz and /readyz only, since it has no TLS: give it a \
               certificate with --http-cert and --http-key, or have it listen on 127.0.0.1";
    Refused::new(StatusCode::FORBIDDEN, why)
}

async fn metrics(State(routes): State<Arc<Routes>>, headers: HeaderMap) -> Response {
    if routes.reach == (Reach::Encrypted { has_open_metrics: false })
        && let Err(refused) = routes.allow(&headers, AccessRights::Read).await
    {
        return refused.into_response();
    }
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
