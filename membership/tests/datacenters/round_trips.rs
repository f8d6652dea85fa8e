//! The round trips to other datacenters, which gateways measure and all members know.

use std::time::Duration;

use hobnob_membership::testing::{Network, identity};
use hobnob_membership::{DatacenterId, Input};

const SECOND: Duration = Duration::from_secs(1);
const MS: Duration = Duration::from_millis(1);

/// The round trip to a datacenter, as a node shows it.
fn round_trip(network: &Network, n: usize, to: &str) -> Option<Duration> {
    let id = DatacenterId::named(to);
    let shown = network.nodes[n].datacenters(network.now);
    shown.into_iter().find(|datacenter| datacenter.id == id)?.round_trip
}

fn told(network: &Network) -> u64 {
    network.nodes.iter().map(|node| node.counters().round_trips_told).sum()
}

#[test]
fn members_that_are_no_gateways_know_it_and_a_change_spreads() {
    let mut network = Network::of_datacenters(&[6, 3]);
    assert!(network.is_whole());
    let all = |network: &Network| -> Vec<Option<Duration>> {
        (0..6).map(|n| round_trip(network, n, "us")).collect()
    };
    let first = all(&network);
    let value = first[0].expect("measured");
    assert!(value >= 80 * MS && value <= 84 * MS, "{value:?}");
    assert!(first.iter().all(|it| *it == first[0]), "{first:?}");
    assert_eq!(round_trip(&network, 0, "eu"), None, "the own one");
    assert!((6..9).all(|n| round_trip(&network, n, "eu").is_some()));
    let before = told(&network);
    assert!(before <= 6, "each of six gateways tells it once: {before}");
    network.run_for(60 * SECOND);
    assert_eq!(told(&network), before, "nothing changed");
    network.wan_latency = 80 * MS;
    network.run_for(20 * SECOND);
    let later = all(&network);
    let value = later[0].expect("measured");
    assert!(value >= 130 * MS && value <= 164 * MS, "{value:?}");
    assert!(later.iter().all(|it| *it == later[0]), "{later:?}");
    let changes = told(&network) - before;
    assert!(changes <= 6 * 5, "{changes}");
}

#[test]
fn a_member_that_was_away_and_a_newcomer_get_it() {
    let mut network = Network::apart(&[5, 3]);
    network.cut.extend((0..8).filter(|n| *n != 3).map(|n| (n.min(3), n.max(3))));
    network.run_for(10 * SECOND);
    network.handle(5, Input::JoinWan(vec![identity(0).addr]));
    network.run_for(10 * SECOND);
    let known = round_trip(&network, 0, "us");
    assert!(known.is_some() && round_trip(&network, 4, "us") == known);
    assert_eq!(round_trip(&network, 3, "us"), None);
    let before = told(&network);
    network.cut.clear();
    network.handle(3, Input::Join(vec![identity(0).addr]));
    network.run_for(5 * SECOND);
    assert!(network.is_whole());
    // It may be a gateway now, and measures about the same.
    let shown = round_trip(&network, 3, "us").expect("it was told");
    assert!(known.is_some_and(|known| shown.abs_diff(known) < MS / 2), "{shown:?}, {known:?}");
    assert!(told(&network) - before <= 1);
}
