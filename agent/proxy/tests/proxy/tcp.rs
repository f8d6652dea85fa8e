//! Routes over TCP.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use futures_util::FutureExt;
use hobnob_proxy::{Mode, Proxy, TcpOptions};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};

use super::support::{Web, at_rest, instance, raw, refused, rest, soon, until, web_with};

async fn tcp(instances: Vec<hobnob_api::Instance>, proxy_protocol: bool) -> Web {
    web_with(instances, |setting| setting.mode = Mode::Tcp(TcpOptions { proxy_protocol })).await
}

/// A server that reads all, then answers with what it has read.
async fn reverses() -> std::net::SocketAddr {
    raw(|mut stream| async move {
        let mut all = Vec::new();
        stream.read_to_end(&mut all).await.unwrap();
        all.reverse();
        stream.write_all(&all).await.unwrap();
    })
    .await
}

#[tokio::test]
async fn each_half_of_a_connection_is_closed_by_itself() {
    let web = tcp(vec![instance("db-1", reverses().await)], false).await;
    let mut stream = TcpStream::connect(web.address).await.unwrap();
    stream.write_all(b"hello").await.unwrap();
    stream.shutdown().await.unwrap();
    assert_eq!(rest(&mut stream).await, "olleh");
    until(|| web.proxy.connections() == 0).await;
}

#[tokio::test]
async fn an_instance_that_refuses_is_passed_over_and_a_client_without_one_is_closed() {
    let web =
        tcp(vec![instance("bad", refused().await), instance("db-1", reverses().await)], false)
            .await;
    for _ in 0..5 {
        let mut stream = TcpStream::connect(web.address).await.unwrap();
        stream.write_all(b"ab").await.unwrap();
        stream.shutdown().await.unwrap();
        assert_eq!(rest(&mut stream).await, "ba");
    }
    let nobody = tcp(vec![], false).await;
    let mut stream = TcpStream::connect(nobody.address).await.unwrap();
    assert_eq!(rest(&mut stream).await, "");
}

#[tokio::test]
async fn the_instance_is_told_where_the_client_is() {
    let web = tcp(vec![instance("db-1", reverses().await)], true).await;
    let mut stream = TcpStream::connect(web.address).await.unwrap();
    let client = stream.local_addr().unwrap();
    stream.write_all(b"hello").await.unwrap();
    stream.shutdown().await.unwrap();
    let mut told = Vec::new();
    soon(stream.read_to_end(&mut told)).await.unwrap();
    told.reverse();
    let mut expected = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\x00\x0c\x7f\0\0\x01\x7f\0\0\x01".to_vec();
    expected.extend(client.port().to_be_bytes());
    expected.extend(web.address.port().to_be_bytes());
    expected.extend(b"hello");
    assert_eq!(told, expected);
}

#[tokio::test]
async fn a_reset_of_one_side_ends_the_other() {
    let resets = raw(|stream| async move {
        let stream = stream.into_std().unwrap();
        rustix::net::sockopt::set_socket_linger(&stream, Some(Duration::ZERO)).unwrap();
    })
    .await;
    let web = tcp(vec![instance("db-1", resets)], false).await;
    let mut stream = TcpStream::connect(web.address).await.unwrap();
    assert_eq!(rest(&mut stream).await, "");
    until(|| web.proxy.connections() == 0).await;
}

#[tokio::test]
async fn a_reset_of_the_client_reaches_the_instance_as_one() {
    let (ends, mut ended) = tokio::sync::mpsc::channel(1);
    let (reads, mut read) = tokio::sync::mpsc::channel(1);
    let server = raw(move |mut stream| {
        let (ends, reads) = (ends.clone(), reads.clone());
        async move {
            let mut piece = [0; 5];
            stream.read_exact(&mut piece).await.unwrap();
            reads.send(piece).await.unwrap();
            let end = stream.read(&mut piece).await;
            ends.send(end.map_err(|error| error.kind())).await.unwrap();
        }
    })
    .await;
    let log = super::support::Kept::default();
    let web = web_with(vec![instance("db-1", server)], |setting| {
        setting.mode = Mode::Tcp(TcpOptions::default());
        setting.access_log = Some(Box::new(log.clone()));
    })
    .await;
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    // It is reset when it is dropped.
    socket.set_zero_linger().unwrap();
    let mut stream = socket.connect(web.address).await.unwrap();
    stream.write_all(b"hello").await.unwrap();
    assert_eq!(soon(read.recv()).await.unwrap(), *b"hello");
    drop(stream);
    let end = soon(ended.recv()).await.unwrap();
    assert_eq!(end, Err(std::io::ErrorKind::ConnectionReset), "not as an end");
    assert_eq!(soon(web.proxy.drain(Duration::from_secs(20))).await, 0);
    let lines = log.text();
    assert!(lines.contains("\"ended\":\"cancelled\""), "the client broke it: {lines}");
}

