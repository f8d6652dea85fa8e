//! Nodes of two clusters that reach each other stay apart.

use std::time::Duration;

use hobnob_membership::record::Health;
use hobnob_membership::testing::{Network, health, identity, node, node_of};
use hobnob_membership::wire::{Frame, Opening};
use hobnob_membership::{ClusterId, Event, Input, Output, StreamId, Time};

#[test]
fn nodes_of_two_clusters_ignore_and_count_each_others_messages() {
    let mut net = Network::joined(3);
    net.nodes[2] = node_of(ClusterId::named("other"), 2);
    net.events[2].clear();
    net.write(2, health("x", Health::Passing));
    // Nodes 0 and 2 say hello at each other, and the former members of node 2 go on pinging it.
    net.handle(2, Input::Join(vec![identity(0).addr]));
    net.handle(0, Input::Join(vec![identity(2).addr]));
    net.run_for(Duration::from_secs(60));
    assert_eq!(net.nodes[2].active_members(), 1);
    assert_eq!(net.nodes[2].catalog().origins().count(), 1);
    assert_eq!(net.nodes[0].active_members(), 2, "the former node 2 is down");
    for (here, there) in [(0, 2), (2, 0)] {
        let counters = net.nodes[here].counters();
        assert!(counters.datagrams_other_cluster > 0, "{here}");
        let told = Event::OtherCluster { address: identity(there).addr };
        assert_eq!(net.events[here].iter().filter(|event| **event == told).count(), 1, "{here}");
    }
    assert_eq!(
        net.nodes[0].counters().datagrams_malformed,
        0,
        "a foreign datagram was taken for noise"
    );
}

#[test]
fn a_session_with_another_cluster_is_refused() {
    let mut node = node(0);
    let stream = StreamId::accepted(1);
    node.handle(Input::StreamAccepted { stream }, Time::ZERO);
    let cluster = ClusterId::named("other").mark();
    let opening = Frame::Opening(Opening {
        cluster,
        identity: identity(1),
        members: 0,
        catalog: 0,
        datacenter: hobnob_membership::DatacenterId::UNKNOWN,
        scope: None,
    });
    let bytes = opening.encode().expect("fits");
    node.handle(Input::StreamFrame { stream, bytes: &bytes }, Time::ZERO);
    let outputs: Vec<Output> = std::iter::from_fn(|| node.poll_output()).collect();
    assert!(matches!(outputs.last(), Some(Output::ResetStream { .. })), "{outputs:?}");
    assert!(!outputs.iter().any(|output| matches!(output, Output::StreamFrame { .. })));
    assert_eq!(node.counters().sessions_other_cluster, 1);
}
