//! HTTP/1.1: connections that are kept, bodies of all forms, trailers, 100-continue, bodies larger than memory.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::task::{Context, Poll};

use bytes::Bytes;
use hobnob_proxy::{HttpOptions, Mode};
use http::{HeaderMap, Request, Response, Version};
use http_body_util::{BodyExt, StreamBody};
use hyper::body::{Body, Frame, SizeHint};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::support::{
    Answer, Server, at_rest, client1, full, get, length, raw, read_head, rest, send, soon, web,
    web_with, whole,
};

#[tokio::test]
async fn a_connection_is_kept_on_both_sides() {
    let server = Server::echo().await;
    let web = web(vec![server.instance("web-1")]).await;
    let mut client = client1(web.address).await;
    for turn in 0..20 {
        client.ready().await.unwrap();
        let body = format!("turn {turn}");
        let put = Request::put("/x?y=z").header("host", "shop").body(full(body.clone())).unwrap();
        assert_eq!(whole(client.send_request(put).await.unwrap()).await, (200, body));
    }
    let head = server.seen.last();
    assert_eq!(
        (head.uri.to_string().as_str(), &head.headers["host"]),
        ("/x?y=z", &"shop".parse().unwrap())
    );
    assert_eq!(head.headers["x-request-id"].len(), 32);
    assert_eq!(server.seen.connections.load(SeqCst), 1);
    assert_eq!(web.proxy.connections(), 1);
}

#[tokio::test]
async fn requests_that_come_at_once_are_answered_in_their_order() {
    let server = Server::start(|request| async move {
        Response::new(full(format!("{};", request.uri().path())))
    })
    .await;
    let web = web(vec![server.instance("web-1")]).await;
    let one = |path: &str| format!("GET {path} HTTP/1.1\r\nhost: web\r\n\r\n");
    let last = "GET /c HTTP/1.1\r\nhost: web\r\nconnection: close\r\n\r\n";
    let answers = send(web.address, [&one("/a"), &one("/b"), last].concat()).await;
    let places: Vec<_> = ["/a;", "/b;", "/c;"].map(|body| answers.find(body).unwrap()).into();
    assert!(places.is_sorted(), "{answers}");
    assert!(answers.contains("connection: close"), "{answers}");
}

#[tokio::test]
async fn bodies_come_in_chunks_in_both_directions_and_bring_trailers() {
    let server = Server::start(|request: Request<hyper::body::Incoming>| async move {
        let collected = request.into_body().collect().await.unwrap();
        let sum = collected.trailers().map(|trailers| trailers["x-sum"].clone());
        let body = collected.to_bytes();
        let mut trailers = HeaderMap::new();
        trailers.insert("x-back", sum.unwrap_or("none".parse().unwrap()));
        let frames = [Frame::data(body), Frame::trailers(trailers)].map(Ok);
        let body = StreamBody::new(futures_util::stream::iter(frames)).boxed_unsync();
        Response::builder().header("trailer", "x-back").body(body).unwrap()
    })
    .await;
    let web = web(vec![server.instance("web-1")]).await;
    let request = "POST / HTTP/1.1\r\nhost: web\r\nte: trailers\r\ntrailer: x-sum\r\ntransfer-encoding: chunked\r\n\
                   connection: close, te\r\n\r\n4\r\nhell\r\n1\r\no\r\n0\r\nx-sum: 7\r\n\r\n";
    let answer = send(web.address, request).await;
    assert!(answer.contains("transfer-encoding: chunked"), "{answer}");
    assert!(answer.ends_with("\r\n5\r\nhello\r\n0\r\nx-back: 7\r\n\r\n"), "{answer}");
    let head = server.seen.last();
    assert_eq!(head.headers["te"], "trailers");
    assert_eq!(head.headers["connection"], "te", "it is a header of the connection");
}

#[tokio::test]
async fn answers_without_a_body_have_none() {
    let server = Server::start(|request: Request<hyper::body::Incoming>| async move {
        let status = match request.uri().path() {
            "/204" => 204,
            "/304" => 304,
            _ => 200,
        };
        let body = if status == 200 { "hello" } else { "" };
        Response::builder().status(status).header("etag", "\"1\"").body(full(body)).unwrap()
    })
    .await;
    let web = web(vec![server.instance("web-1")]).await;
    let ask = |method: &str, path: &str| {
        format!("{method} {path} HTTP/1.1\r\nhost: web\r\nconnection: close\r\n\r\n")
    };
    for (request, status, length) in [
        (ask("HEAD", "/"), "200 OK", Some("content-length: 5\r\n")),
        (ask("GET", "/204"), "204 No Content", None),
        (ask("GET", "/304"), "304 Not Modified", None),
    ] {
        let answer = send(web.address, &request).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}\r\n")), "{answer}");
        assert!(answer.ends_with("\r\n\r\n") && answer.contains("etag: \"1\""), "{answer}");
        assert_eq!(answer.contains("content-length"), length.is_some(), "{answer}");
        assert!(!answer.contains("transfer-encoding"), "{answer}");
        assert!(length.is_none_or(|length| answer.contains(length)), "{answer}");
    }
}

