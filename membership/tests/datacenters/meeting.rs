//! How datacenters find each other, and that no pool takes a member of another one.

use std::time::Duration;

use hobnob_membership::testing::{Link, Network, identity, node};
use hobnob_membership::{Event, Input, Time};

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

#[test]
fn a_node_that_joins_a_pool_far_away_is_told_so_once_and_its_pool_is_not() {
    let mut net = Network::new((0..4).map(node).collect(), Link::default(), Time::ZERO);
    net.far.insert(3, Duration::from_millis(15));
    for n in 1..4 {
        net.handle(n, Input::Join(vec![identity(0).addr]));
    }
    net.run_for(60 * SECOND);
    let far = |n: usize| net.count_events(n, |event| matches!(event, Event::FarPool { .. }));
    assert_eq!([0, 1, 2, 3].map(far), [0, 0, 0, 1]);
    let told = net.events[3].iter().find_map(|event| match event {
        Event::FarPool { round_trip } => Some(*round_trip),
        _ => None,
    });
    let told = told.expect("told");
    assert!((30..40).contains(&told.as_millis()), "{told:?}");
    let counted = |n: usize| net.nodes[n].counters().pool_is_far;
    assert_eq!([0, 1, 2, 3].map(counted), [0, 0, 0, 1]);
}

#[test]
fn a_pool_of_one_network_is_not_far() {
    let mut net = Network::new((0..3).map(node).collect(), Link::default(), Time::ZERO);
    net.far.insert(2, Duration::from_millis(8));
    for n in 1..3 {
        net.handle(n, Input::Join(vec![identity(0).addr]));
    }
    net.run_for(60 * SECOND);
    assert!(net.nodes.iter().all(|node| node.counters().pool_is_far == 0));
}
