//! Broken links: members that answer others, and not the node that watches them.

use std::time::Duration;

use hobnob_membership::detector::LinkEnd;
use hobnob_membership::testing::{Network, identity, node_of};
use hobnob_membership::view::MemberStatus;
use hobnob_membership::{ClusterId, Event, NodeId};

/// The time in which a dead member is found.
const TIME_FOR_THE_DEAD: Duration = Duration::from_secs(4);

fn status(net: &Network, of: usize, as_seen_by: usize) -> Option<MemberStatus> {
    let id = identity(of).node_id;
    net.nodes[as_seen_by].member(id).map(|member| member.status)
}

/// The members that a node names as the far ends of its broken links.
fn broken_links(net: &Network, n: usize) -> Vec<NodeId> {
    net.nodes[n].broken_links().collect()
}

/// What a node told of its broken links.
fn told_of_links(net: &Network, n: usize) -> Vec<&Event> {
    let events = net.events[n].iter();
    events.filter(|it| matches!(it, Event::LinkBroken { .. } | Event::LinkEnded { .. })).collect()
}

#[test]
fn a_broken_link_between_two_of_four_is_named_by_both_within_eight_seconds_and_by_nobody_else() {
    let mut net = Network::joined(4);
    net.run_for(Duration::from_secs(2));
    net.cut.extend([(0, 2), (2, 0)]);
    net.run_for(Duration::from_millis(3_500));
    assert!((0..4).all(|n| broken_links(&net, n).is_empty()), "these may be a few losses");
    net.run_for(Duration::from_millis(4_500));
    for _ in 0..50 {
        for (n, far) in [(0, 2), (2, 0)] {
            let far = identity(far).node_id;
            assert_eq!(broken_links(&net, n), [far], "{n}");
            let silent = net.nodes[n].link_broken_for(far, net.now).expect("broken");
            assert!(silent >= Duration::from_secs(7), "{n}: {silent:?}");
        }
        for n in 0..4 {
            let seen = (0..4).map(|of| status(&net, of, n));
            assert!(seen.eq([Some(MemberStatus::Alive); 4]), "{n} shows a suspect at {}", net.now);
        }
        net.run_for(Duration::from_millis(100));
    }
    assert!([1, 3].iter().all(|n| broken_links(&net, *n).is_empty()));
    net.cut.clear();
    net.run_for(Duration::from_secs(3));
    for n in 0..4 {
        assert!(broken_links(&net, n).is_empty(), "{n}");
        let told = told_of_links(&net, n);
        match (n, &told[..]) {
            (1 | 3, []) => {}
            (0 | 2, [Event::LinkBroken { node: broken }, Event::LinkEnded { node, end }]) => {
                assert_eq!((broken, node), (&identity(2 - n).node_id, &identity(2 - n).node_id));
                let LinkEnd::Answered(silent) = end else { panic!("{end:?}") };
                assert!((13..16).contains(&silent.as_secs()), "{silent:?}");
            }
            _ => panic!("{n} told {told:?}"),
        }
        assert_eq!(net.nodes[n].counters().link_breaks, u64::from(n % 2 == 0), "{n}");
    }
}

#[test]
fn a_link_that_passes_one_way_alone_is_named_by_both_ends() {
    let mut net = Network::joined(4);
    net.run_for(Duration::from_secs(2));
    net.cut.insert((0, 2));
    net.run_for(Duration::from_secs(8));
    let named: Vec<_> = (0..4).map(|n| broken_links(&net, n)).collect();
    let [a, c] = [0, 2].map(|n| identity(n).node_id);
    assert_eq!(named, [vec![c], vec![], vec![a], vec![]]);
}

#[test]
fn neither_a_dead_member_nor_one_that_leaves_is_the_end_of_a_broken_link() {
    let mut net = Network::joined(4);
    net.run_for(Duration::from_secs(2));
    net.cut.extend([(0, 2), (2, 0)]);
    net.run_for(Duration::from_secs(9));
    net.nodes[2] = node_of(ClusterId::named("other"), 2);
    net.run_for(TIME_FOR_THE_DEAD);
    assert_eq!(status(&net, 2, 0), Some(MemberStatus::Down));
    assert!((0..4).all(|n| broken_links(&net, n).is_empty()));
    let node = identity(2).node_id;
    let ended = Event::LinkEnded { node, end: LinkEnd::Unwatched };
    assert_eq!(told_of_links(&net, 0), [&Event::LinkBroken { node }, &ended]);
    assert!(told_of_links(&net, 1).is_empty(), "silence alone is no broken link");
}
