//! Rotation, and the survey of the keys that members hold.

use hobnob_keys::GenerationId;
use hobnob_membership::record::Health;
use hobnob_membership::testing::sealed::{SealedCluster, node_id};
use hobnob_membership::testing::{Link, Network, config, health, identity};
use hobnob_membership::{Config, Event, Input, Node, Time};
use std::time::Duration;

use crate::fixtures::{S, cluster_and, operator, order, present, revoke_operator};

#[test]
fn a_rotation_reaches_everybody_and_nobody_goes_down_meanwhile() {
    let (cluster, mut net) = cluster_and(6, 0);
    let next = cluster.generation(2, 9);
    net.events.iter_mut().for_each(Vec::clear);
    net.handle(3, Input::Rotate(next.clone()));
    net.run_for(S(5));
    let holds = |net: &Network, n: usize| {
        net.nodes[n].generations(net.now).iter().any(|(held, _)| held.id() == next.id())
    };
    assert!((0..6).all(|n| holds(&net, n)), "not all have it after five seconds");
    let from = net.datagrams.len();
    net.write(0, health("x", Health::Passing));
    net.run_for(S(60));
    assert!((0..6).all(|n| present(&net, n) == Some(next.id())));
    assert!(net.datagrams[from..].iter().rev().take(100).all(|bytes| bytes[1] == 2));
    assert!(net.is_converged());
    for n in 0..6 {
        assert_eq!(net.nodes[n].active_members(), 6);
        let changed = |event: &&Event| matches!(event, Event::Member(_));
        assert_eq!(net.events[n].iter().filter(changed).count(), 0, "{n}");
        let counters = net.nodes[n].counters();
        assert_eq!(counters.datagrams_forged + counters.datagrams_of_unknown_generation, 0);
    }
}

#[test]
fn a_member_that_missed_rotations_gets_the_last_one_and_is_back() {
    let (cluster, mut net) = cluster_and(4, 0);
    net.cut.extend((0..3).map(|n| (n, 3)));
    net.run_for(S(30));
    for number in 2..=4 {
        net.handle(0, Input::Rotate(cluster.generation(number, number as u8)));
        net.run_for(S(60));
    }
    assert!((0..3).all(|n| present(&net, n) == Some(cluster.generation(4, 4).id())));
    assert_eq!(present(&net, 3).map(|id| id.number), Some(1));
    net.cut.clear();
    net.run_for(S(15));
    assert_eq!(present(&net, 3), Some(cluster.generation(4, 4).id()));
    assert!(net.nodes.iter().all(|node| node.active_members() == 4));
    net.run_for(S(20));
    assert!(net.is_converged());
}

#[test]
fn two_halves_that_rotated_apart_end_up_with_one_generation() {
    let (cluster, mut net) = cluster_and(4, 0);
    net.cut.extend([(0, 2), (0, 3), (1, 2), (1, 3)]);
    net.run_for(S(30));
    let (left, right) = (cluster.generation(2, 1), cluster.generation(2, 2));
    net.handle(0, Input::Rotate(left.clone()));
    net.handle(2, Input::Rotate(right.clone()));
    net.run_for(S(120));
    assert_ne!(present(&net, 0), present(&net, 2));
    net.cut.clear();
    net.run_for(S(60));
    let winner = if left.id().replaces(&right.id()) { left.id() } else { right.id() };
    assert!((0..4).all(|n| present(&net, n) == Some(winner)));
    assert!(net.nodes.iter().all(|node| node.active_members() == 4));
    assert!(net.is_converged());
}

#[test]
fn halves_agree_though_the_operator_of_the_newest_generation_was_revoked_meanwhile() {
    let (cluster, mut net) = cluster_and(4, 0);
    let (one, other) = (operator(&cluster, 10), operator(&cluster, 11));
    net.cut.extend([(0, 2), (0, 3), (1, 2), (1, 3)]);
    net.run_for(S(30));
    net.handle(0, Input::Rotate(order(&one, 2)));
    net.handle(0, Input::Rotate(order(&one, 3)));
    net.handle(2, Input::Revoke(revoke_operator(&cluster, &other, 10)));
    net.handle(2, Input::Rotate(order(&other, 2)));
    net.run_for(S(120));
    assert_eq!(present(&net, 0), Some(order(&one, 3).id()));
    net.cut.clear();
    net.run_for(S(60));
    let winner = order(&other, 2).id();
    assert!((0..4).all(|n| present(&net, n) == Some(winner)));
    assert!(net.nodes.iter().all(|node| node.active_members() == 4));
}

#[test]
fn operators_who_revoke_each_other_end_no_cluster() {
    let (cluster, mut net) = cluster_and(4, 0);
    let (one, other) = (operator(&cluster, 10), operator(&cluster, 11));
    net.handle(0, Input::Revoke(revoke_operator(&cluster, &one, 11)));
    net.handle(0, Input::Rotate(order(&one, 2)));
    net.handle(2, Input::Revoke(revoke_operator(&cluster, &other, 10)));
    net.handle(2, Input::Rotate(order(&other, 2)));
    net.run_for(S(120));
    let agreed = present(&net, 0);
    assert!(agreed.is_some() && (0..4).all(|n| present(&net, n) == agreed), "{agreed:?}");
    assert!(net.nodes.iter().all(|node| node.active_members() == 4));
    net.handle(1, Input::Rotate(order(&operator(&cluster, 12), 3)));
    net.run_for(S(60));
    assert!((0..4).all(|n| present(&net, n).is_some_and(|id| id.number == 3)));
}

