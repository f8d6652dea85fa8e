//! Strong requests: voters that are killed, come back, and are replaced while others read and write.

use std::process::Output;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Instant;

use serde_json::Value;

use crate::agent::{Agent, eventually, items, text};
use crate::elsewhere::{arguments, bind, two_datacenters};

const STRONG: [&str; 2] = ["--consistency", "strong"];

/// Agents `a1`, `a2` and so on that know each other.
fn cluster(home: &std::path::Path, count: usize) -> Vec<Agent> {
    let mut agents = vec![Agent::start(home, "a1", &[])];
    for number in 2..=count {
        let agent = Agent::start(home, &format!("a{number}"), &[&agents[0]]);
        agents.push(agent);
    }
    eventually("all know all", || agents.iter().all(|agent| agent.alive() == count));
    agents
}

fn strongly(agent: &Agent, args: &[&str]) -> Output {
    agent.run(&[args, &STRONG, &["--json"]].concat())
}

/// The ids of the instances of a service, by a strong read; `None` if it failed.
fn read(agent: &Agent, service: &str) -> Option<Vec<String>> {
    let output = strongly(agent, &["resolve", service, "--all"]);
    match output.status.code() {
        Some(0 | 3) => {
            let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
            assert_eq!(answer["consistency"], "strong");
            Some(items(&answer["instances"]).iter().map(|one| text(one, "instance")).collect())
        }
        _ => None,
    }
}

