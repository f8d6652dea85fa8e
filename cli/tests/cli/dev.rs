//! `hobnob dev` without a terminal: it becomes ready, ends as it should, and leaves nothing behind.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

use crate::support::{hobnob, stderr, stdout};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

fn dev(args: &[&str], folder: &TempDir) -> Command {
    let mut command = hobnob(&["dev"]);
    command.args(args).env("TMPDIR", folder.path());
    command
}

fn is_empty(folder: &Path) -> bool {
    folder.read_dir().unwrap().next().is_none()
}

#[test]
fn everything_is_healthy_everywhere_before_it_ends() {
    let folder = tempfile::tempdir().unwrap();
    let output = dev(&["--for", "10s"], &folder).output().unwrap();
    let text = stdout(&output);
    assert_eq!(output.status.code(), Some(0), "{text}{}", stderr(&output));
    let ready = text.lines().find(|line| line.starts_with("ready after ")).unwrap();
    assert!(ready.ends_with(" s: 3 agents alive, 6 instances healthy on every agent"), "{ready}");
    assert!(text.contains("/a1.sock resolve web\n"), "{text}");
    let end = stderr(&output);
    assert!(end.starts_with("stopped 3 agents and 6 service instances after "), "{end}");
    assert!(is_empty(folder.path()));
}

#[test]
fn missing_parts_are_named_at_the_end() {
    let folder = tempfile::tempdir().unwrap();
    let output = dev(&["--for", "1ms"], &folder).output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", stdout(&output));
    let error = stderr(&output);
    assert!(error.starts_with("stopped "), "{error}");
    assert!(error.contains("\nerror: not everything is healthy after 1ms: a1 "), "{error}");
    assert!(is_empty(folder.path()));
}

#[test]
fn the_printed_commands_work_until_a_signal_ends_it() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = dev(&["--agents", "2"], &folder);
    let mut running = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(running.stdout.take().unwrap()).lines();
    let mut seen = vec![];
    for line in lines.by_ref().map(Result::unwrap) {
        let ready = line.starts_with("ready after ");
        seen.push(line);
        if ready {
            break;
        }
    }
    let members = seen.iter().find(|line| line.ends_with("/a1.sock members")).expect("a command");
    let output = Command::new("sh").args(["-c", members]).output().unwrap();
    assert_eq!(stdout(&output).matches(" alive ").count(), 2, "{}", stderr(&output));

    kill_process(Pid::from_child(&running), Signal::TERM).unwrap();
    let rest: Vec<_> = lines.map(Result::unwrap).collect();
    assert_eq!(running.wait().unwrap().code(), Some(0), "{rest:?}");
    assert!(is_empty(folder.path()));
}
