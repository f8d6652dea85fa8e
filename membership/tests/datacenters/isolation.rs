//! An operator isolates a datacenter from another one: nothing crosses between the two until the order is taken back.

use std::time::Duration;

use hobnob_membership::testing::{Network, instance};
use hobnob_membership::view::MemberStatus;
use hobnob_membership::{DatacenterId, Event, Input};

const SECOND: Duration = Duration::from_secs(1);

fn isolate(network: &mut Network, n: usize, name: &str, is_isolated: bool) {
    network.handle(
        n,
        Input::Isolate { datacenter: DatacenterId::named(name), is_isolated, forgets: false },
    );
}

/// The number of live instances with this id that a node shows.
fn shows(network: &Network, n: usize, id: &str) -> bool {
    network.nodes[n].instances().any(|instance| instance.id.as_str() == id)
}

fn told(event: &Event) -> bool {
    matches!(event, Event::DatacenterIsolated { .. } | Event::DatacenterRejoined { .. })
}

fn outage(event: &Event) -> bool {
    matches!(event, Event::DatacenterUnreachable { .. } | Event::CutOff { .. })
}

#[test]
fn an_order_at_one_node_holds_for_its_datacenter_and_touches_no_other() {
    let mut network = Network::of_datacenters(&[4, 3, 3]);
    assert!(network.is_whole());
    isolate(&mut network, 2, "us", true);
    network.run_for(SECOND / 2);
    let by = network.id(2);
    for n in 0..4 {
        let is_told =
            |event: &Event| matches!(event, Event::DatacenterIsolated { by: it, .. } if *it == by);
        assert_eq!(network.count_events(n, is_told), 1, "at {n}");
        let member = network.nodes[n].member(network.id(4)).expect("known");
        assert_eq!(member.status, MemberStatus::Unreachable);
        let shown = network.nodes[n].datacenters(network.now);
        let us = shown.iter().find(|it| it.name.as_str() == "us").expect("listed");
        assert!(us.isolated_since.is_some() && us.alive == 3);
    }
    for (n, id) in [(0, "of-eu"), (4, "of-us"), (7, "of-ap")] {
        network.write(n, instance(id));
    }
    network.run_for(60 * SECOND);
    for n in 0..4 {
        assert!(!shows(&network, n, "of-us"), "at {n}: it came, if by way of a third one");
        assert!(shows(&network, n, "of-ap") && shows(&network, n, "of-eu"), "at {n}");
        assert_eq!(network.count_events(n, outage), 0, "at {n}");
        assert_eq!(network.count_events(n, told), 1, "at {n}");
    }
    for n in 7..10 {
        assert!(["of-eu", "of-us", "of-ap"].iter().all(|id| shows(&network, n, id)), "at {n}");
        assert_eq!(network.count_events(n, |event| outage(event) || told(event)), 0, "at {n}");
    }
    for n in 4..7 {
        let unreachable = |event: &Event| matches!(event, Event::DatacenterUnreachable { .. });
        assert_eq!(network.count_events(n, unreachable), 1, "the other side sees a cut, at {n}");
        assert!(shows(&network, n, "of-ap"), "at {n}");
    }
    isolate(&mut network, 1, "us", false);
    network.run_for(10 * SECOND);
    for n in 0..10 {
        assert!(["of-eu", "of-us", "of-ap"].iter().all(|id| shows(&network, n, id)), "at {n}");
        let shown = network.nodes[n].datacenters(network.now);
        assert!(shown.iter().all(|it| it.out_of_reach_since.is_none()), "at {n}");
    }
    assert!(network.is_whole());
}

