//! The bandwidth of a node.

use std::time::Duration;

use hobnob_membership::Protocol;
use hobnob_membership::record::{Health, Key, Value};
use hobnob_membership::testing::{Network, health, large};

const STEP: Duration = Duration::from_millis(10);
const STEPS_PER_SECOND: usize = 100;

fn large_write(n: usize) -> (Key, Option<Value>) {
    (Key::Service(format!("large-{n}").into()), Some(Value::Service(large(5).into())))
}

#[test]
fn a_change_tells_how_long_it_was_held_on_its_way() {
    let mut net = Network::joined(8);
    let before: Vec<u64> = net.nodes.iter().map(|node| node.convergence().count()).collect();
    net.write(0, health("alone", Health::Passing));
    net.run_for(Duration::from_secs(1));
    for (node, before) in net.nodes.iter().zip(&before).skip(1) {
        assert_eq!(node.convergence().count(), before + 1, "each other node counts a change once");
    }
    let idle = net.nodes.iter().map(|node| node.convergence().sum()).max().unwrap();

    // The first node and those that pass its changes on have more to send than the bandwidth of a third of a second.
    let at = net.now;
    net.write(0, (0..4_000).flat_map(|n| health(&format!("{n:0100}"), Health::Passing)).collect());
    while !net.is_converged() {
        net.run_for(STEP);
    }
    let took = net.now.since(at);
    assert!(took > Duration::from_millis(300), "the bandwidth was never short: {took:?}");
    for node in &net.nodes[1..] {
        let ages = node.convergence();
        let lower =
            std::iter::once(Duration::ZERO).chain(ages.buckets().filter_map(|(upper, _)| upper));
        let oldest = ages.buckets().zip(lower).filter(|((_, count), _)| *count > 0).last();
        let (_, longer_than) = oldest.expect("a change");
        assert!(longer_than >= took / 4, "no age is near {took:?}: {ages:?}");
        assert!(longer_than < took, "an age beyond {took:?}: {ages:?}");
        assert!(ages.sum() > idle);
    }
}

#[test]
fn no_node_sends_more_than_its_budget_in_any_second() {
    let mut net = Network::joined(8);
    // Small records travel by rumor, large ones by session only.
    let small = (0..4_000).flat_map(|n| health(&format!("{n:0100}"), Health::Passing));
    net.write(0, small.chain((0..400).map(large_write)).collect());
    let sent = |net: &Network| -> Vec<u64> {
        let counters = net.nodes.iter().map(hobnob_membership::Node::counters);
        counters.map(|counters| counters.datagram_bytes_sent + counters.frame_bytes_sent).collect()
    };
    // Nothing was sent in the second before.
    let mut history = vec![sent(&net); STEPS_PER_SECOND];
    while !net.is_converged() {
        net.run_for(STEP);
        history.push(sent(&net));
        assert!(history.len() < 20 * STEPS_PER_SECOND, "the nodes never converge");
    }
    let budget = Protocol::default().bytes_per_second;
    let mut most = 0;
    for second in history.windows(STEPS_PER_SECOND + 1) {
        for (before, after) in second[0].iter().zip(&second[STEPS_PER_SECOND]) {
            assert!(after - before <= budget, "{} bytes", after - before);
            most = most.max(after - before);
        }
    }
    assert!(most > budget / 2, "the bandwidth was never short: {most}");
    let put_off: u64 = net.nodes.iter().map(|node| node.counters().frames_put_off).sum();
    assert!(put_off > 0, "no session had to wait");
}
