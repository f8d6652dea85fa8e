//! `hobnob call` against real servers, found through real agents.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::process::Output;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use serde_json::Value;

use crate::agent::{ANY_PORT, Agent, eventually, hobnob, items, text};

/// What a server does.
#[derive(Clone, Copy)]
pub(crate) enum Manner {
    /// Answers 200 with the body of the request, else its own id.
    Well,
    /// Answers 500.
    Failing,
    /// Answers after this time.
    Slow(Duration),
    /// Ends with this request as a process does that is killed: all of its sockets are closed.
    DiesAt(u64),
}

pub(crate) struct Server {
    id: String,
    pub(crate) addr: SocketAddr,
    requests: Arc<AtomicU64>,
}

impl Server {
    pub(crate) fn start(id: &str, manner: Manner) -> Self {
        let listener = TcpListener::bind(ANY_PORT).unwrap();
        let addr = listener.local_addr().unwrap();
        let requests = Arc::new(AtomicU64::new(0));
        let streams = Arc::new(Mutex::new(Vec::<TcpStream>::new()));
        let (server, counted) = (id.to_owned(), requests.clone());
        let listener = Arc::new(listener);
        thread::spawn(move || {
            while let Ok((stream, _)) = listener.accept() {
                if let Manner::DiesAt(at) = manner
                    && counted.load(SeqCst) >= at
                {
                    return;
                }
                streams.lock().unwrap().push(stream.try_clone().unwrap());
                let (id, requests, streams) = (server.clone(), counted.clone(), streams.clone());
                thread::spawn(move || serve(&id, stream, manner, &requests, &streams, addr));
            }
        });
        Self { id: id.to_owned(), addr, requests }
    }

    /// Registers it as an instance of `web`.
    pub(crate) fn register(self, agent: &Agent) -> Self {
        let port = self.addr.port().to_string();
        agent.ok(&["register", "web", "--id", &self.id, "--address", "127.0.0.1", "--port", &port]);
        self
    }

    pub(crate) fn requests(&self) -> u64 {
        self.requests.load(SeqCst)
    }
}

/// Answers the requests of a connection until that ends.
fn serve(
    id: &str,
    stream: TcpStream,
    manner: Manner,
    requests: &AtomicU64,
    streams: &Mutex<Vec<TcpStream>>,
    addr: SocketAddr,
) -> Option<()> {
    let mut reader = BufReader::new(stream.try_clone().ok()?);
    let mut stream = stream;
    loop {
        let mut length = 0;
        let mut line = String::new();
        while line != "\r\n" {
            line.clear();
            if reader.read_line(&mut line).ok()? == 0 {
                return None;
            }
            if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                length = value.trim().parse().ok()?;
            }
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body).ok()?;
        let number = requests.fetch_add(1, SeqCst) + 1;
        let status = match manner {
            Manner::Failing => "500 Internal Server Error",
            Manner::Slow(time) => {
                thread::sleep(time);
                "200 OK"
            }
            Manner::DiesAt(at) if number >= at => {
                for stream in streams.lock().ok()?.drain(..) {
                    let _ = stream.shutdown(Shutdown::Both);
                }
                // Wakes the listener, which then ends.
                let _ = TcpStream::connect(addr);
                return None;
            }
            Manner::DiesAt(_) | Manner::Well => "200 OK",
        };
        let body = if body.is_empty() { id.as_bytes() } else { &body };
        let head = format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\n\r\n", body.len());
        stream.write_all(&[head.as_bytes(), body].concat()).ok()?;
    }
}

/// The exit code of a call, and what it printed as JSON.
fn call(agent: &Agent, args: &[&str]) -> (Option<i32>, Value) {
    let output = agent.run(&[&["call", "web"], args, &["--json"]].concat());
    let text = String::from_utf8(output.stdout).unwrap();
    let printed = serde_json::from_str(&text);
    let stderr = String::from_utf8_lossy(&output.stderr);
    (output.status.code(), printed.unwrap_or_else(|error| panic!("{error}: {text} {stderr}")))
}

/// One number of an instance.
fn count(printed: &Value, id: &str, name: &str) -> u64 {
    let instances = items(&printed["instances"]);
    let found = instances.iter().find(|one| text(one, "instance") == id);
    let found = found.unwrap_or_else(|| panic!("no {id} in {printed}"));
    found[name].as_u64().unwrap_or_else(|| panic!("no {name} in {found}"))
}

fn told(output: &Output) -> (String, String) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (text(&output.stdout), text(&output.stderr))
}

