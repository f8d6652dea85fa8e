//! Dropping dead members from the memory of one agent.

use super::three_of_which_the_last_serves;
use crate::agent::{Agent, eventually, items, text};

/// The members that an agent remembers, by name, with the status of each.
fn remembered(agent: &Agent) -> Vec<(String, String)> {
    let members = agent.json(&["members", "--all"])["members"].take();
    items(&members).iter().map(|item| (text(item, "member"), text(item, "status"))).collect()
}

fn knows(agent: &Agent, name: &str) -> bool {
    remembered(agent).iter().any(|(known, _)| known == name)
}

/// The exit code of a command, and what it says on stderr.
fn refused(agent: &Agent, args: &[&str]) -> (Option<i32>, String) {
    let output = agent.run(args);
    (output.status.code(), String::from_utf8(output.stderr).unwrap())
}

#[test]
fn a_dead_member_is_dropped_by_one_agent_and_stays_so_until_it_returns() {
    let home = tempfile::tempdir().unwrap();
    let (a1, a2, mut a3) = three_of_which_the_last_serves(home.path());
    a3.kill();
    eventually("it is down", || {
        [&a1, &a2].iter().all(|agent| agent.status_of("a3").as_deref() == Some("down"))
    });

    let (code, said) = refused(&a1, &["prune"]);
    assert_eq!(code, Some(3), "it has not been down for an hour: {said}");
    assert!(said.contains("nothing was dropped"), "{said}");
    let (code, said) = refused(&a1, &["prune", "a2"]);
    assert!(code == Some(1) && said.contains("`a2` lives"), "{code:?} {said}");
    assert_eq!(refused(&a1, &["prune", "a1"]).0, Some(2), "itself");
    assert_eq!(refused(&a1, &["prune", "nobody"]).0, Some(3));
    assert_eq!(refused(&a1, &["prune", "a3", "nobody"]).0, Some(3));
    assert!(knows(&a1, "a3"), "nothing of a refused call is done");

    let pruned = a1.json(&["prune", "a3"]);
    assert_eq!(text(&pruned["members"][0], "status"), "down", "{pruned}");
    assert_eq!((items(&pruned["members"]).len(), &pruned["kept"]), (1, &0.into()));
    assert!(!knows(&a1, "a3") && a1.instances("web").is_empty());
    a2.ok(&["register", "api", "--port", "80"]);
    eventually("they go on", || a1.healthy("api") == ["api"]);
    assert!(!knows(&a1, "a3") && a1.instances("web").is_empty(), "it came back by repair");
    assert!(knows(&a2, "a3") && a2.instances("web").len() == 1, "only one agent was told");

    let _a3 = a3.restart();
    eventually("it is back", || a1.healthy("web") == ["web"]);
    assert_eq!(a1.status_of("a3").as_deref(), Some("alive"));
}

#[test]
fn members_that_left_and_records_of_the_unknown_dead_are_listed_and_dropped() {
    let home = tempfile::tempdir().unwrap();
    let a1 = Agent::start(home.path(), "a1", &[]);
    let a2 = Agent::start(home.path(), "a2", &[&a1]);
    let mut a3 = Agent::start(home.path(), "a3", &[&a1]);
    let mut a4 = Agent::start(home.path(), "a4", &[&a1]);
    a3.ok(&["register", "web", "--port", "80"]);
    eventually("all are there", || {
        [&a1, &a2].iter().all(|agent| agent.alive() == 4 && agent.healthy("web") == ["web"])
    });
    a3.kill();
    a4.terminate();
    eventually("one is down and one left", || {
        let status = |name| a1.status_of(name);
        status("a3").as_deref() == Some("down") && status("a4").as_deref() == Some("left")
    });
    let listed = a1.json(&["members"])["members"].take();
    let names: Vec<_> = items(&listed).iter().map(|item| text(item, "member")).collect();
    assert_eq!(names, ["a1", "a2", "a3"], "gone is gone");

    // A newcomer knows the dead by their records alone.
    let a5 = Agent::start(home.path(), "a5", &[&a1]);
    eventually("it has the records", || a5.instances("web").len() == 1);
    assert!(remembered(&a5).contains(&("a3".to_owned(), "down".to_owned())));
    let listed = a5.json(&["members"])["members"].take();
    let listed: Vec<_> =
        items(&listed).iter().map(|item| (text(item, "member"), text(item, "status"))).collect();
    let names: Vec<&str> = listed.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["a1", "a2", "a3", "a5"], "its instance may be offered");
    assert_eq!(listed[2].1, "down");
    a5.ok(&["prune", "a3"]);
    assert_eq!(items(&a5.json(&["members"])["members"]).len(), 3);
    assert!(a5.instances("web").is_empty());

    let said = a1.run(&["prune", "--older-than", "1ms"]);
    let said = String::from_utf8(said.stdout).unwrap();
    assert!(said.contains("dropped a3 (") && said.contains("): down, "), "{said}");
    assert!(said.contains("dropped a4 (") && said.contains("): left, "), "{said}");
    assert!(!knows(&a1, "a3") && !knows(&a1, "a4"));
    assert!(knows(&a2, "a3") && knows(&a2, "a4"));
}

#[test]
fn an_agent_that_hears_nobody_keeps_those_through_which_it_finds_the_cluster_again() {
    let home = tempfile::tempdir().unwrap();
    let isolated = |agent: &Agent| agent.json(&["info"])["isolated"] == true;
    let a1 = Agent::start(home.path(), "a1", &[]);
    let mut a2 = Agent::start(home.path(), "a2", &[&a1]);
    eventually("they know each other", || a1.alive() == 2 && a2.alive() == 2);
    a2.kill();
    eventually("it hears nobody", || isolated(&a1));
    let (code, said) = refused(&a1, &["prune", "--older-than", "1ms"]);
    assert!(code == Some(3) && said.contains("1 kept"), "{code:?} {said}");
    assert!(knows(&a1, "a2"));
    a1.ok(&["prune", "a2"]);
    assert!(!knows(&a1, "a2"), "the operator named it");
    eventually("it expects nobody", || !isolated(&a1));
}
