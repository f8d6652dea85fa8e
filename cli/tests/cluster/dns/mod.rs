//! DNS, as the clients of others ask: each follows a service that is killed, returns and gets another weight. Clients that this
//! host does not have are skipped.

mod backends;
mod dig;
mod dnsmasq;
mod haproxy;
mod nginx;

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, UdpSocket};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use crate::agent::{ANY_PORT, Agent};

pub(crate) use backends::Backends;

const DOCS: &str = include_str!("../../../../docs/DNS.md");

/// An agent that answers DNS, and the port on which it does.
struct Answering {
    agent: Agent,
    port: String,
}

impl Answering {
    fn start(home: &Path, more: &[&str]) -> Self {
        std::fs::create_dir_all(home).unwrap();
        let args = ["--dns=127.0.0.1:0"].iter().chain(more).map(ToString::to_string);
        let agent = Agent::start_with(home, "a1", ANY_PORT, &args.collect::<Vec<_>>());
        let ready = agent.logged("the agent is ready").remove(0);
        let (_, rest) = ready.split_once(" dns=").unwrap();
        let port = rest.split_whitespace().next().unwrap().rsplit(':').next().unwrap().to_owned();
        Self { agent, port }
    }

    /// What `dig` prints; `None` where it is not installed.
    fn dig(&self, args: &[&str]) -> Option<String> {
        dig(&self.port, args)
    }

    /// The lines of a short answer, in their order as texts.
    fn short(&self, name: &str, rtype: &str) -> Vec<String> {
        short(&self.port, name, rtype)
    }
}

fn dig(port: &str, args: &[&str]) -> Option<String> {
    let mut command = Command::new("dig");
    command.args(["@127.0.0.1", "-p", port, "+time=5", "+tries=2"]).args(args);
    match command.output() {
        Ok(output) => Some(String::from_utf8(output.stdout).unwrap()),
        Err(_) => {
            println!("skipped: this host has no dig");
            None
        }
    }
}

fn short(port: &str, name: &str, rtype: &str) -> Vec<String> {
    let told = dig(port, &["+short", name, rtype]).unwrap_or_default();
    let mut lines: Vec<_> = told.lines().map(str::to_owned).collect();
    lines.sort_unstable();
    lines
}

/// A port for a program that finds none by itself. It is below those that Linux gives to sockets that ask for any.
fn own_port() -> String {
    const FIRST: u32 = 12_000;
    const COUNT: u32 = 20_000;
    static NEXT: AtomicU32 = AtomicU32::new(0);
    loop {
        let number = std::process::id().wrapping_mul(64) + NEXT.fetch_add(1, Ordering::Relaxed);
        let address = (Ipv4Addr::LOCALHOST, (FIRST + number % COUNT) as u16);
        if UdpSocket::bind(address).is_ok() && TcpListener::bind(address).is_ok() {
            return address.1.to_string();
        }
    }
}

/// The recipe of docs/DNS.md for a program, with other texts in the place of some.
fn recipe(program: &str, changes: &[(&str, &str)]) -> String {
    let (_, section) = DOCS.split_once(&format!("\n### {program}\n")).unwrap();
    let (_, block) = section.split_once("```text\n").unwrap();
    let (text, _) = block.split_once("```").unwrap();
    changes.iter().fold(text.to_owned(), |text, (from, to)| {
        assert!(text.contains(from), "{from} is not in {text}");
        text.replace(from, to)
    })
}

/// A program that runs until it is dropped; `None` where it is not installed.
pub(crate) struct Program(Child);

impl Program {
    pub(crate) fn start(command: &mut Command) -> Option<Self> {
        match command.stdin(Stdio::null()).stdout(Stdio::null()).spawn() {
            Ok(child) => Some(Self(child)),
            Err(_) => {
                println!("skipped: this host has no {}", command.get_program().display());
                None
            }
        }
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

/// The body that a proxy at this unix socket answers with; empty while it does not.
fn get(socket: &Path) -> String {
    let mut answer = String::new();
    let Ok(mut stream) = UnixStream::connect(socket) else { return answer };
    let asked = stream.write_all(b"GET / HTTP/1.1\r\nHost: web\r\nConnection: close\r\n\r\n");
    if asked.and_then(|()| stream.read_to_string(&mut answer)).is_err() {
        return String::new();
    }
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_default();
    if head.contains(" 200") { body.to_owned() } else { String::new() }
}

/// The bodies of a number of answers, each once.
pub(crate) fn bodies(socket: &Path, asked: usize) -> std::collections::BTreeSet<String> {
    (0..asked).map(|_| get(socket)).collect()
}
