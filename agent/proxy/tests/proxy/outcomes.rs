//! What a client is told when no instance answers, and what it is spared.

use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use hobnob_api::discovery::DiscoveryConfig;
use hobnob_api::{Instance, InstanceStatus, Strategy};
use http::{Request, Response};
use hyper::body::Incoming;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::support::{
    Answer, Server, client1, full, get, instance, pass, raw, read_head, refused, send, soon, until,
    web, web_with, whole,
};

/// The status, the code in the header, and the body.
async fn refusal(web: &super::support::Web) -> (u16, String, String) {
    let response = client1(web.address).await.send_request(get("/")).await.unwrap();
    let code = response.headers()["x-hobnob-error"].to_str().unwrap().to_owned();
    assert_eq!(response.headers()["x-request-id"].len(), 32);
    let (status, body) = whole(response).await;
    assert!(body.starts_with(&format!("{code}: ")), "{body}");
    (status, code, body)
}

#[tokio::test]
async fn each_reason_for_no_answer_has_its_status_and_code() {
    let nobody = web(vec![]).await;
    let (status, code, body) = refusal(&nobody).await;
    assert_eq!(
        (status, &*code, &*body),
        (503, "no_instance", "no_instance: `web` has no instance\n")
    );
    let head = "HEAD / HTTP/1.1\r\nhost: web\r\nconnection: close\r\n\r\n";
    let answer = send(nobody.address, head).await;
    assert!(
        answer.starts_with("HTTP/1.1 503 ") && answer.ends_with("\r\n\r\n"),
        "no body: {answer}"
    );

    let sick = Instance { status: InstanceStatus::Unhealthy, ..instance("web-1", refused().await) };
    let (status, code, _) = refusal(&web(vec![sick]).await).await;
    assert_eq!((status, &*code), (503, "nothing_offered"));

    let away = web_with(vec![], |setting| {
        setting.discovery = DiscoveryConfig {
            socket: "/nonexistent/a.sock".into(),
            ..DiscoveryConfig::for_calls("web")
        };
        setting.discovery.calls.timeout = Duration::from_millis(50);
    })
    .await;
    let (status, code, _) = refusal(&away).await;
    assert_eq!((status, &*code), (503, "agent_away"));

    let nowhere = web(vec![instance("web-1", refused().await)]).await;
    let (status, code, body) = refusal(&nowhere).await;
    assert_eq!((status, &*code), (502, "connect_failed"), "{body}");
    until_open(&nowhere).await;

    let closes = raw(|mut stream| async move { drop(read_head(&mut stream).await) }).await;
    let (status, code, _) = refusal(&web(vec![instance("web-1", closes)]).await).await;
    assert_eq!((status, &*code), (502, "broken"));

    let hangs = raw(|stream| async move {
        let _stream = stream;
        std::future::pending::<()>().await;
    })
    .await;
    let slow = web_with(vec![instance("web-1", hangs)], |setting| {
        setting.discovery.calls.timeout = Duration::from_millis(100);
    });
    let (status, code, _) = refusal(&slow.await).await;
    assert_eq!((status, &*code), (504, "timeout"));
}

/// Calls until the circuit of the only instance is open.
async fn until_open(web: &super::support::Web) {
    soon(async {
        loop {
            let (status, code, _) = refusal(web).await;
            match &*code {
                "circuits_open" => break assert_eq!(status, 503),
                code => assert_eq!(code, "connect_failed"),
            }
        }
    })
    .await;
}

#[tokio::test]
async fn a_call_that_may_be_made_twice_is_spared_an_instance_that_breaks() {
    let good = Server::echo().await;
    // It breaks each call after it has arrived.
    let bad = raw(|mut stream| async move { drop(read_head(&mut stream).await) }).await;
    let web = web_with(vec![instance("bad", bad), good.instance("good")], |setting| {
        setting.discovery.strategy = Strategy::RoundRobin;
    })
    .await;
    let mut client = client1(web.address).await;
    for _ in 0..100 {
        client.ready().await.unwrap();
        assert_eq!(whole(client.send_request(get("/")).await.unwrap()).await.0, 200);
    }
    assert_eq!(good.seen.requests(), 100);
}

#[tokio::test]
async fn a_call_that_may_not_be_made_twice_is_made_once() {
    let seen = Arc::new(Mutex::new(0));
    let count = seen.clone();
    let bad = raw(move |mut stream| {
        let count = count.clone();
        async move {
            read_head(&mut stream).await;
            *count.lock().unwrap() += 1;
        }
    })
    .await;
    let web = web(vec![instance("bad-1", bad), instance("bad-2", bad)]).await;
    let post = Request::post("/").header("host", "web").body(full("x")).unwrap();
    let (status, body) = whole(client1(web.address).await.send_request(post).await.unwrap()).await;
    assert_eq!((status, *seen.lock().unwrap()), (502, 1), "{body}");
}

