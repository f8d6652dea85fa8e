//! Origins and datacenters that change something too often.

use std::time::Duration;

use hobnob_membership::testing::{Arrival, NAMES, Network, health};
use hobnob_membership::wire::{Envelope, Message, decode_datagram};
use hobnob_membership::{ClusterId, DatacenterId, NodeId, Protocol, record::Health};

use crate::scene::{MS, ONE_WAY, Write, all, know, known, three_by_five_with, time_until, total};

/// Changes of one origin a second.
const ORIGIN: u64 = 20;
/// Changes of a datacenter a second.
const DATACENTER: u64 = 100;

fn rates(protocol: &mut Protocol) {
    protocol.wan_changes_per_second_of_origin = ORIGIN;
    protocol.wan_changes_per_second = DATACENTER;
}

/// Changes a key of a node.
fn flap(net: &mut Network, n: usize, key: &str) -> Write {
    let is_even = known(net, n, net.id(n)).is_multiple_of(2);
    net.write(n, health(key, if is_even { Health::Passing } else { Health::Failing }));
    (net.id(n), known(net, n, net.id(n)))
}

/// The records that crossed from the first datacenter to the second in rumors since an arrival, of one origin or of all.
fn crossed(net: &Network, since: usize, origin: Option<NodeId>) -> usize {
    let mut records = 0;
    for (_, to, arrival) in &net.arrivals[since..] {
        let Arrival::Datagram(from, bytes) = arrival else { continue };
        let from = all(net).into_iter().find(|n| net.nodes[*n].identity().addr == *from);
        if (from.map(|from| net.groups[from]), net.groups[*to]) != (Some(0), 1) {
            continue;
        }
        for message in decode_datagram(bytes, &Envelope::clear(ClusterId::default())).expect("ours")
        {
            if let Ok(Message::Rumors(_, deltas, _)) = message {
                let of = deltas.iter().filter(|delta| origin.is_none_or(|id| delta.origin == id));
                records += of.map(|delta| delta.entries.len()).sum::<usize>();
            }
        }
    }
    records
}

#[test]
fn a_loud_origin_is_coalesced_and_a_quiet_one_beside_it_is_not_delayed() {
    let mut net = three_by_five_with(rates);
    let nodes = all(&net);
    // 40 s of its rate pass at once.
    while total(&net, "wan_changes_held") == 0 {
        flap(&mut net, 0, "loud");
        net.run_for(MS * 5);
    }
    let (since, sessions) = (net.arrivals.len(), total(&net, "far_sessions_opened"));
    let (begin, mut quiet, mut worst) = (net.now, None, Duration::ZERO);
    let mut last = (net.id(0), 0);
    for ms in 0..10_000 {
        if ms % 5 == 0 {
            last = flap(&mut net, 0, "loud");
        }
        if ms % 200 == 0 {
            quiet = Some((flap(&mut net, 1, "quiet"), net.now));
        }
        net.run_for(MS);
        if let Some((change, at)) = quiet.filter(|(change, _)| know(&net, &nodes, *change)) {
            worst = worst.max(net.now.since(at));
            quiet = None;
            assert_eq!(change.0, net.id(1));
        }
    }
    assert_eq!(net.now.since(begin), MS * 10_000);
    let count = crossed(&net, since, Some(last.0));
    let sessions = total(&net, "far_sessions_opened") - sessions;
    println!(
        "of 2,000 changes {count} crossed, with {sessions} sessions; the quiet one after {worst:?}"
    );
    assert!(quiet.is_none() && worst <= ONE_WAY + MS * 10, "{worst:?}");
    // Some 50 of them are those of the quiet one's gaps that were pulled, and of the first second copies.
    assert!((190..=260).contains(&count), "{count}");
    assert!(
        sessions <= 2 * 5,
        "repair is no way round: {sessions} to two datacenters in ten seconds"
    );
    let took = time_until(&mut net, MS * 2_000, |net| know(net, &nodes, last));
    println!("its last change was everywhere {took:?} later");
    assert!(took <= ONE_WAY + MS * 100, "{took:?}");
    let us = DatacenterId::named(NAMES[1]);
    let shown = nodes.iter().flat_map(|n| net.nodes[*n].datacenters(net.now));
    let shown: Vec<_> = shown.filter(|it| it.id == us && it.held_back.changes > 0).collect();
    assert_eq!(shown.len(), 1, "the gateway with the first copies");
    assert_eq!(shown[0].held_back.last.map(|(origin, _)| origin), Some(net.id(0)));
    assert_eq!(shown[0].held_back.waiting, 0);
}

#[test]
fn the_changes_of_a_datacenter_are_bounded_and_none_is_lost() {
    let mut net = three_by_five_with(|protocol| {
        rates(protocol);
        protocol.wan_changes_per_second_of_origin = 1_000;
    });
    let write_all = |net: &mut Network, key: u64| -> Vec<Write> {
        let writes = (0..5).map(|n| flap(net, n, &format!("web-{}", key % 7))).collect();
        net.run_for(MS * 10);
        writes
    };
    for key in 0..300 {
        write_all(&mut net, key);
    }
    let since = net.arrivals.len();
    let mut last = Vec::new();
    for key in 0..500 {
        last = write_all(&mut net, key);
    }
    let count = crossed(&net, since, None);
    println!("of 2,500 changes {count} crossed in five seconds");
    assert!(count <= 6 * DATACENTER as usize, "{count}");
    assert!(total(&net, "wan_changes_held") > 1_000);
    let nodes = all(&net);
    let took = time_until(&mut net, MS * 3_000, |net| last.iter().all(|it| know(net, &nodes, *it)));
    println!("all were everywhere {took:?} later");
    assert_eq!(total(&net, "wan_news_dropped"), 0);
}