fn error_of(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn one_killed_voter_is_missed_by_nobody_and_without_a_majority_nothing_is_strong() {
    let home = tempfile::tempdir().unwrap();
    let mut agents = cluster(home.path(), 4);
    let refused = strongly(&agents[3], &["register", "web", "--port", "80"]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(error_of(&refused).contains("no voters"), "{}", error_of(&refused));
    assert_eq!(agents[3].instances("web"), [], "nothing was registered");

    agents[0].ok(&["voters", "set", "a1", "a2", "a3"]);
    eventually("all know the voters", || {
        agents.iter().all(|agent| agent.json(&["voters"])["configuration"] == 1)
    });
    agents[3].ok(&[&["register", "web", "--port", "80"], &STRONG[..]].concat());
    for agent in &agents {
        assert_eq!(read(agent, "web"), Some(vec!["web".to_owned()]));
    }
    let watch = agents[0].run(&[&["watch", "web"], &STRONG[..]].concat());
    assert_eq!(watch.status.code(), Some(2));
    assert!(error_of(&watch).contains("never strong"), "{}", error_of(&watch));

    let [a1, a2, a3, a4] = &mut agents[..] else { panic!("four agents") };
    a3.kill();
    a4.ok(&[&["register", "web", "--id", "web-2", "--port", "81"], &STRONG[..]].concat());
    a4.ok(&[&["deregister", "web"], &STRONG[..]].concat());
    assert_eq!(read(a1, "web"), Some(vec!["web-2".to_owned()]));
    let picked = a1.json(&[&["pick", "web"], &STRONG[..]].concat());
    assert_eq!(picked["picks"][0]["instance"], "web-2");

    a2.kill();
    let began = Instant::now();
    let quick = ["--consistency-timeout", "500ms"];
    let unread = strongly(a1, &[&["resolve", "web"], &quick[..]].concat());
    assert_eq!(unread.status.code(), Some(1));
    let error = error_of(&unread);
    assert!(error.contains("no majority") && error.contains("`a1` did"), "{error}");
    assert!(error.contains("`a2`, `a3` did not"), "{error}");
    println!("refused within {} ms", began.elapsed().as_millis());
    let unknown = ["register", "web", "--id", "web-3", "--port", "82"];
    let unknown = strongly(a4, &[&unknown[..], &quick].concat());
    assert_eq!(unknown.status.code(), Some(4), "{}", error_of(&unknown));
    assert!(error_of(&unknown).contains("not confirmed"), "{}", error_of(&unknown));
    for agent in [&*a1, a4] {
        eventually("eventual reads go on", || agent.healthy("web") == ["web-2", "web-3"]);
    }

    let back = Agent::start(home.path(), "a2", &[a1]);
    let began = Instant::now();
    eventually("strong reads work again", || read(a1, "web").is_some());
    println!("works again within {} ms", began.elapsed().as_millis());
    eventually("the write that was unknown is read, or was repeated", || {
        a4.run(&[&["register", "web", "--id", "web-3", "--port", "82"], &STRONG[..]].concat());
        read(&back, "web").is_some_and(|found| found == ["web-2", "web-3"])
    });
}

/// A client that registers instances strongly and reads them elsewhere, until it is told to stop. Returns how many it registered.
fn write_and_read(writer: &Agent, reader: &Agent, service: &str, stop: &AtomicBool) -> usize {
    let mut written = Vec::new();
    while !stop.load(Ordering::Relaxed) || written.len() < 3 {
        let id = format!("{service}-{:04}", written.len());
        writer.ok(&[&["register", service, "--id", &id, "--port", "80"], &STRONG[..]].concat());
        written.push(id);
        let found = read(reader, service).expect("a strong read fails");
        assert_eq!(found, written, "a read misses a write that was done");
    }
    written.len()
}

#[test]
fn voters_are_replaced_one_by_one_and_no_request_fails_or_is_stale() {
    let home = tempfile::tempdir().unwrap();
    let agents = cluster(home.path(), 6);
    agents[0].ok(&["voters", "set", "a1", "a2", "a3"]);
    let [_, _, _, _, a5, a6] = &agents[..] else { panic!("six agents") };
    eventually("the clients' agents know the voters", || {
        [a5, a6].iter().all(|agent| agent.json(&["voters"])["configuration"] == 1)
    });
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        let clients = [
            scope.spawn(|| write_and_read(a5, a6, "web", &stop)),
            scope.spawn(|| write_and_read(a6, a5, "api", &stop)),
        ];
        for (at, voters) in
            [["a4", "a2", "a3"], ["a4", "a5", "a3"], ["a4", "a5", "a6"]].iter().enumerate()
        {
            agents[0].ok(&[&["voters", "set"], &voters[..]].concat());
            let told = agents[0].json(&["voters"]);
            assert_eq!((&told["configuration"], told.get("next_voters")), (&(at + 2).into(), None));
        }
        stop.store(true, Ordering::Relaxed);
        for client in clients {
            println!("{} written and read", client.join().unwrap());
        }
    });
    let names: Vec<_> = items(&agents[1].json(&["voters"])["voters"])
        .iter()
        .map(|voter| text(voter, "member"))
        .collect();
    assert_eq!(names, ["a4", "a5", "a6"]);
}

#[test]
fn voters_that_are_all_killed_and_started_again_forget_nothing() {
    let home = tempfile::tempdir().unwrap();
    let mut agents = cluster(home.path(), 4);
    agents[0].ok(&["voters", "set", "a1", "a2", "a3"]);
    eventually("a4 knows the voters", || agents[3].json(&["voters"])["configuration"] == 1);
    agents[3].ok(&[&["register", "web", "--port", "80"], &STRONG[..]].concat());
    agents[3].ok(&[&["register", "web", "--id", "old", "--port", "81"], &STRONG[..]].concat());
    agents[3].ok(&[&["deregister", "old"], &STRONG[..]].concat());
    // An agent that is killed before it has noted a peer does not find that peer again by itself.
    let has_noted = |name: &str| {
        let peers = std::fs::read_to_string(home.path().join(name).join("peers.json"));
        peers.is_ok_and(|peers| peers.matches("127.0.0.1:").count() == 3)
    };
    eventually("the voters have noted all peers", || ["a1", "a2", "a3"].into_iter().all(has_noted));
    Agent::kill_all(&mut agents[..3]);
    let again: Vec<Agent> = agents.drain(..3).map(Agent::restart).collect();
    eventually("all of them vote", || {
        again.iter().all(|agent| agent.json(&["voters"])["own"]["standing"] == "votes")
    });
    for agent in again.iter().chain(&agents) {
        eventually("strong reads work again", || read(agent, "web").is_some());
        assert_eq!(read(agent, "web"), Some(vec!["web".to_owned()]));
    }
}