#[tokio::test]
async fn an_instance_that_is_replaced_ends_the_calls_that_it_has() {
    let (go, gone) = tokio::sync::watch::channel(false);
    let old = Server::start(move |_| {
        let mut gone = gone.clone();
        async move {
            gone.wait_for(|go| *go).await.unwrap();
            Response::new(full("old"))
        }
    })
    .await;
    let new = Server::start(|_| async { Response::new(full("new")) }).await;
    let web = web(vec![old.instance("web-1")]).await;
    let mut early = client1(web.address).await;
    let early = tokio::spawn(async move { early.send_request(get("/")).await.unwrap() });
    until(|| old.seen.requests() == 1).await;
    // The same instance at another place, then none.
    web.agent.instances.send(vec![new.instance("web-1")]).unwrap();
    soon(async {
        while whole(client1(web.address).await.send_request(get("/")).await.unwrap()).await.1
            != "new"
        {
            go.send(true).unwrap();
        }
    })
    .await;
    web.agent.instances.send(vec![]).unwrap();
    until(|| web.proxy_knows_nobody()).await;
    go.send(true).unwrap();
    assert_eq!(whole(soon(early).await.unwrap()).await, (200, "old".to_owned()));
}

#[tokio::test]
async fn an_upload_that_moves_has_no_limit_of_time_and_one_that_stands_still_has() {
    let server = Server::echo().await;
    let web = web_with(vec![server.instance("web-1")], |setting| {
        let calls = &mut setting.discovery.calls;
        (calls.timeout, calls.try_timeout) =
            (Duration::from_millis(400), Duration::from_millis(400));
    })
    .await;
    let mut stream = tokio::net::TcpStream::connect(web.address).await.unwrap();
    let head = "POST / HTTP/1.1\r\nhost: web\r\nconnection: close\r\ncontent-length: 8\r\n\r\n";
    stream.write_all(head.as_bytes()).await.unwrap();
    for _ in 0..8 {
        // In all it takes twice the time of a call.
        pass(Duration::from_millis(100)).await;
        stream.write_all(b"x").await.unwrap();
    }
    assert!(super::support::rest(&mut stream).await.ends_with("\r\n\r\nxxxxxxxx"));

    let mut stream = tokio::net::TcpStream::connect(web.address).await.unwrap();
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.write_all(b"x").await.unwrap();
    pass(Duration::from_millis(800)).await;
    let answer = super::support::rest(&mut stream).await;
    assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
}

#[tokio::test]
async fn an_answer_that_breaks_off_breaks_off_for_the_client() {
    let breaks = raw(|mut stream| async move {
        read_head(&mut stream).await;
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf").await.unwrap();
    })
    .await;
    let web = web(vec![instance("web-1", breaks)]).await;
    let mut stream = tokio::net::TcpStream::connect(web.address).await.unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nhost: web\r\n\r\n").await.unwrap();
    let answer = super::support::rest(&mut stream).await;
    assert!(
        answer.contains("content-length: 10\r\n") && answer.ends_with("\r\n\r\nhalf"),
        "{answer}"
    );
}

#[tokio::test]
async fn a_body_of_which_the_client_breaks_off_is_no_fault_of_its_instance() {
    let server = Server::start(|request: Request<Incoming>| async move {
        drop(http_body_util::BodyExt::collect(request.into_body()).await);
        Response::<Answer>::new(full("done"))
    })
    .await;
    let web = web(vec![server.instance("web-1")]).await;
    for turn in 1..=20 {
        let mut stream = tokio::net::TcpStream::connect(web.address).await.unwrap();
        stream
            .write_all(b"POST / HTTP/1.1\r\nhost: web\r\ncontent-length: 10\r\n\r\nhalf")
            .await
            .unwrap();
        until(|| server.seen.requests() == turn).await;
    }
    until(|| web.proxy.connections() == 0).await;
    let (status, _) = whole(client1(web.address).await.send_request(get("/")).await.unwrap()).await;
    assert_eq!(status, 200, "its circuit is closed");
}

#[tokio::test]
async fn an_instance_that_answers_early_is_heard() {
    let refuses = raw(|mut stream| async move {
        read_head(&mut stream).await;
        let answer =
            b"HTTP/1.1 413 Content Too Large\r\ncontent-length: 4\r\nconnection: close\r\n\r\nlong";
        stream.write_all(answer).await.unwrap();
        stream.shutdown().await.unwrap();
        // It reads on, so that the answer is not lost by a reset.
        let mut buffer = [0; 1024];
        while stream.read(&mut buffer).await.is_ok_and(|read| read > 0) {}
    })
    .await;
    let web = web(vec![instance("web-1", refuses)]).await;
    let mut stream = tokio::net::TcpStream::connect(web.address).await.unwrap();
    stream
        .write_all(b"POST / HTTP/1.1\r\nhost: web\r\ncontent-length: 1000000\r\n\r\nbegin")
        .await
        .unwrap();
    let head = soon(read_head(&mut stream)).await;
    assert!(head.starts_with("HTTP/1.1 413 "), "{head}");
    let mut body = [0; 4];
    soon(stream.read_exact(&mut body)).await.unwrap();
    assert_eq!(&body, b"long");
}

#[tokio::test]
async fn an_instance_that_comes_back_is_called_again_over_a_new_connection() {
    let is_down = Arc::new(AtomicBool::new(false));
    let down = is_down.clone();
    let flaps = raw(move |mut stream| {
        let down = down.clone();
        async move {
            while !down.load(SeqCst) && !read_head(&mut stream).await.is_empty() {
                stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await.unwrap();
            }
        }
    })
    .await;
    let web = web(vec![instance("web-1", flaps)]).await;
    let status =
        async || whole(client1(web.address).await.send_request(get("/")).await.unwrap()).await.0;
    assert_eq!(status().await, 200);
    is_down.store(true, SeqCst);
    assert_eq!(
        [status().await, status().await],
        [200, 502],
        "the kept connection takes one more call"
    );
    is_down.store(false, SeqCst);
    assert_eq!(status().await, 200);
}
