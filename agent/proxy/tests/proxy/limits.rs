//! Limits of heads, connections and times.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::support::{
    Server, at_rest, client1, client2, get, pass, rest, send, soon, until, web, web_with, whole,
};

const SHORT: Duration = Duration::from_millis(200);

#[tokio::test]
async fn a_head_has_a_longest_length_and_a_largest_count() {
    let server = Server::echo().await;
    let web =
        web_with(vec![server.instance("web-1")], |setting| setting.limits.max_head_bytes = 4_096)
            .await;
    let ask = |lines: &str| {
        send(
            web.address,
            format!("GET / HTTP/1.1\r\nhost: web\r\nconnection: close\r\n{lines}\r\n"),
        )
    };
    let long = |length: usize| format!("x-long: {}\r\n", "y".repeat(length));
    assert!(ask(&long(3_000)).await.starts_with("HTTP/1.1 200 "));
    assert!(ask(&long(5_000)).await.starts_with("HTTP/1.1 431 "));
    assert!(ask(&long(200_000)).await.starts_with("HTTP/1.1 431 "));
    let many = |count: usize| (0..count).map(|one| format!("x-{one}: y\r\n")).collect::<String>();
    assert!(ask(&many(90)).await.starts_with("HTTP/1.1 200 "));
    assert!(ask(&many(101)).await.starts_with("HTTP/1.1 431 "));
    let target = format!("GET /{} HTTP/1.1\r\nhost: web\r\n\r\n", "x".repeat(70_000));
    let answer = send(web.address, target).await;
    assert!(answer.starts_with("HTTP/1.1 431 ") || answer.starts_with("HTTP/1.1 414 "), "{answer}");
    // Over HTTP/2 it is the stream that is refused.
    let mut client = client2(web.address).await;
    for (length, status) in [(3_000, 200), (5_000, 431)] {
        let mut request = get2("/");
        request.headers_mut().insert("x-long", "y".repeat(length).parse().unwrap());
        assert_eq!(whole(client.send_request(request).await.unwrap()).await.0, status);
    }
    assert_eq!(server.seen.requests(), 3);
    // Without an end, nothing is kept beyond the limit either.
    let mut stream = TcpStream::connect(web.address).await.unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\n").await.unwrap();
    let flood = tokio::spawn(async move {
        let mut sent = 0;
        while sent < 64 << 20 && stream.write_all(&[b'x'; 1_024]).await.is_ok() {
            sent += 1_024;
        }
        sent
    });
    assert!(soon(flood).await.unwrap() < 64 << 20, "the proxy closes");
}

#[tokio::test]
async fn a_head_that_comes_slowly_is_cut_off_and_calls_before_it_are_not() {
    let server = Server::echo().await;
    let web =
        web_with(vec![server.instance("web-1")], |setting| setting.limits.head_timeout = SHORT)
            .await;
    let mut stream = TcpStream::connect(web.address).await.unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nhost: web\r\n\r\n").await.unwrap();
    let head = soon(super::support::read_head(&mut stream)).await;
    assert!(head.starts_with("HTTP/1.1 200 "));
    let (mut sent, mut first) = (0, [0]);
    // Each byte is in time by itself.
    let slow = async {
        loop {
            // The proxy may have closed by now.
            let _ = stream.write_all(b"G").await;
            sent += 1;
            if let Ok(read) = tokio::time::timeout(SHORT / 10, stream.read(&mut first)).await {
                break assert_eq!(read.unwrap(), 1);
            }
        }
    };
    soon(slow).await;
    assert!(sent > 1, "{sent}");
    let answer = rest(&mut stream).await;
    assert!(answer.starts_with("TTP/1.1 408 Request Timeout\r\n"), "{answer}");
    let end = "content-length: 59\r\nconnection: close\r\n\r\n\
               head_timeout: the head of the request did not come in time\n";
    assert!(answer.contains("\r\nx-hobnob-error: head_timeout\r\n"), "{answer}");
    assert!(answer.ends_with(end), "{answer}");
}

