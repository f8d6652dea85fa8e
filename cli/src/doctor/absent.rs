//! What can be said while no agent answers: the socket, the configuration, the ports, the data directory.

use std::fs;
use std::io;
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};

use hobnob_api::Settings;
use hobnob_api::client::ClientError;

use super::finding::Findings;
use super::folder;
use crate::commands::settings_here;

/// The most processes that are looked through.
const MAX_PROCESSES: usize = 65_536;

/// Whether there is something at the path that is no socket.
fn is_something_else(socket: &Path) -> bool {
    fs::metadata(socket).is_ok_and(|found| !found.file_type().is_socket())
}

/// Looks for what keeps an agent from running, or from answering.
pub(super) fn look(findings: &mut Findings, socket: &Path, error: &ClientError) {
    let shown = socket.display();
    let running = agents();
    match error {
        ClientError::NoAgent { .. } if is_something_else(socket) => findings.fail(
            "agent",
            format!("{shown} is no socket"),
            "name the socket of an agent with --socket or HOBNOB_SOCKET",
        ),
        ClientError::NoAgent { .. } if socket.exists() => findings.fail(
            "agent",
            format!("nobody listens at {shown}, though the file is there: the agent crashed, or was killed"),
            "start it: an agent takes over a socket that nobody listens at",
        ),
        ClientError::NoAgent { .. } => findings.fail(
            "agent",
            format!("there is no socket at {shown}"),
            "start an agent with `hobnob agent`, or name the socket of a running one with --socket or HOBNOB_SOCKET",
        ),
        ClientError::NotAllowed { .. } => findings.fail(
            "agent",
            format!("this user may not connect to {shown}"),
            "run this as the user of the agent, or join the group of the socket",
        ),
        error => findings.fail(
            "agent",
            error.to_string(),
            "the agent may stand still or be overloaded: look at its log; `kill -CONT` wakes one that was stopped",
        ),
    }
    if !running.is_empty() {
        let pids: Vec<String> = running.iter().map(u32::to_string).collect();
        findings.warn(
            "agent",
            format!("agents run on this host all the same, as process {}", pids.join(", ")),
            "one may have another socket: `tr '\\0' ' ' < /proc/PID/cmdline` shows its arguments",
        );
    }
    let (settings, problems) = settings_here();
    if problems.is_empty() {
        findings.ok("config", "the configuration files are in order");
    }
    for problem in problems {
        findings.fail("config", problem, "mend it; `hobnob validate` tells whether that is done");
    }
    let Some(settings) = settings else { return };
    let value = |key: &str| value_of(&settings, key);
    if let Some(bind) = value("bind").and_then(|bind| bind.parse().ok()) {
        ports(findings, bind, !running.is_empty());
    }
    let data = value("data_dir").map(PathBuf::from);
    if let Some(data) = data.filter(|data| data.exists()) {
        folder::look(findings, Some(&data));
    }
}

fn value_of<'s>(settings: &'s Settings, key: &str) -> Option<&'s str> {
    settings.settings.iter().find(|setting| setting.key == key)?.value.as_deref()
}

/// Whether an agent could take its gossip port.
fn ports(findings: &mut Findings, bind: SocketAddr, agents_run: bool) {
    let taken = [
        ("UDP", UdpSocket::bind(bind).err(), "udp"),
        ("TCP", TcpListener::bind(bind).err(), "tcp"),
    ];
    let mut is_free = true;
    for (protocol, error, table) in taken {
        let Some(error) = error else { continue };
        is_free = false;
        let by = holder(table, bind.port()).map(|by| format!(" by {by}")).unwrap_or_default();
        if error.kind() == io::ErrorKind::AddrInUse {
            let advice = if agents_run {
                "another agent may have it; a second one needs a --bind of its own"
            } else {
                "end what has it, or choose another port with --bind"
            };
            findings.fail("ports", format!("{bind} is taken for {protocol}{by}"), advice);
        } else {
            findings.fail(
                "ports",
                format!("{bind} cannot be bound for {protocol}: {error}"),
                "name an address of this host with --bind",
            );
        }
    }
    if is_free {
        findings.ok("ports", format!("{bind} is free for UDP and TCP"));
    }
}

/// The agents that run on this host, as far as this user sees them.
fn agents() -> Vec<u32> {
    let mut found: Vec<u32> = processes()
        .filter(|pid| {
            let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            let mut words = line.split(|byte| *byte == 0);
            let is_hobnob = words.next().is_some_and(|program| program.ends_with(b"hobnob"));
            is_hobnob && words.any(|word| word == b"agent")
        })
        .collect();
    found.sort_unstable();
    found
}

fn processes() -> impl Iterator<Item = u32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).take(MAX_PROCESSES)
}

/// The name and the id of a process with a socket at a local port, if this user may see it.
fn holder(table: &str, port: u16) -> Option<String> {
    let mut inodes = Vec::new();
    for table in [format!("/proc/net/{table}"), format!("/proc/net/{table}6")] {
        let text = fs::read_to_string(table).unwrap_or_default();
        inodes.extend(text.lines().filter_map(|line| inode_at(line, port)));
    }
    let is_wanted = |link: PathBuf| {
        inodes.iter().any(|inode| link.as_os_str() == format!("socket:[{inode}]").as_str())
    };
    let has_one = |pid: &u32| {
        let files = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
        files.filter_map(|file| fs::read_link(file.path()).ok()).any(is_wanted)
    };
    let pid = processes().find(has_one)?;
    let name = fs::read_to_string(format!("/proc/{pid}/comm")).ok()?;
    Some(format!("{} (pid {pid})", name.trim()))
}

/// The inode of a socket at a local port, in a line of `/proc/net/udp` or `/proc/net/tcp`.
fn inode_at(line: &str, port: u16) -> Option<u64> {
    let fields: Vec<&str> = line.split_whitespace().collect();
    let (_, local) = fields.get(1)?.rsplit_once(':')?;
    let is_wanted = u16::from_str_radix(local, 16).ok()? == port;
    is_wanted.then(|| fields.get(9)?.parse().ok()).flatten().filter(|inode| *inode != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_process_that_has_a_port_is_named() {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let at = socket.local_addr().unwrap();
        let by = holder("udp", at.port()).unwrap();
        assert!(by.ends_with(&format!("(pid {})", std::process::id())), "{by}");
        let mut findings = Findings::default();
        ports(&mut findings, at, false);
        let told = findings.of("ports");
        assert_eq!(told.len(), 1, "TCP is free: {told:?}");
        assert!(told[0].found.starts_with(&format!("{at} is taken for UDP by ")), "{told:?}");
    }

    #[test]
    fn a_line_of_the_system_has_an_inode() {
        let line = "  12: 0100007F:1F0A 00000000:0000 07 00000000:00000000 00:00000000 00000000  0  0 4242 2 0 0";
        assert_eq!(inode_at(line, 0x1f0a), Some(4_242));
        assert_eq!(inode_at(line, 80), None);
        assert_eq!(inode_at("  sl  local_address rem_address", 80), None);
    }
}