#[test]
fn a_call_prints_the_answer_and_who_gave_it() {
    let home = tempfile::tempdir().unwrap();
    let agent = Agent::start(home.path(), "a1", &[]);
    let servers =
        ["web-1", "web-2", "web-3"].map(|id| Server::start(id, Manner::Well).register(&agent));
    let one = agent.run(&["call", "web", "/x"]);
    let (stdout, stderr) = told(&one);
    assert_eq!(one.status.code(), Some(0), "{stderr}");
    assert!(["web-1", "web-2", "web-3"].contains(&&*stdout), "{stdout}");
    assert!(stderr.starts_with(&format!("{stdout} at 127.0.0.1:")), "{stderr}");
    assert!(stderr.contains(" answered 200 OK in "), "{stderr}");
    let (stdout, _) = told(&agent.run(&["call", "web", "/x", "--data", "hello"]));
    assert_eq!(stdout, "hello");

    let all = ["/", "-n", "30", "--concurrency", "3", "--strategy", "round-robin"];
    let (code, printed) = call(&agent, &all);
    assert_eq!((code, printed["call_count"].as_u64()), (Some(0), Some(30)), "{printed}");
    assert_eq!(
        (printed["failed_count"].as_u64(), printed["retry_count"].as_u64()),
        (Some(0), Some(0))
    );
    let answers = servers.iter().map(|server| count(&printed, &server.id, "answer_count"));
    let answers: Vec<u64> = answers.collect();
    assert!(answers.iter().all(|count| *count > 0), "{answers:?}");
    assert_eq!(answers.iter().sum::<u64>(), 30);
    assert_eq!(printed["answers"][0]["code"], 200);
    let latency = &printed["latency"];
    assert!(latency["p50_ms"].as_f64().unwrap() <= latency["p99_ms"].as_f64().unwrap());

    let keyed = ["/", "-n", "10", "--strategy", "consistent-hash", "--key", "user-42"];
    let (_, printed) = call(&agent, &keyed);
    assert!(servers.iter().any(|server| count(&printed, &server.id, "answer_count") == 10));
    let (stdout, _) = told(&agent.run(&["call", "web", "/", "-n", "5"]));
    assert!(stdout.starts_with("5 calls of `web` in ") && stdout.contains("CIRCUIT"), "{stdout}");
}

#[test]
fn a_server_that_fails_every_call_is_not_seen_by_calls_that_may_be_made_twice() {
    let home = tempfile::tempdir().unwrap();
    let agent = Agent::start(home.path(), "a1", &[]);
    for id in ["web-1", "web-2"] {
        Server::start(id, Manner::Well).register(&agent);
    }
    let bad = Server::start("bad", Manner::Failing).register(&agent);
    let all = ["/", "-n", "300", "--concurrency", "3", "--strategy", "round-robin"];
    let (code, printed) = call(&agent, &all);
    assert_eq!((code, printed["failed_count"].as_u64()), (Some(0), Some(0)), "{printed}");
    assert_eq!(count(&printed, "bad", "answer_count"), 0);
    let failed = count(&printed, "bad", "failed_count");
    assert!((5..=7).contains(&failed), "five open its circuit, two more are under way: {failed}");
    assert_eq!(printed["retry_count"].as_u64(), Some(failed));
    let bad_one = items(&printed["instances"]).iter().find(|one| text(one, "instance") == "bad");
    assert_eq!(bad_one.unwrap()["circuit"], "open");

    let before = bad.requests();
    let posted = ["/", "-n", "30", "--method", "POST", "--strategy", "round-robin"];
    let (code, printed) = call(&agent, &posted);
    assert_eq!((code, bad.requests() - before), (Some(1), 5), "{printed}");
    assert_eq!(
        (printed["failed_count"].as_u64(), printed["retry_count"].as_u64()),
        (Some(5), Some(0))
    );
    assert_eq!(printed["answers"][1]["code"], 500);
    let one = agent.run(&["call", "web", "/", "--selector", "none=none"]);
    assert_eq!(one.status.code(), Some(3), "{:?}", told(&one));
}

#[test]
fn what_calls_find_broken_is_not_picked_and_settings_come_from_the_registration() {
    let home = tempfile::tempdir().unwrap();
    let agent = Agent::start(home.path(), "a1", &[]);
    for id in ["web-1", "web-2"] {
        Server::start(id, Manner::Well).register(&agent);
    }
    let bad = Server::start("bad", Manner::Failing);
    let port = bad.addr.port().to_string();
    let register = ["register", "web", "--id", "bad", "--address", "127.0.0.1", "--port", &port];
    let settings =
        "--failure-threshold 2 --recovery-timeout 1h --strategy round-robin --max-retries 3";
    let settings: Vec<_> = settings.split(' ').collect();
    agent.ok(&[&register[..], &settings].concat());

    let find = |printed: &Value, key: &str| {
        let settings = items(&printed["settings"]);
        let found = settings.iter().find(|one| text(one, "key") == key);
        found.map(|one| (text(one, "value"), text(one, "origin"))).unwrap()
    };
    let is = |value: &str, origin: &str| (value.to_owned(), origin.to_owned());
    let (code, printed) = call(&agent, &["/", "-n", "12", "--strategy", "random"]);
    assert_eq!(code, Some(0), "{printed}");
    assert_eq!(find(&printed, "strategy"), is("random", "flag"));
    assert_eq!(find(&printed, "max_retries"), is("3", "registration"));
    assert_eq!(find(&printed, "try_timeout_ms"), is("3000", "default"));

    let explained = || agent.json(&["explain", "bad"])["instances"][0].clone();
    eventually("calls opened the circuit", || {
        let (code, printed) = call(&agent, &["/", "-n", "6"]);
        assert_eq!(code, Some(0), "{printed}");
        assert!(count(&printed, "bad", "failed_count") <= 2, "the breaker of the registration");
        explained()["standing"]["circuit"] == "open"
    });
    let standing = &explained()["standing"];
    assert!(standing["failed_count"].as_u64() >= Some(2) && standing["failed_pick_count"] == 0);
    assert_eq!(explained()["settings"]["instance"], "bad");
    assert!(agent.picks("web", 100).iter().all(|picked| picked != "bad"));
    let (stdout, _) = told(&agent.run(&["explain", "bad"]));
    for line in ["  circuit    open for ", "  settings   failure_threshold 2, ", "; from bad of a1"]
    {
        assert!(stdout.contains(line), "no {line} in {stdout}");
    }
    let (stdout, _) = told(&agent.run(&["call", "web", "/", "-n", "2", "--timeout", "20s"]));
    let line = "settings: call_timeout_ms 20000 (flag), failure_threshold 2 (registration), ";
    assert!(stdout.contains(line), "{stdout}");
}

