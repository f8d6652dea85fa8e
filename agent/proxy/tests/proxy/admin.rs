//! Health, metrics and the access log.

use std::convert::Infallible;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use hobnob_api::Protocol;
use hobnob_proxy::{Code, METRICS, Mode, TcpOptions};
use http::{Request, Response};
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Incoming;
use serde_json::Value;
use tokio::net::TcpStream;

use super::support::{
    Kept, Server, client1, full, get, instance, raw, read_head, refused, rest, send, soon, until,
    web_with, whole,
};

async fn ask(address: std::net::SocketAddr, path: &str) -> (u16, String) {
    let answer = send(address, format!("GET {path} HTTP/1.1\r\nhost: x\r\n\r\n")).await;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head[9..12].parse().unwrap(), body.to_owned())
}

#[tokio::test]
async fn health_follows_the_life_of_the_proxy() {
    let admin = Some("127.0.0.1:0".parse().unwrap());
    let away = web_with(vec![], |setting| {
        setting.discovery.socket = "/nonexistent/a.sock".into();
        setting.admin = admin;
    })
    .await;
    let why = "no agent has told the instances of web\n".to_owned();
    assert_eq!(ask(away.proxy.admin().unwrap(), "/health").await, (503, why));

    let (go, gone) = tokio::sync::watch::channel(false);
    let server = Server::start(move |_| {
        let mut gone = gone.clone();
        async move {
            gone.wait_for(|go| *go).await.unwrap();
            Response::new(full(""))
        }
    })
    .await;
    let web = web_with(vec![server.instance("web-1")], |setting| setting.admin = admin).await;
    let address = web.proxy.admin().unwrap();
    until(|| web.instances().is_some()).await;
    assert_eq!(ask(address, "/health").await, (200, "serving\n".to_owned()));
    assert_eq!(ask(address, "/nothing").await.0, 404);
    let mut client = client1(web.address).await;
    let call = tokio::spawn(async move { client.send_request(get("/")).await });
    until(|| server.seen.requests() == 1).await;
    let proxy = web.proxy;
    let (left, ()) = tokio::join!(proxy.drain(Duration::from_secs(20)), async {
        assert_eq!(ask(address, "/health").await, (503, "draining\n".to_owned()));
        go.send(true).unwrap();
    });
    assert_eq!((left, soon(call).await.unwrap().unwrap().status().as_u16()), (0, 200));
}

#[tokio::test]
async fn metrics_tell_each_outcome_by_service_and_instance() {
    let server = Server::start(|request: Request<Incoming>| async move {
        let status = request.uri().path()[1..].parse::<u16>().unwrap();
        Response::builder().status(status).body(full("x")).unwrap()
    })
    .await;
    let web = web_with(vec![server.instance("web-1")], |setting| {
        setting.admin = Some("127.0.0.1:0".parse().unwrap());
        setting.discovery.calls.retries.max_retries = 1;
        setting.discovery.balancer.breaker = None;
        setting.discovery.balancer.outlier = None;
    })
    .await;
    let mut client = client1(web.address).await;
    for path in ["/200", "/200", "/404", "/500"] {
        client.ready().await.unwrap();
        drop(whole(client.send_request(get(path)).await.unwrap()).await);
    }
    web.agent.instances.send(vec![instance("web-2", refused().await)]).unwrap();
    soon(async {
        loop {
            client.ready().await.unwrap();
            let answered = whole(client.send_request(get("/200")).await.unwrap()).await;
            if answered.0 == 502 {
                break;
            }
        }
    })
    .await;
    for _ in 0..2 {
        client.ready().await.unwrap();
        let head = Request::head("/200").header("host", "web").body(full("")).unwrap();
        drop(whole(client.send_request(head).await.unwrap()).await);
    }
    let (status, text) = ask(web.proxy.admin().unwrap(), "/metrics").await;
    assert!(status == 200 && text.ends_with("# EOF\n"), "{text}");
    let route = format!("{{service=\"web\",namespace=\"default\",listen=\"{}\"", web.address);
    let value = |line: &str| -> f64 {
        let line = line.replace("{service=\"web\"", &route);
        let found = text.lines().find_map(|have| have.strip_prefix(&line)?.strip_prefix(' '));
        found.unwrap_or_else(|| panic!("{line} in {text}")).parse().unwrap()
    };
    assert!(value("hobnob_proxy_answers_total{service=\"web\",class=\"2xx\"}") >= 2.0);
    assert_eq!(value("hobnob_proxy_answers_total{service=\"web\",class=\"4xx\"}"), 1.0);
    assert_eq!(value("hobnob_proxy_answers_total{service=\"web\",class=\"5xx\"}"), 1.0);
    assert_eq!(value("hobnob_proxy_refused_total{service=\"web\",reason=\"connect_failed\"}"), 3.0);
    assert_eq!(value("hobnob_proxy_connections{service=\"web\"}"), 1.0);
    assert_eq!(value("hobnob_proxy_calls{service=\"web\"}"), 0.0);
    assert_eq!(value("hobnob_proxy_cancelled_total{service=\"web\"}"), 0.0);
    assert!(value("hobnob_proxy_retries_total{service=\"web\"}") >= 2.0);
    let of = "{service=\"web\",instance=\"web-2\",member=\"a1\"}";
    assert!(value(&format!("hobnob_proxy_instance_failures_total{of}")) >= 2.0);
    assert!(value(&format!("hobnob_proxy_instance_circuit{of}")) >= 0.0);
    assert!(value("hobnob_proxy_call_duration_seconds_count{service=\"web\"}") >= 5.0);
    for code in Code::ALL {
        value(&format!("hobnob_proxy_refused_total{{service=\"web\",reason=\"{}\"}}", code.name()));
    }
}

