//! A sealed cluster of two datacenters: keys and orders cross, whether or not the way was open when they were given.

use std::time::Duration;

use hobnob_membership::record::NodeRecord;
use hobnob_membership::testing::sealed::{SealedCluster, node_id};
use hobnob_membership::testing::{Link, Network, identity, record};
use hobnob_membership::view::MemberStatus;
use hobnob_membership::{Config, Event, Input, Node, Time};

use crate::fixtures::{S, present};

/// Three nodes in `eu`, then three in `us`, which know each other.
fn two_datacenters() -> (SealedCluster, Network) {
    let (cluster, mut net) = apart();
    net.run_for(S(20));
    assert!(net.is_whole());
    (cluster, net)
}

/// The same at their beginning.
fn apart() -> (SealedCluster, Network) {
    let cluster = SealedCluster::default();
    let groups: Vec<usize> = vec![0, 0, 0, 1, 1, 1];
    let nodes = groups.iter().enumerate().map(|(n, group)| {
        let datacenter = ["eu", "us"][*group];
        let node = NodeRecord { datacenter: datacenter.into(), ..record(n) };
        let config = Config { node, ..cluster.config_in(n, datacenter) };
        Node::new(config, Time::ZERO).expect("legal records")
    });
    let mut net = Network::new(nodes.collect(), Link::default(), Time::ZERO);
    net.groups = groups;
    net.wan_latency = Duration::from_millis(40);
    for (n, at) in [(1, 0), (2, 0), (4, 3), (5, 3)] {
        net.handle(n, Input::Join(vec![identity(at).addr]));
    }
    net.handle(3, Input::JoinWan(vec![identity(0).addr]));
    (cluster, net)
}

fn out_of_reach(net: &Network) -> usize {
    let is_told = |event: &Event| matches!(event, Event::DatacenterUnreachable { .. });
    (0..6).map(|n| net.count_events(n, is_told)).sum()
}

#[test]
fn a_rotation_reaches_the_other_datacenter_and_nobody_goes_out_of_reach() {
    let (cluster, mut net) = two_datacenters();
    let next = cluster.generation(2, 9);
    net.handle(1, Input::Rotate(next.clone()));
    net.run_for(S(5));
    let holds = |net: &Network, n: usize| {
        net.nodes[n].generations(net.now).iter().any(|(held, _)| held.id() == next.id())
    };
    assert!((0..6).all(|n| holds(&net, n)), "not all have it after five seconds");
    net.run_for(S(90));
    assert!((0..6).all(|n| present(&net, n) == Some(next.id())));
    assert!(net.is_whole());
    assert_eq!(out_of_reach(&net), 0);
}

#[test]
fn a_datacenter_that_missed_rotations_gets_the_last_one_and_is_back() {
    let (cluster, mut net) = two_datacenters();
    net.cut_off(1);
    net.run_for(S(30));
    for number in 2..=4 {
        net.handle(0, Input::Rotate(cluster.generation(number, number as u8)));
        net.run_for(S(60));
    }
    let last = Some(cluster.generation(4, 4).id());
    assert!((0..3).all(|n| present(&net, n) == last));
    assert!((3..6).all(|n| present(&net, n).map(|id| id.number) == Some(1)));
    net.cut.clear();
    net.run_for(S(30));
    assert!((3..6).all(|n| present(&net, n) == last));
    assert!(net.is_whole());
}

#[test]
fn datacenters_that_rotated_before_they_met_become_one_cluster() {
    let (cluster, mut net) = apart();
    net.cut_off(1);
    net.run_for(S(15));
    net.handle(0, Input::Rotate(cluster.generation(2, 2)));
    net.handle(4, Input::Rotate(cluster.generation(2, 3)));
    net.run_for(S(60));
    assert_ne!(present(&net, 0), present(&net, 3));
    net.cut.clear();
    net.run_for(S(45));
    assert!((0..6).all(|n| present(&net, n) == present(&net, 0)));
    assert!(net.is_whole());
}

#[test]
fn a_death_crosses() {
    let (_, mut net) = two_datacenters();
    net.cut.extend((0..5).map(|n| (n, 5)));
    net.run_for(S(5));
    assert!((0..5).all(|n| net.seen_alive(n, 1) == 2));
    assert!(net.nodes.iter().all(|node| node.counters().datagrams_forged == 0));
}

#[test]
fn a_survey_asks_the_members_of_all_datacenters() {
    let (_, mut net) = two_datacenters();
    net.handle(1, Input::Survey);
    net.run_for(S(4));
    let status = net.nodes[1].key_status(net.now).expect("sealed");
    assert_eq!(status.members.len(), 5);
    assert!(status.members.iter().all(|member| member.has_newest && member.shown_at.is_some()));
}

#[test]
fn a_node_that_is_revoked_in_one_datacenter_is_out_in_the_other() {
    let (cluster, mut net) = two_datacenters();
    net.handle(4, Input::Revoke(cluster.revoke(2)));
    net.run_for(S(10));
    for n in [0, 1, 3, 4, 5] {
        let member = net.nodes[n].member(node_id(2)).expect("it is known");
        assert_eq!(member.status, MemberStatus::Revoked, "{n}");
    }
}

#[test]
fn a_request_crosses_to_a_member_that_proves_who_asks() {
    let (_, mut net) = two_datacenters();
    let now = net.now;
    let request = net.nodes[4].request(node_id(1), b"please".to_vec(), S(5), now);
    let request = request.expect("in reach");
    net.flush(4);
    net.run_for(S(1));
    let told = net.events[1].iter().find_map(|event| match event {
        Event::Requested { request, from, bytes } => Some((*request, *from, bytes.clone())),
        _ => None,
    });
    let (there, from, bytes) = told.expect("told");
    assert_eq!((from, &bytes[..]), (node_id(4), &b"please"[..]));
    assert_eq!(net.nodes[1].hides(from, "web"), None);
    net.handle(1, Input::Answer { request: there, bytes: b"done".to_vec() });
    net.run_for(S(1));
    let is_answer = |event: &Event| matches!(event, Event::Answered { request: of, result: Ok(bytes) } if *of == request && bytes == b"done");
    assert_eq!(net.count_events(4, is_answer), 1);
}
