//! Instances that are registered with an agent of another datacenter.

use std::net::{SocketAddr, TcpListener};
use std::path::Path;

use crate::agent::{Agent, eventually, text};
use crate::sealed::{Operator, failed, free};

/// The address of every agent of a datacenter.
pub(crate) fn bind(datacenter: &str) -> SocketAddr {
    let ip = if datacenter == "eu" { [127, 0, 1, 1] } else { [127, 0, 2, 1] };
    (ip, 0).into()
}

pub(crate) fn arguments(
    datacenter: &str,
    join: Option<&Agent>,
    wan: Option<&Agent>,
) -> Vec<String> {
    let mut args = vec![format!("--datacenter={datacenter}")];
    args.extend(join.map(|agent| format!("--join={}", agent.bind())));
    args.extend(wan.map(|agent| format!("--join-wan={}", agent.bind())));
    args
}

/// Three agents in `eu`, and one in `us` that knows them.
pub(crate) fn two_datacenters(home: &Path) -> (Vec<Agent>, Agent) {
    let start = |name: &str, datacenter: &str, join: Option<&Agent>, wan: Option<&Agent>| {
        Agent::start_with(home, name, bind(datacenter), &arguments(datacenter, join, wan))
    };
    let mut eu = vec![start("eu-1", "eu", None, None)];
    for name in ["eu-2", "eu-3"] {
        eu.push(start(name, "eu", Some(&eu[0]), None));
    }
    let us = start("us-1", "us", None, Some(&eu[0]));
    eventually("all know both datacenters", || {
        let names = ["eu-1", "eu-2", "eu-3", "us-1"];
        eu.iter().chain([&us]).all(|agent| knows(agent, &names))
    });
    (eu, us)
}

/// Whether an agent has the records of these members, which come a moment after it knows that they live.
fn knows(agent: &Agent, names: &[&str]) -> bool {
    names.iter().all(|name| agent.status_of(name).as_deref() == Some("alive"))
}

