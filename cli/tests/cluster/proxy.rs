//! `hobnob proxy` in a process of its own, beside real agents and in front of real servers.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::{Child, ChildStderr, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::mpsc;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use crate::agent::{ANSWER_TIMEOUT, ANY_PORT, Agent, eventually, hobnob, socket};
use crate::calls::{Manner, Server};

/// A running proxy. It is killed when dropped.
struct Proxy {
    child: Child,
    /// Where each service is offered, in the order of the command line.
    offered: Vec<String>,
    admin: Option<SocketAddr>,
    log: mpsc::Receiver<String>,
}

impl Proxy {
    /// Starts a proxy of so many services, and returns when it has told all of its addresses.
    fn start(mut command: Command, services: usize) -> Self {
        let has_admin = command.get_args().any(|arg| arg == "--admin");
        let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
        let log = lines(child.stderr.take().unwrap());
        let (mut offered, mut admin) = (Vec::new(), None);
        while offered.len() < services || (has_admin && admin.is_none()) {
            let line = log.recv_timeout(ANSWER_TIMEOUT).expect("the proxy tells its addresses");
            let value = |name: &str| {
                let (_, rest) = line.split_once(&format!("{name}="))?;
                Some(rest.split_whitespace().next()?.trim_matches('"').to_owned())
            };
            offered.extend(value("endpoint"));
            admin = admin.or(value("admin").and_then(|admin| admin.parse().ok()));
        }
        Self { child, offered, admin, log }
    }

    fn of(agent: &Agent, args: &[&str]) -> Self {
        let mut command = hobnob(&["proxy"]);
        command.args(args).env("HOBNOB_SOCKET", agent.socket());
        // No file is read where the command line names a service.
        command.env("HOBNOB_CONFIG", "/nonexistent/hobnob.toml");
        Self::start(command, args.iter().filter(|arg| arg.contains('=')).count())
    }

    fn address(&self, place: usize) -> SocketAddr {
        self.offered[place].parse().unwrap()
    }

    /// Asks for a metric; `{service="web"` stands for the labels of the first route.
    fn metric(&self, line: &str) -> Option<f64> {
        let (_, text) = get(self.admin.unwrap(), "/metrics").ok()?;
        let route =
            format!("{{service=\"web\",namespace=\"default\",listen=\"{}\"", self.offered[0]);
        let line = line.replace("{service=\"web\"", &route);
        let value = text.lines().find_map(|have| have.strip_prefix(&line)?.strip_prefix(' '))?;
        value.parse().ok()
    }

    fn terminate(&self) {
        let pid = Pid::from_child(&self.child);
        kill_process(pid, Signal::TERM).unwrap();
    }

    fn end(&mut self) -> ExitStatus {
        self.child.wait().unwrap()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The lines of a log, read to its end.
fn lines(log: ChildStderr) -> mpsc::Receiver<String> {
    let (send, lines) = mpsc::channel();
    std::thread::spawn(move || {
        for line in BufReader::new(log).lines().map_while(Result::ok) {
            println!("proxy: {line}");
            assert!(!line.contains("panicked"), "{line}");
            let _ = send.send(line);
        }
    });
    lines
}

/// The status and the body of an answer.
fn get(address: SocketAddr, path: &str) -> std::io::Result<(u16, String)> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(ANSWER_TIMEOUT))?;
    write!(stream, "GET {path} HTTP/1.1\r\nhost: web\r\nconnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let (head, body) = answer.split_once("\r\n\r\n").ok_or(std::io::ErrorKind::UnexpectedEof)?;
    Ok((head[9..12].parse().unwrap(), body.to_owned()))
}

/// Waits until the proxy has instances of a service.
fn knows(address: SocketAddr) {
    eventually("the proxy calls an instance", || {
        get(address, "/").is_ok_and(|(status, _)| status == 200)
    });
}

#[test]
fn what_is_sent_to_the_address_reaches_an_instance_also_while_the_agent_is_away() {
    let home = tempfile::tempdir().unwrap();
    let mut agent = Agent::start(home.path(), "a1", &[]);
    let _web = Server::start("web-1", Manner::Well).register(&agent);
    let unix = format!("web=unix:{}", home.path().join("web.sock").display());
    let args = [
        "web=127.0.0.1:0",
        &unix,
        "web=tcp:127.0.0.1:0",
        "--admin",
        "127.0.0.1:0",
        "--show-instance",
    ];
    let mut proxy = Proxy::of(&agent, &args);
    knows(proxy.address(0));
    let mut stream = TcpStream::connect(proxy.address(2)).unwrap();
    stream.set_read_timeout(Some(ANSWER_TIMEOUT)).unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nhost: web\r\n\r\n").unwrap();
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\nweb-1") {
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
        answer.extend(byte);
    }
    let mut stream = std::os::unix::net::UnixStream::connect(home.path().join("web.sock")).unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nhost: web\r\nconnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(
        answer.contains("x-hobnob-instance: web-1\r\n") && answer.ends_with("web-1"),
        "{answer}"
    );
    assert_eq!(get(proxy.admin.unwrap(), "/health").unwrap(), (200, "serving\n".to_owned()));

