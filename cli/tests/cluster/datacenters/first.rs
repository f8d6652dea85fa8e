//! The first agent of a datacenter, which is told of members of another one alone.

use crate::agent::{ANY_PORT, Agent, eventually};

#[test]
fn the_first_agent_of_a_datacenter_finds_another_one_by_join_and_is_not_isolated() {
    let home = tempfile::tempdir().unwrap();
    let eu = Agent::start_with(home.path(), "eu1", ANY_PORT, &["--datacenter=eu".to_owned()]);
    let args = ["--datacenter=us".to_owned(), format!("--join={}", eu.bind())];
    let us = Agent::start_with(home.path(), "us1", ANY_PORT, &args);
    eventually("both have the records of both", || {
        let knows = |agent: &Agent, name| agent.status_of(name).as_deref() == Some("alive");
        knows(&us, "eu1") && knows(&eu, "us1")
    });
    assert!(us.has_logged("is of another datacenter"));
    assert_eq!(us.json(&["info"])["isolated"], false);
}
