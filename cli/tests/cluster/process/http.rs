//! Metrics over HTTP, as Prometheus and its tools read them.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::{Command, Stdio};

use crate::agent::{ANY_PORT, Agent, hobnob, socket};

/// The body at a path of the HTTP door of an agent, which names its port in the log.
fn get(agent: &Agent, path: &str) -> String {
    let ready = agent.logged("the agent is ready").remove(0);
    let (_, rest) = ready.split_once("http=").unwrap();
    let address = rest.split_whitespace().next().unwrap();
    let mut stream = TcpStream::connect(address).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {address}\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer.split_once("\r\n\r\n").unwrap().1.to_owned()
}

#[test]
fn promtool_takes_the_metrics() {
    let home = tempfile::tempdir().unwrap();
    let agent = Agent::start_with(home.path(), "a1", ANY_PORT, &["--http=127.0.0.1:0".to_owned()]);
    agent.ok(&["register", "web", "--port", "80"]);
    agent.ok(&["pick", "web"]);
    let metrics = get(&agent, "/metrics");
    assert!(metrics.contains("\nhobnob_local_instances{status=\"healthy\"} 1"), "{metrics}");
    assert_eq!(get(&agent, "/readyz"), "ready\n");
    let check = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let Ok(mut check) = check else {
        println!("skipped: promtool is not installed");
        return;
    };
    check.stdin.take().unwrap().write_all(metrics.as_bytes()).unwrap();
    let output = check.wait_with_output().unwrap();
    let told = String::from_utf8_lossy(&[&output.stdout[..], &output.stderr].concat()).into_owned();
    assert!(output.status.success() && told.is_empty(), "{told}");
}

#[test]
fn http_beyond_this_host_has_to_be_asked_for() {
    let home = tempfile::tempdir().unwrap();
    let mut command = hobnob(&["agent", "--name", "a1", "--bind", &ANY_PORT.to_string()]);
    command
        .arg("--data-dir")
        .arg(home.path().join("a1"))
        .arg("--socket")
        .arg(socket(home.path(), "a1"));
    let output = command.args(["--http", "0.0.0.0:0"]).output().unwrap();
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{told}");
    for word in ["0.0.0.0:0", "/metrics", "--insecure-http"] {
        assert!(told.contains(word), "no {word} in: {told}");
    }
}

#[test]
fn the_ready_line_says_what_was_started() {
    let home = tempfile::tempdir().unwrap();
    let args = ["--http=127.0.0.1:0".to_owned(), "--join=127.0.0.1:1".to_owned()];
    let agent = Agent::start_with(home.path(), "a1", ANY_PORT, &args);
    let ready = agent.logged("the agent is ready").remove(0);
    let data_dir = format!("data_dir={}", home.path().join("a1").display());
    for part in
        [concat!("version=\"", env!("CARGO_PKG_VERSION")), &data_dir, "join=\"127.0.0.1:1\""]
    {
        assert!(ready.contains(part), "no {part} in: {ready}");
    }
}