    agent.kill();
    eventually("the proxy notices that the agent is away", || {
        proxy
            .metric("hobnob_proxy_agent_away_seconds{service=\"web\"}")
            .is_some_and(|away| away > 0.0)
    });
    assert_eq!(get(proxy.address(0), "/").unwrap(), (200, "web-1".to_owned()));
    let agent = agent.restart();
    eventually("the proxy hears the agent again", || {
        proxy.metric("hobnob_proxy_agent_away_seconds{service=\"web\"}") == Some(0.0)
    });
    agent.ok(&["deregister", "web-1"]);
    eventually("the proxy knows that nobody is left", || {
        get(proxy.address(0), "/")
            .is_ok_and(|(status, body)| status == 503 && body.starts_with("no_instance: "))
    });
    proxy.terminate();
    assert!(proxy.end().success());
    assert!(!home.path().join("web.sock").exists());
}

#[test]
fn a_call_that_is_there_ends_before_the_proxy_does_and_the_service_manager_hears_it() {
    let home = tempfile::tempdir().unwrap();
    let agent = Agent::start(home.path(), "a1", &[]);
    let slow = Server::start("web-1", Manner::Slow(Duration::from_millis(700))).register(&agent);
    let manager = UnixDatagram::bind(home.path().join("notify.sock")).unwrap();
    manager.set_read_timeout(Some(ANSWER_TIMEOUT)).unwrap();
    let told = || {
        let mut bytes = [0; 4_096];
        let length = manager.recv(&mut bytes).unwrap();
        String::from_utf8_lossy(&bytes[..length]).into_owned()
    };
    let mut command = hobnob(&["proxy", "web=127.0.0.1:0"]);
    command
        .env("HOBNOB_SOCKET", agent.socket())
        .env("NOTIFY_SOCKET", home.path().join("notify.sock"));
    let mut proxy = Proxy::start(command, 1);
    assert_eq!(told().trim_end(), "READY=1");
    let address = proxy.address(0);
    let calling = std::thread::spawn(move || get(address, "/"));
    eventually("the call has arrived", || slow.requests() == 1);
    proxy.terminate();
    assert!(told().starts_with("STOPPING=1"));
    assert_eq!(calling.join().unwrap().unwrap(), (200, "web-1".to_owned()));
    assert!(proxy.end().success());
    assert!(proxy.log.iter().any(|line| line.contains("draining")));
    assert!(get(address, "/").is_err());
}

#[test]
fn an_instance_that_is_killed_costs_no_call_that_may_be_made_twice() {
    let home = tempfile::tempdir().unwrap();
    let agent = Agent::start(home.path(), "a1", &[]);
    let good = Server::start("good", Manner::Well).register(&agent);
    let dies = Server::start("dies", Manner::DiesAt(60)).register(&agent);
    let proxy = Proxy::of(&agent, &["web=127.0.0.1:0", "--strategy", "round-robin"]);
    let address = proxy.address(0);
    knows(address);
    let (failed, is_over) = (AtomicUsize::new(0), AtomicBool::new(false));
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                while !is_over.load(SeqCst) {
                    match get(address, "/") {
                        Ok((200, _)) => {}
                        other => {
                            println!("{other:?}");
                            failed.fetch_add(1, SeqCst);
                        }
                    }
                }
            });
        }
        eventually("the instance is killed, and calls go on", || {
            dies.requests() >= 60 && good.requests() > 300
        });
        is_over.store(true, SeqCst);
    });
    assert_eq!(failed.load(SeqCst), 0);
}

