//! Commands on a terminal: tables that fit it, colours, and the keys and the end of `hobnob dev`.

use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};

use hobnob_api::Response;

use crate::support::{ScriptedAgent, hobnob};

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

/// Everything that a command shows on a terminal of this width.
fn shown(
    agent: &ScriptedAgent,
    args: &[&str],
    columns: &str,
    variables: &[(&str, &str)],
) -> String {
    let (emulator, program) = terminal();
    let mut size = Command::new("stty");
    size.args(["rows", "40", "cols", columns]).stdin(program.try_clone().unwrap());
    assert!(size.status().unwrap().success());
    let mut command = hobnob(args);
    command.env("HOBNOB_SOCKET", agent.socket()).env("TERM", "xterm").env_remove("NO_COLOR");
    command.envs(variables.iter().copied());
    let mut child = command.stdout(program).spawn().unwrap();
    // Reading ends when nobody holds the other side of the terminal.
    drop((command, size));
    let shown = Emulator { terminal: emulator, unread: String::new() }.rest();
    assert_eq!(child.wait().unwrap().code(), Some(0));
    shown.replace("\r\n", "\n")
}

/// Runs a command on a terminal.
fn run(mut command: Command, folder: &Path) -> (Child, Emulator) {
    let (emulator, program) = terminal();
    let [stdin, stdout] = [(); 2].map(|()| program.try_clone().unwrap());
    let mut size = Command::new("stty");
    size.args(["rows", "40", "cols", "120"]).stdin(program.try_clone().unwrap());
    assert!(size.status().unwrap().success());
    command.env("TMPDIR", folder).env("TERM", "xterm");
    let child = command.stdin(stdin).stdout(stdout).stderr(program).spawn().unwrap();
    (child, Emulator { terminal: emulator, unread: String::new() })
}

/// The side of a terminal that shows what is printed, and sends keys.
struct Emulator {
    terminal: File,
    /// What was shown behind the text that was last read.
    unread: String,
}

impl Emulator {
    /// Reads until one of these texts was shown, and returns it. Fails when the command has ended.
    fn read_until<'t>(&mut self, texts: &[&'t str]) -> &'t str {
        loop {
            let found = texts.iter().filter_map(|text| Some((self.unread.find(text)?, text)));
            if let Some((at, text)) = found.min() {
                self.unread.drain(..at + text.len());
                return text;
            }
            let mut bytes = [0; 4_096];
            let read = self.terminal.read(&mut bytes).unwrap();
            self.unread += &String::from_utf8_lossy(&bytes[..read]);
        }
    }

    fn press(&mut self, key: &str) {
        self.terminal.write_all(key.as_bytes()).unwrap();
    }

    /// Presses a key until this text is shown, again whenever it is refused.
    fn press_until(&mut self, key: &str, refusal: &str, text: &str) {
        loop {
            self.press(key);
            if self.read_until(&[text, refusal]) == text {
                return;
            }
        }
    }

    /// Everything that is shown until the command has ended.
    fn rest(mut self) -> String {
        let mut shown = self.unread.into_bytes();
        // Reading a terminal without a program ends with an error.
        let _ = self.terminal.read_to_end(&mut shown);
        String::from_utf8_lossy(&shown).into_owned()
    }
}

