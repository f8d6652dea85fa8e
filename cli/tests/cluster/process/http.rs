//! Metrics over HTTP, as Prometheus and its tools read them.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::agent::{ANY_PORT, Agent, eventually, hobnob, socket};

/// The body at a path of the HTTP door of an agent, which names its port in the log.
fn get(agent: &Agent, path: &str) -> String {
    let ready = agent.logged("the agent is ready").remove(0);
    let (_, rest) = ready.split_once("http=").unwrap();
    let address = rest.split_whitespace().next().unwrap();
    let mut stream = TcpStream::connect(address).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer.split_once("\r\n\r\n").unwrap().1.to_owned()
}

/// What `promtool check` says of an input, and whether it takes it; `None` where it is not installed.
fn promtool(args: &[&str], input: &str) -> Option<(bool, String)> {
    let check = Command::new("promtool")
        .arg("check")
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let Ok(mut check) = check else {
        println!("skipped: promtool is not installed");
        return None;
    };
    // One that looks at no input may have ended.
    let _ = check.stdin.take().unwrap().write_all(input.as_bytes());
    let output = check.wait_with_output().unwrap();
    let told = [&output.stdout[..], &output.stderr].concat();
    Some((output.status.success(), String::from_utf8_lossy(&told).into_owned()))
}

/// The number of samples that a metric of these metrics counted.
fn count(metrics: &str, name: &str) -> u64 {
    let line = metrics.lines().find_map(|line| line.strip_prefix(&format!("{name} ")));
    line.unwrap_or_else(|| panic!("no {name} in {metrics}")).parse().unwrap()
}

#[test]
fn promtool_takes_the_metrics_of_an_agent_among_others() {
    let home = tempfile::tempdir().unwrap();
    let agent = Agent::start_with(home.path(), "a1", ANY_PORT, &["--http=127.0.0.1:0".to_owned()]);
    let other = Agent::start(home.path(), "a2", &[&agent]);
    eventually("both are there", || agent.alive() == 2 && other.alive() == 2);
    agent.ok(&["register", "web", "--port", "80"]);
    agent.ok(&["pick", "web"]);
    let before = count(&get(&agent, "/metrics"), "hobnob_convergence_seconds_count");
    other.ok(&["register", "db", "--port", "5432", "--ack", "all"]);
    // The values of a second are those of its first scrape.
    eventually("the change has an age", || {
        count(&get(&agent, "/metrics"), "hobnob_convergence_seconds_count") > before
    });
    let metrics = get(&agent, "/metrics");
    assert!(metrics.contains("\nhobnob_local_instances{status=\"healthy\"} 1"), "{metrics}");
    assert_eq!(get(&agent, "/readyz"), "ready\n");
    let Some((takes, told)) = promtool(&["metrics"], &metrics) else { return };
    assert!(takes && told.is_empty(), "{told}");
    let (takes, told) = promtool(&["metrics"], "# TYPE a_total gauge\na_total x\n").unwrap();
    assert!(!takes, "it takes anything: {told}");
}

#[test]
fn promtool_takes_the_rules() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/prometheus");
    let path = folder.join("alerts.yml");
    let Some((takes, told)) = promtool(&["rules", path.to_str().unwrap()], "") else { return };
    let rules = fs::read_to_string(path).unwrap().matches("- alert: ").count();
    assert!(takes && told.contains(&format!("{rules} rules found")), "{told}");
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
    for word in ["0.0.0.0:0", "/metrics", "--http-cert", "--insecure-http"] {
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
