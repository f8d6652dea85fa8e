//! Two datacenters of one sealed cluster.

use std::time::Duration;

use hobnob_membership::testing::sealed::SealedCluster;
use hobnob_membership::testing::{Link, Network, identity};
use hobnob_membership::{Input, Node, Time};

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn two_sealed_datacenters_find_each_other_and_a_death_crosses() {
    let cluster = SealedCluster::default();
    let node = |n: usize| {
        let config = cluster.config_in(n, if n < 3 { "eu" } else { "us" });
        Node::new(config, Time::ZERO).expect("legal records")
    };
    let mut network = Network::new((0..6).map(node).collect(), Link::default(), Time::ZERO);
    network.groups = vec![0, 0, 0, 1, 1, 1];
    network.wan_latency = Duration::from_millis(40);
    for n in [1, 2, 4, 5] {
        let first = if n < 3 { 0 } else { 3 };
        network.handle(n, Input::Join(vec![identity(first).addr]));
    }
    network.run_for(10 * SECOND);
    network.handle(4, Input::JoinWan(vec![identity(1).addr]));
    network.run_for(10 * SECOND);
    assert!(network.is_whole(), "{:?}", network.nodes[0].datacenters(network.now));
    for other in 0..6 {
        network.cut.insert((other.min(5), other.max(5)));
    }
    network.run_for(5 * SECOND);
    assert!((0..5).all(|n| network.seen_alive(n, 1) == 2));
    assert!(network.nodes.iter().all(|node| node.counters().datagrams_forged == 0));
}
