//! The end of a proxy: calls that are there end, and nothing new begins.

use std::time::Duration;

use http::Response;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use super::limits::get2;
use super::support::{
    LONG, Server, client1, client2, full, get, read_head, rest, soon, until, web, whole,
};

/// A server that answers once it is let.
async fn gated() -> (Server, tokio::sync::watch::Sender<bool>) {
    let (go, gone) = tokio::sync::watch::channel(false);
    let server = Server::start(move |request| {
        let mut gone = gone.clone();
        async move {
            if request.uri().path() != "/fast" {
                gone.wait_for(|go| *go).await.unwrap();
            }
            Response::new(full("done"))
        }
    })
    .await;
    (server, go)
}

#[tokio::test]
async fn a_drain_lets_calls_end_and_closes_what_is_idle() {
    let (server, go) = gated().await;
    let web = web(vec![server.instance("web-1")]).await;
    let mut idle = TcpStream::connect(web.address).await.unwrap();
    idle.write_all(b"GET /fast HTTP/1.1\r\nhost: web\r\n\r\n").await.unwrap();
    soon(read_head(&mut idle)).await;
    let mut silent = TcpStream::connect(web.address).await.unwrap();
    let mut one = client1(web.address).await;
    let one = tokio::spawn(async move { one.send_request(get("/slow")).await.unwrap() });
    let mut two = client2(web.address).await;
    let mut other = two.clone();
    let two = tokio::spawn(async move { two.send_request(get2("/slow")).await.unwrap() });
    until(|| server.seen.requests() == 3).await;
    until(|| web.proxy.connections() == 4).await;

    let proxy = web.proxy;
    let mut draining = std::pin::pin!(proxy.drain(LONG));
    tokio::select! {
        _ = draining.as_mut() => panic!("two calls are there"),
        end = async { (rest(&mut idle).await, rest(&mut silent).await) } => {
            assert_eq!(end, ("done".to_owned(), String::new()));
        }
    }
    tokio::select! {
        _ = draining.as_mut() => panic!("two calls are there"),
        refused = async {
            // The listener is gone, and a client of HTTP/2 was told to go elsewhere.
            while TcpStream::connect(web.address).await.is_ok() {
                tokio::task::yield_now().await;
            }
            while other.ready().await.is_ok() && other.send_request(get2("/fast")).await.is_ok() {
                tokio::task::yield_now().await;
            }
        } => refused,
    }
    go.send(true).unwrap();
    assert_eq!(soon(draining).await, 0);
    let one = soon(one).await.unwrap();
    assert_eq!(one.headers()["connection"], "close");
    assert_eq!(whole(one).await, (200, "done".to_owned()));
    assert_eq!(whole(soon(two).await.unwrap()).await, (200, "done".to_owned()));
}

#[tokio::test]
async fn calls_that_outlast_the_time_are_cut_off_and_counted() {
    let (server, _go) = gated().await;
    let web = web(vec![server.instance("web-1")]).await;
    let mut client = client1(web.address).await;
    let call = tokio::spawn(async move { client.send_request(get("/slow")).await });
    until(|| server.seen.requests() == 1).await;
    assert_eq!(soon(web.proxy.drain(Duration::from_millis(50))).await, 1);
    assert!(soon(call).await.unwrap().is_err());
    assert_eq!(web.proxy.connections(), 0);
}
