//! Logs that cannot be written, or that nobody reads: they are lost and counted, and nothing else suffers.

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, ChildStderr, Stdio};

use serde_json::{Value, json};

use crate::agent::{ANY_PORT, Agent, eventually, hobnob, socket};
use crate::web::Web;

/// Starts an agent whose log goes there, without waiting for it.
fn start(home: &Path, log: impl Into<Stdio>) -> Child {
    let mut command = hobnob(&["agent", "--name", "a1", "--bind", &ANY_PORT.to_string()]);
    command.arg("--data-dir").arg(home.join("a1")).arg("--socket").arg(socket(home, "a1"));
    command.stdout(Stdio::null()).stderr(log).spawn().unwrap()
}

/// Starts an agent whose log goes to a pipe, and reads the pipe until the agent is ready.
pub(super) fn start_piped(home: &Path) -> (Agent, BufReader<ChildStderr>) {
    let mut child = start(home, Stdio::piped());
    let mut log = BufReader::with_capacity(64, child.stderr.take().unwrap());
    let mut line = String::new();
    while !line.contains("the agent is ready") {
        line.clear();
        assert_ne!(log.read_line(&mut line).unwrap(), 0, "the agent did not start");
    }
    (Agent::adopt(home, "a1", child), log)
}

/// Registrations and verdicts both log a line, and both must go on.
fn works_and_ends_well(mut agent: Agent) {
    let web = Web::start(ANY_PORT);
    let url = web.url();
    for id in ["web-1", "web-2"] {
        let check = ["--check-http", &url, "--interval", "50ms", "--timeout", "50ms"];
        let register = ["register", "web", "--id", id, "--port", &web.port()];
        agent.ok(&[&register[..], &check].concat());
    }
    eventually("both are healthy", || agent.healthy("web") == ["web-1", "web-2"]);
    let _port = web.stop();
    eventually("none is healthy", || agent.healthy("web").is_empty());
    agent.ok(&["deregister", "web-1"]);
    agent.terminate();
}

#[test]
fn a_log_whose_reader_is_gone_kills_nothing() {
    let home = tempfile::tempdir().unwrap();
    let (agent, log) = start_piped(home.path());
    drop(log);
    works_and_ends_well(agent);
}

#[test]
fn a_log_on_a_full_disk_kills_nothing_and_its_lines_are_counted() {
    let home = tempfile::tempdir().unwrap();
    let full = File::options().write(true).open("/dev/full").unwrap();
    let child = start(home.path(), full);
    let agent = Agent::adopt(home.path(), "a1", child);
    eventually("it answers", || agent.run(&["info"]).status.success());
    assert!(agent.counter("log_lines_lost") > 0);
    works_and_ends_well(agent);
}

#[test]
fn a_log_that_nobody_reads_blocks_nothing_and_its_lines_are_counted() {
    let home = tempfile::tempdir().unwrap();
    let (agent, log) = start_piped(home.path());
    rustix::pipe::fcntl_setpipe_size(log.get_ref(), 4_096).unwrap();
    let mut calls = UnixStream::connect(agent.socket()).unwrap();
    let mut answers = BufReader::new(calls.try_clone().unwrap()).lines();
    for port in 1..=1_500 {
        let register = json!({ "register": { "service": "many", "port": port } });
        let call = json!({ "id": port, "request": register });
        calls.write_all(format!("{call}\n").as_bytes()).unwrap();
        let answer: Value = serde_json::from_str(&answers.next().unwrap().unwrap()).unwrap();
        assert!(answer["response"]["registered"].is_object(), "{answer}");
    }
    assert!(agent.counter("log_lines_lost") > 0);
    works_and_ends_well(agent);
    drop(log);
}

#[test]
fn a_start_that_fails_ends_although_nobody_reads_the_log() {
    let home = tempfile::tempdir().unwrap();
    std::fs::write(socket(home.path(), "a1"), "a file").unwrap();
    let (log, mut full) = std::io::pipe().unwrap();
    rustix::pipe::fcntl_setpipe_size(&full, 4_096).unwrap();
    full.write_all(&[b'x'; 4_096]).unwrap();
    let mut child = start(home.path(), full);
    assert_eq!(child.wait().unwrap().code(), Some(1));
    drop(log);
}
