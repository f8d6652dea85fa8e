//! One agent in a process of its own, and what can be asked of it.

use std::fmt::Display;
use std::io::{BufRead, BufReader};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

/// Longer than anything here should take on a busy machine. The time that it took is printed (`--nocapture`).
pub(crate) const ANSWER_TIMEOUT: Duration = Duration::from_secs(60);

/// A port that the agent finds itself.
pub(crate) const ANY_PORT: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

/// A running agent. It is killed when dropped.
pub(crate) struct Agent {
    pub(crate) name: String,
    home: PathBuf,
    bind: SocketAddr,
    child: Child,
    /// Lines of its log so far. Drained by a thread, so that the agent never waits for a full pipe.
    log: Arc<Mutex<Vec<String>>>,
}

impl Agent {
    /// Starts an agent on free ports that joins at the others.
    pub(crate) fn start(home: &Path, name: &str, join: &[&Agent]) -> Self {
        let join: Vec<String> = join.iter().map(|agent| agent.bind.to_string()).collect();
        Self::start_at(home, name, ANY_PORT, &join)
    }

    /// Starts an agent, and returns when it answers.
    pub(crate) fn start_at(home: &Path, name: &str, bind: SocketAddr, join: &[String]) -> Self {
        let join: Vec<String> = join.iter().map(|address| format!("--join={address}")).collect();
        Self::start_with(home, name, bind, &join)
    }

    /// Starts an agent with more arguments, and returns when it answers.
    pub(crate) fn start_with(
        home: &Path,
        name: &str,
        bind: impl Display + Copy,
        args: &[String],
    ) -> Self {
        let mut command = hobnob(&["agent", "--name", name, "--bind", &bind.to_string()]);
        command.arg("--data-dir").arg(home.join(name)).arg("--socket").arg(socket(home, name));
        command.args(args);
        let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
        let mut log = BufReader::new(child.stderr.take().unwrap());
        let mut started = String::new();
        while !started.contains("the agent is ready") {
            let read = log.read_line(&mut started).unwrap();
            assert_ne!(read, 0, "the agent {name} did not start: {started}");
        }
        let name = name.to_owned();
        let log = drain(name.clone(), &started, log);
        let mut agent = Self { name, home: home.to_owned(), bind: ANY_PORT, child, log };
        agent.bind = agent.json(&["info"])["gossip_address"].as_str().unwrap().parse().unwrap();
        agent
    }

    /// Takes over an agent that was started otherwise. Its address is known if it answers already.
    pub(crate) fn adopt(home: &Path, name: &str, child: Child) -> Self {
        let (name, home) = (name.to_owned(), home.to_owned());
        let mut agent = Self { name, home, bind: ANY_PORT, child, log: Arc::default() };
        if agent.run(&["info"]).status.success() {
            let address = agent.json(&["info"])["gossip_address"].take();
            agent.bind = address.as_str().unwrap().parse().unwrap();
        }
        agent
    }

    pub(crate) fn bind(&self) -> SocketAddr {
        self.bind
    }

    pub(crate) fn socket(&self) -> PathBuf {
        socket(&self.home, &self.name)
    }

    /// Ends it as a crash would.
    pub(crate) fn kill(&mut self) {
        Self::kill_all([self]);
    }