#[tokio::test]
async fn a_first_head_that_stays_away_is_cut_off() {
    let server = Server::echo().await;
    let web = web_with(vec![server.instance("web-1")], |setting| {
        (setting.limits.head_timeout, setting.limits.idle_timeout) =
            (SHORT, Duration::from_secs(3_600));
        setting.admin = Some("127.0.0.1:0".parse().unwrap());
    })
    .await;
    // The beginning of HTTP/2 alone is no request that could be answered.
    for (begun, is_answered) in
        [("G", true), ("PRI * HTTP/2.0\r\n\r\n", false), ("GET / HTTP/1.1\r\nhost: ", true)]
    {
        let mut stream = TcpStream::connect(web.address).await.unwrap();
        stream.write_all(begun.as_bytes()).await.unwrap();
        let answer = rest(&mut stream).await;
        assert_eq!(answer.starts_with("HTTP/1.1 408 "), is_answered, "{begun}: {answer}");
        assert_eq!(answer.is_empty(), !is_answered, "{begun}: {answer}");
    }
    let metrics = "GET /metrics HTTP/1.1\r\nhost: x\r\n\r\n";
    let metrics = send(web.proxy.admin().unwrap(), metrics).await;
    let closed = |reason: &str| {
        let label = format!("reason=\"{reason}\"}} ");
        let mut lines = metrics.lines().filter(|line| line.contains("connections_closed_total{"));
        lines.find_map(|line| Some(line.split_once(&label)?.1.to_owned())).unwrap()
    };
    assert_eq!((closed("head"), closed("idle")), ("3".to_owned(), "0".to_owned()));
    let mut refused = metrics.lines().filter(|line| line.contains("reason=\"head_timeout\""));
    assert!(refused.next().unwrap().ends_with("} 2"), "{metrics}");
    until(|| web.proxy.connections() == 0).await;
}

#[tokio::test]
async fn a_connection_without_a_call_is_closed_after_its_time() {
    let server = Server::echo().await;
    let web =
        web_with(vec![server.instance("web-1")], |setting| setting.limits.idle_timeout = SHORT)
            .await;
    let mut silent = TcpStream::connect(web.address).await.unwrap();
    assert_eq!(rest(&mut silent).await, "");
    let mut once = TcpStream::connect(web.address).await.unwrap();
    once.write_all(b"GET / HTTP/1.1\r\nhost: web\r\n\r\n").await.unwrap();
    assert!(rest(&mut once).await.starts_with("HTTP/1.1 200 OK\r\n"));
    let mut client = client2(web.address).await;
    assert_eq!(whole(client.send_request(get2("/")).await.unwrap()).await.0, 200);
    soon(async {
        while client.ready().await.is_ok() {
            tokio::task::yield_now().await;
        }
    })
    .await;
    until(|| web.proxy.connections() == 0).await;
}

pub(crate) fn get2(path: &str) -> http::Request<super::support::Answer> {
    http::Request::get(format!("http://web{path}")).body(super::support::full("")).unwrap()
}

#[tokio::test]
async fn a_call_over_which_nothing_moves_is_cut_off() {
    let (_keep, hangs) = tokio::sync::watch::channel(false);
    let server = Server::start(move |_| {
        let mut hangs = hangs.clone();
        async move {
            // Until the end of the test.
            let _ = hangs.wait_for(|go| *go).await;
            http::Response::new(super::support::full(""))
        }
    })
    .await;
    // The clock looks once in the time of an idle connection, at the latest.
    let limited = web_with(vec![server.instance("web-1")], |setting| {
        setting.limits.stream_idle_timeout = SHORT;
        setting.limits.idle_timeout = SHORT;
    })
    .await;
    let mut cut = TcpStream::connect(limited.address).await.unwrap();
    cut.write_all(b"GET / HTTP/1.1\r\nhost: web\r\n\r\n").await.unwrap();
    assert_eq!(rest(&mut cut).await, "");
}

