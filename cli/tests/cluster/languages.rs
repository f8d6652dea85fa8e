//! The programs of `docs/CLIENTS.md`, run as they stand there. A language that this host does not have is skipped.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use crate::agent::{ANY_PORT, Agent};

const CLIENTS: &str = include_str!("../../../docs/CLIENTS.md");

/// Writes the program whose first lines name this file, and returns its path.
fn program(home: &Path, file: &str) -> PathBuf {
    let blocks = CLIENTS.split("\n```").skip(1).step_by(2);
    let mut bodies = blocks.filter_map(|block| block.split_once('\n').map(|(_, body)| body));
    let named = |body: &&str| body.lines().take(2).any(|line| line.contains(&format!("{file} ")));
    let body = bodies.find(named).unwrap_or_else(|| panic!("{file} is not in docs/CLIENTS.md"));
    let path = home.join(file);
    std::fs::write(&path, body).unwrap();
    path
}

fn is_there(tool: &str, argument: &str) -> bool {
    let silent = |command: &mut Command| {
        command.arg(argument).stdout(Stdio::null()).stderr(Stdio::null()).status()
    };
    let found = silent(&mut Command::new(tool)).is_ok_and(|status| status.success());
    if !found {
        println!("skipped: this host has no {tool}");
    }
    found
}

/// A program that runs until it is dropped.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

/// A program follows a service while its agent is killed and started again, and never forgets what it knew.
fn follows_over_a_restart(home: &Path, mut command: Command) {
    let mut agent = Agent::start_with(home, "a1", ANY_PORT, &[]);
    let register = |agent: &Agent, id: &str, address: &str| {
        agent.ok(&["register", "web", "--id", id, "--address", address, "--port", "80"]);
    };
    register(&agent, "web-1", "10.0.0.1");
    command.arg("web").env("HOBNOB_SOCKET", agent.socket()).stdout(Stdio::piped());
    let mut running = Running(command.spawn().unwrap());
    let mut lines = BufReader::new(running.0.stdout.take().unwrap()).lines();
    let mut until = |wanted: &str| {
        let mut seen = Vec::new();
        for line in lines.by_ref() {
            seen.push(line.unwrap());
            if seen.last().is_some_and(|line| line == wanted) {
                return;
            }
        }
        panic!("it ended before it said `{wanted}`: {seen:?}");
    };
    until("now 10.0.0.1:80");
    agent.kill();
    until("last known 10.0.0.1:80");
    let agent = agent.restart();
    register(&agent, "web-2", "10.0.0.2");
    until("now 10.0.0.1:80 10.0.0.2:80");
}

#[test]
fn a_python_program_follows_a_service() {
    if is_there("python3", "--version") {
        let home = tempfile::tempdir().unwrap();
        let mut command = Command::new("python3");
        command.arg(program(home.path(), "follow.py"));
        follows_over_a_restart(home.path(), command);
    }
}

#[test]
fn a_node_program_follows_a_service() {
    if is_there("node", "--version") {
        let home = tempfile::tempdir().unwrap();
        let mut command = Command::new("node");
        command.arg(program(home.path(), "follow.mjs"));
        follows_over_a_restart(home.path(), command);
    }
}

#[test]
fn a_go_program_follows_a_service() {
    if is_there("go", "version") {
        let home = tempfile::tempdir().unwrap();
        let (source, built) = (program(home.path(), "follow.go"), home.path().join("follow"));
        let build = Command::new("go").args(["build", "-o"]).arg(&built).arg(source).output();
        let build = build.unwrap();
        assert!(build.status.success(), "{}", String::from_utf8_lossy(&build.stderr));
        follows_over_a_restart(home.path(), Command::new(built));
    }
}

#[test]
fn a_python_program_picks_and_reports() {
    if is_there("python3", "--version") {
        let home = tempfile::tempdir().unwrap();
        let agent = Agent::start_with(home.path(), "a1", ANY_PORT, &[]);
        agent.ok(&["register", "web", "--address", "10.0.0.1", "--port", "80"]);
        let pick = program(home.path(), "pick.py");
        let run = |service: &str| {
            let mut command = Command::new("python3");
            command.arg(&pick).arg(service).env("HOBNOB_SOCKET", agent.socket());
            command.output().unwrap()
        };
        let picked = run("web");
        assert_eq!(String::from_utf8_lossy(&picked.stdout), "10.0.0.1:80\n");
        assert!(picked.status.success(), "{}", String::from_utf8_lossy(&picked.stderr));
        assert_eq!(run("nothing").status.code(), Some(1));
    }
}

#[test]
fn a_shell_script_keeps_the_last_address() {
    let home = tempfile::tempdir().unwrap();
    let mut agent = Agent::start_with(home.path(), "a1", ANY_PORT, &[]);
    agent.ok(&["register", "web", "--address", "10.0.0.1", "--port", "80"]);
    let (script, last) = (program(home.path(), "address.sh"), home.path().join("last"));
    let folder = Path::new(env!("CARGO_BIN_EXE_hobnob")).parent().unwrap();
    let path = format!("{}:{}", folder.display(), std::env::var("PATH").unwrap());
    let socket = agent.socket();
    let run = |service: &str| {
        let mut command = Command::new("sh");
        command.arg(&script).arg(service).arg(&last).env("PATH", &path);
        let output = command.env("HOBNOB_SOCKET", &socket).output().unwrap();
        (output.status.code(), String::from_utf8(output.stdout).unwrap())
    };
    assert_eq!(run("web"), (Some(0), "10.0.0.1:80\n".to_owned()));
    assert_eq!(run("nothing"), (Some(3), String::new()));
    agent.kill();
    assert_eq!(run("web"), (Some(0), "10.0.0.1:80\n".to_owned()));
}
