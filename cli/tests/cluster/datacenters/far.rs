//! A datacenter that is joined over a slow link, as if it were one network.

use super::link::{Link, PORTS, host};
use super::{Agent, DELAY, network};
use crate::agent::{eventually, text};
use crate::networks::{Namespace, found_cluster, in_own_network};

/// The report of the inner process.
const WARNED: &str = "both agents have warned";
const WARNING: &str = "far apart for one network";

#[test]
fn an_agent_that_joins_its_own_datacenter_over_a_slow_link_warns_once() {
    let name =
        "datacenters::far::an_agent_that_joins_its_own_datacenter_over_a_slow_link_warns_once";
    in_own_network(name, "link set lo up", WARNED, inside);
}

fn inside() {
    let home = tempfile::tempdir().unwrap();
    let first = format!("{}:{}", host(0, 1), PORTS[0]);
    let token = found_cluster(home.path(), &first);
    let networks = [network(), network()];
    let _link = Link::between(networks.each_ref().map(Namespace::process), DELAY);
    let start = |at: usize, join: &[String]| {
        Agent::start_in(home.path(), &networks[at], (at, 1), "eu", join, &token)
    };
    let agents = [start(0, &[]), start(1, &[format!("--join={first}")])];
    eventually("both warn", || agents.iter().all(|agent| agent.log().contains(WARNING)));
    println!("{WARNED}");
    for agent in &agents {
        agent.ok(&["members"]);
        let log = agent.log();
        assert_eq!(log.matches(WARNING).count(), 1, "{log}");
        let line = log.lines().find(|line| line.contains(WARNING)).unwrap();
        for part in ["WARN", "round_trip_ms=", "--datacenter NAME", "--join-wan"] {
            assert!(line.contains(part), "no {part} in: {line}");
        }
        assert_eq!(text(&agent.json(&["info", "--json"]), "datacenter"), "eu");
    }
}
