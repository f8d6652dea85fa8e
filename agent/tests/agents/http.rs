//! The HTTP door of a running agent.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use hobnob_agent::metrics::{Kind, table};
use hobnob_agent::{Agent, AgentConfig, DnsConfig};
use hobnob_api::client::Client;
use hobnob_api::{PickQuery, Request, Response};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::support::{TEST_TIMEOUT, config};

async fn get(addr: SocketAddr, path: &str) -> String {
    let got = async {
        let mut stream = TcpStream::connect(addr).await.expect("connected");
        let request = format!("GET {path} HTTP/1.1\r\nHost: {addr}\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.expect("sent");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.expect("an answer");
        answer
    };
    timeout(TEST_TIMEOUT, got).await.expect("in time")
}

async fn started(name: &str, join: &[&Agent]) -> (tempfile::TempDir, Agent, SocketAddr) {
    let home = tempfile::tempdir().expect("a directory");
    let http = Some("127.0.0.1:0".parse().expect("an address"));
    let dns = DnsConfig {
        addr: "127.0.0.1:0".parse().expect("an address"),
        domains: vec!["consul".parse().expect("a domain")],
        ttl_s: 0,
        forward: Vec::new(),
        insecure: false,
    };
    let config = AgentConfig { http, dns: Some(dns), ..config(home.path(), name, join) };
    let agent = Agent::start(config).await.expect("started");
    let addr = agent.http_addr().expect("it answers HTTP");
    (home, agent, addr)
}

/// The values by their names and labels.
fn values(text: &str) -> BTreeMap<&str, f64> {
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    let pairs = lines.filter_map(|line| line.rsplit_once(' '));
    pairs.filter_map(|(name, value)| Some((name, value.parse().ok()?))).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn metrics_show_every_counter_of_info_and_every_metric_of_the_table() {
    let (_home, agent, http) = started("a", &[]).await;
    let mut client = Client::connect(agent.socket()).await.expect("connected");
    client.call(Request::Pick(PickQuery::new("web"))).await.expect("answered");
    let Response::Info(info) = client.call(Request::Info {}).await.expect("answered") else {
        panic!("info")
    };
    let answer = get(http, "/metrics").await;
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    assert!(head.contains("text/plain; version=0.0.4"), "{head}");
    let values = values(body);
    for name in info.counters.keys() {
        let name = match name.as_str() {
            "gaps_closed" => "gap_duration_seconds_count",
            "gaps_closed_ms" => "gap_duration_seconds_sum",
            "convergence" => "convergence_seconds_count",
            "convergence_ms" => "convergence_seconds_sum",
            "gaps_now" => "queue_length{queue=\"gaps\"}",
            name => name,
        };
        let shown = [format!("hobnob_{name}_total"), format!("hobnob_{name}")];
        assert!(shown.iter().any(|name| values.contains_key(name.as_str())), "{name} of info");
    }
    for metric in table() {
        // There is no query socket, and nobody else was heard.
        let is_absent = metric.name.starts_with("hobnob_query_")
            || metric.name == "hobnob_last_contact_seconds";
        let name = match metric.kind {
            Kind::Histogram => format!("{}_count", metric.name),
            _ => metric.name.to_string(),
        };
        let is_shown = values.keys().any(|shown| shown.split('{').next() == Some(name.as_str()));
        assert_eq!(is_shown, !is_absent, "{name}");
    }
    assert_eq!(values["hobnob_ready"], 1.0);
    assert_eq!(values["hobnob_members{status=\"alive\"}"], 1.0);
    assert_eq!(values["hobnob_pick_duration_seconds_count"], 1.0);
    assert_eq!(values["hobnob_call_duration_seconds_count{call=\"pick\"}"], 1.0);
    assert_eq!(values["hobnob_stuck{part=\"driver\"}"], 0.0);
    assert!(values["process_resident_memory_bytes"] > 1e6);
    agent.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_alone_is_ready_and_one_that_finds_nobody_is_not() {
    let (_home, alone, http) = started("a", &[]).await;
    assert!(get(http, "/readyz").await.ends_with("\r\n\r\nready\n"));
    let health = get(http, "/healthz").await;
    assert!(health.starts_with("HTTP/1.1 200 ") && health.contains("storage: ok"), "{health}");

    // Nobody listens there any more.
    let gone = std::net::UdpSocket::bind("127.0.0.1:0").expect("bound").local_addr();
    let home = tempfile::tempdir().expect("a directory");
    let lost = AgentConfig {
        http: Some("127.0.0.1:0".parse().expect("an address")),
        join: vec![gone.expect("an address").to_string()],
        ..config(home.path(), "b", &[])
    };
    let lost = Agent::start(lost).await.expect("started");
    let ready = get(lost.http_addr().expect("it answers"), "/readyz").await;
    assert!(ready.starts_with("HTTP/1.1 503 ") && ready.contains("isolated: "), "{ready}");
    alone.shutdown().await;
    lost.shutdown().await;
}
