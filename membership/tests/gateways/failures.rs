//! Gateways that crash, and links that lose datagrams.

use std::time::Duration;

use hobnob_membership::testing::Network;

use crate::scene::{MS, ONE_WAY, all, kill, know, three_by_five, time_until, total, write};

/// The gateways of a datacenter, as a node of it computes them.
fn gateways(net: &Network, dc: usize) -> Vec<usize> {
    let node = &net.nodes[net.first_of(dc)];
    let own = node.datacenters(net.now).into_iter().find(|it| it.is_own).expect("ours");
    let ids: Vec<_> = own.gateways.iter().map(|gateway| gateway.node_id).collect();
    all(net).into_iter().filter(|n| ids.contains(&net.id(*n))).collect()
}

#[test]
fn crashed_gateways_lose_nothing_and_delay_little() {
    for count in 1..=3 {
        let mut net = three_by_five();
        for n in gateways(&net, 0).into_iter().take(count) {
            kill(&mut net, n);
        }
        let living: Vec<usize> =
            all(&net).into_iter().filter(|n| !net.blocked.contains(n)).collect();
        let (mut out, mut into) = (Vec::new(), Vec::new());
        // Nobody knows of the crash for two seconds.
        for round in 0.. {
            let n = living[round * 7 % living.len()];
            let change = write(&mut net, n, &format!("web-{round}"));
            let time = time_until(&mut net, MS * 4_000, |net| know(net, &living, change));
            if net.groups[n] == 0 { &mut out } else { &mut into }.push(time);
            if out.len() >= 8 && into.len() >= 12 {
                break;
            }
        }
        into.sort_unstable();
        let worst = out.iter().max().expect("some");
        println!("{count} crashed: slowest out {worst:?}, into {into:?}");
        assert!(*worst <= ONE_WAY + MS * 60, "{count}: {worst:?}");
        // Of the five members there up to three are dead, so both copies of some changes go to dead ones.
        assert!(into[into.len() / 2] <= ONE_WAY + MS * 60, "{count}: {into:?}");
        assert_eq!(total(&net, "tells_given_up"), 0);
    }
}

#[test]
fn loss_between_datacenters_loses_no_change() {
    let mut net = three_by_five();
    net.wan_loss_percent = 5;
    let mut times = Vec::new();
    for round in 0..20 {
        for n in 0..15 {
            let change = write(&mut net, n, &format!("web-{round}"));
            let nodes = all(&net);
            times.push(time_until(&mut net, MS * 1_000, |net| know(net, &nodes, change)));
            net.run_for(MS * 23);
        }
    }
    times.sort_unstable();
    println!("p50 {:?} p99 {:?} max {:?}", times[150], times[296], times[299]);
    assert!(times[150] <= ONE_WAY + MS * 10);
    assert!(times[296] <= ONE_WAY + MS * 150);
    assert_eq!(total(&net, "far_gaps_given_up"), 0);
}

#[test]
fn gateways_without_a_way_out_are_passed_by() {
    let mut net = three_by_five();
    for n in gateways(&net, 0) {
        for other in all(&net).into_iter().filter(|other| net.groups[*other] != 0) {
            net.cut.insert((n.min(other), n.max(other)));
        }
    }
    let nodes = all(&net);
    let (mut worst, mut usual) = (Duration::ZERO, Vec::new());
    for round in 0..30 {
        let n = round * 7 % 15;
        let change = write(&mut net, n, &format!("web-{round}"));
        let time = time_until(&mut net, MS * 8_000, |net| know(net, &nodes, change));
        worst = worst.max(time);
        if net.groups[n] == 0 {
            usual.push(time);
        }
        net.run_for(MS * 100);
    }
    usual.sort_unstable();
    println!("without a way out: slowest {worst:?}, out of there {usual:?}");
    assert!(worst <= MS * 2_700, "{worst:?}");
    assert!(usual[usual.len() / 2] <= ONE_WAY + MS * 20, "{usual:?}");
    assert!(total(&net, "tells_substituted") > 0);
    // Members that are no gateways are asked, and say so: it is no cut.
    assert_eq!(total(&net, "datacenters_lost"), 0);
}