/// Runs a command on a terminal until it has drawn its picture. Then the terminal is closed.
fn close_under(command: Command, folder: &Path) -> Child {
    let (child, mut emulator) = run(command, folder);
    emulator.read_until(&["q quits"]);
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

#[test]
fn keys_kill_an_agent_and_a_server_and_stop_a_service() {
    let folder = tempfile::tempdir().unwrap();
    // It ends by itself, so that this fails if a text never comes.
    let (child, mut emulator) = run(hobnob(&["dev", "--for", "2m"]), folder.path());
    emulator.read_until(&["ready after"]);
    let noticed = "agent a3 killed: all 2 others know after ";
    emulator.press_until("a", "no agent is killed", noticed);
    let unoffered = "server web-1 killed: no agent offers it after ";
    emulator.press_until("k", "no server is killed", unoffered);
    emulator.press("s");
    emulator.read_until(&["web-2 is stopped"]);
    emulator.press("s");
    emulator.read_until(&["server web-2 is started again"]);
    emulator.read_until(&["server web-1 is started again"]);
    emulator.press("q");
    let rest = emulator.rest();
    for text in [noticed, unoffered, "agent a3 is started again"] {
        assert!(rest.contains(text), "it keeps what it measured: {rest}");
    }
    assert_eq!(end_of(child).code(), Some(0));
    assert!(folder.path().read_dir().unwrap().next().is_none());
}

#[test]
fn a_key_cuts_and_heals_the_link_between_two_datacenters() {
    let folder = tempfile::tempdir().unwrap();
    let line = ["dev", "--datacenters", "2", "--agents", "1", "--for", "2m"];
    let (child, mut emulator) = run(hobnob(&line), folder.path());
    emulator.read_until(&["c cuts or heals the link"]);
    emulator.read_until(&["ready after"]);
    emulator.press("c");
    emulator.read_until(&["the link is cut: each side goes on alone"]);
    emulator.press("c");
    emulator.read_until(&["the link is healed: "]);
    emulator.press("q");
    assert!(emulator.rest().contains("the link is healed: "));
    assert_eq!(end_of(child).code(), Some(0));
    assert!(folder.path().read_dir().unwrap().next().is_none());
}

/// An agent with one member whose answer is too wide for a narrow terminal.
fn agent_of_one_member() -> ScriptedAgent {
    let member = serde_json::json!({
        "name": "checkout-7", "node_id": "00000000000000ab", "gossip_address": "10.20.30.40:7946", "status": "alive",
        "datacenter": "eu-central", "zone": "rack-12", "epoch": 7,
    });
    let members = serde_json::json!({ "members": { "revision": 9, "isolated": false, "members": [member, member] } });
    let answer: Response = serde_json::from_value(members).unwrap();
    ScriptedAgent::start(vec![vec![answer]])
}

#[test]
fn a_table_fits_its_terminal_and_wide_shows_all() {
    let plain = [("NO_COLOR", "1")];
    let narrow = shown(&agent_of_one_member(), &["members"], "60", &plain);
    assert!(narrow.lines().all(|line| line.chars().count() <= 70), "{narrow}");
    assert!(narrow.starts_with("MEMBER      STATUS  ADDRESS           DC\n"), "{narrow}");
    assert!(
        narrow.contains("4 columns hidden (ZONE, NODE ID, EPOCH, DOWN FOR): --wide shows them"),
        "{narrow}"
    );
    let wide = shown(&agent_of_one_member(), &["members", "--wide"], "60", &plain);
    assert!(wide.contains("00000000000000ab") && !wide.contains("hidden"), "{wide}");
    let broad = shown(&agent_of_one_member(), &["members"], "200", &plain);
    assert!(broad.contains("00000000000000ab") && !broad.contains("hidden"), "{broad}");
}

#[test]
fn colours_are_for_terminals_that_want_them() {
    let coloured = |args: &[&str], variables: &[(&str, &str)]| {
        shown(&agent_of_one_member(), args, "200", variables).contains('\u{1b}')
    };
    assert!(coloured(&["members"], &[]));
    assert!(!coloured(&["members"], &[("NO_COLOR", "1")]));
    assert!(!coloured(&["members"], &[("TERM", "dumb")]));
    assert!(!coloured(&["members", "--color", "never"], &[]));
    assert!(coloured(&["members", "--color", "always"], &[("NO_COLOR", "1")]));
    let piped = |args: &[&str]| {
        let (output, _) = agent_of_one_member().run(args);
        output.stdout.contains(&0x1b)
    };
    assert!(!piped(&["members"]));
    assert!(piped(&["members", "--color", "always"]));
}