#[test]
fn the_tables_of_the_agents_file_are_offered_and_checked() {
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("hobnob.toml");
    let socket = socket(home.path(), "a1");
    let write = |tables: &str| {
        std::fs::write(&file, format!("socket = {socket:?}\n{tables}")).unwrap();
    };
    write("[[proxy]]\nservice = \"web\"\nlisten = \"127.0.0.1:0\"\nshow_instance = true\n");
    let config = format!("--config={}", file.display());
    let agent = Agent::start_with(home.path(), "a1", ANY_PORT, std::slice::from_ref(&config));
    let _web = Server::start("web-1", Manner::Well).register(&agent);
    let proxy = Proxy::start(hobnob(&["proxy", &config]), 1);
    knows(proxy.address(0));
    let validate = |says: &str, code| {
        let output = hobnob(&["validate", &config]).output().unwrap();
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(text.contains(says) && output.status.code() == Some(code), "{text}");
    };
    validate("", 0);
    write("[[proxy]]\nservice = \"web\"\nlisten = \"9001\"\n");
    validate(
        "hobnob.toml:4: `listen` cannot be `9001`: expected an address such as 127.0.0.1:9001",
        1,
    );
    fails(&[&config], "hobnob.toml:4: `listen` cannot be `9001`", 2);
    write("");
    fails(&[&config], "has no [[proxy]] table", 2);
}

/// Runs a proxy that cannot start.
fn fails(args: &[&str], says: &str, code: i32) {
    let output = hobnob(&["proxy"]).args(args).output().unwrap();
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(text.contains(says) && output.status.code() == Some(code), "{text}");
}

#[test]
fn a_proxy_that_cannot_start_says_what_to_do() {
    let taken = std::net::TcpListener::bind(ANY_PORT).unwrap();
    let taken = taken.local_addr().unwrap();
    fails(&[&format!("web={taken}")], &format!("cannot listen on {taken}"), 1);
    fails(&["web=9001"], "127.0.0.1:9001", 2);
    fails(&["web=127.0.0.1:0", "--proxy-protocol"], "--forwarded", 2);
    fails(&["web=127.0.0.1:0", "--selector", "tier in ("], "the selector of `web`", 2);
    fails(&["db=tcp:127.0.0.1:0", "--forwarded"], "--forwarded is for HTTP alone", 2);
    fails(&["--show-instance"], "--show-instance is for services that the command line names", 2);
    if !Path::new("/etc/hobnob/hobnob.toml").exists() {
        fails(&[], "web=127.0.0.1:9001", 2);
    }
}

#[test]
fn a_proxy_without_descriptors_pauses_and_goes_on() {
    let home = tempfile::tempdir().unwrap();
    let agent = Agent::start(home.path(), "a1", &[]);
    let _web = Server::start("web-1", Manner::Well).register(&agent);
    let mut command = Command::new("sh");
    let line = "ulimit -n 40 && exec \"$0\" proxy web=127.0.0.1:0 --admin 127.0.0.1:0 --max-connections 1000";
    command.args(["-c", line, env!("CARGO_BIN_EXE_hobnob"), "--admin"]);
    command.env("HOBNOB_SOCKET", agent.socket());
    let proxy = Proxy::start(command, 1);
    knows(proxy.address(0));
    let held: Vec<_> = (0..60).map(|_| TcpStream::connect(proxy.address(0)).unwrap()).collect();
    let warned = proxy.log.iter().find(|line| line.contains("cannot be accepted for now"));
    assert!(warned.is_some());
    drop(held);
    knows(proxy.address(0));
    assert!(proxy.metric("hobnob_proxy_accepts_failed_total").unwrap() > 0.0);
    let of = "{service=\"web\",instance=\"web-1\",member=\"a1\"}";
    assert_eq!(proxy.metric(&format!("hobnob_proxy_instance_failures_total{of}")), Some(0.0));
    let told =
        proxy.log.try_iter().filter(|line| line.contains("cannot be accepted for now")).count();
    assert!(told < 5, "it is not told again and again: {told}");
}
