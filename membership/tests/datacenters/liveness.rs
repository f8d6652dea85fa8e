//! Verdicts cross from their home to all others, and nothing comes back.

use std::time::Duration;

use hobnob_membership::testing::{Network, identity, node_in};
use hobnob_membership::view::MemberStatus;
use hobnob_membership::{Event, Gateway, Input};

const SECOND: Duration = Duration::from_secs(1);

/// Lets a node die: nobody hears it, and it hears nobody.
fn kill(network: &mut Network, n: usize) {
    for other in 0..network.nodes.len() {
        network.cut.insert((n.min(other), n.max(other)));
    }
}

fn status(network: &Network, seen_by: usize, n: usize) -> MemberStatus {
    network.nodes[seen_by].member(network.id(n)).expect("known").status
}

#[test]
fn a_death_is_known_in_other_datacenters_as_soon_as_at_home() {
    let mut network = Network::of_datacenters(&[5, 5]);
    kill(&mut network, 7);
    network.run_for(4 * SECOND);
    for n in (0..10).filter(|n| *n != 7) {
        assert_eq!(status(&network, n, 7), MemberStatus::Down, "at {n}");
    }
    let elsewhere = network.nodes[0].home_verdict(network.id(7)).expect("down");
    assert!(elsewhere.1.is_some(), "the accuser is named");
    let downs = |event: &Event| matches!(event, Event::Member(change) if change.member.status == MemberStatus::Down);
    assert_eq!(network.count_events(0, downs), 1);
}

#[test]
fn the_death_of_all_three_gateways_is_known_elsewhere() {
    let mut network = Network::of_datacenters(&[6, 4]);
    let gateways = network.nodes[0].datacenters(network.now)[0].gateways.clone();
    let dead: Vec<usize> =
        (0..6).filter(|n| gateways.iter().any(|it| it.node_id == network.id(*n))).collect();
    assert_eq!(dead.len(), 3);
    dead.iter().for_each(|n| kill(&mut network, *n));
    network.run_for(12 * SECOND);
    for n in 6..10 {
        assert_eq!(network.seen_alive(n, 0), 3, "at {n}");
    }
    let unreachable = |event: &Event| matches!(event, Event::DatacenterUnreachable { .. });
    assert!(
        (0..10).filter(|n| !dead.contains(n)).all(|n| network.count_events(n, unreachable) == 0)
    );
}

#[test]
fn a_member_that_leaves_has_left_everywhere() {
    let mut network = Network::of_datacenters(&[3, 3]);
    network.handle(1, Input::Leave);
    network.run_for(2 * SECOND);
    kill(&mut network, 1);
    network.run_for(5 * SECOND);
    for n in [0, 2, 3, 4, 5] {
        assert_eq!(status(&network, n, 1), MemberStatus::Left, "at {n}");
    }
}

#[test]
fn the_last_member_of_a_datacenter_tells_that_it_leaves() {
    let mut network = Network::of_datacenters(&[1, 3]);
    network.handle(0, Input::Leave);
    network.run_for(2 * SECOND);
    kill(&mut network, 0);
    network.run_for(10 * SECOND);
    let unreachable = |event: &Event| matches!(event, Event::DatacenterUnreachable { .. });
    for n in 1..4 {
        assert_eq!(status(&network, n, 0), MemberStatus::Left, "at {n}");
        assert_eq!(network.count_events(n, unreachable), 0);
    }
}

#[test]
fn a_split_home_takes_nobody_down_by_the_word_of_others() {
    let mut network = Network::of_datacenters(&[6, 6]);
    // One of the second datacenter does not reach the first, which says nothing about its own.
    for other in 0..6 {
        network.cut.insert((other, 8));
    }
    network.run_for(60 * SECOND);
    assert!(network.is_whole());
}

#[test]
fn a_datacenter_that_joins_late_and_its_newcomers_know_all() {
    let mut network = Network::of_datacenters(&[3, 3]);
    network.nodes.push(node_in(6, "eu", Gateway::Yes));
    network.events.push(Vec::new());
    network.groups.push(0);
    network.run_for(SECOND);
    network.handle(6, Input::Join(vec![identity(0).addr]));
    network.run_for(3 * SECOND);
    assert!(network.is_whole(), "{:?}", network.nodes[6].datacenters(network.now));
}

#[test]
fn a_gateway_that_hears_its_pool_no_more_tells_nobody_that_its_members_are_down() {
    let mut network = Network::of_datacenters(&[4, 3]);
    // The fourth node of the first datacenter hears the other datacenter alone.
    network.cut.extend([(0, 3), (1, 3), (2, 3)]);
    network.run_for(60 * SECOND);
    for n in network.nodes_of(1) {
        for told in 0..3 {
            assert_eq!(status(&network, n, told), MemberStatus::Alive, "{told} at {n}");
        }
    }
    network.cut.clear();
    network.run_for(30 * SECOND);
    assert!(network.is_whole());
}

#[test]
fn both_halves_of_a_split_home_are_alive_for_those_that_reach_them() {
    let mut network = Network::of_datacenters(&[6, 3]);
    for one in 0..3 {
        network.cut.extend((3..6).map(|other| (one, other)));
    }
    network.run_for(60 * SECOND);
    assert_eq!(network.seen_alive(0, 0), 3);
    let changes = |event: &Event| matches!(event, Event::Member(_));
    let before: Vec<usize> = (6..9).map(|n| network.count_events(n, changes)).collect();
    network.run_for(60 * SECOND);
    for n in network.nodes_of(1) {
        assert_eq!(network.seen_alive(n, 0), 6, "at {n}");
        assert_eq!(network.count_events(n, changes), before[n - 6], "it stays so at {n}");
    }
    network.cut.clear();
    network.run_for(30 * SECOND);
    assert!(network.is_whole());
}
