//! Names and addresses to join at.

use std::net::SocketAddr;

use crate::agent::{Agent, eventually};

#[test]
fn a_name_that_does_not_resolve_is_told_and_the_others_are_joined() {
    let home = tempfile::tempdir().unwrap();
    let good = Agent::start(home.path(), "good", &[]);
    let agent = Agent::start(home.path(), "a1", &[]);
    let output = agent.run(&["join", "nowhere.invalid", &good.bind().to_string()]);
    let error = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{error}");
    assert!(error.contains("`nowhere.invalid:7946`"), "{error}");
    let joined = String::from_utf8(output.stdout).unwrap();
    assert!(joined.contains(&good.bind().to_string()), "{joined}");
    eventually("both are members", || agent.alive() == 2 && good.alive() == 2);
}

#[test]
fn an_agent_of_both_families_joins_by_ipv4() {
    let home = tempfile::tempdir().unwrap();
    let good = Agent::start(home.path(), "good", &[]);
    let any: SocketAddr = "[::]:0".parse().unwrap();
    let join = format!("--join={}", good.bind());
    let args = ["--insecure".to_owned(), "--advertise=127.0.0.1".to_owned(), join];
    let both = Agent::start_with(home.path(), "both", any, &args);
    both.ok(&["register", "web", "--port", "80"]);
    eventually("both are members", || both.alive() == 2 && good.alive() == 2);
    eventually("its instance is known", || good.healthy("web") == ["web"]);
    drop(both);
    eventually("its end is noticed", || good.status_of("both").as_deref() == Some("down"));
}
