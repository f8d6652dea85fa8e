//! Bodies over HTTP in chunks, cut off, and with requests hidden in them, at a door that takes changes from every process.

use std::net::SocketAddr;

use hobnob_agent::{Agent, AgentConfig};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::support::{TEST_TIMEOUT, config};

/// A request that registers `hidden`.
const HIDDEN: &str = "PUT /v1/agent/service/register HTTP/1.1\r\nHost: localhost\r\nContent-Length: 27\r\n\r\n\
                      {\"Name\":\"hidden\",\"Port\":80}";
const LAST: &str =
    "GET /v1/agent/services HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";

async fn started() -> (tempfile::TempDir, Agent, SocketAddr) {
    let home = tempfile::tempdir().expect("a directory");
    let http = Some("127.0.0.1:0".parse().expect("an address"));
    let config = AgentConfig { http, http_open_writes: true, ..config(home.path(), "a1", &[]) };
    let agent = Agent::start(config).await.expect("started");
    let addr = agent.http_addr().expect("it answers HTTP");
    (home, agent, addr)
}

/// All answers to these bytes until the door closes the connection. The client may end its side before.
async fn send(addr: SocketAddr, bytes: &str, is_end: bool) -> String {
    let asked = async {
        let mut stream = TcpStream::connect(addr).await.expect("connected");
        // The door may close before it has read everything.
        let _ = stream.write_all(bytes.as_bytes()).await;
        if is_end {
            let _ = stream.shutdown().await;
        }
        let mut answers = Vec::new();
        let _ = stream.read_to_end(&mut answers).await;
        String::from_utf8_lossy(&answers).into_owned()
    };
    timeout(TEST_TIMEOUT, asked).await.expect("in time")
}

/// The services that are registered, as JSON.
async fn services(addr: SocketAddr) -> String {
    send(addr, LAST, false).await
}

#[tokio::test]
async fn a_body_in_chunks_counts_whole_or_not_at_all() {
    let (_home, agent, addr) = started().await;
    let head = "PUT /v1/agent/service/register HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n";
    let long_extension = format!("@;{}\r\n#\r\n0\r\n\r\n", "x".repeat(20_000));
    for (number, (chunks, is_taken)) in [
        ("@\r\n#\r\n0\r\n\r\n", true),
        ("@;name=value\r\n#\r\n0\r\n\r\n", true),
        ("@\r\n#\r\n0\r\nHost: evil.example\r\n\r\n", true),
        ("@;a\nb\r\n#\r\n0\r\n\r\n", false),
        ("@\n#\n0\n\n", false),
        (long_extension.as_str(), false),
        ("@\r\n#\r\n", false),
        ("@\r\n#0\r\n\r\n", false),
        ("0x@\r\n#\r\n0\r\n\r\n", false),
        ("-@\r\n#\r\n0\r\n\r\n", false),
        ("ffffffffffffffff\r\n#", false),
        ("7fffffffffffffff\r\n#", false),
        ("10000000000000000\r\n#\r\n0\r\n\r\n", false),
    ]
    .into_iter()
    .enumerate()
    {
        let body = format!("{{\"Name\":\"web-{number:02}\",\"Port\":80}}");
        let chunks = chunks.replace('@', &format!("{:x}", body.len())).replace('#', &body);
        let last = if is_taken { LAST } else { "" };
        let answer = send(addr, &format!("{head}{chunks}{last}"), !is_taken).await;
        assert_eq!(answer.starts_with("HTTP/1.1 200 "), is_taken, "{chunks:.100}: {answer}");
        let is_there = services(addr).await.contains(&format!("web-{number:02}"));
        assert_eq!(is_there, is_taken, "{chunks:.100}");
    }
    agent.shutdown().await;
}

#[tokio::test]
async fn a_change_within_a_body_is_never_made() {
    let (_home, agent, addr) = started().await;
    let n = HIDDEN.len();
    let after_last_chunk = format!("0\r\n\r\n{HIDDEN}");
    for (line, fields, body) in [
        // Its body is read, and is no JSON.
        ("PUT /v1/agent/service/register", format!("Content-Length: {n}"), HIDDEN),
        // Each of these is answered before its body is read.
        ("GET /v1/status/leader", format!("Content-Length: {n}"), HIDDEN),
        ("GET /v1/none", format!("Content-Length: {n}"), HIDDEN),
        ("PUT /v1/kv/a", format!("Content-Length: {n}"), HIDDEN),
        ("GET /v1/status/leader", format!("Expect: 100-continue\r\nContent-Length: {n}"), HIDDEN),
        // The door ends the connection after such a request.
        (
            "PUT /v1/agent/service/register",
            format!("Transfer-Encoding: chunked\r\nContent-Length: {n}"),
            after_last_chunk.as_str(),
        ),
        (
            "GET /v1/status/leader",
            format!("Content-Length: {n}\r\nTransfer-Encoding: chunked"),
            after_last_chunk.as_str(),
        ),
    ] {
        let head = format!("{line} HTTP/1.1\r\nHost: localhost\r\n{fields}\r\n\r\n");
        let answers = send(addr, &format!("{head}{body}{LAST}"), false).await;
        assert!(answers.starts_with("HTTP/1.1 "), "{line} {fields}: {answers}");
        let services = services(addr).await;
        assert!(services.ends_with("\r\n\r\n{}\n"), "{line} {fields}: {services}");
    }
    // It is a change where it stands by itself.
    send(addr, &format!("{HIDDEN}{LAST}"), false).await;
    assert!(services(addr).await.contains("hidden"));
    agent.shutdown().await;
}

#[tokio::test]
async fn bodies_that_do_not_come_leave_room_for_answers() {
    let (_home, agent, addr) = started().await;
    let head = "PUT /v1/agent/service/register HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1048576\r\nExpect: 100-continue\r\n\r\n";
    let mut slow = Vec::new();
    let refused = loop {
        let mut stream = TcpStream::connect(addr).await.expect("connected");
        stream.write_all(head.as_bytes()).await.expect("sent");
        let mut begin = [0; "HTTP/1.1 100".len()];
        let begun = timeout(TEST_TIMEOUT, stream.read_exact(&mut begin));
        begun.await.expect("in time").expect("an answer");
        match &begin {
            // The door waits for the body.
            b"HTTP/1.1 100" => slow.push(stream),
            other => break String::from_utf8_lossy(other).into_owned(),
        }
    };
    assert_eq!((slow.len(), &*refused), (16, "HTTP/1.1 503"));
    assert!(services(addr).await.starts_with("HTTP/1.1 200"), "a question has room");
    drop(slow);
    agent.shutdown().await;
}