#[test]
fn voters_that_cannot_be_are_refused_by_name() {
    let home = tempfile::tempdir().unwrap();
    let agents = cluster(home.path(), 3);
    let set = |voters: &[&str]| {
        let output = agents[0].run(&[&["voters", "set"], voters].concat());
        (output.status.code(), error_of(&output))
    };
    let (code, error) = set(&["a1", "a2", "zz"]);
    assert_eq!(code, Some(3));
    assert!(error.contains("`zz`"), "{error}");
    for few in [&["a1", "a2"][..], &["a1", "a1", "a2"]] {
        let (code, error) = set(few);
        assert_eq!(code, Some(2), "{error}");
        assert!(error.contains("3 or 5 different members"), "{error}");
    }
    let vouched = agents[0].run(&["voters", "vouch"]);
    assert_eq!(vouched.status.code(), Some(1), "{}", error_of(&vouched));
    assert!(agents[0].json(&["voters"]).get("next_voters").is_none());
}

#[test]
fn a_strong_read_of_several_datacenters_asks_the_voters_of_each() {
    let home = tempfile::tempdir().unwrap();
    let (eu, us) = two_datacenters(home.path());
    let us_agents: Vec<Agent> = ["us-2", "us-3"]
        .iter()
        .map(|name| {
            Agent::start_with(home.path(), name, bind("us"), &arguments("us", Some(&us), None))
        })
        .collect();
    eventually("all know all", || {
        eu.iter().chain(&us_agents).chain([&us]).all(|agent| agent.alive() == 6)
    });
    eu[0].ok(&["voters", "set", "eu-1", "eu-2", "eu-3"]);
    eu[1].ok(&[&["register", "web", "--id", "web-eu", "--port", "80"], &STRONG[..]].concat());
    let of = |agent: &Agent, dc: &str| {
        let output = strongly(agent, &["resolve", "web", "--all", "--dc", dc]);
        let found: Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
        let ids = items(&found["instances"]).iter().map(|one| text(one, "instance")).collect();
        (output.status.code(), ids, error_of(&output))
    };
    let ids = |names: &[&str]| -> Vec<String> { names.iter().map(ToString::to_string).collect() };
    assert_eq!(of(&us, "eu"), (Some(0), ids(&["web-eu"]), String::new()));
    let (code, _, error) = of(&us, "*");
    assert_eq!(code, Some(1));
    assert!(error.contains("in the datacenter `us`") && error.contains("no voters"), "{error}");

    let refused = us.run(&["voters", "set", "us-1", "us-2", "eu-1"]);
    assert_eq!(refused.status.code(), Some(2));
    assert!(error_of(&refused).contains("`eu-1` is of the datacenter `eu`"));
    us.ok(&["voters", "set", "us-1", "us-2", "us-3"]);
    us.ok(&[&["register", "web", "--id", "web-us", "--port", "80"], &STRONG[..]].concat());
    for agent in [&us, &eu[2]] {
        eventually("the agents know the voters", || of(agent, "*").0 == Some(0));
        assert_eq!(of(agent, "*").1, ["web-eu", "web-us"]);
        assert_eq!(of(agent, "us").1, ["web-us"]);
    }
    us.ok(
        &[&["register", "web", "--id", "far", "--dc", "eu", "--port", "81"], &STRONG[..]].concat()
    );
    assert_eq!(of(&eu[0], "eu").1, ["far", "web-eu"]);
    us.ok(&[&["deregister", "far", "--dc", "eu"], &STRONG[..]].concat());
    assert_eq!(of(&eu[0], "eu").1, ["web-eu"]);
}
