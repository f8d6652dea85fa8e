//! A datacenter that is out of reach is one event, and its members go on as they were last known.

use std::time::Duration;

use hobnob_membership::testing::Network;
use hobnob_membership::view::MemberStatus;
use hobnob_membership::{DatacenterId, Event};

const SECOND: Duration = Duration::from_secs(1);

fn out(event: &Event) -> bool {
    matches!(event, Event::DatacenterUnreachable { .. })
}

fn back(event: &Event) -> bool {
    matches!(event, Event::DatacenterReachable { .. })
}

fn down(event: &Event) -> bool {
    matches!(event, Event::Member(change) if change.member.status == MemberStatus::Down)
}

#[test]
fn a_cut_is_one_event_on_either_side_within_eight_seconds() {
    let mut network = Network::of_datacenters(&[5, 4]);
    assert!(network.is_whole());
    network.cut_between(0, 1);
    network.run_for(5 * SECOND);
    assert!((0..9).all(|n| network.count_events(n, out) == 0), "too soon");
    network.run_for(3 * SECOND);
    for n in 0..9 {
        assert_eq!(network.count_events(n, out), 1, "at {n}");
        let other = if n < 5 { 5 } else { 0 };
        let member = network.nodes[n].member(network.id(other)).expect("known");
        assert_eq!(member.status, MemberStatus::Unreachable);
        assert!(network.nodes[n].unreachable_since(network.id(other)).is_some());
        assert!(network.nodes[n].down_since(network.id(other)).is_some());
    }
    network.run_for(600 * SECOND);
    for n in 0..9 {
        assert_eq!((network.count_events(n, out), network.count_events(n, down)), (1, 0));
    }
    network.cut.clear();
    network.run_for(4 * SECOND);
    for n in 0..9 {
        assert_eq!(network.count_events(n, back), 1, "at {n}");
    }
    assert!(network.is_whole());
}

#[test]
fn a_datacenter_that_is_cut_off_from_most_others_says_so() {
    let mut network = Network::of_datacenters(&[3, 3, 3, 3]);
    assert!(network.is_whole());
    network.cut_off(2);
    network.run_for(10 * SECOND);
    let cut_off = |event: &Event| matches!(event, Event::CutOff { lost, of: 4 } if lost.len() == 3);
    for n in network.nodes_of(2) {
        assert_eq!(network.count_events(n, |event| matches!(event, Event::CutOff { .. })), 1);
        assert_eq!(network.count_events(n, out), 3);
        assert_eq!(network.count_events(n, cut_off), 1);
    }
    for n in (0..12).filter(|n| network.groups[*n] != 2) {
        assert_eq!(network.count_events(n, out), 1, "at {n}");
        assert_eq!(network.count_events(n, |event| matches!(event, Event::CutOff { .. })), 0);
    }
}

#[test]
fn a_datacenter_that_returns_again_and_again_is_believed_later_each_time() {
    let mut network = Network::of_datacenters(&[3, 3]);
    let mut waits = Vec::new();
    for _ in 0..3 {
        network.cut_between(0, 1);
        network.run_for(10 * SECOND);
        assert!(network.nodes[0].datacenters(network.now)[1].out_of_reach_since.is_some());
        network.cut.clear();
        let healed = network.now;
        while network.nodes[0].datacenters(network.now)[1].out_of_reach_since.is_some() {
            network.run_for(SECOND / 10);
            assert!(network.now.since(healed) < 70 * SECOND);
        }
        waits.push(network.now.since(healed).as_secs());
    }
    assert!(waits[0] < 4 && waits[1] >= 4 && waits[2] >= 8, "{waits:?}");
}

#[test]
fn a_gateway_that_hears_no_other_datacenter_alone_finds_none_out_of_reach() {
    let mut network = Network::of_datacenters(&[5, 5]);
    let gateway = network.nodes[0].datacenters(network.now)[0].gateways[0];
    let n = (0..5).find(|n| network.id(*n) == gateway.node_id).expect("a gateway");
    network.cut.extend((5..10).map(|other| (n, other)));
    network.run_for(120 * SECOND);
    assert!((0..10).all(|n| network.count_events(n, out) == 0));
}

#[test]
fn a_cut_is_measured_and_the_answers_before_it_too() {
    let mut network = Network::of_datacenters(&[3, 3]);
    network.run_for(5 * SECOND);
    let us = DatacenterId::named("us");
    let seen = network.nodes[0].datacenters(network.now);
    let seen = seen.iter().find(|it| it.id == us).expect("known");
    assert_eq!(seen.round_trip.map(|it| it.as_millis()), Some(82));
    assert!(seen.lag.is_some_and(|lag| lag <= SECOND));
    assert!(seen.bytes_sent > 0 && seen.bytes_received > 0);
    assert!(network.nodes[0].remote_addresses().count() == 3);
}
