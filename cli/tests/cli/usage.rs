//! Errors and exit codes of commands that cannot work.

use std::process::Output;

use crate::support::{ScriptedAgent, hobnob, stderr, stdout};

fn run(args: &[&str], variables: &[(&str, &str)]) -> Output {
    hobnob(args).envs(variables.iter().copied()).output().expect("the binary can be run")
}

#[test]
fn a_socket_without_an_agent_is_named_with_what_to_type() {
    let output = run(&["--socket", "/nowhere/a.sock", "members"], &[]);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(
        stderr(&output),
        "error: no agent answers at /nowhere/a.sock\n\
         help: start an agent with `hobnob agent`, or name the socket of a running one with --socket or \
         HOBNOB_SOCKET\n"
    );
}

#[test]
fn an_agent_that_closes_the_connection_is_named() {
    let agent = ScriptedAgent::start(vec![]);
    let socket = agent.socket().display().to_string();
    let (output, _) = agent.run(&["info"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains(&socket), "{}", stderr(&output));
}

#[test]
fn wrong_usage_exits_with_2_and_names_the_input() {
    for (args, named) in [
        (&["register", "web", "--port", "1", "--meta", "version"][..], "'version' for '--meta"),
        (&["register", "web", "--port", "1", "--meta", "version"], "key=value"),
        (&["register", "web", "--port", "http"], "--port"),
        (&["pick", "web", "--strategy", "fastest"], "round-robin"),
        (&["resolve"], "<SERVICE>"),
        (&["join", "10.0.0.7:port"], "gossip address"),
        (&["dev", "--agents", "17"], "1..=16"),
        (&["dev", "--for", "soon"], "500ms"),
        (&["dance"], "dance"),
        (&[], "Usage"),
    ] {
        let output = run(args, &[]);
        assert_eq!(output.status.code(), Some(2), "{args:?}");
        assert!(stderr(&output).contains(named), "{args:?}: {}", stderr(&output));
    }
}

#[test]
fn an_empty_variable_counts_as_unset() {
    let empty = ["HOBNOB_BIND", "HOBNOB_ADVERTISE", "HOBNOB_JOIN", "HOBNOB_LOG", "HOBNOB_INSECURE"];
    let mut variables: Vec<_> = empty.iter().map(|name| (*name, "")).collect();
    variables.push(("HOBNOB_LOG_FORMAT", "xml"));
    let error = stderr(&run(&["agent"], &variables));
    assert!(error.contains("HOBNOB_LOG_FORMAT"), "the first thing that is wrong: {error}");
}

#[test]
fn a_wrong_variable_is_named() {
    for (name, value) in [
        ("HOBNOB_BIND", "10.0.0.256"),
        ("HOBNOB_SYNC_BIND", "7947"),
        ("HOBNOB_ADVERTISE", "me:"),
        ("HOBNOB_ADVERTISE_SYNC_PORT", "0"),
        ("HOBNOB_JOIN", "10.0.0.7:7946,10.0.0.8:"),
        ("HOBNOB_LOG_FORMAT", "xml"),
        ("HOBNOB_LOG", "hobnob=loud"),
        ("HOBNOB_LOG", "loud"),
        ("HOBNOB_KEEP_ON_EXIT", "perhaps"),
        ("HOBNOB_INSECURE", "perhaps"),
    ] {
        let output = run(&["agent"], &[(name, value)]);
        assert_eq!(output.status.code(), Some(2), "{name}: {}", stderr(&output));
        assert!(stderr(&output).contains(name), "{name}: {}", stderr(&output));
    }
    let output = run(&["agent", "--bind", "nowhere:"], &[("HOBNOB_BIND", "127.0.0.1:7946")]);
    assert!(!stderr(&output).contains("HOBNOB_BIND"), "{}", stderr(&output));
}

#[test]
fn the_usage_asks_for_no_flag_that_a_variable_sets() {
    let usage = |args: &[&str], variables: &[(&str, &str)]| {
        let error = stderr(&run(args, variables));
        let line = error.lines().find(|line| line.starts_with("Usage: "));
        line.unwrap_or_else(|| panic!("no usage in: {error}")).to_owned()
    };
    let variables = [("HOBNOB_SOCKET", "/tmp/a.sock"), ("HOBNOB_ANSWER_TIMEOUT", "1s")];
    for args in [&["register"][..], &["resolve"], &["resolve", "web", "--socket", "/b", "--port"]] {
        assert_eq!(usage(args, &variables), usage(args, &[]), "{args:?}");
    }
    assert_eq!(usage(&["register"], &variables), "Usage: hobnob register --port <PORT> <SERVICE>");
}

#[test]
fn every_command_has_help() {
    for command in [
        "agent",
        "config",
        "dev",
        "reload",
        "validate",
        "register",
        "deregister",
        "resolve",
        "pick",
        "call",
        "proxy",
        "watch",
        "services",
        "members",
        "join",
        "leave",
        "info",
        "init",
        "token",
    ] {
        let output = run(&[command, "--help"], &[]);
        assert_eq!(output.status.code(), Some(0));
        assert!(stdout(&output).contains("Examples:"), "{command}");
    }
}
