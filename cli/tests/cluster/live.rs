//! `hobnob top` and `hobnob doctor` against real agents.

use std::process::{Child, Command};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::agent::{Agent, eventually, hobnob};
use crate::emulator::{Emulator, RESTORED, end_of, run};

fn top(agent: &Agent) -> (Child, Emulator) {
    let mut command = hobnob(&["top", "--interval", "100ms"]);
    command.arg("--socket").arg(agent.socket());
    run(command)
}

#[test]
fn top_follows_an_agent_over_its_restart() {
    let home = tempfile::tempdir().unwrap();
    let mut agent = Agent::start(home.path(), "a1", &[]);
    agent.ok(&["register", "web", "--port", "80"]);
    let (child, mut emulator) = top(&agent);
    emulator.read_until(&["1 of 1 instances healthy"]);
    emulator.press("?");
    emulator.read_until(&["next pane, shift-tab the one before"]);
    emulator.press("x\t");
    emulator.read_until(&["Instances of web"]);
    emulator.press("/nothing");
    emulator.read_until(&["/nothing▏  0 of 1"]);
    emulator.press("\r");
    agent.kill();
    emulator.read_until(&["no answer for "]);
    let _again = Agent::start(home.path(), "a1", &[]);
    emulator.press("\t");
    emulator.read_until(&["the agent answers again"]);
    emulator.read_until(&["agent a1 restarted (pid "]);
    emulator.press("q");
    assert!(emulator.rest().contains(RESTORED));
    assert_eq!(end_of(child).code(), Some(0));
}

#[test]
fn top_ends_with_its_terminal_and_at_each_signal() {
    let home = tempfile::tempdir().unwrap();
    let agent = Agent::start(home.path(), "a1", &[]);
    let (child, mut emulator) = top(&agent);
    emulator.read_until(&[" q quit"]);
    drop(emulator);
    assert_eq!(end_of(child).code(), Some(0), "no signal tells of the end");
    let mut command = Command::new("setsid");
    command.arg("--ctty").arg(env!("CARGO_BIN_EXE_hobnob")).arg("top");
    command.arg("--socket").arg(agent.socket());
    let (child, mut emulator) = run(command);
    emulator.read_until(&[" q quit"]);
    drop(emulator);
    assert_eq!(end_of(child).code(), Some(0), "SIGHUP tells of the end");
    for signal in [Signal::TERM, Signal::HUP, Signal::INT] {
        let (child, mut emulator) = top(&agent);
        emulator.read_until(&[" q quit"]);
        kill_process(Pid::from_child(&child), signal).unwrap();
        assert!(emulator.rest().contains(RESTORED), "{signal:?}");
        assert_eq!(end_of(child).code(), Some(0), "{signal:?}");
    }
}

#[test]
fn top_without_a_terminal_says_what_else_to_type_or_prints_one_frame() {
    let home = tempfile::tempdir().unwrap();
    let agent = Agent::start(home.path(), "a1", &[]);
    let output = agent.run(&["top"]);
    assert_eq!(output.status.code(), Some(1));
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(error.starts_with("error: the live view needs a terminal\nhelp: "), "{error}");
    assert!(error.contains("hobnob top --once") && error.contains("hobnob members"), "{error}");
    let frame =
        text(&agent, &["top", "--once", "--interval", "100ms", "--columns", "60", "--rows", "14"]);
    assert!(frame.contains("1 of 1 members alive"), "{frame}");
    assert!(frame.lines().count() <= 14 && frame.lines().all(|line| line.chars().count() <= 60));
}

/// What a command that succeeds prints.
fn text(agent: &Agent, args: &[&str]) -> String {
    let output = agent.run(args);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// The finding of a check, as JSON has it.
fn finding(report: &Value, check: &str) -> Value {
    let findings = report["findings"].as_array().unwrap();
    findings.iter().find(|finding| finding["check"] == check).cloned().unwrap_or_default()
}

#[test]
fn doctor_asks_both_ways_and_names_the_member_that_is_silent() {
    let home = tempfile::tempdir().unwrap();
    let first = Agent::start(home.path(), "a1", &[]);
    let second = Agent::start(home.path(), "a2", &[&first]);
    eventually("both know both", || first.alive() == 2 && second.alive() == 2);
    let report = first.json(&["doctor"]);
    assert_eq!(report["member"], "a1");
    for check in ["members", "udp", "udp back", "quic", "quic back", "versions", "names", "files"] {
        let finding = finding(&report, check);
        assert_eq!(finding["status"], "ok", "{check}: {report}");
        assert_eq!(finding["advice"], Value::Null);
    }
    assert!(finding(&report, "clock")["found"].as_str().unwrap().starts_with("a2 is "), "{report}");
    let text = text(&first, &["doctor"]);
    assert!(text.contains("ok    udp        1 of 1 answer, the slowest after "), "{text}");
    assert!(text.trim_end().ends_with(" 0 failures"), "{text}");

    second.freeze();
    let output = first.run(&["doctor"]);
    second.thaw();
    let text = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains("fail  udp "), "{text}");
    assert!(text.contains("0 of 1 answer; silent: a2"), "{text}");
}

#[test]
fn doctor_says_without_an_agent_what_it_can() {
    let home = tempfile::tempdir().unwrap();
    let socket = home.path().join("a1.sock").display().to_string();
    let run = || {
        let output = hobnob(&["--socket", &socket, "doctor", "--json"]).output().unwrap();
        assert_eq!(output.status.code(), Some(1));
        serde_json::from_slice::<Value>(&output.stdout).unwrap()
    };
    let report = run();
    assert_eq!((&report["member"], &report["status"]), (&Value::Null, &"fail".into()));
    let found = |report: &Value| finding(report, "agent")["found"].as_str().unwrap().to_owned();
    assert_eq!(found(&report), format!("there is no socket at {socket}"));
    let mut agent = Agent::start(home.path(), "a1", &[]);
    agent.kill();
    assert!(found(&run()).starts_with(&format!("nobody listens at {socket}")));
}
