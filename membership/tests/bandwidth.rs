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
