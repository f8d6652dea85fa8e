//! Connections: kept, shared, closed by the server, over TCP alone, and as a `tower` service.

use std::time::Duration;

use hobnob_api::Strategy;
use hobnob_api::calls::http::Request;
use hobnob_api::calls::{AnsweredBy, CallError, CallOptions, CallService, Protocol, Reason};
use hobnob_balancer::{BreakerConfig, Config, GaveUp};
use http_body_util::BodyExt;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::time::timeout;
use tower_service::Service;

use super::support::{Behaviour, Server, get, instance, refused, text, until, web};

#[tokio::test]
async fn a_connection_is_kept_for_the_next_call() {
    let server = Server::start(Behaviour::Answer(200)).await;
    let web = web(vec![instance("web-1", server.address)], |_| {}).await;
    for _ in 0..20 {
        let put = Request::put("/").body("hello").unwrap();
        assert_eq!(text(web.call(put).await.unwrap()).await, "hello");
        drop(web.call(get("/")).await.unwrap());
    }
    assert_eq!((server.requests(), server.connections()), (40, 1));
}

#[tokio::test]
async fn calls_over_http2_share_a_connection() {
    let server = Server::start_with(Behaviour::Answer(200), true).await;
    let web = web(vec![instance("web-1", server.address)], |config| {
        config.calls.protocol = Protocol::Http2;
    })
    .await;
    let call = async |body: &'static str| {
        text(web.call(Request::put("/x").body(body).unwrap()).await.unwrap()).await
    };
    let (a, b, c) = tokio::join!(call("a"), call("b"), call("c"));
    assert_eq!([a, b, c], ["a", "b", "c"]);
    assert_eq!((server.requests(), server.connections()), (3, 1));
    assert_eq!(server.last(), ("web".to_owned(), "/x".to_owned()));
}

#[tokio::test]
async fn a_connection_that_the_server_closed_meanwhile_is_replaced() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let web = web(vec![instance("web-1", listener.local_addr().unwrap())], |_| {}).await;
    let server = tokio::spawn(async move {
        for _ in 0..5 {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                head.push(stream.read_u8().await.unwrap());
            }
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await.unwrap();
        }
    });
    for _ in 0..5 {
        assert_eq!(text(web.call(get("/")).await.unwrap()).await, "ok");
    }
    server.await.unwrap();
}

#[tokio::test]
async fn a_connection_over_tcp_goes_where_one_comes_about() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let good = listener.local_addr().unwrap();
    let instances = vec![instance("bad", refused().await), instance("good", good)];
    let web = web(instances, |config| config.strategy = Strategy::RoundRobin).await;
    let mut tries = 0;
    for _ in 0..2 {
        let mut connection = web.connect(&CallOptions::default()).await.unwrap();
        assert_eq!(connection.instance().id, "good");
        tries += connection.tries();
        let (mut stream, _) = listener.accept().await.unwrap();
        connection.write_all(b"ping").await.unwrap();
        let mut read = [0; 4];
        stream.read_exact(&mut read).await.unwrap();
        assert_eq!(&read, b"ping");
    }
    assert!((3..=4).contains(&tries), "{tries}");
    let connection = web.connect(&CallOptions::default()).await.unwrap();
    let standing =
        |id: &str| web.standings().into_iter().find(|standing| standing.instance.id == id).unwrap();
    assert_eq!(standing("good").in_flight, 1);
    connection.fail();
    assert_eq!((standing("good").in_flight, standing("good").failures), (0, 1));
    assert!(standing("bad").failures >= 1);
}

#[tokio::test]
async fn it_is_a_tower_service() {
    let server = Server::start(Behaviour::Answer(200)).await;
    let web = web(vec![instance("web-1", server.address)], |_| {}).await;
    let mut service = CallService::new(web.clone());
    let mut request = Request::put("/").body("hello").unwrap();
    request.extensions_mut().insert(CallOptions::with_key("k"));
    let response = service.call(request).await.unwrap();
    let by = response.extensions().get::<AnsweredBy>().unwrap();
    assert_eq!((&*by.instance.id, by.tries), ("web-1", 1));
    assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), "hello");
}

/// An address whose system takes no more connections: the packets of new ones are dropped.
async fn full() -> (TcpListener, Vec<TcpStream>, std::net::SocketAddr) {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let listener = socket.listen(0).unwrap();
    let address = listener.local_addr().unwrap();
    let mut held = Vec::new();
    // One more than the backlog fits into its queue.
    while let Ok(connected) = timeout(Duration::from_millis(200), TcpStream::connect(address)).await
    {
        held.push(connected.unwrap());
    }
    (listener, held, address)
}

#[tokio::test]
async fn calls_that_wait_for_one_connection_of_http2_fail_together_and_were_not_sent() {
    let (_listener, _held, address) = full().await;
    let web = web(vec![instance("web-1", address)], |config| {
        config.calls.protocol = Protocol::Http2;
        config.calls.retries.max_retries = 0;
        config.calls.connect_timeout = Duration::from_millis(300);
        config.calls.timeout = Duration::from_secs(2);
        config.balancer = Config::default();
    })
    .await;
    // One after the other, they would take six seconds.
    let calls = (0..20).map(|_| web.call(Request::post("/").body("x").unwrap()));
    for called in futures_util::future::join_all(calls).await {
        let error = called.unwrap_err();
        let CallError::Failed { reason, gave_up, .. } = &error else { panic!("{error}") };
        assert!(matches!(reason, Reason::ConnectTimeout(_)), "{error}");
        assert_eq!(*gave_up, GaveUp::RetriesUsedUp, "{error}");
    }
    let short = CallOptions { timeout: Some(Duration::from_millis(50)), ..Default::default() };
    let post = Request::post("/").body("x").unwrap();
    let error = web.call_with(post, short).await.unwrap_err();
    let CallError::Failed { reason: Reason::Deadline(_), gave_up, .. } = &error else {
        panic!("{error}")
    };
    assert_ne!(*gave_up, GaveUp::NotIdempotent, "nothing was sent");
}

#[tokio::test]
async fn a_kept_connection_is_closed_after_its_time_without_a_further_call() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let web = web(vec![instance("web-1", listener.local_addr().unwrap())], |config| {
        config.calls.idle_timeout = Duration::from_millis(100);
    })
    .await;
    let server = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await.unwrap());
        }
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await.unwrap();
        stream.read_u8().await.unwrap_err()
    });
    assert_eq!(text(web.call(get("/")).await.unwrap()).await, "ok");
    assert_eq!(web.call_stats().connections, 1);
    timeout(Duration::from_secs(30), server).await.unwrap().unwrap();
    until(|| web.call_stats().connections == 0).await;
}

#[tokio::test]
async fn a_call_whose_only_instance_takes_no_more_says_so() {
    let web = web(vec![instance("web-1", refused().await)], |config| {
        let breaker = BreakerConfig { failure_threshold: 1, ..BreakerConfig::default() };
        config.balancer.breaker = Some(breaker);
    })
    .await;
    let error = web.call(get("/")).await.unwrap_err();
    let CallError::Failed { gave_up, tries, .. } = &error else { panic!("{error}") };
    // The second try was picked before the first opened the circuit.
    assert_eq!((*gave_up, *tries), (GaveUp::NoTarget, 2), "{error}");
    assert!(error.to_string().ends_with("; no other instance takes it"), "{error}");
}
