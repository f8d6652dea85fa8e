//! An agent that may open few files: its own shortage is no news about a service.

use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::agent::{ANY_PORT, Agent, eventually, socket};
use crate::web::Web;

/// Starts an agent under a limit, as `ulimit` sets it.
fn start_under(limit: &str, home: &Path) -> Agent {
    let script = format!("ulimit {limit} && exec \"$@\"");
    let mut command = Command::new("sh");
    command.args(["-c", &script, "sh", env!("CARGO_BIN_EXE_hobnob"), "agent", "--name", "a1"]);
    command.arg("--bind").arg(ANY_PORT.to_string()).arg("--data-dir").arg(home.join("a1"));
    command.arg("--socket").arg(socket(home, "a1")).stderr(Stdio::null());
    let agent = Agent::adopt(home, "a1", command.spawn().unwrap());
    eventually("it answers", || agent.run(&["info"]).status.success());
    agent
}

fn register(agent: &Agent, web: &Web) {
    let url = web.url();
    let check = ["--check-http", &url, "--interval", "50ms", "--timeout", "500ms"];
    agent.ok(&[&["register", "web", "--port", &web.port()][..], &check].concat());
    eventually("it is healthy", || agent.healthy("web") == ["web"]);
}

#[test]
fn clients_that_take_all_connections_make_no_service_unhealthy() {
    let home = tempfile::tempdir().unwrap();
    let agent = start_under("-n 128", home.path());
    let web = Web::start(ANY_PORT);
    register(&agent, &web);
    let mut clients: Vec<_> = (0..140).map(|_| UnixStream::connect(agent.socket())).collect();
    // Enough probes, if they failed, to change the verdict.
    let seen = web.requests();
    eventually("it is probed on", || web.requests() > seen + 10);
    clients.clear();
    eventually("it answers again", || agent.run(&["info"]).status.success());
    let why = agent.json(&["explain", "web"])["instances"][0]["checks"][0].clone();
    assert_eq!(why["output"], "HTTP 200 OK", "the verdict never changed: {why}");
    assert_eq!(agent.healthy("web"), ["web"]);
    let _port = web.stop();
    eventually("a service that stops is noticed", || agent.healthy("web").is_empty());
}

#[test]
fn the_soft_limit_is_raised_at_the_start() {
    let home = tempfile::tempdir().unwrap();
    let agent = start_under("-Sn 64", home.path());
    let pid = agent.json(&["info"])["pid"].to_string();
    let limits = std::fs::read_to_string(format!("/proc/{pid}/limits")).unwrap();
    let files = limits.lines().find(|line| line.starts_with("Max open files")).unwrap();
    let numbers: Vec<_> = files.split_whitespace().skip(3).take(2).collect();
    assert_eq!(numbers[0], numbers[1], "{files}");
}
