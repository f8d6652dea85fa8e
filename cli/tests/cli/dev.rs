//! `hobnob dev` without a terminal: it becomes ready, ends as it should, and leaves nothing behind.

use std::fs;
use std::io::{BufRead, BufReader, Lines};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};

use crate::support::{hobnob, stderr, stdout};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, kill_process, pidfd_open, pidfd_send_signal};
use tempfile::TempDir;

/// Longer than an end should take on a busy machine; only that it comes is asserted.
const END_WITHIN: Timespec = Timespec { tv_sec: 60, tv_nsec: 0 };

fn dev(args: &[&str], folder: &TempDir) -> Command {
    let mut command = hobnob(&["dev"]);
    command.args(args).env("TMPDIR", folder.path());
    command
}

/// `hobnob dev`, and the lines that it prints.
struct Running {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
    seen: Vec<String>,
}

impl Running {
    fn start(args: &[&str], folder: &TempDir) -> Self {
        let mut command = dev(args, folder);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { child, lines, seen: vec![] }
    }

    /// Reads up to a line with this text.
    fn read_until(&mut self, text: &str) -> String {
        for line in self.lines.by_ref().map(Result::unwrap) {
            self.seen.push(line.clone());
            if line.contains(text) {
                return line;
            }
        }
        panic!("it ended without `{text}`: {:#?}", self.seen);
    }

    /// The command that it printed for the first agent.
    fn members(&self) -> &str {
        self.seen.iter().find(|line| line.ends_with("/a1.sock members")).expect("a command")
    }

    /// Runs a command in a shell.
    fn shell(&self, command: &str) -> String {
        let output = Command::new("sh").args(["-c", command]).output().unwrap();
        assert!(output.status.success(), "{command}: {}", stderr(&output));
        stdout(&output)
    }

    /// The processes that it has started.
    fn children(&self) -> Vec<Pid> {
        let numbers = fs::read_dir("/proc").unwrap().map_while(Result::ok);
        let pids = numbers.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        let is_child = |pid: &i32| {
            // A process that ended meanwhile is no child.
            let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
            let fields = stat.rsplit(')').next().unwrap_or_default();
            fields.split_whitespace().nth(1) == Some(&self.child.id().to_string())
        };
        pids.filter(is_child).filter_map(Pid::from_raw).collect()
    }

    fn end(mut self) {
        kill_process(Pid::from_child(&self.child), Signal::TERM).unwrap();
        let rest: Vec<_> = self.lines.map(Result::unwrap).collect();
        assert_eq!(self.child.wait().unwrap().code(), Some(0), "{rest:?}");
    }
}

/// Waits until a process has ended, whoever its parent is. Kills it if it does not.
fn has_ended(process: &OwnedFd) -> bool {
    let mut ended = [PollFd::new(process, PollFlags::IN)];
    let has_ended = poll(&mut ended, Some(&END_WITHIN)).unwrap() == 1;
    if !has_ended {
        pidfd_send_signal(process, Signal::KILL).unwrap();
    }
    has_ended
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
    assert!(end.starts_with("stopped 3 agents and 6 servers after "), "{end}");
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
    let mut running = Running::start(&["--agents", "2"], &folder);
    running.read_until("ready after ");
    assert_eq!(running.shell(running.members()).matches(" alive ").count(), 2);
    running.end();
    assert!(is_empty(folder.path()));
}

#[test]
fn a_sealed_cluster_does_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let mut running = Running::start(&["--sealed", "--agents", "2"], &folder);
    running.read_until("ready after ");
    let members = running.members().to_owned();
    assert_eq!(running.shell(&members).matches(" alive ").count(), 2);
    let info = running.shell(&members.replace(" members", " info"));
    let is_sealed = |line: &str| line.split_whitespace().eq(["sealed", "yes"]);
    assert!(info.lines().any(is_sealed), "{info}");
    running.end();
    assert!(is_empty(folder.path()));
}

#[test]
fn its_processes_end_with_it_even_when_it_is_killed() {
    let folder = tempfile::tempdir().unwrap();
    let mut running = Running::start(&["--agents", "2"], &folder);
    running.read_until("ready after ");
    let children = running.children();
    assert_eq!(children.len(), 2 + 6);
    let children: Vec<OwnedFd> =
        children.iter().map(|pid| pidfd_open(*pid, PidfdFlags::empty()).unwrap()).collect();
    // One that stands still ends, too.
    pidfd_send_signal(&children[0], Signal::STOP).unwrap();
    running.child.kill().unwrap();
    running.child.wait().unwrap();
    assert_eq!(children.iter().filter(|child| !has_ended(child)).count(), 0, "they outlived it");
}

#[test]
fn an_agent_that_is_killed_from_elsewhere_is_noticed_and_comes_back() {
    let folder = tempfile::tempdir().unwrap();
    let mut running = Running::start(&["--for", "2m"], &folder);
    running.read_until("ready after ");
    let info = running.members().replace("a1.sock members", "a3.sock info --json");
    let info: serde_json::Value = serde_json::from_str(&running.shell(&info)).unwrap();
    let pid = Pid::from_raw(info["pid"].as_i64().unwrap().try_into().unwrap()).unwrap();
    kill_process(pid, Signal::KILL).unwrap();
    let ended = running.read_until("agent a3 ended: ");
    assert!(ended.ends_with("signal: 9 (SIGKILL); it is started again in 5 s"), "{ended}");
    let noticed = running.read_until("agent a3 ended: all 2 others know after ");
    assert!(noticed.contains(" ms (first "), "{noticed}");
    running.read_until("agent a3 is started again");
    running.read_until("3 agents alive, 6 instances healthy on every agent");
    running.end();
    assert!(is_empty(folder.path()));
}