#[tokio::test]
async fn a_client_that_waits_for_100_gets_it_once_an_instance_takes_the_request() {
    let server = Server::echo().await;
    let web = web(vec![server.instance("web-1")]).await;
    let mut stream = TcpStream::connect(web.address).await.unwrap();
    let head = "PUT / HTTP/1.1\r\nhost: web\r\ncontent-length: 5\r\nexpect: 100-continue\r\nconnection: close\r\n\r\n";
    stream.write_all(head.as_bytes()).await.unwrap();
    assert_eq!(soon(read_head(&mut stream)).await, "HTTP/1.1 100 Continue\r\n\r\n");
    stream.write_all(b"hello").await.unwrap();
    assert!(rest(&mut stream).await.ends_with("\r\n\r\nhello"));
    assert!(!server.seen.last().headers.contains_key("expect"));

    web.agent.instances.send(vec![]).unwrap();
    super::support::until(|| web.proxy_knows_nobody()).await;
    let mut stream = TcpStream::connect(web.address).await.unwrap();
    stream.write_all(head.as_bytes()).await.unwrap();
    let answer = rest(&mut stream).await;
    assert!(
        answer.starts_with("HTTP/1.1 503 "),
        "nobody takes it, so the body is not asked for: {answer}"
    );
}

#[tokio::test]
async fn a_client_that_closes_its_half_gets_its_answer() {
    let server = Server::echo().await;
    let web = web(vec![server.instance("web-1")]).await;
    let mut stream = TcpStream::connect(web.address).await.unwrap();
    stream
        .write_all(b"PUT / HTTP/1.1\r\nhost: web\r\ncontent-length: 5\r\n\r\nhello")
        .await
        .unwrap();
    stream.shutdown().await.unwrap();
    assert!(rest(&mut stream).await.ends_with("\r\n\r\nhello"));
}

#[tokio::test]
async fn http_1_0_is_answered_and_closed() {
    let server = Server::echo().await;
    let web = web(vec![server.instance("web-1")]).await;
    let answer = send(web.address, "POST / HTTP/1.0\r\ncontent-length: 2\r\n\r\nhi").await;
    assert!(
        answer.starts_with("HTTP/1.0 200 OK\r\n") && answer.ends_with("\r\n\r\nhi"),
        "{answer}"
    );
    let head = server.seen.last();
    assert_eq!((head.version, &head.headers["host"]), (Version::HTTP_11, &"web".parse().unwrap()));
}

#[tokio::test]
async fn an_answer_that_ends_with_its_connection_becomes_chunks() {
    let address = raw(|mut stream| async move {
        read_head(&mut stream).await;
        let answer = b"HTTP/1.0 200 OK\r\nconnection: x-own\r\nx-own: 1\r\nkeep-alive: timeout=5\r\n\r\nhello";
        stream.write_all(answer).await.unwrap();
    })
    .await;
    let web = web(vec![super::support::instance("web-1", address)]).await;
    let answer =
        send(web.address, "GET / HTTP/1.1\r\nhost: web\r\nconnection: close\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    assert!(answer.ends_with("5\r\nhello\r\n0\r\n\r\n"), "{answer}");
    assert!(!answer.contains("x-own") && !answer.contains("keep-alive"), "{answer}");
}

#[tokio::test]
async fn targets_keep_their_form() {
    let server = Server::echo().await;
    let web = web(vec![server.instance("web-1")]).await;
    for (line, host, target) in [
        ("OPTIONS * HTTP/1.1", "web", "*"),
        ("OPTIONS http://shop.example/ HTTP/1.1", "shop.example", "/"),
        ("GET http://shop.example:81/cart?a=b HTTP/1.1", "shop.example:81", "/cart?a=b"),
        ("GET /a%2Fb//c;d=e?f=%20 HTTP/1.1", "web", "/a%2Fb//c;d=e?f=%20"),
    ] {
        let answer =
            send(web.address, format!("{line}\r\nhost: web\r\nconnection: close\r\n\r\n")).await;
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
        let head = server.seen.last();
        assert_eq!(
            (head.headers["host"].to_str().unwrap(), head.uri.to_string().as_str()),
            (host, target)
        );
    }
    let connect = "CONNECT web:80 HTTP/1.1\r\nhost: web:80\r\nconnection: close\r\n\r\n";
    let answer = send(web.address, connect).await;
    assert!(
        answer.starts_with("HTTP/1.1 405 ") && answer.contains("x-hobnob-error: connect_method"),
        "{answer}"
    );
}

#[tokio::test]
async fn the_proxy_says_what_it_is_asked_to_say() {
    let server = Server::echo().await;
    let options = HttpOptions { request_id: true, forwarded: true, show_instance: true };
    let web =
        web_with(vec![server.instance("web-1")], |setting| setting.mode = Mode::Http(options))
            .await;
    let mut client = client1(web.address).await;
    let mut request = get("/");
    request.headers_mut().insert("x-request-id", "mine".parse().unwrap());
    let response = client.send_request(request).await.unwrap();
    assert_eq!(response.headers()["x-request-id"], "mine");
    assert_eq!(response.headers()["x-hobnob-instance"], "web-1");
    let told = &server.seen.last().headers;
    assert_eq!(told["x-request-id"], "mine");
    assert_eq!(told["forwarded"], "for=127.0.0.1;host=\"web\";proto=http");

    let quiet = HttpOptions { request_id: false, ..HttpOptions::default() };
    let web =
        web_with(vec![server.instance("web-1")], |setting| setting.mode = Mode::Http(quiet)).await;
    let response = client1(web.address).await.send_request(get("/")).await.unwrap();
    assert!(!response.headers().keys().any(|name| name.as_str().starts_with("x-")));
    assert!(!server.seen.last().headers.contains_key("x-request-id"));
}

/// A body of so many pieces of 16 KiB. It counts those that were asked for.
struct Pieces {
    left: u64,
    asked: Arc<AtomicU64>,
}

const PIECE: [u8; 16 << 10] = [b'x'; 16 << 10];

impl Body for Pieces {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, std::convert::Infallible>>> {
        let Some(left) = self.left.checked_sub(1) else { return Poll::Ready(None) };
        self.left = left;
        self.asked.fetch_add(1, SeqCst);
        Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(&PIECE)))))
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left * PIECE.len() as u64)
    }
}

