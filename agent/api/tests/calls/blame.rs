//! Calls that fail, and for which the instance is not to blame.

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use hobnob_api::calls::http::Request;
use hobnob_api::calls::{Body, CallError, CallOptions, CircuitState, Protocol, Reason};
use hobnob_api::discovery::{Discovery, DiscoveryConfig};
use hobnob_api::{Strategy, balancer};
use hyper::body::Frame;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::support::{Behaviour, Server, Web, get, instance, refused, text, until, web};

/// More calls than open a circuit.
const CALLS: usize = 6;

/// A body of the pieces that are sent to it. It ends with the channel.
struct Fed(mpsc::UnboundedReceiver<Result<&'static str, &'static str>>);

impl hyper::body::Body for Fed {
    type Data = Bytes;
    type Error = &'static str;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, &'static str>>> {
        let frame = |piece: &'static str| Frame::data(Bytes::from(piece));
        self.0.poll_recv(cx).map(|piece| piece.map(|piece| piece.map(frame)))
    }
}

type Feed = mpsc::UnboundedSender<Result<&'static str, &'static str>>;

/// A request with a body whose first piece is there.
fn fed(method: &str) -> (Feed, Request<Body>) {
    let (feed, pieces) = mpsc::unbounded_channel();
    feed.send(Ok("first")).unwrap();
    let body = Body::stream(Fed(pieces));
    (feed, Request::builder().method(method).uri("/").body(body).unwrap())
}

fn post() -> Request<&'static str> {
    Request::post("/").body("x").unwrap()
}

fn over_http2() -> CallOptions {
    CallOptions { protocol: Some(Protocol::Http2), ..CallOptions::default() }
}

fn reason(error: CallError) -> Reason {
    match error {
        CallError::Failed { reason, .. } => reason,
        error => panic!("{error}"),
    }
}

fn assert_not_blamed(web: &Web) {
    for standing in web.standings() {
        assert_eq!(
            (standing.failures, standing.circuit),
            (0, CircuitState::Closed),
            "{standing:?}"
        );
    }
}

/// A server that does this with each of its connections.
async fn raw<F>(serve: fn(TcpStream) -> F) -> SocketAddr
where
    F: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(stream));
        }
    });
    address
}

/// Speaks HTTP/2, and says this to each request.
async fn says(mut stream: TcpStream, frame: impl Fn([u8; 4]) -> Vec<u8>) -> std::io::Result<()> {
    stream.write_all(&[0, 0, 0, 4, 0, 0, 0, 0, 0]).await?;
    stream.read_exact(&mut [0; 24]).await?;
    loop {
        let mut head = [0; 9];
        stream.read_exact(&mut head).await?;
        let [high, middle, low, kind, _, id @ ..] = head;
        let length = u32::from_be_bytes([0, high, middle, low]) as usize;
        stream.read_exact(&mut vec![0; length]).await?;
        if kind == 1 {
            stream.write_all(&frame(id)).await?;
        }
    }
}

async fn refuses_streams(stream: TcpStream) {
    let reset = |[a, b, c, d]: [u8; 4]| vec![0, 0, 4, 3, 0, a, b, c, d, 0, 0, 0, 7];
    says(stream, reset).await.unwrap_err();
}