#[tokio::test]
async fn a_socket_that_another_process_bound_is_not_removed() {
    let web = tcp(vec![], false).await;
    let path = web.agent.path("db.sock");
    let mut discovery = hobnob_api::discovery::DiscoveryConfig::for_calls("web");
    discovery.socket = web.agent.path("a.sock");
    let listen = format!("unix:{}", path.display()).parse().unwrap();
    let mode = Mode::Tcp(TcpOptions::default());
    let proxy = Proxy::start(hobnob_proxy::ProxyConfig {
        routes: vec![hobnob_proxy::RouteConfig { discovery, listen, mode }],
        limits: hobnob_proxy::Limits::default(),
        admin: None,
        access_log: None,
    })
    .await
    .unwrap();
    let (first, other) = (web.agent.path("first.sock"), web.agent.path("other.sock"));
    let another = std::os::unix::net::UnixListener::bind(&other).unwrap();
    // The number of the first file is in use until the end, so that no other file gets it.
    std::fs::hard_link(&path, &first).unwrap();
    std::fs::rename(&other, &path).unwrap();
    soon(proxy.drain(Duration::from_secs(5))).await;
    drop(proxy);
    // The listener goes with its task, which ends by itself.
    until(|| UnixStream::connect(&first).now_or_never().is_some_and(|end| end.is_err())).await;
    assert!(path.exists());
    drop(another);
}

#[tokio::test]
async fn bytes_that_nobody_reads_are_held_back_at_their_source() {
    const ALL: usize = 256 << 20;
    /// What the sockets between two ends may hold.
    const HELD: usize = 64 << 20;
    let (go, gone) = tokio::sync::watch::channel(false);
    let counts = raw(move |mut stream| {
        let mut gone = gone.clone();
        async move {
            gone.wait_for(|go| *go).await.unwrap();
            let (mut buffer, mut all) = (vec![0; 1 << 20], 0_u64);
            while let Ok(read @ 1..) = stream.read(&mut buffer).await {
                all += read as u64;
            }
            stream.write_all(all.to_string().as_bytes()).await.unwrap();
        }
    })
    .await;
    let web = tcp(vec![instance("db-1", counts)], false).await;
    let (mut reading, mut writing) = TcpStream::connect(web.address).await.unwrap().into_split();
    let sent = Arc::new(AtomicUsize::new(0));
    let count = sent.clone();
    let client = tokio::spawn(async move {
        let piece = vec![b'x'; 1 << 20];
        while count.load(SeqCst) < ALL {
            writing.write_all(&piece).await.unwrap();
            count.fetch_add(piece.len(), SeqCst);
        }
        writing.shutdown().await.unwrap();
    });
    at_rest().await;
    let held = sent.load(SeqCst);
    assert!(held < HELD, "{held} bytes");
    go.send(true).unwrap();
    let mut all = String::new();
    soon(reading.read_to_string(&mut all)).await.unwrap();
    assert_eq!(all, ALL.to_string());
    soon(client).await.unwrap();
}

#[tokio::test]
async fn a_unix_socket_is_offered_and_a_stale_one_is_replaced() {
    let web = tcp(vec![instance("db-1", reverses().await)], true).await;
    let path = web.agent.path("db.sock");
    // A socket that nobody listens on any more.
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    let config = |mode: Mode| {
        let mut discovery = hobnob_api::discovery::DiscoveryConfig::for_calls("web");
        discovery.socket = web.agent.path("a.sock");
        discovery.prefer = hobnob_api::Prefer::Any;
        let listen = format!("unix:{}", path.display()).parse().unwrap();
        hobnob_proxy::ProxyConfig {
            routes: vec![hobnob_proxy::RouteConfig { discovery, listen, mode }],
            limits: hobnob_proxy::Limits::default(),
            admin: None,
            access_log: None,
        }
    };
    let proxy = Proxy::start(config(Mode::Tcp(TcpOptions { proxy_protocol: true }))).await.unwrap();
    let taken = Proxy::start(config(Mode::Tcp(TcpOptions::default()))).await;
    assert!(taken.is_err_and(|error| error.to_string().contains("another process listens there")));
    let mut stream = UnixStream::connect(&path).await.unwrap();
    stream.write_all(b"ab").await.unwrap();
    stream.shutdown().await.unwrap();
    let mut told = Vec::new();
    soon(stream.read_to_end(&mut told)).await.unwrap();
    told.reverse();
    assert_eq!(told, b"\r\n\r\n\0\r\nQUIT\n\x20\x00\x00\x00ab", "no address is known");
    soon(proxy.drain(Duration::from_secs(5))).await;
    drop(proxy);
    until(|| !path.exists()).await;
}
