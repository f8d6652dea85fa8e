//! An agent that dies and comes back.

use crate::agent::{ANY_PORT, Agent, eventually, items, text};

#[test]
fn a_killed_agent_is_down_and_returns_with_its_registrations() {
    let home = tempfile::tempdir().unwrap();
    let a1 = Agent::start(home.path(), "a1", &[]);
    let a2 = Agent::start(home.path(), "a2", &[&a1]);
    let mut a3 = Agent::start(home.path(), "a3", &[&a1]);
    a1.ok(&["register", "web", "--id", "web-1", "--port", "8001"]);
    a3.ok(&["register", "web", "--id", "web-3", "--port", "8003"]);
    let others = [&a1, &a2];
    eventually("all find both", || others.iter().all(|agent| agent.healthy("web").len() == 2));
    let node_id = a3.json(&["info"])["node_id"].clone();

    a3.kill();
    eventually("nobody offers the dead agent's instance", || {
        others.iter().all(|agent| agent.healthy("web") == ["web-1"])
    });
    eventually("it is down", || {
        others.iter().all(|agent| agent.status_of("a3").as_deref() == Some("down"))
    });
    assert_eq!(a1.instances("web")[1], ("web-3".to_owned(), "unknown".to_owned()));
    let explained = a1.json(&["explain", "web-3"]);
    let instance = &explained["instances"][0];
    let age = instance["age_ms"].as_u64().unwrap();
    let down = instance["origin"]["down_ago_ms"].as_u64().unwrap();
    assert!(age >= down, "it counts from the last sign of life, not from the verdict: {instance}");
    assert!(a1.picks("web", 4).iter().all(|id| id == "web-1"));

    // The file of its socket is still there, and nobody is named to join at.
    assert!(a3.socket().exists());
    let a3 = a3.restart();
    let all = [&a1, &a2, &a3];
    eventually("it is back", || {
        all.iter().all(|agent| agent.healthy("web").len() == 2 && agent.alive() == 3)
    });
    assert_eq!(a3.json(&["info"])["node_id"], node_id);
    for agent in all {
        let members = agent.json(&["members"])["members"].take();
        let mut names: Vec<_> =
            items(&members).iter().map(|member| text(member, "member")).collect();
        names.sort_unstable();
        assert_eq!(names, ["a1", "a2", "a3"], "one member for each agent, on {}", agent.name);
    }
}

#[test]
fn the_last_two_of_ten_learn_that_the_others_are_gone_and_log_a_cut() {
    let home = tempfile::tempdir().unwrap();
    let a1 = Agent::start(home.path(), "a1", &[]);
    let mut agents: Vec<Agent> =
        (2..=10).map(|n| Agent::start(home.path(), &format!("a{n}"), &[&a1])).collect();
    let a2 = agents.remove(0);
    let last = [&a1, &a2];
    eventually("ten are alive", || last.iter().all(|agent| agent.alive() == 10));
    Agent::kill_all(&mut agents);
    eventually("two are left", || last.iter().all(|agent| agent.alive() == 2));
    // The first one or two may be told of by themselves: their monitors saw their connections close.
    let line = "at once: probably a cut";
    eventually("one line tells of it", || last.iter().all(|agent| agent.has_logged(line)));
    assert!(last.iter().all(|agent| agent.json(&["info"])["isolated"] == false));
}

#[test]
fn a_seed_that_restarts_finds_its_cluster_again() {
    let home = tempfile::tempdir().unwrap();
    let mut a1 = Agent::start(home.path(), "a1", &[]);
    let a2 = Agent::start(home.path(), "a2", &[&a1]);
    let a3 = Agent::start(home.path(), "a3", &[&a1]);
    eventually("three are alive", || [&a1, &a2, &a3].iter().all(|agent| agent.alive() == 3));
    a1.kill();
    let a1 = a1.restart();
    eventually("three are alive again", || [&a1, &a2, &a3].iter().all(|agent| agent.alive() == 3));
}

#[test]
fn kept_records_are_served_while_their_agent_restarts() {
    let home = tempfile::tempdir().unwrap();
    let a1 = Agent::start(home.path(), "a1", &[]);
    let start = |bind| {
        let join = ["--join".to_owned(), a1.bind().to_string(), "--keep-on-exit".to_owned()];
        Agent::start_with(home.path(), "a2", bind, &join)
    };
    let mut a2 = start(ANY_PORT);
    a2.ok(&["register", "web", "--id", "web-2", "--port", "8002"]);
    eventually("a1 finds it", || a1.healthy("web") == ["web-2"]);
    a2.terminate();
    assert_eq!(a1.healthy("web"), ["web-2"], "the records stay");
    assert_eq!(a1.status_of("a2").as_deref(), Some("alive"));
    let a2 = start(a2.bind());
    eventually("the restarted agent serves it", || {
        a2.alive() == 2 && a2.healthy("web") == ["web-2"]
    });
    assert_eq!(a1.healthy("web"), ["web-2"]);
}