#[tokio::test]
async fn what_the_http_library_refuses_is_counted() {
    let web =
        web_with(vec![], |setting| setting.admin = Some("127.0.0.1:0".parse().unwrap())).await;
    let long = format!("GET /{} HTTP/1.1\r\nhost: web\r\n\r\n", "x".repeat(70_000));
    for (bytes, status) in [("nothing\r\n\r\n", "400"), (&long, "431")] {
        let answer = send(web.address, bytes).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{answer}");
    }
    until(|| web.proxy.connections() == 0).await;
    let (_, text) = ask(web.proxy.admin().unwrap(), "/metrics").await;
    let mut lines = text.lines().filter(|line| line.contains("reason=\"malformed\""));
    assert!(lines.next().unwrap().ends_with("} 2"), "{text}");
}

/// The document names every metric and every code.
#[test]
fn the_document_is_complete() {
    let document = include_str!("../../../../docs/PROXY.md");
    for metric in METRICS {
        assert!(document.contains(&format!("`{}", metric.name)), "{}", metric.name);
    }
    for code in Code::ALL {
        let row = format!("| {} | `{}` |", code.status(), code.name());
        assert!(document.contains(&row), "{row}");
    }
}

#[tokio::test]
async fn an_answer_that_has_its_length_is_whole() {
    let server = Server::speaking(true, |_| async {
        let data = stream::iter([Ok::<_, Infallible>(Frame::data(Bytes::from("hello")))]);
        // The stream of HTTP/2 stays open after the last byte.
        let body = StreamBody::new(data.chain(stream::pending()));
        Response::builder().header("content-length", "5").body(body.boxed_unsync()).unwrap()
    })
    .await;
    let kept = Kept::default();
    let web = web_with(vec![server.instance("web-1")], |setting| {
        setting.access_log = Some(Box::new(kept.clone()));
        setting.discovery.overrides.protocol = Some(Protocol::Http2);
    })
    .await;
    let mut client = client1(web.address).await;
    let answer = whole(client.send_request(get("/")).await.unwrap()).await;
    assert_eq!(answer, (200, "hello".to_owned()));
    drop(client);
    assert_eq!(soon(web.proxy.drain(Duration::from_secs(20))).await, 0);
    let line: Value = serde_json::from_str(&kept.text()).unwrap();
    assert_eq!((&line["ended"], &line["bytes_sent"]), (&"end".into(), &5.into()), "{line}");
}