#[tokio::test]
async fn connections_beyond_the_most_wait_for_one_to_end() {
    let server = Server::echo().await;
    let web =
        web_with(vec![server.instance("web-1")], |setting| setting.limits.max_connections = 2)
            .await;
    let mut first = client1(web.address).await;
    let mut second = client1(web.address).await;
    for client in [&mut first, &mut second] {
        assert_eq!(whole(client.send_request(get("/")).await.unwrap()).await.0, 200);
    }
    let mut third = client1(web.address).await;
    let mut waiting = std::pin::pin!(third.send_request(get("/")));
    tokio::select! {
        _ = waiting.as_mut() => panic!("there are two connections"),
        () = at_rest() => {}
    }
    assert_eq!(web.proxy.connections(), 2);
    drop(first);
    assert_eq!(whole(soon(waiting).await.unwrap()).await.0, 200);
}

#[tokio::test]
async fn a_route_without_clients_takes_no_place_from_another() {
    let server = Server::echo().await;
    let web =
        web_with(vec![server.instance("web-1")], |setting| setting.limits.max_connections = 1)
            .await;
    let route = || {
        let mut discovery = hobnob_api::discovery::DiscoveryConfig::for_calls("web");
        discovery.socket = web.agent.path("a.sock");
        discovery.prefer = hobnob_api::Prefer::Any;
        let mode = hobnob_proxy::Mode::Http(hobnob_proxy::HttpOptions::default());
        hobnob_proxy::RouteConfig { discovery, listen: "127.0.0.1:0".parse().unwrap(), mode }
    };
    let limits = hobnob_proxy::Limits { max_connections: 1, ..Default::default() };
    let proxy = hobnob_proxy::Proxy::start(hobnob_proxy::ProxyConfig {
        routes: vec![route(), route(), route()],
        limits,
        admin: Some("127.0.0.1:0".parse().unwrap()),
        access_log: None,
    })
    .await
    .unwrap();
    for (_, endpoint) in proxy.endpoints() {
        let hobnob_proxy::Endpoint::Tcp(address) = *endpoint else { panic!("an address") };
        let ask = "GET / HTTP/1.1\r\nhost: web\r\nconnection: close\r\n\r\n";
        assert!(send(address, ask).await.starts_with("HTTP/1.1 200 "));
    }
    let metrics = send(proxy.admin().unwrap(), "GET /metrics HTTP/1.1\r\nhost: x\r\n\r\n").await;
    assert!(metrics.contains("\nhobnob_proxy_accepts_paused_total 0\n"), "{metrics}");
    let mut lines: Vec<_> =
        metrics.lines().filter_map(|line| line.strip_prefix("hobnob_proxy_calls{")).collect();
    lines.sort_unstable();
    lines.dedup();
    assert_eq!(lines.len(), 3, "each route has labels of its own: {lines:?}");
}

#[tokio::test]
async fn clients_that_reset_their_connections_leave_nothing_behind() {
    let server = Server::echo().await;
    let web = web(vec![server.instance("web-1")]).await;
    for bytes in [
        "",
        "GET / HT",
        "GET / HTTP/1.1\r\nhost: web\r\n\r\n",
        "POST / HTTP/1.1\r\nhost: web\r\ncontent-length: 9\r\n\r\nx",
    ] {
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        // It is reset when it is dropped.
        socket.set_zero_linger().unwrap();
        let mut stream = socket.connect(web.address).await.unwrap();
        stream.write_all(bytes.as_bytes()).await.unwrap();
        drop(stream);
    }
    let (status, _) = whole(client1(web.address).await.send_request(get("/")).await.unwrap()).await;
    assert_eq!(status, 200);
    until(|| web.proxy.connections() == 0).await;
}

#[tokio::test]
async fn a_connection_that_waits_is_no_slow_head() {
    let server = Server::echo().await;
    let web =
        web_with(vec![server.instance("web-1")], |setting| setting.limits.head_timeout = SHORT)
            .await;
    let post = |uri: &str| {
        let body = super::support::full("hello");
        http::Request::post(uri).header("host", "web").body(body).unwrap()
    };
    let (mut one, mut two) = (client1(web.address).await, client2(web.address).await);
    for _ in 0..2 {
        one.ready().await.unwrap();
        two.ready().await.unwrap();
        assert_eq!(whole(one.send_request(post("/")).await.unwrap()).await.0, 200);
        assert_eq!(whole(two.send_request(post("http://web/")).await.unwrap()).await.0, 200);
        pass(3 * SHORT).await;
    }
}