#[test]
fn nothing_crosses_between_two_datacenters_either_way() {
    let mut network = Network::of_datacenters(&[3, 3]);
    assert!(network.is_whole());
    isolate(&mut network, 0, "us", true);
    network.run_for(SECOND);
    network.write(1, instance("of-eu"));
    network.write(4, instance("of-us"));
    let since = network.arrivals.len();
    network.run_for(30 * SECOND);
    assert!((0..3).all(|n| !shows(&network, n, "of-us") && shows(&network, n, "of-eu")));
    assert!((3..6).all(|n| !shows(&network, n, "of-eu") && shows(&network, n, "of-us")));
    let arrivals = network.arrivals[since..].iter();
    let at_us = arrivals.filter(|(_, to, arrival)| {
        let of_eu = |from| (0..3).any(|n| network.nodes[n].identity().addr == from);
        let from = match arrival {
            hobnob_membership::testing::Arrival::Datagram(from, _) => *from,
            _ => return false,
        };
        *to >= 3 && of_eu(from)
    });
    assert_eq!(at_us.count(), 0, "nothing is sent there");
    isolate(&mut network, 2, "us", false);
    network.run_for(10 * SECOND);
    assert!((0..6).all(|n| shows(&network, n, "of-us") && shows(&network, n, "of-eu")));
}

#[test]
fn a_member_that_was_away_learns_of_the_order_from_its_pool() {
    let mut network = Network::of_datacenters(&[4, 3]);
    network.cut.extend((0..7).filter(|n| *n != 3).map(|n| (n.min(3), n.max(3))));
    network.run_for(20 * SECOND);
    isolate(&mut network, 0, "us", true);
    network.run_for(5 * SECOND);
    let us = DatacenterId::named("us");
    assert!(!network.nodes[3].is_isolated(us) && network.nodes[1].is_isolated(us));
    network.cut.clear();
    network.run_for(30 * SECOND);
    assert!(network.nodes[3].is_isolated(us));
}

#[test]
fn the_own_datacenter_and_a_state_that_holds_are_not_news() {
    let mut network = Network::of_datacenters(&[3, 3]);
    isolate(&mut network, 0, "eu", true);
    isolate(&mut network, 0, "us", false);
    network.run_for(SECOND);
    assert!((0..6).all(|n| network.count_events(n, told) == 0));
    let eu = DatacenterId::named("eu");
    assert!(!network.nodes[0].is_isolated(eu));
}

#[test]
fn a_datacenter_that_is_gone_for_good_is_forgotten_by_all_and_comes_back_when_it_is_told_to() {
    let mut network = Network::of_datacenters(&[4, 3, 3]);
    network.write(5, instance("of-us"));
    assert!(network.is_whole());
    // One of ours is away while the order is given.
    network.cut.extend((0..10).filter(|n| *n != 3).map(|n| (n.min(3), n.max(3))));
    network.run_for(20 * SECOND);
    let us = DatacenterId::named("us");
    network.handle(0, Input::Isolate { datacenter: us, is_isolated: true, forgets: true });
    network.run_for(5 * SECOND);
    network.cut.clear();
    network.run_for(60 * SECOND);
    for n in 0..4 {
        assert!(!shows(&network, n, "of-us"), "at {n}");
        assert!((4..7).all(|m| network.nodes[n].member(network.id(m)).is_none()), "at {n}");
        assert!(network.nodes[n].catalog().origin(network.id(5)).is_none(), "at {n}");
    }
    assert!((7..10).all(|n| shows(&network, n, "of-us")), "a third one keeps it");
    isolate(&mut network, 3, "us", false);
    network.run_for(60 * SECOND);
    assert!((0..10).all(|n| shows(&network, n, "of-us")));
    assert!(network.is_whole());
}

#[test]
fn a_datacenter_that_is_isolated_can_be_forgotten_later() {
    let mut network = Network::of_datacenters(&[3, 3]);
    let us = DatacenterId::named("us");
    isolate(&mut network, 0, "us", true);
    network.run_for(5 * SECOND);
    assert!(network.nodes[1].member(network.id(4)).is_some());
    network.handle(1, Input::Isolate { datacenter: us, is_isolated: true, forgets: true });
    network.run_for(5 * SECOND);
    assert!((0..3).all(|n| network.nodes[n].member(network.id(4)).is_none()));
    assert!((0..3).all(|n| network.count_events(n, told) == 1), "it is told once");
}