#[tokio::test]
async fn each_call_is_a_line_of_the_access_log() {
    let server = Server::echo().await;
    let kept = Kept::default();
    let web = web_with(vec![server.instance("web-1")], |setting| {
        setting.access_log = Some(Box::new(kept.clone()));
    })
    .await;
    let mut client = client1(web.address).await;
    let put = Request::put("/x?y=\"z")
        .header("host", "shop")
        .header("x-request-id", "mine")
        .body(full("hello"));
    let put = put.unwrap_or_else(|_| {
        Request::put("/x?y=z")
            .header("host", "shop")
            .header("x-request-id", "mine")
            .body(full("hello"))
            .unwrap()
    });
    assert_eq!(whole(client.send_request(put).await.unwrap()).await.0, 200);
    web.agent.instances.send(vec![]).unwrap();
    until(|| web.proxy_knows_nobody()).await;
    client.ready().await.unwrap();
    assert_eq!(whole(client.send_request(get("/none")).await.unwrap()).await.0, 503);
    drop(client);
    assert_eq!(soon(web.proxy.drain(Duration::from_secs(20))).await, 0);
    let text = kept.text();
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 2, "{text}");
    let one = &lines[0];
    for (field, value) in [
        ("service", "web"),
        ("protocol", "HTTP/1.1"),
        ("method", "PUT"),
        ("host", "shop"),
        ("request_id", "mine"),
        ("instance", "web-1"),
        ("ended", "end"),
    ] {
        assert_eq!(one[field], value, "{one}");
    }
    assert_eq!(
        (&one["status"], &one["bytes_received"], &one["bytes_sent"]),
        (&200.into(), &5.into(), &5.into())
    );
    assert_eq!((&one["tries"], one.get("error")), (&1.into(), None));
    assert!(
        one["client"].as_str().unwrap().starts_with("127.0.0.1:") && one["duration_ms"].is_f64()
    );
    let other = &lines[1];
    assert_eq!(
        (&other["status"], &other["error"], &other["tries"]),
        (&503.into(), &"no_instance".into(), &0.into())
    );
}

#[tokio::test]
async fn a_call_that_is_cut_off_is_a_line_with_the_instance_that_had_it() {
    let (arrived, mut arrivals) = tokio::sync::mpsc::channel(1);
    let hangs = raw(move |mut stream| {
        let arrived = arrived.clone();
        async move {
            read_head(&mut stream).await;
            arrived.send(()).await.unwrap();
            std::future::pending::<()>().await;
        }
    })
    .await;
    let kept = Kept::default();
    let web = web_with(vec![instance("web-1", hangs)], |setting| {
        setting.access_log = Some(Box::new(kept.clone()));
    })
    .await;
    let mut client = client1(web.address).await;
    let call = tokio::spawn(async move { client.send_request(get("/")).await });
    soon(arrivals.recv()).await.unwrap();
    assert_eq!(soon(web.proxy.drain(Duration::ZERO)).await, 1);
    assert!(soon(call).await.unwrap().is_err());
    let line: Value = serde_json::from_str(&kept.text()).unwrap();
    assert_eq!((&line["instance"], &line["tries"]), (&"web-1".into(), &1.into()), "{line}");
    assert_eq!((&line["ended"], line.get("status")), (&"cancelled".into(), None), "{line}");
}

#[tokio::test]
async fn a_connection_over_tcp_that_ends_before_one_to_an_instance_is_a_line() {
    let kept = Kept::default();
    let away = web_with(vec![], |setting| {
        setting.mode = Mode::Tcp(TcpOptions::default());
        setting.discovery.socket = "/nonexistent/a.sock".into();
        setting.access_log = Some(Box::new(kept.clone()));
    })
    .await;
    let mut stream = TcpStream::connect(away.address).await.unwrap();
    until(|| away.proxy.connections() == 1).await;
    assert_eq!(soon(away.proxy.drain(Duration::ZERO)).await, 1);
    assert_eq!(rest(&mut stream).await, "");
    let line: Value = serde_json::from_str(&kept.text()).unwrap();
    assert_eq!((&line["ended"], &line["tries"]), (&"cancelled".into(), &0.into()), "{line}");
    assert_eq!((line.get("instance"), line.get("error")), (None, None), "{line}");
}
