//! Two datacenters under one name stay apart, and a member that moves to another datacenter leaves its own.

use std::time::Duration;

use hobnob_membership::record::NodeRecord;
use hobnob_membership::testing::{Network, config, identity, node_in, record};
use hobnob_membership::view::MemberStatus;
use hobnob_membership::{Config, DatacenterId, Epoch, Event, Gateway, Identity, Input, Node};

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn our_own_name_on_the_other_side_is_refused_and_told_once() {
    let mut network = Network::apart(&[3, 3]);
    // Both call themselves the same.
    for n in 3..6 {
        network.nodes[n] = node_in(n, "eu", Gateway::Yes);
    }
    for n in 4..6 {
        network.handle(n, Input::Join(vec![identity(3).addr]));
    }
    network.run_for(5 * SECOND);
    network.handle(4, Input::JoinWan(vec![identity(0).addr]));
    network.run_for(120 * SECOND);
    let refused = |event: &Event| matches!(event, Event::SameDatacenter { address } if *address == identity(0).addr);
    assert_eq!(network.count_events(4, refused), 1);
    assert!(network.nodes.iter().all(|node| node.active_members() == 3), "two pools");
    assert!(network.nodes.iter().all(|node| node.datacenters(network.now).len() == 1));
    assert!(network.nodes[4].counters().same_datacenter_refused >= 3);
}

#[test]
fn members_of_our_own_pool_among_the_addresses_are_no_conflict() {
    let mut network = Network::apart(&[3, 3]);
    for n in 0..6 {
        network.handle(n, Input::JoinWan((0..6).map(|n| identity(n).addr).collect()));
    }
    network.run_for(20 * SECOND);
    assert!(network.is_whole());
    let is_refused = |event: &Event| matches!(event, Event::SameDatacenter { .. });
    assert!((0..6).all(|n| network.count_events(n, is_refused) == 0));
}

/// A node that starts again in another datacenter, with its node id.
fn moved(n: usize, datacenter: &str) -> Node {
    let node = NodeRecord { datacenter: datacenter.into(), ..record(n) };
    let identity = Identity { epoch: Epoch(900_000), ..identity(n) };
    Node::new(Config { node, identity, ..config(n) }, hobnob_membership::Time::ZERO).expect("legal")
}

#[test]
fn a_member_that_starts_again_in_another_datacenter_has_left_the_first() {
    let mut network = Network::of_datacenters(&[4, 3]);
    assert!(network.is_whole());
    network.nodes[2] = moved(2, "us");
    network.groups[2] = 1;
    network.handle(2, Input::Join(vec![identity(4).addr]));
    network.run_for(10 * SECOND);
    assert!(network.is_whole(), "{:?}", network.nodes[0].members());
    let us = DatacenterId::named("us");
    assert!(network.nodes.iter().all(|node| node.datacenter_of(identity(2).node_id) == Some(us)));
    for node in &network.nodes {
        let member = node.member(identity(2).node_id).expect("known everywhere");
        assert_eq!(member.status, MemberStatus::Alive);
    }
}

#[test]
fn a_datacenter_that_is_renamed_member_by_member_is_whole_under_its_new_name() {
    let mut network = Network::of_datacenters(&[3, 3]);
    for n in 3..6 {
        network.nodes[n] = moved(n, "ap");
        let others: Vec<_> = (0..6).filter(|other| *other != n).map(|n| identity(n).addr).collect();
        network.handle(n, Input::Join(others[3..].to_vec()));
        network.handle(n, Input::JoinWan(others));
        network.groups[n] = 2;
        network.run_for(10 * SECOND);
    }
    network.run_for(20 * SECOND);
    assert!(network.is_whole(), "{:?}", network.nodes[0].datacenters(network.now));
}
