//! Commands on a terminal: tables that fit it, colours, and the keys and the end of `hobnob dev`.

use std::path::Path;
use std::process::{Child, Command};

use rustix::process::{Pid, Signal, kill_process};

use hobnob_api::Response;

use crate::emulator::{RESTORED, end_of, run, run_within};
use crate::support::{ScriptedAgent, hobnob, stderr};

fn dev(args: &[&str], folder: &Path) -> Command {
    let mut command = hobnob(&["dev"]);
    command.args(args).env("TMPDIR", folder);
    command
}

/// Everything that a command shows on a terminal of this width.
fn shown(
    agent: &ScriptedAgent,
    args: &[&str],
    columns: usize,
    variables: &[(&str, &str)],
) -> String {
    let mut command = hobnob(args);
    command.env("HOBNOB_SOCKET", agent.socket()).env_remove("NO_COLOR");
    command.envs(variables.iter().copied());
    let (child, emulator) = run_within(command, columns);
    let shown = emulator.rest();
    assert_eq!(end_of(child).code(), Some(0));
    shown.replace("\r\n", "\n")
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
        // Under `nohup` the tests ignore SIGHUP, and what they run inherits that.
        let mut command = Command::new("env");
        command.args(["--default-signal", env!("CARGO_BIN_EXE_hobnob"), "dev", "--agents", "1"]);
        command.env("TMPDIR", folder.path());
        let (child, mut emulator) = run(command);
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

/// What a command prints that asks an agent of `hobnob dev`.
fn ask(folder: &Path, agent: &str, args: &[&str]) -> serde_json::Value {
    let mut folders = folder.read_dir().unwrap().map(|entry| entry.unwrap().path());
    let socket = folders.next().unwrap().join(format!("{agent}.sock"));
    let output = hobnob(args).arg("--json").arg("--socket").arg(socket).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn a_key_cuts_an_agent_off_and_brings_it_back() {
    let folder = tempfile::tempdir().unwrap();
    let (child, mut emulator) = run(dev(&["--for", "3m"], folder.path()));
    emulator.read_until(&["ready after"]);
    emulator.press("x");
    emulator.read_until(&["the network is cut: a3 | a1, a2"]);
    let noticed = "agent a3 cut off: all 2 others know after ";
    emulator.read_until(&[noticed]);
    let web = ask(folder.path(), "a1", &["resolve", "web", "--all"]);
    let lost = web["instances"].as_array().unwrap().iter().find(|one| one["instance"] == "web-3");
    let lost = lost.unwrap();
    assert_eq!((&lost["status"], &lost["offered"]), (&"unknown".into(), &false.into()), "{web}");
    // The agent that is cut off finds the others lost, and answers on with what it knew last.
    emulator.read_until(&["cut off  1 of 3"]);
    let mut api = ask(folder.path(), "a3", &["resolve", "api"]);
    let is_old = |api: &serde_json::Value| {
        let instances = api["instances"].as_array().unwrap();
        instances.len() == 2 && instances.iter().all(|one| one["basis"] == "last_known")
    };
    // Its verdicts on the two others come one after the other.
    while !is_old(&api) {
        let revision = api["revision"].to_string();
        api = ask(folder.path(), "a3", &["resolve", "api", "--wait", &revision]);
    }
    emulator.press("x");
    emulator.read_until(&["the cut is healed: all agents reach each other"]);
    emulator.read_until(&["all agents see each other and all instances again "]);
    emulator.press("q");
    assert!(emulator.rest().contains(noticed));
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
    let narrow = shown(&agent_of_one_member(), &["members"], 60, &plain);
    assert!(narrow.lines().all(|line| line.chars().count() <= 70), "{narrow}");
    assert!(narrow.starts_with("MEMBER      STATUS  ADDRESS           DC\n"), "{narrow}");
    assert!(
        narrow.contains("4 columns hidden (ZONE, NODE ID, EPOCH, DOWN FOR): --wide shows them"),
        "{narrow}"
    );
    let wide = shown(&agent_of_one_member(), &["members", "--wide"], 60, &plain);
    assert!(wide.contains("00000000000000ab") && !wide.contains("hidden"), "{wide}");
    let broad = shown(&agent_of_one_member(), &["members"], 200, &plain);
    assert!(broad.contains("00000000000000ab") && !broad.contains("hidden"), "{broad}");
}

#[test]
fn colours_are_for_terminals_that_want_them() {
    let coloured = |args: &[&str], variables: &[(&str, &str)]| {
        shown(&agent_of_one_member(), args, 200, variables).contains('\u{1b}')
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
