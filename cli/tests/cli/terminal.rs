//! `hobnob dev` on a terminal: its keys, and the end of the terminal.

use std::path::Path;
use std::process::{Child, Command};

use rustix::process::{Pid, Signal, kill_process};

use crate::emulator::{RESTORED, end_of, run};
use crate::support::hobnob;

fn dev(args: &[&str], folder: &Path) -> Command {
    let mut command = hobnob(&["dev"]);
    command.args(args).env("TMPDIR", folder);
    command
}

fn is_empty(folder: &Path) -> bool {
    folder.read_dir().unwrap().next().is_none()
}

/// Runs a command on a terminal until it has drawn its picture. Then the terminal is closed.
fn close_under(command: Command) -> Child {
    let (child, mut emulator) = run(command);
    emulator.read_until(&[" q quit"]);
    child
}

#[test]
fn dev_ends_with_its_terminal_when_a_signal_tells_it() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = Command::new("setsid");
    command.arg("--ctty").arg(env!("CARGO_BIN_EXE_hobnob")).args(["dev", "--agents", "1"]);
    command.env("TMPDIR", folder.path());
    assert_eq!(end_of(close_under(command)).code(), Some(0));
    assert!(is_empty(folder.path()));
}

#[test]
fn dev_ends_with_its_terminal_when_no_signal_tells_it() {
    let folder = tempfile::tempdir().unwrap();
    let status = end_of(close_under(dev(&["--agents", "1"], folder.path())));
    assert_eq!(status.code(), Some(0));
    assert!(is_empty(folder.path()));
}

#[test]
fn dev_gives_the_terminal_back_at_each_signal() {
    for signal in [Signal::TERM, Signal::HUP, Signal::INT] {
        let folder = tempfile::tempdir().unwrap();
        let (child, mut emulator) = run(dev(&["--agents", "1"], folder.path()));
        emulator.read_until(&[" q quit"]);
        kill_process(Pid::from_child(&child), signal).unwrap();
        assert!(emulator.rest().contains(RESTORED), "{signal:?}");
        assert_eq!(end_of(child).code(), Some(0), "{signal:?}");
        assert!(is_empty(folder.path()));
    }
}

#[test]
fn keys_act_on_the_agent_and_the_server_that_are_selected() {
    let folder = tempfile::tempdir().unwrap();
    // It ends by itself, so that this fails if a text never comes.
    let (child, mut emulator) = run(dev(&["--for", "2m"], folder.path()));
    emulator.read_until(&["ready after"]);
    // The last agent is selected. Three keys down is the third server, whose service has others.
    emulator.press("k");
    // The watch of an agent may not have told anything yet, and such an agent is no witness.
    let noticed = [
        "agent a3 killed: all 2 others know after ",
        "agent a3 killed: the other one knows after ",
    ];
    let noticed = emulator.read_until(&noticed).to_owned();
    let avoided = ["picks avoid web-3 after ", "no pick went to web-3 "];
    let avoided = emulator.read_until(&avoided).to_owned();
    emulator.read_until(&["agent a3 is started again"]);
    emulator.press("\u{1b}[B\u{1b}[B");
    emulator.read_until(&["▌web-2"]);
    emulator.press("k");
    let unoffered = "server web-2 killed: no agent offers it after ";
    emulator.read_until(&[unoffered]);
    emulator.read_until(&["server web-2 is started again"]);
    emulator.press("s");
    emulator.read_until(&["web-2 is stopped"]);
    emulator.press("\t");
    emulator.read_until(&["▌a3"]);
    emulator.press("p");
    emulator.read_until(&["agent a3 stands still"]);
    emulator.press("p");
    emulator.read_until(&["agent a3 goes on"]);
    emulator.press("r");
    emulator.read_until(&["agent a3 is stopped, and starts again at once"]);
    emulator.press("q");
    let rest = emulator.rest();
    let kept = rest.rsplit(RESTORED).next().unwrap();
    for text in [&*noticed, &avoided, unoffered, "agent a3 is started again"] {
        assert!(kept.contains(text), "it keeps what it measured: {kept}");
    }
    assert_eq!(end_of(child).code(), Some(0));
    assert!(is_empty(folder.path()));
}

#[test]
fn a_key_cuts_and_heals_the_link_between_two_datacenters() {
    let folder = tempfile::tempdir().unwrap();
    let args = ["--datacenters", "2", "--agents", "1", "--for", "2m"];
    let (child, mut emulator) = run(dev(&args, folder.path()));
    emulator.read_until(&["c cut or heal link"]);
    emulator.read_until(&["ready after"]);
    emulator.press("c");
    emulator.read_until(&["the link is cut: each side goes on alone"]);
    emulator.press("c");
    emulator.read_until(&["the link is healed: "]);
    emulator.press("q");
    assert!(emulator.rest().contains("the link is healed: "));
    assert_eq!(end_of(child).code(), Some(0));
    assert!(is_empty(folder.path()));
}