pub(crate) fn printed(agent: &Agent, args: &[&str]) -> String {
    let output = agent.run(args);
    assert!(output.status.success(), "{args:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// The agents of `eu` that an instance of `web` is registered with, as `us-1` sees it.
fn origins(us: &Agent, id: &str) -> Vec<String> {
    let shown = us.json(&["resolve", "web", "--all"]);
    let instances = shown["instances"].as_array().unwrap().iter();
    instances.filter(|one| one["instance"] == id).map(|one| text(one, "member")).collect()
}

#[test]
fn an_instance_lives_with_an_agent_of_another_datacenter_until_it_is_deregistered_or_that_dies() {
    let home = tempfile::tempdir().unwrap();
    let (mut eu, us) = two_datacenters(home.path());
    let service = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = service.local_addr().unwrap().to_string();
    let port = address.rsplit(':').next().unwrap();
    let line = [
        "register",
        "web",
        "--id",
        "web-us",
        "--dc",
        "eu",
        "--port",
        port,
        "--address",
        "127.0.0.1",
        "--check-tcp",
        &address,
        "--interval",
        "100ms",
        "--ack",
        "datacenter:eu",
    ];
    let told = printed(&us, &line);
    assert!(told.starts_with("registered web-us with the agent eu-"), "{told}");
    eventually("its check runs, and all see it", || {
        us.healthy("web") == ["web-us"] && eu.iter().all(|agent| agent.healthy("web") == ["web-us"])
    });
    let origin = origins(&us, "web-us");
    assert_eq!(origin.len(), 1, "{origin:?}");
    assert!(told.contains(&origin[0]), "{told} {origin:?}");
    let place = eu.iter().position(|agent| agent.name == origin[0]).unwrap();
    let explained = eu[place].json(&["explain", "web-us"]);
    let by = &explained["instances"][0]["registered_by"];
    assert_eq!(by["node_id"], us.json(&["info"])["node_id"], "{explained}");
    assert!(eu[place].has_logged("agent="), "who asked is in the log");

    // The same once more finds the same agent and changes nothing.
    let again = printed(&us, &line);
    assert!(again.starts_with("web-us is registered so already with the agent"), "{again}");
    assert_eq!(origins(&us, "web-us"), origin);

    let told = printed(&us, &["deregister", "web-us", "--dc", "eu"]);
    assert_eq!(told, format!("deregistered web-us from the agent {}\n", origin[0]));
    eventually("it is gone everywhere", || {
        origins(&us, "web-us").is_empty() && eu.iter().all(|it| it.healthy("web").is_empty())
    });
    failed(&us.run(&["deregister", "web-us", "--dc", "eu"]), 3, &["no instance `web-us`", "`eu`"]);

    printed(&us, &line[..10]);
    eventually("it is back", || origins(&us, "web-us").len() == 1);
    let origin = origins(&us, "web-us").remove(0);
    let place = eu.iter().position(|agent| agent.name == origin).unwrap();
    eu[place].kill();
    eventually("the death of its origin takes it down", || us.healthy("web").is_empty());
    let told = printed(&us, &line[..10]);
    assert!(told.starts_with("registered web-us with the agent eu-"), "{told}");
    assert!(!told.contains(&origin), "a living one: {told}");
}

/// Starts an agent of `eu` again that was killed.
fn restart(home: &Path, eu: &mut Vec<Agent>, place: usize) {
    let dead = eu.remove(place);
    let args = arguments("eu", Some(&eu[0]), None);
    eu.push(Agent::start_with(home, &dead.name, dead.bind(), &args));
}

#[test]
fn an_instance_of_an_agent_that_returns_is_removed_by_the_same_command() {
    let home = tempfile::tempdir().unwrap();
    let (mut eu, us) = two_datacenters(home.path());
    let register = ["register", "web", "--id", "dup", "--port", "80", "--dc", "eu"];
    let deregister = ["deregister", "dup", "--dc", "eu"];
    printed(&us, &register);
    eventually("it is there", || origins(&us, "dup").len() == 1);
    let first = origins(&us, "dup").remove(0);
    let place = eu.iter().position(|agent| agent.name == first).unwrap();
    eu[place].kill();
    eventually("its agent is down", || us.status_of(&first).as_deref() == Some("down"));
    let warning = format!("the agent `{first}` has `dup`, too, and did not remove it");
    failed(
        &us.run(&deregister),
        3,
        &["no instance `dup`", &format!("`{first}`"), "were not asked"],
    );
    let output = us.run(&register);
    assert!(output.status.success(), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stderr).contains(&warning), "{output:?}");
    eventually("another agent has it, too", || origins(&us, "dup").len() == 2);

    restart(home.path(), &mut eu, place);
    eventually("both are offered", || {
        let shown = us.json(&["resolve", "web"]);
        shown["instances"].as_array().unwrap().len() == 2
    });
    eventually("it lives", || us.status_of(&first).as_deref() == Some("alive"));
    let output = us.run(&register);
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
    eventually("one is left", || origins(&us, "dup").len() == 1);
    let output = us.run(&register);
    assert!(String::from_utf8_lossy(&output.stdout).contains("so already"), "{output:?}");

    // The one that is down is told of, and the command once more ends it.
    let held = origins(&us, "dup").remove(0);
    let place = eu.iter().position(|agent| agent.name == held).unwrap();
    eu[place].kill();
    eventually("its agent is down", || us.status_of(&held).as_deref() == Some("down"));
    assert!(us.run(&register).status.success());
    eventually("another agent has it, too", || origins(&us, "dup").len() == 2);
    failed(&us.run(&deregister), 1, &[&format!("the agent `{held}` has `dup`, too"), "repeat"]);
    restart(home.path(), &mut eu, place);
    eventually("it is offered again", || {
        us.status_of(&held).as_deref() == Some("alive") && origins(&us, "dup") == [&*held]
    });
    printed(&us, &deregister);
    eventually("it is gone", || origins(&us, "dup").is_empty());

    for line in [&register[..], &deregister[..]] {
        let unknown = us.run(&[line, &["--ack", "datacenter:moon"]].concat());
        failed(&unknown, 3, &["no datacenter `moon`", "`eu`", "`us`"]);
    }
    assert!(origins(&us, "dup").is_empty(), "nothing was changed");
}

#[test]
fn what_cannot_be_registered_elsewhere_changes_nothing_and_says_why() {
    let home = tempfile::tempdir().unwrap();
    let (mut eu, us) = two_datacenters(home.path());
    let unknown = us.run(&["register", "web", "--port", "80", "--dc", "moon"]);
    failed(&unknown, 3, &["no datacenter `moon`", "`eu`", "`us`", "hobnob datacenters"]);

    // With its own datacenter, an agent registers as ever.
    let own = printed(&us, &["register", "web", "--id", "own", "--port", "80", "--dc", "us"]);
    assert_eq!(own, "registered own\n");
    assert_eq!(origins(&us, "own"), ["us-1"]);
    assert_eq!(printed(&us, &["deregister", "own", "--dc", "us"]), "deregistered own\n");

    // An instance of a host there is not touched.
    eu[1].ok(&["register", "web", "--port", "81"]);
    eventually("it is seen", || origins(&us, "web") == ["eu-2"]);
    let taken = us.run(&["register", "web", "--port", "80", "--dc", "eu"]);
    failed(&taken, 1, &["`web`", "its own host", "nothing was changed", "another --id"]);
    let foreign = us.run(&["deregister", "web", "--dc", "eu"]);
    failed(&foreign, 3, &["`web`", "nothing was changed"]);
    assert_eq!(origins(&us, "web"), ["eu-2"]);

    let invalid =
        us.run(&["register", "web", "--id", "x", "--port", "80", "--dc", "eu", "--tag", "a b"]);
    failed(&invalid, 2, &["the agent `eu-", "tag"]);

    Agent::kill_all(&mut eu);
    let lost = us.run(&["register", "web", "--id", "late", "--port", "80", "--dc", "eu"]);
    failed(&lost, 1, &["`eu`"]);
    eventually("the datacenter is out of reach", || {
        let output = us.run(&["register", "web", "--id", "late", "--port", "80", "--dc", "eu"]);
        String::from_utf8_lossy(&output.stderr).contains("nothing was changed")
    });
}

#[test]
fn the_certificates_of_both_agents_must_allow_the_service() {
    let seed = free([127, 0, 1, 1]);
    let (operator, _) = Operator::found("prod", Some(seed));
    let seeds = format!("--seed={seed}");
    let start = |name: &str, services: &str, join: Option<&Agent>| {
        let datacenter = &name[..2];
        let (at, role) = match datacenter {
            "eu" => (seed, &["--role", "founder"][..]),
            _ => (bind(datacenter), &[][..]),
        };
        let token = operator.token(&[&[&*seeds, "--services", services], role].concat());
        operator.start(name, at, &token, &arguments(datacenter, join, None))
    };
    let eu = start("eu-1", "web,db", None);
    let us = start("us-1", "web,cache", None);
    eventually("both know each other", || {
        [&us, &eu].into_iter().all(|agent| knows(agent, &["eu-1", "us-1"]))
    });
    let told = printed(&us, &["register", "web", "--id", "w", "--port", "80", "--dc", "eu"]);
    assert_eq!(told, "registered w with the agent eu-1\n");
    eventually("it is seen", || origins(&us, "w") == ["eu-1"]);
    let register = |service: &str| {
        us.run(&["register", service, "--id", "other", "--port", "80", "--dc", "eu"])
    };
    failed(&register("db"), 2, &["this agent may not", "`db`"]);
    failed(&register("cache"), 2, &["the agent `eu-1` of `eu`", "`cache`"]);
    // Nor may it take over what it has no right to.
    let us_2 = start("us-2", "cache", Some(&us));
    eventually("it is seen", || us_2.alive() >= 2 && eu.alive() == 3);
    eventually("the certificate counts", || {
        let output = us_2.run(&["deregister", "w", "--dc", "eu"]);
        String::from_utf8_lossy(&output.stderr).contains("`web`")
    });
    assert_eq!(origins(&us, "w"), ["eu-1"]);
    assert_eq!(
        printed(&us, &["deregister", "w", "--dc", "eu"]),
        "deregistered w from the agent eu-1\n"
    );
}
