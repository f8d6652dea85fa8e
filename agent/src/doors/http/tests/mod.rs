//! The door by itself, before an agent is ready behind it.

mod access;
mod hostile;

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

use super::access::Reach;
use super::limits::{HEAD_WITHIN, MAX_HEAD_BYTES, MAX_HEAD_FIELDS};
use super::{Access, HttpCounters, HttpDoor, Listening};
use crate::config::HttpTls;
use crate::progress::Progress;

/// Connections at the same time.
const CONNECTIONS: usize = 32;

struct Served {
    addr: SocketAddr,
    counters: Arc<HttpCounters>,
    serving: JoinHandle<()>,
}

impl Served {
    async fn start() -> Self {
        Self::reaching(Reach::Host, None, Path::new("/nowhere")).await
    }

    /// A door with another reach than its address would give it, and the access keys of a data directory.
    async fn reaching(reach: Reach, tls: Option<HttpTls>, data_dir: &Path) -> Self {
        let addr = "127.0.0.1:0".parse().expect("an address");
        let listening = Listening { addr, tls, has_open_metrics: false };
        let (access, progress) = (Access::new(data_dir, false), Progress::default());
        let door = HttpDoor::bind_for(CONNECTIONS, listening, |_, _| reach, access, progress);
        let door = door.await.expect("bound");
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

    /// Lets time pass, which stands still otherwise, until no connection is open: for so long at most.
    async fn settled(&self, within: Duration) {
        tokio::time::pause();
        let settled = async {
            while self.counters.connections.load(Ordering::Relaxed) > 0 {
                tokio::time::sleep(HEAD_WITHIN / 100).await;
            }
        };
        tokio::time::timeout(within, settled).await.expect("the connections end");
        tokio::time::resume();
    }

    async fn get(&self, path: &str) -> String {
        self.send(&format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"))
            .await
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
    let post = "POST /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";
    assert!(is(&served.send(post).await, 405), "it changes nothing");
    assert_eq!(served.counters.requests.load(Ordering::Relaxed), 6);
}

#[tokio::test]
async fn a_request_for_another_host_is_refused() {
    let served = Served::start().await;
    let other = served
        .send("GET /metrics HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n")
        .await;
    assert!(is(&other, 421), "{other}");
    let two = "GET /metrics HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\nConnection: close\r\n\r\n";
    assert!(is(&served.send(two).await, 400), "of two, another party may read the other one");
    assert_eq!(served.counters.hosts_refused.load(Ordering::Relaxed), 2);
    assert!(
        is(&served.send("GET /readyz HTTP/1.1\r\nConnection: close\r\n\r\n").await, 503),
        "no name is as good"
    );
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
    for _ in 0..CONNECTIONS {
        crowd.push(served.connect().await);
    }
    assert_eq!(served.get("/").await, "", "closed");
    assert_eq!(served.counters.refused.load(Ordering::Relaxed), 1);
    assert_eq!(served.counters.connections.load(Ordering::Relaxed), CONNECTIONS as u64);
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

#[tokio::test]
async fn a_page_of_another_origin_is_refused() {
    let served = Served::start().await;
    let ask = |origin: &str| {
        format!(
            "GET /readyz HTTP/1.1\r\nHost: localhost\r\nOrigin: {origin}\r\nConnection: close\r\n\r\n"
        )
    };
    for foreign in ["http://evil.example", "null", "http://localhost:3000"] {
        assert!(is(&served.send(&ask(foreign)).await, 403), "{foreign}");
    }
    assert!(is(&served.send(&ask("http://localhost")).await, 503), "its own page");
    assert_eq!(served.counters.origins_refused.load(Ordering::Relaxed), 3);
}

#[tokio::test]
async fn a_connection_has_many_requests() {
    let served = Served::start().await;
    let mut stream = served.connect().await;
    for _ in 0..3 {
        stream.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").await.expect("sent");
        let mut head = [0; 15];
        stream.read_exact(&mut head).await.expect("an answer");
        assert!(is(&String::from_utf8_lossy(&head), 200));
        // The rest of it.
        let mut rest = Vec::new();
        while !rest.ends_with(b"of Consul ask\n") {
            rest.push(stream.read_u8().await.expect("more"));
        }
    }
    drop(stream);
    let counters = &served.counters;
    assert_eq!(counters.requests.load(Ordering::Relaxed), 3);
    assert_eq!(counters.accepted.load(Ordering::Relaxed), 1);
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_was_used_and_is_idle_is_closed_and_no_failure() {
    let served = Served::start().await;
    let answer = served.send("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    assert!(is(&answer, 200), "{answer}");
    assert_eq!(served.counters.idle.load(Ordering::Relaxed), 1);
    assert_eq!(served.counters.failed.load(Ordering::Relaxed), 0);
}

/// Requests that two parties may read in two ways: none of them is read as two requests here.
#[tokio::test]
async fn smuggled_requests_are_refused_or_read_as_one() {
    let served = Served::start().await;
    let hidden = "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n";
    let length = hidden.len();
    let head = "POST / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n";
    for fields in [
        format!("Content-Length: {length}\r\nTransfer-Encoding: chunked\r\n"),
        format!("Content-Length: {length}\r\nContent-Length: 0\r\n"),
        "Content-Length: +0\r\n".to_owned(),
        "Content-Length: 0x0\r\n".to_owned(),
        "Content-Length : 0\r\n".to_owned(),
        "Transfer-Encoding: chunked, identity\r\n".to_owned(),
        "Transfer-Encoding: xchunked\r\n".to_owned(),
        " Folded: a\r\n b\r\n".to_owned(),
        "Bad\0Name: a\r\n".to_owned(),
    ] {
        let answer = served.send(&format!("{head}{fields}\r\n{hidden}")).await;
        assert!(!answer.contains("driver: ok"), "{fields}: {answer}");
        assert!(!is(&answer, 200), "{fields}: {answer}");
    }
    assert!(is(&served.get("/healthz").await, 200), "it goes on");
}

#[tokio::test]
async fn garbage_is_never_answered_as_a_request() {
    let served = Served::start().await;
    for garbage in [
        "\0\0\0\0\r\n\r\n",
        "GET\r\n\r\n",
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        "{\"request\":{\"info\":{}}}\n\r\n\r\n",
    ] {
        let answer = served.send(garbage).await;
        assert!(answer.is_empty() || is(&answer, 400), "{garbage:?}: {answer}");
    }
    assert!(is(&served.get("/v1/hobnob/info").await, 503), "it goes on, and has no agent yet");
}

#[tokio::test(start_paused = true)]
async fn a_head_that_trickles_is_given_up_in_time() {
    let served = Served::start().await;
    let (mut reading, mut writing) = served.connect().await.into_split();
    let trickle = async {
        for byte in b"GET / HTTP/1.1\r\nHost: localhost\r\nA: ".iter().chain([b'a'; 1_000].iter()) {
            tokio::time::sleep(HEAD_WITHIN / 20).await;
            if writing.write_all(&[*byte]).await.is_err() {
                return;
            }
        }
        panic!("the door waits for ever");
    };
    let (mut answer, began) = (Vec::new(), tokio::time::Instant::now());
    tokio::select! {
        _ = reading.read_to_end(&mut answer) => {}
        () = trickle => {}
    }
    assert!(began.elapsed() < HEAD_WITHIN * 2, "{:?}", began.elapsed());
    assert!(!is(&String::from_utf8_lossy(&answer), 200));
}

/// Each byte of a request is replaced by each of those that mean something, and left out.
#[tokio::test]
async fn no_damaged_request_ends_the_door() {
    let served = Served::start().await;
    let request = b"POST /v1/agent/service/register?ns=a HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\n{}";
    for at in 0..request.len() {
        for replacement in [&b""[..], b"\0", b"\r", b"\n", b" ", b":", b"%", b"9", b"\xff"] {
            let damaged = [&request[..at], replacement, &request[at + 1..]].concat();
            let mut stream = served.connect().await;
            // The door may close before it has read everything.
            let _ = stream.write_all(&damaged).await;
            let _ = stream.shutdown().await;
            let mut answer = Vec::new();
            let _ = stream.read_to_end(&mut answer).await;
            let answer = String::from_utf8_lossy(&answer);
            assert!(answer.is_empty() || answer.starts_with("HTTP/1."), "{answer}");
            assert!(!is(&answer, 200), "{}: {answer}", String::from_utf8_lossy(&damaged));
        }
    }
    assert!(is(&served.get("/healthz").await, 200), "it goes on");
}
