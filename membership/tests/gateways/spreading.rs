//! Spreading without faults.

use std::time::Duration;

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

#[test]
fn at_rest_a_pair_of_datacenters_costs_little() {
    let mut net = three_by_five();
    net.run_for(MS * 5_000);
    let before = total(&net, "beats_sent");
    let different = total(&net, "beats_different");
    net.run_for(MS * 10_000);
    let beats = total(&net, "beats_sent") - before;
    // Two of the primary and one half of the second in a second, over six links.
    assert!((140..=160).contains(&beats), "{beats}");
    assert_eq!(total(&net, "beats_different"), different);
}
