//! Spreading without faults.

use std::time::Duration;

use hobnob_membership::testing::Network;

use crate::scene::{MS, ONE_WAY, all, copies, know, three_by_five, time_until, total, write};

#[test]
fn a_change_is_everywhere_one_way_and_ten_milliseconds_later() {
    let mut net = three_by_five();
    let mut worst = Duration::ZERO;
    for round in 0..4 {
        for n in 0..15 {
            let change = write(&mut net, n, &format!("web-{round}"));
            let nodes = all(&net);
            worst = worst.max(time_until(&mut net, MS * 200, |net| know(net, &nodes, change)));
            net.run_for(MS * 137);
        }
    }
    println!("the slowest change was everywhere after {worst:?}");
    assert!(worst <= ONE_WAY + MS * 10, "{worst:?}");
}

#[test]
fn two_copies_go_over_each_link_and_none_comes_back() {
    let mut net = three_by_five();
    let since = net.arrivals.len();
    let sessions = total(&net, "far_sessions_opened");
    let changes: Vec<_> = (0..15)
        .map(|n| {
            let change = write(&mut net, n, "web");
            net.run_for(MS * 300);
            (change, net.groups[n])
        })
        .collect();
    let copies = copies(&net, since);
    for (change, home) in changes {
        for from in 0..3 {
            for to in (0..3).filter(|to| *to != from) {
                let expected = if from == home { 2 } else { 0 };
                let count = copies.get(&(change, from, to)).copied().unwrap_or(0);
                assert_eq!(count, expected, "{change:?} from {from} to {to}");
            }
        }
    }
    assert_eq!(total(&net, "tells_substituted"), 0);
    assert_eq!(total(&net, "far_sessions_opened"), sessions, "nothing was to be repaired");
    assert_eq!(total(&net, "far_pulls_sent"), 0);
}

/// Bytes of a sealed datagram beyond those of one in the clear.
const SEAL: u64 = 32 - 7;

#[test]
fn at_rest_a_pair_of_datacenters_costs_little() {
    let mut net = three_by_five();
    net.run_for(MS * 5_000);
    let bytes_sent = |net: &Network| -> u64 {
        let shown = all(net).into_iter().flat_map(|n| net.nodes[n].datacenters(net.now));
        shown.map(|datacenter| datacenter.bytes_sent).sum()
    };
    let before = (total(&net, "beats_sent"), total(&net, "summaries_sent"), bytes_sent(&net));
    let different = total(&net, "beats_different");
    net.run_for(MS * 10_000);
    let beats = total(&net, "beats_sent") - before.0;
    let summaries = total(&net, "summaries_sent") - before.1;
    // Over six links in ten seconds.
    let bytes = (bytes_sent(&net) - before.2) / 60;
    let sealed = bytes + SEAL * beats / 60;
    println!("at rest {bytes} B/s, {sealed} B/s sealed");
    assert!((350..=370).contains(&beats), "two of each of three gateways in a second: {beats}");
    assert!(
        (145..=155).contains(&summaries),
        "of the primary, a quarter of the second: {summaries}"
    );
    assert!(sealed <= 450, "{sealed} bytes a second for each directed pair");
    assert_eq!(total(&net, "beats_different"), different);
}

#[test]
fn beats_that_nobody_answers_measure_the_round_trip() {
    let net = three_by_five();
    for n in all(&net) {
        for datacenter in net.nodes[n].datacenters(net.now) {
            let Some(round_trip) = datacenter.round_trip else { continue };
            assert!(round_trip.abs_diff(2 * ONE_WAY) <= MS * 2, "{n}: {round_trip:?}");
        }
    }
    assert!(total(&net, "round_trips_measured") > 100);
}
