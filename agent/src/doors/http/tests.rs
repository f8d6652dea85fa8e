//! The door by itself, before an agent is ready behind it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

use super::server::{MAX_CONNECTIONS, MAX_HEAD_BYTES, MAX_HEAD_FIELDS};
use super::{HttpCounters, HttpDoor};
use crate::progress::Progress;

struct Served {
    addr: SocketAddr,
    counters: Arc<HttpCounters>,
    serving: JoinHandle<()>,
}

impl Served {
    async fn start() -> Self {
        let any = "127.0.0.1:0".parse().expect("an address");
        let door = HttpDoor::bind(any, Progress::default()).await.expect("bound");
        let (addr, counters) = (door.addr(), door.counters());
        Self { addr, counters, serving: tokio::spawn(door.serve()) }
    }

    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.addr).await.expect("connected")
    }

    /// The answer to these bytes; empty if the door closes the connection without one.
    async fn send(&self, request: &str) -> String {
        let mut stream = self.connect().await;
        // The door may close before it has read everything.
        let _ = stream.write_all(request.as_bytes()).await;
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer).await;
        String::from_utf8_lossy(&answer).into_owned()
    }

    async fn get(&self, path: &str) -> String {
        self.send(&format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n")).await
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

fn is(answer: &str, status: u16) -> bool {
    answer.starts_with(&format!("HTTP/1.1 {status} "))
}

#[tokio::test]
async fn a_door_before_its_agent_is_alive_and_not_ready() {
    let served = Served::start().await;
    let health = served.get("/healthz").await;
    assert!(is(&health, 200) && health.contains("driver: ok"), "{health}");
    let ready = served.get("/readyz").await;
    assert!(is(&ready, 503) && ready.contains("starting: "), "{ready}");
    let metrics = served.get("/metrics").await;
    assert!(is(&metrics, 503) && metrics.contains("starting"), "{metrics}");
    assert!(is(&served.get("/").await, 200) && is(&served.get("/else").await, 404));
    let post = "POST /metrics HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n";
    assert!(is(&served.send(post).await, 405), "it changes nothing");
    assert_eq!(served.counters.requests.load(Ordering::Relaxed), 6);
}

#[tokio::test]
async fn a_request_for_another_host_is_refused() {
    let served = Served::start().await;
    let other = served.send("GET /metrics HTTP/1.1\r\nHost: evil.example\r\n\r\n").await;
    assert!(is(&other, 421), "{other}");
    assert_eq!(served.counters.hosts_refused.load(Ordering::Relaxed), 1);
    assert!(is(&served.send("GET /readyz HTTP/1.1\r\n\r\n").await, 503), "no name is as good");
}

#[tokio::test]
async fn a_head_beyond_the_limits_is_refused() {
    let served = Served::start().await;
    let long = "x".repeat(MAX_HEAD_BYTES);
    let long = format!("GET / HTTP/1.1\r\nHost: localhost\r\nA: {long}\r\n\r\n");
    assert!(!is(&served.send(&long).await, 200));
    let fields = "a: b\r\n".repeat(MAX_HEAD_FIELDS + 1);
    assert!(!is(&served.send(&format!("GET / HTTP/1.1\r\n{fields}\r\n")).await, 200));
    assert!(is(&served.get("/").await, 200));
}

#[tokio::test]
async fn a_connection_too_many_is_closed_and_counted() {
    let served = Served::start().await;
    let mut crowd = Vec::new();
    for _ in 0..MAX_CONNECTIONS {
        crowd.push(served.connect().await);
    }
    assert_eq!(served.get("/").await, "", "closed");
    assert_eq!(served.counters.refused.load(Ordering::Relaxed), 1);
    assert_eq!(served.counters.connections.load(Ordering::Relaxed), MAX_CONNECTIONS as u64);
}

#[tokio::test(start_paused = true)]
async fn a_connection_without_a_request_is_closed_in_time() {
    let served = Served::start().await;
    for begun in ["", "GET / HT"] {
        assert!(!is(&served.send(begun).await, 200), "{begun}");
    }
    assert_eq!(served.counters.failed.load(Ordering::Relaxed), 2);
    assert_eq!(served.counters.connections.load(Ordering::Relaxed), 0);
}
