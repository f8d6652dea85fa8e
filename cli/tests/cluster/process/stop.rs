//! How an agent is stopped, and what it leaves behind.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use rustix::process::Signal;

use super::logs::start_piped;
use crate::agent::{ANY_PORT, Agent, eventually, hobnob, socket};

#[test]
fn a_hangup_ends_nothing_and_a_signal_after_a_leave_cuts_nothing_short() {
    let home = tempfile::tempdir().unwrap();
    let (mut agent, mut log) = start_piped(home.path());
    let other = Agent::start(home.path(), "a2", &[&agent]);
    eventually("two are alive", || agent.alive() == 2 && other.alive() == 2);
    agent.signal(Signal::HUP);
    let mut line = String::new();
    while !hangups_are_ignored_here() && !line.contains("read the configuration") {
        line.clear();
        assert_ne!(log.read_line(&mut line).unwrap(), 0, "it ended");
    }
    agent.ok(&["leave"]);
    agent.signal(Signal::TERM);
    let log = std::thread::spawn(move || log.lines().map_while(Result::ok).count());
    agent.expect_end();
    log.join().unwrap();
    eventually("it left", || other.status_of("a1").as_deref() == Some("left"));
}

/// Whether this process was started with SIGHUP ignored, as by `nohup`. Its agents respect that, and do not log hangups.
pub(crate) fn hangups_are_ignored_here() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let ignored = ignored.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    ignored.is_some_and(|mask| mask & 1 == 1)
}

#[test]
fn nohup_is_respected_and_nothing_is_said_of_the_hangup() {
    let home = tempfile::tempdir().unwrap();
    let mut command = Command::new("nohup");
    command.arg(env!("CARGO_BIN_EXE_hobnob")).args(["agent", "--name", "a1", "--bind"]);
    command.arg(ANY_PORT.to_string()).arg("--data-dir").arg(home.path().join("a1"));
    command.arg("--socket").arg(socket(home.path(), "a1")).stderr(Stdio::piped());
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::null()).spawn().unwrap();
    let mut log = BufReader::new(child.stderr.take().unwrap()).lines().map(Result::unwrap);
    assert!(log.any(|line| line.contains("the agent is ready")));
    let mut agent = Agent::adopt(home.path(), "a1", child);
    agent.signal(Signal::HUP);
    assert_eq!(agent.alive(), 1, "it goes on");
    agent.signal(Signal::TERM);
    assert!(log.all(|line| !line.contains("SIGHUP")));
    agent.expect_end();
}

#[test]
fn an_agent_that_ends_leaves_the_socket_of_its_successor_and_makes_its_own_again() {
    let home = tempfile::tempdir().unwrap();
    let mut a1 = Agent::start(home.path(), "a1", &[]);
    let a2 = Agent::start(home.path(), "a2", &[]);
    std::fs::rename(a2.socket(), a1.socket()).unwrap();
    eventually("a2 listens where it should again", || a2.run(&["members"]).status.success());
    a1.signal(Signal::TERM);
    a1.expect_status(0);
    assert!(a1.socket().exists(), "it is the successor's");
    std::fs::remove_file(a2.socket()).unwrap();
    eventually("a removed socket is made again", || a2.run(&["members"]).status.success());
}

#[test]
fn the_end_of_stdin_stops_an_agent_that_was_told_so() {
    let home = tempfile::tempdir().unwrap();
    let other = Agent::start(home.path(), "a1", &[]);
    let mut command = hobnob(&["agent", "--name", "a2", "--stop-with-stdin", "--bind"]);
    command.arg(ANY_PORT.to_string()).arg(format!("--join={}", other.bind()));
    command.arg("--data-dir").arg(home.path().join("a2"));
    command.arg("--socket").arg(socket(home.path(), "a2")).stderr(Stdio::null());
    let mut child = command.stdin(Stdio::piped()).spawn().unwrap();
    let stdin = child.stdin.take().unwrap();
    let mut agent = Agent::adopt(home.path(), "a2", child);
    eventually("two are alive", || other.alive() == 2);
    assert!(agent.is_running());
    drop(stdin);
    agent.expect_end();
    eventually("it left", || other.status_of("a2").as_deref() == Some("left"));
}
