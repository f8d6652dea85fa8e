//! An agent whose process ends: its kernel tells that to its monitors, unless the agent said goodbye.

use std::path::Path;

use serde_json::Value;

use crate::agent::{ANY_PORT, Agent, eventually, text};

const AGENTS: usize = 4;

/// Agents that hold connections to each other, each to all others.
fn holding(home: &Path, count: usize, args: &[&str]) -> Vec<Agent> {
    let mut agents: Vec<Agent> = Vec::new();
    for n in 1..=count {
        let joins = agents.first().map(|first| format!("--join={}", first.bind()));
        let args: Vec<String> = args.iter().map(ToString::to_string).chain(joins).collect();
        agents.push(Agent::start_with(home, &format!("a{n}"), ANY_PORT, &args));
    }
    until_held(&agents);
    agents
}

fn until_held(agents: &[Agent]) {
    let others = agents.len() as u64 - 1;
    eventually("each holds a connection to each", || {
        let held = |agent: &Agent| [agent.counter("holds_in"), agent.counter("holds_out")];
        agents.iter().all(|agent| held(agent) == [others; 2])
    });
}

fn explained(agent: &Agent, name: &str) -> Value {
    agent.json(&["explain", name])["members"][0].take()
}

fn hints(agents: &[Agent]) -> Vec<u64> {
    agents.iter().map(|agent| agent.counter("exit_hints")).collect()
}

#[test]
fn the_exit_of_a_killed_agent_is_known_for_what_it_is() {
    let home = tempfile::tempdir().unwrap();
    let mut agents = holding(home.path(), AGENTS, &[]);
    let mut killed = agents.remove(1);
    killed.kill();
    eventually("it is down", || {
        agents.iter().all(|agent| agent.status_of("a2").as_deref() == Some("down"))
    });
    for agent in &agents {
        let member = agent.json(&["explain", "a2"])["members"][0].take();
        let why = text(&member, "reason");
        assert!(why.starts_with("its process exited: "), "on {}: {member}", agent.name);
        assert!(
            why.contains(" saw its connections close or new ones refused"),
            "on {}: {member}",
            agent.name
        );
        assert_eq!(member["verdict"]["exited"], true, "on {}: {member}", agent.name);
        assert_eq!(member["verdict"]["cause"], "silence", "on {}: {member}", agent.name);
    }
    assert_eq!(hints(&agents), [1, 1, 1]);

    agents.insert(1, killed.restart());
    eventually("all are alive", || agents.iter().all(|agent| agent.alive() == AGENTS));
    until_held(&agents);
}

#[test]
fn of_two_agents_the_one_that_is_left_knows_that_the_other_exited() {
    let home = tempfile::tempdir().unwrap();
    let mut agents = holding(home.path(), 2, &[]);
    agents.pop().unwrap().kill();
    let left = &agents[0];
    eventually("the other is down", || left.status_of("a2").as_deref() == Some("down"));
    let member = left.json(&["explain", "a2"])["members"][0].take();
    assert!(text(&member, "reason").starts_with("its process exited: one node "), "{member}");
    assert_eq!(left.json(&["info"])["isolated"], true, "nobody else can tell");
}

#[test]
fn an_agent_tells_which_members_it_watches_and_since_when_it_holds_a_connection() {
    let home = tempfile::tempdir().unwrap();
    let mut agents = holding(home.path(), 2, &[]);
    for (agent, other) in [(&agents[0], "a2"), (&agents[1], "a1")] {
        let member = explained(agent, other);
        assert!(member["watched"]["held_ms"].is_u64(), "{}: {member}", agent.name);
        let told = String::from_utf8(agent.run(&["explain", other]).stdout).unwrap();
        let words = "by this agent, which has held a connection to it for ";
        assert!(told.contains(words), "{}: {told}", agent.name);
        let own = explained(agent, &agent.name);
        assert!(own["watched"].is_null(), "no agent watches itself: {own}");
    }
    let left = agents.remove(0);
    agents.pop().unwrap().kill();
    eventually("the other is down", || left.status_of("a2").as_deref() == Some("down"));
    let member = explained(&left, "a2");
    assert!(member["watched"].is_null(), "a dead member is not watched: {member}");
}

#[test]
fn an_agent_that_keeps_its_records_and_restarts_has_not_exited() {
    let home = tempfile::tempdir().unwrap();
    let mut agents = holding(home.path(), AGENTS, &["--keep-on-exit"]);
    let mut stopped = agents.remove(1);
    stopped.terminate();
    agents.insert(1, stopped.restart());
    eventually("all are alive", || agents.iter().all(|agent| agent.alive() == AGENTS));
    until_held(&agents);
    assert_eq!(hints(&agents), [0; AGENTS], "it said goodbye");
    for agent in &agents {
        assert_eq!(agent.counter("exits_convicted"), 0, "{}", agent.name);
        let member = agent.json(&["explain", "a2"])["members"][0].take();
        assert_eq!(member["verdict"], Value::Null, "on {}", agent.name);
    }
}

#[test]
fn an_agent_that_leaves_has_not_exited() {
    let home = tempfile::tempdir().unwrap();
    let mut agents = holding(home.path(), AGENTS, &[]);
    let (mut asked, mut signalled) = (agents.remove(1), agents.remove(1));
    asked.ok(&["leave"]);
    asked.expect_end();
    signalled.terminate();
    eventually("both have left", || {
        let has_left = |agent: &Agent, name| agent.status_of(name).as_deref() == Some("left");
        agents.iter().all(|agent| has_left(agent, "a2") && has_left(agent, "a3"))
    });
    assert_eq!(hints(&agents), [0; 2]);
}
