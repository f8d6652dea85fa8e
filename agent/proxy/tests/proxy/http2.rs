//! HTTP/2 of clients: many calls over one connection, to instances of HTTP/1.1 and of HTTP/2.

use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

use hobnob_api::calls::Protocol;
use http::{Request, Response, Version};
use hyper::body::Incoming;

use super::limits::get2;
use super::support::{
    Server, client1, client2, echo, full, get, soon, until, web, web_with, whole,
};

#[tokio::test]
async fn calls_of_one_connection_are_in_flight_at_once_and_answered_out_of_order() {
    let (go, gone) = tokio::sync::watch::channel(0);
    let server = Server::start(move |request: Request<Incoming>| {
        let mut gone = gone.clone();
        async move {
            let turn: u32 = request.uri().path()[1..].parse().unwrap();
            gone.wait_for(|go| *go >= 50 - turn).await.unwrap();
            Response::new(full(turn.to_string()))
        }
    })
    .await;
    let web = web(vec![server.instance("web-1")]).await;
    let client = client2(web.address).await;
    let mut calls: Vec<_> = (0..50)
        .map(|turn| {
            let mut client = client.clone();
            tokio::spawn(
                async move { client.send_request(get2(&format!("/{turn}"))).await.unwrap() },
            )
        })
        .collect();
    until(|| server.seen.requests() == 50).await;
    for turn in (0..50).rev() {
        go.send(50 - turn).unwrap();
        let answer = whole(soon(calls.pop().unwrap()).await.unwrap()).await;
        assert_eq!(answer, (200, turn.to_string()));
    }
    assert_eq!(web.proxy.connections(), 1);
}

#[tokio::test]
async fn a_client_of_either_version_reaches_an_instance_of_the_other() {
    let old = Server::echo().await;
    let web = web(vec![old.instance("web-1")]).await;
    let put = Request::put("http://shop:81/x")
        .header("cookie", "a=1")
        .header("cookie", "b=2")
        .body(full("hi"))
        .unwrap();
    let response = client2(web.address).await.send_request(put).await.unwrap();
    assert_eq!(response.version(), Version::HTTP_2);
    assert_eq!(whole(response).await, (200, "hi".to_owned()));
    let head = old.seen.last();
    assert_eq!(
        (head.version, &head.headers["host"], &head.headers["cookie"]),
        (Version::HTTP_11, &"shop:81".parse().unwrap(), &"a=1; b=2".parse().unwrap())
    );

    let new = Server::speaking(true, echo).await;
    let web = web_with(vec![new.instance("web-1")], |setting| {
        setting.discovery.calls.protocol = Protocol::Http2;
    })
    .await;
    let mut client = client1(web.address).await;
    for _ in 0..3 {
        client.ready().await.unwrap();
        let response = client.send_request(get("/x")).await.unwrap();
        assert_eq!((response.version(), whole(response).await.0), (Version::HTTP_11, 200));
    }
    let head = new.seen.last();
    assert_eq!((head.version, head.uri.to_string().as_str()), (Version::HTTP_2, "http://web/x"));
    assert_eq!(new.seen.connections.load(SeqCst), 1);
}

#[tokio::test]
async fn answers_without_a_body_have_none_and_connect_is_refused() {
    let server = Server::start(|_| async {
        Response::builder()
            .status(204)
            .header("connection", "x-own")
            .header("x-own", "1")
            .body(full(""))
            .unwrap()
    })
    .await;
    let web = web(vec![server.instance("web-1")]).await;
    let mut client = client2(web.address).await;
    let head = Request::head("http://web/").body(full("")).unwrap();
    let response = client.send_request(head).await.unwrap();
    assert!(
        !response.headers().contains_key("connection") && !response.headers().contains_key("x-own")
    );
    assert_eq!(whole(response).await, (204, String::new()));
    let connect = Request::connect("web:80").body(full("")).unwrap();
    let response = client.send_request(connect).await.unwrap();
    assert_eq!(
        (response.status().as_u16(), &response.headers()["x-hobnob-error"]),
        (405, &"connect_method".parse().unwrap())
    );
    assert_eq!(server.seen.requests(), 1);
}

#[tokio::test]
async fn a_call_that_is_reset_leaves_the_others_alone() {
    let (_go, gone) = tokio::sync::watch::channel(false);
    let server = Server::start(move |request: Request<Incoming>| {
        let mut gone = gone.clone();
        async move {
            if request.uri().path() == "/hang" {
                let _ = gone.wait_for(|go| *go).await;
            }
            Response::new(full("done"))
        }
    })
    .await;
    let web = web(vec![server.instance("web-1")]).await;
    let mut client = client2(web.address).await;
    for turn in 1..=5 {
        let call = client.send_request(get2("/hang"));
        tokio::select! {
            _ = call => panic!("it hangs"),
            () = until(|| server.seen.requests() == turn) => {}
        }
    }
    assert_eq!(whole(soon(client.send_request(get2("/"))).await.unwrap()).await.0, 200);
    assert_eq!(soon(web.proxy.drain(Duration::from_secs(10))).await, 0, "no call is left");
}
