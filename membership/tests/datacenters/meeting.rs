//! How datacenters find each other, and that no pool takes a member of another one.

use std::time::Duration;

use hobnob_membership::testing::{Network, identity};
use hobnob_membership::{Event, Input};

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn one_address_at_one_node_is_enough_for_two_datacenters() {
    let mut network = Network::apart(&[3, 3]);
    assert!(network.nodes.iter().all(|node| node.active_members() == 3), "two pools");
    network.handle(4, Input::JoinWan(vec![identity(0).addr]));
    network.run_for(5 * SECOND);
    assert!(network.is_whole(), "{:?}", network.nodes[2].datacenters(network.now));
}

#[test]
fn three_datacenters_that_know_one_find_each_other() {
    let network = Network::of_datacenters(&[3, 4, 2]);
    assert!(network.is_whole());
    let all = network.nodes[0].datacenters(network.now);
    let seen: Vec<_> = all.iter().map(|it| (&*it.name, it.is_own, it.alive, it.down)).collect();
    assert_eq!(seen, [("eu", true, 3, 0), ("ap", false, 2, 0), ("us", false, 4, 0)]);
}

#[test]
fn a_plain_join_to_another_datacenter_becomes_one_over_the_wan() {
    let mut network = Network::apart(&[3, 3]);
    network.handle(5, Input::Join(vec![identity(1).addr]));
    network.run_for(10 * SECOND);
    assert!(network.is_whole());
    let is_met = |event: &Event| matches!(event, Event::OtherDatacenter { address, name } if *address == identity(1).addr && name == "eu");
    assert_eq!(network.count_events(5, is_met), 1);
}