fn pieces(count: u64) -> (Answer, Arc<AtomicU64>) {
    let asked = Arc::new(AtomicU64::new(0));
    (Pieces { left: count, asked: asked.clone() }.boxed_unsync(), asked)
}

/// 64 MiB, of which sockets and buffers hold a part.
const MANY: u64 = 4_096;
/// What the sockets and buffers between two ends may hold.
const HELD: u64 = 1_600;

#[tokio::test]
async fn a_body_that_nobody_reads_is_held_back_at_its_source() {
    // An answer: the client reads none of it.
    let (body, asked) = pieces(MANY);
    let body = Arc::new(std::sync::Mutex::new(Some(body)));
    let server = Server::start(move |_| {
        let body = body.lock().unwrap().take().unwrap();
        async move { Response::new(body) }
    })
    .await;
    let web = web(vec![server.instance("web-1")]).await;
    let mut client = client1(web.address).await;
    let response = client.send_request(get("/")).await.unwrap();
    at_rest().await;
    assert!((1..HELD).contains(&asked.load(SeqCst)), "{asked:?}");
    assert_eq!(length(response.into_body()).await, MANY * PIECE.len() as u64);
    assert_eq!(asked.load(SeqCst), MANY);

    // A request: the server reads none of it until it is told to.
    let (go, gone) = tokio::sync::watch::channel(false);
    let server = Server::start(move |request: Request<hyper::body::Incoming>| {
        let mut gone = gone.clone();
        async move {
            gone.wait_for(|go| *go).await.unwrap();
            Response::new(full(length(request.into_body()).await.to_string()))
        }
    })
    .await;
    web.agent.instances.send(vec![server.instance("web-2")]).unwrap();
    let (body, asked) = pieces(MANY);
    let put = Request::put("/").header("host", "web").body(body).unwrap();
    let mut client = client1(web.address).await;
    let answered = tokio::spawn(async move { client.send_request(put).await.unwrap() });
    super::support::until(|| asked.load(SeqCst) > 0).await;
    at_rest().await;
    assert!(asked.load(SeqCst) < HELD, "{asked:?}");
    go.send(true).unwrap();
    let (status, length) = whole(soon(answered).await.unwrap()).await;
    assert_eq!((status, length), (200, (MANY * PIECE.len() as u64).to_string()));
}

#[tokio::test]
async fn a_client_that_breaks_off_cancels_its_call() {
    let (arrived, mut arrivals) = tokio::sync::mpsc::channel(1);
    let address = raw(move |mut stream| {
        let arrived = arrived.clone();
        async move {
            read_head(&mut stream).await;
            arrived.send("arrived").await.unwrap();
            // The connection ends, since its call was cancelled.
            while stream.read_u8().await.is_ok() {}
            arrived.send("cancelled").await.unwrap();
        }
    })
    .await;
    let web = web(vec![super::support::instance("web-1", address)]).await;
    let mut stream = TcpStream::connect(web.address).await.unwrap();
    stream
        .write_all(b"POST / HTTP/1.1\r\nhost: web\r\ncontent-length: 10\r\n\r\nhalf")
        .await
        .unwrap();
    assert_eq!(soon(arrivals.recv()).await, Some("arrived"));
    drop(stream);
    assert_eq!(soon(arrivals.recv()).await, Some("cancelled"));
}
