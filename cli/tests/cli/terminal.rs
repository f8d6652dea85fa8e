//! `hobnob dev` on a terminal that goes away.

use std::fs::{File, OpenOptions};
use std::io::Read;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};

use crate::support::hobnob;

/// Longer than an end should take on a busy machine; only that it comes is asserted.
const END_WITHIN: Duration = Duration::from_secs(60);

/// The two sides of a pseudo terminal: the one that a terminal emulator holds, and the one for programs.
fn terminal() -> (File, File) {
    let emulator: OwnedFd =
        openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
    grantpt(&emulator).unwrap();
    unlockpt(&emulator).unwrap();
    let name = ptsname(&emulator, Vec::new()).unwrap();
    let path = Path::new(std::ffi::OsStr::from_bytes(name.as_bytes()));
    let mut options = OpenOptions::new();
    std::os::unix::fs::OpenOptionsExt::custom_flags(
        &mut options,
        OpenptFlags::NOCTTY.bits() as i32,
    );
    (emulator.into(), options.read(true).write(true).open(path).unwrap())
}

/// Runs a command on a terminal until it has drawn its picture. Then the terminal is closed.
fn close_under(mut command: Command, folder: &Path) -> Child {
    let (mut emulator, program) = terminal();
    let [stdin, stdout] = [(); 2].map(|()| program.try_clone().unwrap());
    let mut size = Command::new("stty");
    size.args(["rows", "40", "cols", "120"]).stdin(program.try_clone().unwrap());
    assert!(size.status().unwrap().success());
    command.env("TMPDIR", folder).env("TERM", "xterm");
    let child = command.stdin(stdin).stdout(stdout).stderr(program).spawn().unwrap();
    drop(command);
    let mut shown = Vec::new();
    while !String::from_utf8_lossy(&shown).contains("q quits") {
        let mut bytes = [0; 4_096];
        let read = emulator.read(&mut bytes).unwrap();
        shown.extend_from_slice(&bytes[..read]);
    }
    child
}

fn end_of(mut child: Child) -> ExitStatus {
    let pid = Pid::from_child(&child);
    let (ended, end) = mpsc::channel();
    thread::spawn(move || ended.send(child.wait().unwrap()));
    end.recv_timeout(END_WITHIN).unwrap_or_else(|_| {
        kill_process(pid, Signal::KILL).unwrap();
        panic!("it outlived its terminal");
    })
}

#[test]
fn dev_ends_with_its_terminal_when_a_signal_tells_it() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = Command::new("setsid");
    command.arg("--ctty").arg(env!("CARGO_BIN_EXE_hobnob")).args(["dev", "--agents", "1"]);
    let status = end_of(close_under(command, folder.path()));
    assert_eq!(status.code(), Some(0));
    assert!(folder.path().read_dir().unwrap().next().is_none());
}

#[test]
fn dev_ends_with_its_terminal_when_no_signal_tells_it() {
    let folder = tempfile::tempdir().unwrap();
    let status = end_of(close_under(hobnob(&["dev", "--agents", "1"]), folder.path()));
    assert_eq!(status.code(), Some(0));
    assert!(folder.path().read_dir().unwrap().next().is_none());
}