async fn goes_away(stream: TcpStream) {
    let above_none = |_| vec![0, 0, 8, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    says(stream, above_none).await.unwrap_err();
}

async fn answers_http1(mut stream: TcpStream) {
    stream.read_u8().await.unwrap();
    stream.write_all(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n").await.unwrap();
    let mut rest = Vec::new();
    // The caller closes the connection, in one way or another.
    let _ = stream.read_to_end(&mut rest).await;
}

/// Answers 503 once it has the head, and reads on.
async fn refuses_early(mut stream: TcpStream) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    let answer = b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n";
    stream.write_all(answer).await.unwrap();
    let _ = stream.read_to_end(&mut head).await;
}

#[tokio::test]
async fn a_body_that_does_not_come_is_its_callers() {
    let server = Server::start(Behaviour::Answer(200)).await;
    let web = web(vec![instance("web-1", server.address)], |config| {
        config.calls.timeout = Duration::from_millis(100);
        config.calls.try_timeout = Duration::from_millis(20);
    })
    .await;
    for method in ["POST", "PUT"] {
        for _ in 0..CALLS {
            let (_feed, request) = fed(method);
            let error = web.call(request).await.unwrap_err();
            assert!(error.to_string().ends_with("did not come within 100ms"), "{error}");
            assert!(matches!(reason(error), Reason::BodyTimeout(_)), "{method}");
        }
    }
    assert_not_blamed(&web);
    assert_eq!(web.call_stats().retries, 0);
}

#[tokio::test]
async fn a_time_of_one_call_that_is_over_says_nothing_about_the_instance() {
    let server = Server::start(Behaviour::Hang).await;
    let web = web(vec![instance("web-1", server.address)], |config| {
        config.calls.timeout = Duration::from_millis(200);
    })
    .await;
    web.ready().await;
    let short = |time| CallOptions { timeout: Some(time), ..CallOptions::default() };
    for time in [Duration::from_nanos(1), Duration::from_millis(20)] {
        for _ in 0..CALLS {
            let reason = reason(web.call_with(post(), short(time)).await.unwrap_err());
            assert!(matches!(reason, Reason::Deadline(_)), "{reason}");
        }
    }
    for _ in 0..CALLS {
        let connected = web.connect(&short(Duration::ZERO)).await;
        // A connection over loopback may stand at once.
        if let Err(error) = connected {
            assert!(matches!(reason(error), Reason::Deadline(_)));
        }
    }
    assert_not_blamed(&web);
    let reason = reason(web.call(post()).await.unwrap_err());
    assert!(matches!(reason, Reason::Timeout(_)), "{reason}");
    assert_eq!(web.standings()[0].failures, 1, "the configured time is the instance's");
}

#[tokio::test]
async fn a_body_that_its_source_breaks_off_is_its_callers_in_both_protocols() {
    for (protocol, http2) in [(Protocol::Http1, false), (Protocol::Http2, true)] {
        let server = Server::start_with(Behaviour::Answer(200), http2).await;
        let web = web(vec![instance("web-1", server.address)], |_| {}).await;
        for _ in 0..CALLS {
            let (feed, request) = fed("POST");
            feed.send(Err("it is broken")).unwrap();
            let options = CallOptions { protocol: Some(protocol), ..CallOptions::default() };
            let reason = reason(web.call_with(request, options).await.unwrap_err());
            assert_eq!(reason.to_string(), "the body of the request failed: it is broken");
        }
        assert_not_blamed(&web);
    }
}

#[tokio::test]
async fn a_call_that_an_instance_says_it_did_not_process_goes_to_another() {
    let good = Server::start_with(Behaviour::Answer(200), true).await;
    for leaving in [raw(refuses_streams).await, raw(goes_away).await] {
        let instances = vec![instance("leaving", leaving), instance("good", good.address)];
        let web = web(instances, |config| config.strategy = Strategy::RoundRobin).await;
        let mut tries = 0;
        for _ in 0..2 * CALLS {
            let answer = web.call_with(post(), over_http2()).await.unwrap();
            assert_eq!((answer.status().as_u16(), &*answer.instance.id), (200, "good"));
            tries += answer.tries;
        }
        assert!(tries > 2 * CALLS as u32, "{tries}: some calls are refused first");
        assert_not_blamed(&web);
    }
}

#[tokio::test]
async fn an_instance_of_http1_is_not_blamed_for_a_call_over_http2() {
    let server = Server::start(Behaviour::Answer(200)).await;
    for address in [server.address, raw(answers_http1).await] {
        let web = web(vec![instance("web-1", address)], |_| {}).await;
        for _ in 0..CALLS {
            let reason = reason(web.call_with(post(), over_http2()).await.unwrap_err());
            assert!(matches!(reason, Reason::NotHttp2), "{address}: {reason}");
        }
        assert_not_blamed(&web);
    }
}

#[tokio::test]
async fn further_connections_carry_what_one_of_http2_does_not() {
    let server = Server::start_http2(Behaviour::Answer(200), 1).await;
    let web = web(vec![instance("web-1", server.address)], |config| {
        config.calls.retries.max_retries = 0;
        config.balancer = balancer::Config::default();
    })
    .await;
    // The first answer tells how many calls the instance takes.
    assert_eq!(text(web.call_with(post(), over_http2()).await.unwrap()).await, "x");
    server.becomes(Behaviour::Hang);
    let mut calls = Vec::new();
    for number in 1..=32 {
        let discovery = Arc::clone(&web);
        calls.push(tokio::spawn(async move {
            discovery.call_with(post(), over_http2()).await.map(|_| ())
        }));
        until(|| server.requests() == number + 1).await;
    }
    assert_eq!((server.connections(), web.call_stats().connections), (32, 32));
    let error = web.call_with(post(), over_http2()).await.unwrap_err();
    assert!(matches!(reason(error), Reason::Busy(32)));
    for call in calls {
        call.abort();
        assert!(call.await.unwrap_err().is_cancelled());
    }
    until(|| web.call_stats().connections == 1).await;
    assert_not_blamed(&web);
}

#[tokio::test]
async fn a_body_is_not_lost_to_the_connection_that_failed() {
    let good = Server::start(Behaviour::Answer(200)).await;
    let instances = vec![instance("bad", raw(refuses_early).await), instance("good", good.address)];
    let web = web(instances, |config| {
        config.strategy = Strategy::RoundRobin;
        config.calls.replay_bytes = 5;
        let wait = Duration::from_millis(400);
        (config.calls.retries.base_backoff, config.calls.retries.max_backoff) = (wait, wait);
    })
    .await;
    for _ in 0..CALLS {
        let (feed, request) = fed("PUT");
        let discovery = Arc::clone(&web);
        let before = web.call_stats().retries + good.requests() as u64;
        let call = tokio::spawn(async move { discovery.call(request).await });
        // A try at the good instance comes first, or the wait before it has begun.
        until(|| web.call_stats().retries + good.requests() as u64 > before).await;
        feed.send(Ok(", and more than is kept")).unwrap();
        drop(feed);
        let answer = call.await.unwrap().unwrap();
        assert_eq!(text(answer).await, "first, and more than is kept");
    }
}

#[tokio::test]
async fn a_call_waits_for_an_agent_no_longer_than_is_configured() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("none.sock");
    let mut config = DiscoveryConfig { socket, ..DiscoveryConfig::for_calls("web") };
    config.calls.timeout = Duration::from_millis(20);
    let alone = Discovery::start(config).unwrap();
    assert!(!alone.is_ready());
    let year = Duration::from_secs(365 * 24 * 60 * 60);
    let options = CallOptions { timeout: Some(year), ..CallOptions::default() };
    let called = timeout(Duration::from_secs(60), alone.call_with(get("/"), options.clone()));
    let error = called.await.unwrap().unwrap_err();
    assert!(matches!(error, CallError::AgentAway { .. }), "{error}");
    let connected = timeout(Duration::from_secs(60), alone.connect(&options));
    assert!(matches!(connected.await.unwrap().unwrap_err(), CallError::AgentAway { .. }));
}

#[tokio::test]
async fn connections_over_tcp_count_a_budget_that_is_spent() {
    let instances = vec![instance("a", refused().await), instance("b", refused().await)];
    let web = web(instances, |config| {
        config.calls.retries.budget = balancer::RetryBudgetConfig { percent: 0, min_per_second: 0 };
    })
    .await;
    web.connect(&CallOptions::default()).await.unwrap_err();
    let stats = web.call_stats();
    assert_eq!((stats.budget_spent, stats.retries, stats.failed), (1, 0, 1));
}
