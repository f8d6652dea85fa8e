//! Instances that stay in their own datacenter.

use crate::agent::{Agent, eventually, items, text};
use crate::elsewhere::{printed, two_datacenters};
use crate::sealed::failed;

/// The instances of `web` everywhere, by id, that an agent knows.
fn known(agent: &Agent) -> Vec<String> {
    let shown = agent.json(&["resolve", "web", "--dc", "*", "--all"]);
    let mut ids: Vec<String> =
        items(&shown["instances"]).iter().map(|one| text(one, "instance")).collect();
    ids.sort();
    ids
}

fn register(agent: &Agent, id: &str, more: &[&str]) -> String {
    printed(agent, &[&["register", "web", "--id", id, "--port", "80"], more].concat())
}

#[test]
fn an_instance_of_scope_datacenter_is_known_in_its_datacenter_alone() {
    let home = tempfile::tempdir().unwrap();
    let (eu, us) = two_datacenters(home.path());
    let told = register(&eu[0], "home", &["--scope", "datacenter", "--ack", "all"]);
    assert_eq!(told, "registered home: 2 other agents have applied it\n");
    let told = register(&eu[1], "global", &["--ack", "all"]);
    assert_eq!(told, "registered global: 3 other agents have applied it\n");
    assert!(eu.iter().all(|agent| known(agent) == ["global", "home"]));
    // It came after the other one, so it would be there.
    register(&eu[0], "later", &["--ack", "all"]);
    assert_eq!(known(&us), ["global", "later"]);
    failed(&us.run(&["explain", "home"]), 3, &["`home`"]);
    let shown = eu[2].json(&["resolve", "web"]);
    let scopes = items(&shown["instances"]).iter().map(|one| one["scope"].as_str());
    assert_eq!(scopes.flatten().collect::<Vec<_>>(), ["datacenter"]);
    assert!(printed(&eu[2], &["explain", "home"]).contains("scope      datacenter"));

    let reaching = [&["--scope", "datacenter"][..], &["--ack", "datacenter:us"]].concat();
    let line = [&["register", "web", "--id", "none", "--port", "80"][..], &reaching].concat();
    failed(&eu[0].run(&line), 2, &["`none`", "`eu`", "`us`"]);
    assert!(!known(&eu[0]).contains(&"none".to_owned()), "nothing was changed");

    // The scope changes both ways.
    assert_eq!(
        register(&eu[0], "home", &["--ack", "all"]),
        "replaced home: 3 other agents have applied it\n"
    );
    assert_eq!(known(&us), ["global", "home", "later"]);
    register(&eu[1], "global", &["--scope", "datacenter", "--ack", "datacenter"]);
    eventually("it is gone elsewhere", || known(&us) == ["home", "later"]);
    assert!(eu.iter().all(|agent| known(agent) == ["global", "home", "later"]));
    eu[1].ok(&["deregister", "global", "--ack", "all"]);
    assert!(eu.iter().all(|agent| known(agent) == ["home", "later"]));
}

#[test]
fn an_instance_that_is_registered_elsewhere_and_kept_there_is_found_again() {
    let home = tempfile::tempdir().unwrap();
    let (eu, us) = two_datacenters(home.path());
    let more = ["--dc", "eu", "--address", "127.0.0.1", "--scope", "datacenter", "--ack", "all"];
    let told = register(&us, "kept", &more);
    assert!(told.starts_with("registered kept with the agent eu-"), "{told}");
    assert!(told.ends_with(": 2 other agents have applied it\n"), "{told}");
    assert!(eu.iter().all(|agent| known(agent) == ["kept"]));
    assert!(known(&us).is_empty());
    eventually("the agent that asked knows that there is something", || {
        let output = us.run(&["deregister", "kept", "--dc", "eu"]);
        output.status.success()
    });
    eventually("it is gone", || eu.iter().all(|agent| known(agent).is_empty()));
}
