//! Connections that change their protocol.

use std::time::Duration;

use http::{Request, Response, StatusCode};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::support::{
    LONG, Server, full, instance, pass, raw, read_head, rest, soon, until, web, web_with,
};

const ASK: &str = "GET /chat HTTP/1.1\r\nhost: web\r\nconnection: keep-alive, Upgrade\r\nupgrade: websocket\r\n\
                   sec-websocket-key: x\r\n\r\n";

/// A server that sends back what it gets after the upgrade, in capitals.
async fn shouts() -> Server {
    Server::start(|mut request: Request<Incoming>| async move {
        if request.headers().get("upgrade").is_none_or(|protocol| protocol != "websocket") {
            return Response::new(full("plain"));
        }
        let upgrade = hyper::upgrade::on(&mut request);
        tokio::spawn(async move {
            let mut io = TokioIo::new(upgrade.await.unwrap());
            let mut buffer = [0; 1024];
            while let Ok(read @ 1..) = io.read(&mut buffer).await {
                buffer[..read].make_ascii_uppercase();
                io.write_all(&buffer[..read]).await.unwrap();
            }
            io.write_all(b" BYE").await.unwrap();
            io.shutdown().await.unwrap();
        });
        Response::builder()
            .status(StatusCode::SWITCHING_PROTOCOLS)
            .header("connection", "upgrade")
            .header("upgrade", "websocket")
            .header("sec-websocket-accept", "y")
            .body(full(""))
            .unwrap()
    })
    .await
}

#[tokio::test]
async fn bytes_go_both_ways_after_an_upgrade_and_each_half_closes_by_itself() {
    let server = shouts().await;
    let web = web(vec![server.instance("web-1")]).await;
    let mut stream = TcpStream::connect(web.address).await.unwrap();
    // What follows the request at once belongs to the new protocol.
    stream.write_all([ASK, "early"].concat().as_bytes()).await.unwrap();
    let head = soon(read_head(&mut stream)).await;
    assert!(head.starts_with("HTTP/1.1 101 Switching Protocols\r\n"), "{head}");
    for line in ["connection: upgrade", "upgrade: websocket", "sec-websocket-accept: y"] {
        assert!(head.contains(&format!("{line}\r\n")), "{head}");
    }
    let asked = server.seen.last();
    assert_eq!(
        (&asked.headers["connection"], &asked.headers["sec-websocket-key"]),
        (&"upgrade".parse().unwrap(), &"x".parse().unwrap())
    );
    let mut answer = [0; 5];
    soon(stream.read_exact(&mut answer)).await.unwrap();
    assert_eq!(&answer, b"EARLY");
    stream.write_all(b"hello").await.unwrap();
    soon(stream.read_exact(&mut answer)).await.unwrap();
    assert_eq!((&answer, web.proxy.connections()), (b"HELLO", 1));
    stream.shutdown().await.unwrap();
    assert_eq!(rest(&mut stream).await, " BYE");
    until(|| web.proxy.connections() == 0).await;
}

#[tokio::test]
async fn an_instance_may_answer_in_the_protocol_that_is_spoken() {
    let server = Server::start(|_| async { Response::new(full("plain")) }).await;
    let web = web(vec![server.instance("web-1")]).await;
    let mut stream = TcpStream::connect(web.address).await.unwrap();
    for _ in 0..2 {
        stream.write_all(ASK.as_bytes()).await.unwrap();
        let head = soon(read_head(&mut stream)).await;
        assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
        let mut body = [0; 5];
        soon(stream.read_exact(&mut body)).await.unwrap();
        assert_eq!(&body, b"plain");
    }
    let h2c = ASK.replace("websocket", "h2c").replace("\r\n\r\n", "\r\nhttp2-settings: AA\r\n\r\n");
    stream.write_all(h2c.as_bytes()).await.unwrap();
    assert!(soon(read_head(&mut stream)).await.starts_with("HTTP/1.1 200 OK\r\n"));
    assert!(!server.seen.last().headers.contains_key("upgrade"), "{:?}", server.seen.last());
}

#[tokio::test]
async fn an_instance_that_changes_the_protocol_unasked_is_not_believed() {
    let switches = raw(|mut stream| async move {
        read_head(&mut stream).await;
        let answer = b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: other\r\n\r\nhello";
        stream.write_all(answer).await.unwrap();
        let _ = stream.read_u8().await;
    })
    .await;
    let web = web(vec![instance("web-1", switches)]).await;
    let mut stream = TcpStream::connect(web.address).await.unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nhost: web\r\n\r\n").await.unwrap();
    let head = soon(read_head(&mut stream)).await;
    assert!(head.starts_with("HTTP/1.1 502 "), "{head}");
}

#[tokio::test]
async fn a_tunnel_outlives_idle_connections_and_ends_by_its_own_time_or_with_the_proxy() {
    let server = shouts().await;
    let short = Duration::from_millis(100);
    let open = async |web: &super::support::Web| {
        let mut stream = TcpStream::connect(web.address).await.unwrap();
        stream.write_all(ASK.as_bytes()).await.unwrap();
        assert!(soon(read_head(&mut stream)).await.starts_with("HTTP/1.1 101 "));
        stream
    };
    let web = web_with(vec![server.instance("web-1")], |setting| {
        (setting.limits.idle_timeout, setting.limits.stream_idle_timeout) = (short, short);
    })
    .await;
    let mut stream = open(&web).await;
    pass(3 * short).await;
    stream.write_all(b"still here").await.unwrap();
    let mut answer = [0; 10];
    soon(stream.read_exact(&mut answer)).await.unwrap();
    assert_eq!(&answer, b"STILL HERE");
    assert_eq!(soon(web.proxy.drain(Duration::ZERO)).await, 1, "it is cut off");
    assert_eq!(rest(&mut stream).await, "");

    let web = web_with(vec![server.instance("web-1")], |setting| {
        setting.limits.tunnel_idle_timeout = Some(short);
    })
    .await;
    let mut stream = open(&web).await;
    assert_eq!(rest(&mut stream).await, "");
    assert_eq!(soon(web.proxy.drain(LONG)).await, 0);
}
