//! Clients that ask for more than they should.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde_json::{Value, json};

use crate::agent::{ANSWER_TIMEOUT, ANY_PORT, Agent, eventually, nobody};

/// More connections than an agent allows.
const MANY: usize = 1_100;

/// Lets this process, and the agents that it starts, have many connections.
fn raise_limit() {
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit }).unwrap();
}

#[test]
fn silent_clients_leave_room_for_an_operator() {
    raise_limit();
    let home = tempfile::tempdir().unwrap();
    let mut agent = Agent::start_with(home.path(), "a1", ANY_PORT, &[]);
    agent.ok(&["register", "web", "--port", "80"]);
    let silent: Vec<_> = (0..MANY).map(|_| UnixStream::connect(agent.socket()).unwrap()).collect();
    eventually("an operator is answered", || {
        agent.run(&["info", "--json"]).status.success()
            && agent.counter("api_connections_refused") > 0
    });
    eventually("silent clients end, and others are answered", || {
        agent.run(&["pick", "web"]).status.success()
    });
    drop(silent);
    agent.ok(&["leave"]);
    agent.expect_end();
}

#[test]
fn picks_that_would_fill_many_answers_keep_nobody_from_an_agent() {
    let home = tempfile::tempdir().unwrap();
    let agent = Agent::start(home.path(), "a1", &[]);
    let other = Agent::start(home.path(), "a2", &[&agent]);
    eventually("both are members", || agent.alive() == 2 && other.alive() == 2);
    let meta: Vec<String> = (0..4).map(|key| format!("k{key}={}", "x".repeat(500))).collect();
    let mut register = vec!["register", "web", "--port", "80"];
    meta.iter().for_each(|meta| register.extend(["--meta", meta.as_str()]));
    agent.ok(&register);
    let pick = json!({ "request": { "pick": { "service": "web", "count": 10_000 } } });
    let calls = format!("{pick}\n").repeat(260);
    let mut hostile: Vec<_> = (0..2)
        .map(|_| {
            let mut stream = UnixStream::connect(agent.socket()).unwrap();
            // Only for a test that fails.
            stream.set_read_timeout(Some(ANSWER_TIMEOUT)).unwrap();
            stream.write_all(calls.as_bytes()).unwrap();
            stream
        })
        .collect();
    for stream in &mut hostile {
        stream.shutdown(std::net::Shutdown::Write).unwrap();
        let mut answers = String::new();
        stream.read_to_string(&mut answers).unwrap();
        assert_eq!(answers.lines().count(), 260);
        assert!(answers.lines().all(|line| line.contains("answer_too_large")), "{answers:.300}");
    }
    assert_eq!(other.status_of("a1").as_deref(), Some("alive"));
    assert_eq!(other.healthy("web"), ["web"]);
}

/// Answers with their ids and what they are, in the order in which they come.
struct Answers(BufReader<UnixStream>);

impl Answers {
    fn next(&mut self) -> Value {
        let mut line = String::new();
        self.0.read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap()
    }
}

#[test]
fn a_join_that_nobody_answers_delays_no_watch_of_its_connection() {
    let home = tempfile::tempdir().unwrap();
    let agent = Agent::start(home.path(), "a1", &[]);
    let (_silent, nobody) = nobody();
    let stream = UnixStream::connect(agent.socket()).unwrap();
    // Only for a test that fails.
    stream.set_read_timeout(Some(ANSWER_TIMEOUT)).unwrap();
    let mut calls = stream.try_clone().unwrap();
    let mut answers = Answers(BufReader::new(stream));
    let watch = json!({ "id": 1, "request": { "watch": { "service": "web" } } });
    writeln!(calls, "{watch}").unwrap();
    assert_eq!(answers.next()["id"], 1);
    let join = json!({ "id": 2, "request": { "join": { "addresses": [nobody.to_string()] } } });
    writeln!(calls, "{join}").unwrap();
    agent.ok(&["register", "web", "--port", "80"]);
    let change = answers.next();
    assert_eq!(change["response"]["changes"]["instances"][0]["id"], "web", "{change}");
    assert_eq!(answers.next()["response"]["error"]["code"], "join_unanswered");
}
