//! What a service manager is told: a socket of the test stands for that of systemd.

use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::Stdio;

use crate::agent::{ANSWER_TIMEOUT, ANY_PORT, Agent, hobnob, socket};

/// A socket that takes what an agent tells.
struct Manager(UnixDatagram);

impl Manager {
    fn listen(home: &Path) -> Self {
        let socket = UnixDatagram::bind(home.join("notify.sock")).unwrap();
        socket.set_read_timeout(Some(ANSWER_TIMEOUT)).unwrap();
        Self(socket)
    }

    /// The lines of the next message.
    fn next(&self) -> Vec<String> {
        let mut bytes = [0; 4_096];
        let length = self.0.recv(&mut bytes).unwrap();
        let text = std::str::from_utf8(&bytes[..length]).unwrap();
        text.lines().map(str::to_owned).collect()
    }

    /// The lines of the next message with this line, and those before it.
    fn until(&self, line: &str) -> Vec<String> {
        let mut told = Vec::new();
        while !told.iter().any(|told| told == line) {
            told.extend(self.next());
        }
        told
    }
}

/// Starts an agent under a service manager with this watchdog.
fn start(home: &Path, watchdog_us: Option<u64>) -> Agent {
    let mut command = hobnob(&["agent", "--name", "a1", "--bind", &ANY_PORT.to_string()]);
    command.arg("--data-dir").arg(home.join("a1")).arg("--socket").arg(socket(home, "a1"));
    command.env("NOTIFY_SOCKET", home.join("notify.sock")).env_remove("WATCHDOG_PID");
    if let Some(watchdog_us) = watchdog_us {
        command.env("WATCHDOG_USEC", watchdog_us.to_string());
    }
    Agent::adopt(home, "a1", command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap())
}

#[test]
fn a_service_manager_is_told_when_the_agent_is_ready_lives_and_stops() {
    let home = tempfile::tempdir().unwrap();
    let manager = Manager::listen(home.path());
    let mut agent = start(home.path(), Some(200_000));
    let first = manager.next();
    assert_eq!(first[0], "READY=1", "{first:?}");
    assert!(agent.run(&["info"]).status.success(), "it answers when it says so");
    for _ in 0..3 {
        manager.until("WATCHDOG=1");
    }
    let status = manager.until("WATCHDOG=1");
    assert!(
        status.iter().any(|line| line.starts_with("STATUS=1 member, 0 instances of 0 services")),
        "{status:?}"
    );
    agent.terminate();
    manager.until("STOPPING=1");
}

#[test]
fn without_a_watchdog_none_is_told() {
    let home = tempfile::tempdir().unwrap();
    let manager = Manager::listen(home.path());
    let mut agent = start(home.path(), None);
    manager.until("READY=1");
    agent.terminate();
    let told = manager.until("STOPPING=1");
    assert!(!told.contains(&"WATCHDOG=1".to_owned()), "{told:?}");
}