#[test]
fn a_slow_server_gets_few_calls() {
    let home = tempfile::tempdir().unwrap();
    let agent = Agent::start(home.path(), "a1", &[]);
    for id in ["web-1", "web-2"] {
        Server::start(id, Manner::Slow(Duration::from_millis(5))).register(&agent);
    }
    Server::start("slow", Manner::Slow(Duration::from_millis(50))).register(&agent);
    let (code, printed) = call(&agent, &["/", "-n", "200", "--concurrency", "4"]);
    assert_eq!(code, Some(0), "{printed}");
    assert!(count(&printed, "slow", "answer_count") < 40, "{printed}");
}

#[test]
fn a_server_that_is_killed_meanwhile_costs_no_call_that_may_be_made_twice() {
    let home = tempfile::tempdir().unwrap();
    let agent = Agent::start(home.path(), "a1", &[]);
    Server::start("web-1", Manner::Well).register(&agent);
    let killed = Server::start("web-2", Manner::DiesAt(50)).register(&agent);
    let all = ["/", "-n", "400", "--concurrency", "4", "--strategy", "round-robin"];
    let (code, printed) = call(&agent, &all);
    assert_eq!((code, printed["failed_count"].as_u64()), (Some(0), Some(0)), "{printed}");
    assert!(killed.requests() >= 50 && printed["retry_count"].as_u64() > Some(0), "{printed}");
}

#[test]
fn a_call_that_finds_nobody_says_why() {
    let home = tempfile::tempdir().unwrap();
    let agent = Agent::start(home.path(), "a1", &[]);
    Server::start("web-1", Manner::Well).register(&agent);
    let unknown = agent.run(&["call", "wbe", "/"]);
    let (stdout, stderr) = told(&unknown);
    assert_eq!((unknown.status.code(), &*stdout), (Some(3), ""), "{stderr}");
    assert!(stderr.contains("no instance of `wbe`") && stderr.contains("`web`"), "{stderr}");

    agent.ok(&["maintenance", "on", "web-1"]);
    let nothing = agent.run(&["call", "web", "/"]);
    let (_, stderr) = told(&nothing);
    assert_eq!(nothing.status.code(), Some(3), "{stderr}");
    assert!(stderr.contains("not known to be healthy"), "{stderr}");

    agent.ok(&["maintenance", "off", "web-1"]);
    agent.ok(&["register", "gone", "--address", "127.0.0.1", "--port", "1"]);
    let refused = agent.run(&["call", "gone", "/", "--retries", "1"]);
    let (stdout, stderr) = told(&refused);
    assert_eq!((refused.status.code(), &*stdout), (Some(1), ""), "{stderr}");
    assert!(
        stderr.contains("`gone` did not answer, 2 tried, last gone at 127.0.0.1:1"),
        "{stderr}"
    );

    let nowhere = home.path().join("none.sock");
    let alone = hobnob(&["call", "web", "/"]).env("HOBNOB_SOCKET", nowhere).output().unwrap();
    assert_eq!(alone.status.code(), Some(1), "{:?}", told(&alone));
}

#[test]
fn the_last_known_instances_are_called_when_nothing_healthy_is_left() {
    let home = tempfile::tempdir().unwrap();
    let agent = Agent::start(home.path(), "a1", &[]);
    let mut other = Agent::start(home.path(), "a2", &[&agent]);
    Server::start("web-1", Manner::Well).register(&other);
    eventually("a1 knows it", || agent.healthy("web") == ["web-1"]);
    other.kill();
    eventually("a1 has lost its agent", || agent.healthy("web").is_empty());
    let called = agent.run(&["call", "web", "/"]);
    let (stdout, stderr) = told(&called);
    assert_eq!((called.status.code(), &*stdout), (Some(0), "web-1"), "{stderr}");
    assert!(stderr.contains("warning: no healthy instance of `web` is left"), "{stderr}");
    let strict = agent.run(&["call", "web", "/", "--strict"]);
    assert_eq!(strict.status.code(), Some(3), "{:?}", told(&strict));
}
