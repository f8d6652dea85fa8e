//! Networks that a test makes itself: namespaces of the kernel, for which no rights are needed where users may make them.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use serde_json::Value;

use crate::agent::{eventually, hobnob, text};

/// Set for the test process that runs inside a network of its own.
const INSIDE: &str = "OWN_NETWORK_INSIDE";
/// Set where networks are known to work: a test that is skipped fails then.
const NEEDED: &str = "OWN_NETWORK_NEEDED";
const OWN_NETWORK: [&str; 2] = ["--map-root-user", "--net"];

/// Runs a test in a process of its own with a network of its own, and expects it to print `report`. Where `probe`, a command of `ip`,
/// does not work there, the test is skipped.
pub(crate) fn in_own_network(test: &str, probe: &str, report: &str, inside: impl FnOnce()) {
    if std::env::var_os(INSIDE).is_some() {
        return inside();
    }
    let mut probing = Command::new("unshare");
    probing.args(OWN_NETWORK).arg("ip").args(probe.split(' ')).stderr(Stdio::null());
    if !probing.status().is_ok_and(|status| status.success()) {
        assert!(std::env::var_os(NEEDED).is_none(), "`ip {probe}` fails in a network of its own");
        println!("skipped: this user may not make networks, or `ip` of iproute2 is not there");
        return;
    }
    let mut command = Command::new("unshare");
    command.args(OWN_NETWORK).arg(std::env::current_exe().unwrap());
    command.args([test, "--exact", "--nocapture"]).env(INSIDE, "1");
    let output = command.output().unwrap();
    let told = String::from_utf8_lossy(&output.stdout);
    println!("{told}");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(told.contains(report), "the test did not run inside its network");
}

/// A network namespace. It lives as long as its process.
pub(crate) struct Namespace(Killed);

impl Namespace {
    pub(crate) fn new() -> Self {
        let mut keeper = Command::new("unshare");
        let keeper = keeper.args(["--net", "sleep", "infinity"]).spawn().unwrap();
        let own = std::fs::read_link("/proc/self/ns/net").unwrap();
        let of_keeper = format!("/proc/{}/ns/net", keeper.id());
        eventually("there is a network", || std::fs::read_link(&of_keeper).unwrap() != own);
        Self(Killed(keeper))
    }

    /// The process that keeps it.
    pub(crate) fn process(&self) -> u32 {
        self.0.0.id()
    }

    /// A program that runs in it.
    pub(crate) fn within(&self, program: &str) -> Command {
        let mut command = Command::new("nsenter");
        command.args(["--target", &self.process().to_string(), "--net", program]);
        command
    }

    /// A command of `ip` in it.
    pub(crate) fn ip(&self, arguments: &str) {
        run(self.within("ip").args(arguments.split(' ')));
    }
}

/// A command of `ip` in the network of the test.
pub(crate) fn ip(arguments: &str) {
    run(Command::new("ip").args(arguments.split(' ')));
}

fn run(command: &mut Command) {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// A process that is killed when it is dropped.
pub(crate) struct Killed(pub(crate) Child);

impl Drop for Killed {
    fn drop(&mut self) {
        // It may have ended before.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The operator's command. Returns the file of the token, as it lies on each host.
pub(crate) fn found_cluster(home: &Path, seed: &str) -> String {
    let init = ["init", "--cluster", "prod", "--seed", seed, "--json"];
    let output = hobnob(&init).arg("--ca").arg(home.join("ca.key")).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let printed: Value = serde_json::from_slice(&output.stdout).unwrap();
    let credential = ["token", "create", "--role", "operator"];
    let output = hobnob(&credential).arg("--ca").arg(home.join("ca.key")).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    std::fs::write(home.join("credential"), output.stdout).unwrap();
    std::fs::set_permissions(home.join("credential"), Permissions::from_mode(0o600)).unwrap();
    let file = home.join("token");
    std::fs::write(&file, text(&printed, "token")).unwrap();
    file.to_str().unwrap().to_owned()
}
