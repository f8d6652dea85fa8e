//! Cuts that heal, and bandwidth that does not suffice.

use std::time::Duration;

use crate::scene::{MS, ONE_WAY, all, copies, know, three_by_five, time_until, total, write};

#[test]
fn a_cut_heals_and_each_record_crosses_once() {
    let mut net = three_by_five();
    net.cut_off(0);
    let mut last = Vec::new();
    for round in 0..100 {
        for n in 0..15 {
            // Some five hundred on each side of each link.
            last.push(write(&mut net, n, &format!("web-{round}")));
        }
        net.run_for(MS * 600);
    }
    let nodes = all(&net);
    let is_level = |net: &hobnob_membership::testing::Network| {
        last.iter().all(|change| know(net, &nodes, *change))
    };
    assert!(!is_level(&net));
    let since = net.arrivals.len();
    let crossed = total(&net, "far_records_received");
    let sessions = total(&net, "sessions_opened");
    net.cut.clear();
    let healed = time_until(&mut net, Duration::from_secs(10), is_level);
    println!("healed after {healed:?}");
    assert!(healed <= MS * 2_000, "{healed:?}");
    net.run_for(MS * 5_000);
    let crossed = total(&net, "far_records_received") - crossed;
    println!("sessions inside datacenters: {}", total(&net, "sessions_opened") - sessions);
    // Five hundred records went to two datacenters each, and a thousand came from them.
    assert_eq!(crossed, 2 * 500 + 1_000, "each record crosses once");
    assert!(copies(&net, since).is_empty(), "what a session brought is not forwarded");
    assert!(total(&net, "bulk_sent") > 0);
}

#[test]
fn news_beyond_the_bandwidth_are_delayed_and_not_dropped() {
    let mut net = crate::scene::three_by_five_with(|protocol| {
        protocol.wan_bytes_per_second = 20_000;
    });
    let mut last = Vec::new();
    for round in 0..150 {
        for n in 0..5 {
            last.push(write(&mut net, n, &format!("web-{round}")));
        }
        net.run_for(MS * 2);
    }
    let nodes = all(&net);
    let is_level = |net: &hobnob_membership::testing::Network| {
        last.iter().all(|change| know(net, &nodes, *change))
    };
    let took = time_until(&mut net, Duration::from_secs(60), is_level);
    println!("all were everywhere after {took:?}");
    assert!(took > ONE_WAY + MS * 500, "the bandwidth did not matter: {took:?}");
    assert!(total(&net, "wan_copies_shed") > 0);
    assert_eq!(total(&net, "wan_news_dropped"), 0);
}