    /// Ends agents as a loss of their power would: all before the end of the first is waited for.
    pub(crate) fn kill_all<'a>(agents: impl IntoIterator<Item = &'a mut Self>) {
        let mut agents: Vec<_> = agents.into_iter().collect();
        agents.iter_mut().for_each(|agent| agent.child.kill().unwrap());
        for agent in agents {
            agent.child.wait().unwrap();
        }
    }

    /// Asks it to end, as a service manager would, and expects that it ends well.
    pub(crate) fn terminate(&mut self) {
        self.signal(Signal::TERM);
        self.expect_end();
    }

    /// Its process does nothing from now on.
    pub(crate) fn freeze(&self) {
        self.signal(Signal::STOP);
    }

    /// It goes on.
    pub(crate) fn thaw(&self) {
        self.signal(Signal::CONT);
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Expects that it ends by itself, and well.
    pub(crate) fn expect_end(&mut self) {
        self.expect_status(0);
        assert!(!self.socket().exists(), "{} left its socket behind", self.name);
    }

    /// Expects that it ends with this exit code.
    pub(crate) fn expect_status(&mut self, code: i32) {
        let status = self.child.wait().unwrap();
        assert_eq!(status.code(), Some(code), "{} ended with {status}", self.name);
    }

    /// Starts it again where it was: same name, data directory and address, joining nobody by name.
    pub(crate) fn restart(self) -> Self {
        let (home, name, bind) = (self.home.clone(), self.name.clone(), self.bind);
        drop(self);
        Self::start_at(&home, &name, bind, &[])
    }

    /// Whether a line of its log contains this text.
    pub(crate) fn has_logged(&self, text: &str) -> bool {
        !self.logged(text).is_empty()
    }

    /// The lines of its log that contain this text.
    pub(crate) fn logged(&self, text: &str) -> Vec<String> {
        let log = self.log.lock().unwrap();
        log.iter().filter(|line| line.contains(text)).cloned().collect()
    }

    /// Whether it still runs.
    pub(crate) fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// Runs a command against it.
    pub(crate) fn run(&self, args: &[&str]) -> Output {
        hobnob(args).env("HOBNOB_SOCKET", self.socket()).output().unwrap()
    }

    /// Runs a command that must succeed.
    pub(crate) fn ok(&self, args: &[&str]) {
        let output = self.run(args);
        assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    }

    /// The object that a command prints with `--json`.
    pub(crate) fn json(&self, args: &[&str]) -> Value {
        let output = self.run(&[args, &["--json"]].concat());
        let text = String::from_utf8(output.stdout).unwrap();
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{args:?}: {error} in `{text}`"))
    }

    /// The ids of the instances of a service, with the status of each.
    pub(crate) fn instances(&self, service: &str) -> Vec<(String, String)> {
        let all = self.json(&["resolve", service, "--all"])["instances"].take();
        let mut found: Vec<_> =
            items(&all).iter().map(|item| (text(item, "instance"), text(item, "status"))).collect();
        found.sort_unstable();
        found
    }

    /// The ids of the instances of a service that are known to be healthy.
    pub(crate) fn healthy(&self, service: &str) -> Vec<String> {
        let mut ids: Vec<_> = items(&self.json(&["resolve", service, "--strict"])["instances"])
            .iter()
            .map(|item| text(item, "instance"))
            .collect();
        ids.sort_unstable();
        ids
    }

    /// The ids of the instances that a number of picks choose.
    pub(crate) fn picks(&self, service: &str, count: u32) -> Vec<String> {
        let picked = self.json(&["pick", service, "-n", &count.to_string()]);
        items(&picked["picks"]).iter().map(|pick| text(pick, "instance")).collect()
    }

    /// The status of a member, by its name. Members that are gone for good count.
    pub(crate) fn status_of(&self, member: &str) -> Option<String> {
        let members = self.json(&["members", "--all"])["members"].take();
        let found = items(&members).iter().find(|item| text(item, "member") == member)?;
        Some(text(found, "status"))
    }

    /// The number of members that it believes alive.
    pub(crate) fn alive(&self) -> usize {
        items(&self.json(&["members"])["members"])
            .iter()
            .filter(|item| text(item, "status") == "alive")
            .count()
    }

    /// One of its counters.
    pub(crate) fn counter(&self, name: &str) -> u64 {
        self.json(&["info"])["counters"][name]
            .as_u64()
            .unwrap_or_else(|| panic!("no counter {name}"))
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        // It may have ended before.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Asks again and again, at the pace of the commands themselves, and prints how long it took to become true.
pub(crate) fn eventually(what: &str, mut is_true: impl FnMut() -> bool) {
    let start = Instant::now();
    while !is_true() {
        assert!(start.elapsed() < ANSWER_TIMEOUT, "not true after {ANSWER_TIMEOUT:?}: {what}");
    }
    println!("{what}: after {} ms", start.elapsed().as_millis());
}

pub(crate) fn items(array: &Value) -> &[Value] {
    array.as_array().map_or(&[], Vec::as_slice)
}

pub(crate) fn text(item: &Value, field: &str) -> String {
    item[field].as_str().unwrap_or_else(|| panic!("no {field} in {item}")).to_owned()
}

pub(crate) fn socket(home: &Path, name: &str) -> PathBuf {
    home.join(format!("{name}.sock"))
}

/// An address at which nobody answers.
pub(crate) fn nobody() -> (UdpSocket, SocketAddr) {
    let socket = UdpSocket::bind(ANY_PORT).unwrap();
    let address = socket.local_addr().unwrap();
    (socket, address)
}

/// The binary, without what the environment of the tests would tell it.
pub(crate) fn hobnob(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_hobnob"));
    let variables = std::env::vars_os().map(|(name, _)| name);
    for name in variables.filter(|name| name.to_string_lossy().starts_with("HOBNOB_")) {
        command.env_remove(name);
    }
    command.args(args);
    command
}

/// Reads an agent's log, which began like this, to its end. A panic of an agent is the test's to see.
fn drain(name: String, started: &str, log: BufReader<ChildStderr>) -> Arc<Mutex<Vec<String>>> {
    let lines = Arc::new(Mutex::new(started.lines().map(str::to_owned).collect::<Vec<_>>()));
    let kept = Arc::clone(&lines);
    std::thread::spawn(move || {
        for line in log.lines().map_while(Result::ok) {
            println!("{name}: {line}");
            assert!(!line.contains("panicked"), "{name}: {line}");
            kept.lock().unwrap().push(line);
        }
    });
    lines
}
