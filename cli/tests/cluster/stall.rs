//! An agent whose process stalls, and goes on or does not.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use crate::agent::{ANY_PORT, Agent, eventually};
use crate::web::Web;

/// The length of the stall; an agent that was just started and is gone is down after 3.2 s of silence.
const STALL: Duration = Duration::from_millis(3_500);
/// Nobody may call it down before.
const SPARED: Duration = Duration::from_millis(3_800);

#[test]
fn a_stalled_agent_is_declared_down_only_after_a_longer_stall() {
    let home = tempfile::tempdir().unwrap();
    let a1 = Agent::start(home.path(), "a1", &[]);
    let a2 = Agent::start(home.path(), "a2", &[&a1]);
    let a3 = Agent::start(home.path(), "a3", &[&a1]);
    let others = [&a1, &a2];
    eventually("three are alive", || [&a1, &a2, &a3].iter().all(|agent| agent.alive() == 3));

    let start = Instant::now();
    a3.freeze();
    while start.elapsed() < STALL {
        for agent in others {
            let status = agent.status_of("a3");
            let down = status.as_deref() == Some("down");
            assert!(!down || start.elapsed() > SPARED, "after {:?}", start.elapsed());
        }
    }
    a3.thaw();
    eventually("it is alive", || {
        others.iter().all(|agent| agent.status_of("a3").as_deref() == Some("alive"))
    });
    assert!(others.iter().any(|agent| agent.counter("tcp_probes_answered") > 0));

    a3.freeze();
    eventually("it is said until when it has", || {
        let why = |agent: &Agent| agent.json(&["explain", "a3"])["members"][0]["reason"].clone();
        others.iter().any(|agent| {
            let why = why(agent);
            why.as_str().is_some_and(|why| {
                why.contains("its process stands still; it is declared down in ")
            })
        })
    });
    eventually("it is down", || {
        others.iter().all(|agent| agent.status_of("a3").as_deref() == Some("down"))
    });
}

/// An agent that stands still has no news about its own services.
#[test]
fn a_stall_withdraws_no_service_before_it_is_probed_again() {
    let home = tempfile::tempdir().unwrap();
    let agent = Agent::start(home.path(), "a1", &[]);
    let web = Web::start(ANY_PORT);
    let url = web.url();
    let check = ["--check-http", &url, "--interval", "100ms", "--timeout", "100ms"];
    agent.ok(&[&["register", "web", "--port", &web.port()][..], &check].concat());
    eventually("it is healthy", || agent.healthy("web") == ["web"]);
    let mut watch = UnixStream::connect(agent.socket()).unwrap();
    watch.write_all(b"{\"id\":1,\"request\":{\"watch\":{\"service\":\"web\"}}}\n").unwrap();
    let mut answers = BufReader::new(watch).lines().map(Result::unwrap);
    assert!(answers.next().unwrap().contains("healthy"));

    agent.freeze();
    std::thread::sleep(STALL);
    agent.thaw();
    let seen = web.requests();
    eventually("it is probed again", || web.requests() > seen + 3);
    let _port = web.stop();
    let first_change = answers.next().unwrap();
    assert!(first_change.contains("unhealthy"), "{first_change}");
}
