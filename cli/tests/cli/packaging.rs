//! The units of systemd, and the texts that packages install.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::{hobnob, stderr, stdout};

const UNITS: [&str; 2] = ["hobnob.service", "hobnob@.service"];
/// A unit scores from 0 to 10 by what it leaves open.
const MAX_EXPOSURE: f64 = 3.0;

fn unit(name: &str) -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("packaging/systemd");
    fs::read_to_string(folder.join(name)).unwrap()
}

/// The units as files that start the binary under test.
fn installed(home: &Path) -> Vec<PathBuf> {
    let paths = UNITS.map(|name| {
        let path = home.join(name);
        fs::write(&path, unit(name).replace("/usr/bin/hobnob", env!("CARGO_BIN_EXE_hobnob")))
            .unwrap();
        path
    });
    paths.to_vec()
}

/// `systemd-analyze`, or `None` where it is not installed.
fn systemd_analyze() -> Option<Command> {
    let found = Command::new("systemd-analyze").arg("--version").output().is_ok();
    if !found {
        println!("skipped: systemd-analyze is not installed");
    }
    found.then(|| Command::new("systemd-analyze"))
}

#[test]
fn systemd_takes_the_units() {
    let home = tempfile::tempdir().unwrap();
    for path in installed(home.path()) {
        let Some(mut analyze) = systemd_analyze() else { return };
        let output = analyze.args(["verify", "--man=no"]).arg(&path).output().unwrap();
        assert!(output.status.success(), "{}: {}", path.display(), stderr(&output));
        let told = stderr(&output);
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        assert!(!told.lines().any(|line| line.contains(&name)), "{told}");
    }
}

#[test]
fn the_units_leave_little_open() {
    let home = tempfile::tempdir().unwrap();
    for path in installed(home.path()) {
        let Some(mut analyze) = systemd_analyze() else { return };
        let output = analyze.args(["security", "--offline=true"]).arg(&path).output().unwrap();
        let told = stdout(&output);
        let Some((_, verdict)) = told.split_once("exposure level for ") else {
            println!("skipped: this systemd does not judge units offline: {}", stderr(&output));
            return;
        };
        let score = verdict.split_whitespace().nth(1).unwrap().parse::<f64>().unwrap();
        assert!(score < MAX_EXPOSURE, "{score}: {told}");
    }
}

#[test]
fn the_units_leave_what_the_agent_needs() {
    let help = stdout(&hobnob(&["agent", "--help"]).output().unwrap());
    for name in UNITS {
        let unit = unit(name);
        let has = |line: &str| unit.lines().any(|own| own == line);
        assert!(has("RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK"), "{name}");
        assert!(has("Type=notify") && has("WatchdogSec=30"), "{name}");
        assert!(has("ExecStart=/usr/bin/hobnob agent"), "{name}");
        for not in ["PrivateUsers=yes", "ProcSubset=pid", "PrivateNetwork=yes"] {
            assert!(!has(not), "{name}: {not}");
        }
        let words = unit.split(|c: char| !(c.is_ascii_uppercase() || c == '_'));
        for variable in words.filter(|word| word.starts_with("HOBNOB_")) {
            assert!(help.contains(variable), "{name} sets {variable}");
        }
    }
}

#[test]
fn completions_name_the_commands() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let output = hobnob(&["completions", shell]).output().unwrap();
        assert!(output.status.success(), "{}", stderr(&output));
        let text = stdout(&output);
        for word in ["force-leave", "log-level", "query-socket"] {
            assert!(text.contains(word), "no {word} for {shell}");
        }
    }
    let wrong = hobnob(&["completions", "tcsh"]).output().unwrap();
    assert_eq!(wrong.status.code(), Some(2), "{}", stderr(&wrong));
    assert!(stderr(&wrong).contains("bash"), "{}", stderr(&wrong));
}

#[test]
fn bash_takes_its_completions_and_completes() {
    let home = tempfile::tempdir().unwrap();
    let script = home.path().join("hobnob");
    let output = hobnob(&["completions", "bash"]).output().unwrap();
    fs::write(&script, output.stdout).unwrap();
    let complete = "source \"$0\"; COMP_WORDS=(hobnob log-l); COMP_CWORD=1; _hobnob hobnob log-l hobnob; echo \"${COMPREPLY[*]}\"";
    let Ok(output) = Command::new("bash").args(["-c", complete]).arg(&script).output() else {
        println!("skipped: bash is not installed");
        return;
    };
    assert_eq!(stdout(&output).trim(), "log-level", "{}", stderr(&output));
}

#[test]
fn each_command_has_a_manual_page() {
    let page = stdout(&hobnob(&["man"]).output().unwrap());
    assert!(page.contains(".TH hobnob 1") && page.contains("Exit codes"), "{page}");
    let home = tempfile::tempdir().unwrap();
    let folder = home.path().join("share/man1");
    let output = hobnob(&["man", folder.to_str().unwrap()]).output().unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    for (name, says) in [
        ("hobnob.1", "hobnob\\-agent(1)"),
        ("hobnob-agent.1", "HOBNOB_HTTP"),
        ("hobnob-keys-rotate.1", "hobnob keys rotate"),
    ] {
        let page = fs::read_to_string(folder.join(name)).unwrap();
        assert!(page.contains(says), "{name}: {page}");
    }
    fs::write(home.path().join("file"), "").unwrap();
    let nowhere = home.path().join("file/man1");
    let wrong = hobnob(&["man", nowhere.to_str().unwrap()]).output().unwrap();
    assert_eq!(wrong.status.code(), Some(1));
    assert!(stderr(&wrong).contains("file/man1"), "{}", stderr(&wrong));
}

#[test]
fn metrics_are_listed() {
    let text = stdout(&hobnob(&["metrics"]).output().unwrap());
    assert!(
        text.starts_with("# Metrics\n") && text.contains("| `hobnob_isolated` | gauge |"),
        "{text}"
    );
}
