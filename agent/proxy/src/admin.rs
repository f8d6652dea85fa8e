//! The listener of the proxy itself: `/health` and `/metrics`.

use std::convert::Infallible;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};

use crate::metrics;
use crate::phase::Phase;
use crate::route::{Common, Route};

/// Connections at a time. A further one waits.
const MAX_CONNECTIONS: usize = 32;
/// The time for a request and its answer.
const CONNECTION_WITHIN: Duration = Duration::from_secs(10);
const HEAD_WITHIN: Duration = Duration::from_secs(1);
const MAX_HEAD_BYTES: usize = 8 << 10;
const PAUSE_AFTER_FAILURE: Duration = Duration::from_millis(50);

const INDEX: &str = "\
Hobnob proxy

/health    200 while it serves; 503 while it drains, or knows no instances yet
/metrics   metrics in the text of OpenMetrics
";

/// A body of one piece.
struct Whole(Option<Bytes>);

impl Body for Whole {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(self.0.take().map(|text| Ok(Frame::data(text))))
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.0.as_ref().map_or(0, |text| text.len() as u64))
    }
}

/// Answers until the proxy has drained.
pub(crate) async fn serve(listener: TcpListener, routes: Arc<[Arc<Route>]>, common: Arc<Common>) {
    let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let phases = common.phases.clone();
    let accepting = async {
        loop {
            // The semaphore is never closed.
            let Ok(place) = places.clone().acquire_owned().await else { return };
            let Ok((stream, _)) = listener.accept().await else {
                common.counters.accepts_failed.add(1);
                sleep(PAUSE_AFTER_FAILURE).await;
                continue;
            };
            let (routes, common) = (routes.clone(), common.clone());
            tokio::spawn(async move {
                let _place = place;
                let service = service_fn(move |request| {
                    let response = answer(&request, &routes, &common);
                    async move { Ok::<_, Infallible>(response) }
                });
                let connection = http1::Builder::new()
                    .timer(TokioTimer::new())
                    .header_read_timeout(HEAD_WITHIN)
                    .max_buf_size(MAX_HEAD_BYTES)
                    .keep_alive(false)
                    .serve_connection(TokioIo::new(stream), service);
                // A scraper that is gone or slow needs no answer.
                drop(timeout(CONNECTION_WITHIN, pin!(connection)).await);
            });
        }
    };
    tokio::select! {
        () = accepting => {}
        () = phases.reached(Phase::Ends) => {}
    }
}

fn answer(request: &Request<Incoming>, routes: &[Arc<Route>], common: &Common) -> Response<Whole> {
    const PLAIN: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");
    if ![Method::GET, Method::HEAD].contains(request.method()) {
        return text(StatusCode::METHOD_NOT_ALLOWED, PLAIN, "only GET and HEAD\n".to_owned());
    }
    match request.uri().path() {
        "/" => text(StatusCode::OK, PLAIN, INDEX.to_owned()),
        "/health" => {
            let (status, why) = health(routes, common);
            text(status, PLAIN, why)
        }
        "/metrics" => match metrics::write(routes, common) {
            Ok(metrics) => {
                text(StatusCode::OK, HeaderValue::from_static(metrics::CONTENT_TYPE), metrics)
            }
            Err(error) => text(StatusCode::INTERNAL_SERVER_ERROR, PLAIN, format!("{error}\n")),
        },
        _ => text(StatusCode::NOT_FOUND, PLAIN, "there are /health and /metrics\n".to_owned()),
    }
}

fn text(status: StatusCode, kind: HeaderValue, text: String) -> Response<Whole> {
    let mut response = Response::new(Whole(Some(text.into())));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, kind);
    response
}

/// Whether the proxy serves, and why not.
fn health(routes: &[Arc<Route>], common: &Common) -> (StatusCode, String) {
    if common.phases.now() != Phase::Serves {
        return (StatusCode::SERVICE_UNAVAILABLE, "draining\n".to_owned());
    }
    let unknown = routes.iter().filter(|route| !route.discovery.is_ready());
    let unknown: Vec<_> = unknown.map(|route| &*route.service).collect();
    match unknown.is_empty() {
        true => (StatusCode::OK, "serving\n".to_owned()),
        false => {
            let why = format!("no agent has told the instances of {}\n", unknown.join(", "));
            (StatusCode::SERVICE_UNAVAILABLE, why)
        }
    }
}