#[test]
fn a_number_that_leaves_no_room_gives_way_once_its_operator_is_revoked() {
    let (cluster, mut net) = cluster_and(5, 0);
    let (one, bad) = (operator(&cluster, 10), operator(&cluster, 11));
    net.handle(0, Input::Rotate(order(&one, 2)));
    net.run_for(S(60));
    // Node 4 is away from here on, nodes 2 and 3 are cut off before the revocation.
    net.cut.extend((0..4).map(|n| (n, 4)));
    net.run_for(S(30));
    net.handle(0, Input::Rotate(order(&bad, u64::MAX)));
    net.run_for(S(60));
    assert!((0..4).all(|n| present(&net, n) == Some(order(&bad, u64::MAX).id())));
    net.cut.extend([(0, 2), (0, 3), (1, 2), (1, 3)]);
    net.run_for(S(30));
    let number = GenerationId::number_after(u64::MAX, 1);
    let over = order(&one, number);
    net.handle(0, Input::Revoke(revoke_operator(&cluster, &one, 11)));
    net.handle(0, Input::Rotate(over.clone()));
    net.run_for(S(120));
    assert!((0..2).all(|n| present(&net, n) == Some(over.id())));
    assert!((2..4).all(|n| present(&net, n) == Some(order(&bad, u64::MAX).id())));
    net.cut.clear();
    net.run_for(S(60));
    assert!((0..5).all(|n| present(&net, n) == Some(over.id())));
    assert!(net.nodes.iter().all(|node| node.active_members() == 5));
    let next = order(&one, GenerationId::number_after(number, 1));
    assert_eq!(next.id().number, number + 1);
    net.handle(3, Input::Rotate(next.clone()));
    net.run_for(S(60));
    assert!((0..5).all(|n| present(&net, n) == Some(next.id())));
    assert!(net.is_converged());
}

/// The members that hold the newest generation and all revocations, as a node knows.
fn current(net: &Network, at: usize) -> Vec<usize> {
    let status = net.nodes[at].key_status(net.now).expect("sealed");
    let has_all = |n: &usize| {
        let of = status.members.iter().find(|member| member.node == node_id(*n));
        of.is_some_and(|member| member.has_newest && member.has_revocations)
    };
    (0..net.nodes.len()).filter(has_all).collect()
}

#[test]
fn a_survey_tells_which_members_hold_the_keys_and_gives_them_to_those_that_lack_them() {
    let (cluster, mut net) = cluster_and(6, 0);
    net.handle(0, Input::Survey);
    net.run_for(S(3));
    assert_eq!(current(&net, 0), [1, 2, 3, 4, 5]);
    let status = net.nodes[0].key_status(net.now).expect("sealed");
    assert!(!status.is_surveying);
    assert_eq!((status.present, status.revocations), (Some(cluster.generation(1, 7).id()), 0));
    assert!(status.members.iter().all(|member| member.present == status.present));
    // Members that are known to hold all are not asked again.
    let opened = net.streams_opened;
    net.handle(0, Input::Survey);
    net.run_for(Duration::from_millis(10));
    assert_eq!(net.streams_opened, opened);
    // Node 5 is out of reach of all but node 1, and stays a member.
    net.cut.extend([(0, 5), (2, 5), (3, 5), (4, 5)]);
    net.run_for(S(2));
    let next = cluster.generation(2, 9);
    net.handle(0, Input::Rotate(next.clone()));
    net.handle(0, Input::Revoke(cluster.revoke(9)));
    let status = net.nodes[0].key_status(net.now).expect("sealed");
    assert_eq!((status.newest, status.newest_since), (Some(next.id()), Some(net.now)));
    assert_eq!(current(&net, 0), [] as [usize; 0], "nobody is known to have them");
    net.run_for(S(4));
    net.handle(0, Input::Survey);
    net.run_for(S(10));
    assert_eq!(current(&net, 0), [1, 2, 3, 4]);
    let status = net.nodes[0].key_status(net.now).expect("sealed");
    let cut = status.members.iter().find(|member| member.node == node_id(5)).expect("a member");
    assert!(!status.is_surveying && cut.present == Some(cluster.generation(1, 7).id()));
    net.cut.clear();
    net.handle(0, Input::Survey);
    net.run_for(S(3));
    assert_eq!(current(&net, 0), [1, 2, 3, 4, 5]);
}

#[test]
fn parts_that_were_founded_apart_become_one_when_a_member_of_one_is_told_to_join_the_other() {
    for (one, other) in [(7, 9), (9, 7)] {
        let cluster = SealedCluster::default();
        let node = |n: usize| {
            let secret = if n < 2 { one } else { other };
            let sealing = cluster.sealing(n).with_generation(cluster.generation(1, secret), true);
            let config = Config { sealing: Some(Box::new(sealing)), ..config(n) };
            Node::new(config, Time::ZERO).expect("legal records")
        };
        let mut net = Network::new((0..4).map(node).collect(), Link::default(), Time::ZERO);
        net.handle(1, Input::Join(vec![identity(0).addr]));
        net.handle(3, Input::Join(vec![identity(2).addr]));
        net.run_for(S(5));
        assert!(net.nodes.iter().all(|node| node.active_members() == 2));
        net.handle(2, Input::Join(vec![identity(0).addr]));
        net.run_for(S(40));
        assert!((1..4).all(|n| present(&net, n) == present(&net, 0)), "{one} {other}");
        assert!(net.nodes.iter().all(|node| node.active_members() == 4), "{one} {other}");
    }
}
