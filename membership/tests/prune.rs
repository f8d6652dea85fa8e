//! What a node forgets when an operator prunes it.

use std::time::Duration;

use hobnob_membership::catalog::{Delta, Head};
use hobnob_membership::limits::MAX_ORIGIN_TOMBSTONES;
use hobnob_membership::testing::{Network, identity, instance, node_of};
use hobnob_membership::view::{InstanceStatus, MemberStatus};
use hobnob_membership::wire::{Ages, DatagramBuilder, Envelope, Message};
use hobnob_membership::{ClusterId, Epoch, Event, Input, Node, NodeId};

fn register(net: &mut Network, n: usize) {
    net.write(n, instance("web"));
    net.run_for(Duration::from_secs(1));
}

fn knows(node: &Node, id: NodeId) -> bool {
    node.members().iter().any(|member| member.identity.node_id == id)
        || node.catalog().origin(id).is_some()
        || node.instances().any(|instance| instance.origin == id)
}

/// Four nodes, of which the last has registered an instance and then died. Returns that node as it was.
fn with_one_dead() -> (Network, Node) {
    let mut net = Network::joined(4);
    register(&mut net, 3);
    let away = std::mem::replace(&mut net.nodes[3], node_of(ClusterId::named("other"), 3));
    net.run_for(Duration::from_secs(5));
    (net, away)
}

#[test]
fn a_member_that_was_pruned_stays_forgotten_although_others_remember_it() {
    let (mut net, _) = with_one_dead();
    let dead = identity(3).node_id;
    let now = net.now;
    assert!(net.nodes[0].prune(dead, None, now));
    net.flush(0);
    assert!(!knows(&net.nodes[0], dead));
    let gone = |event: &Event| matches!(event, Event::Instance(change) if change.instance.status == InstanceStatus::Gone);
    assert!(net.events[0].iter().any(gone), "watchers hear of it");
    register(&mut net, 1);
    // Several periodic sessions, and digests all the time.
    net.run_for(Duration::from_secs(120));
    assert!(!knows(&net.nodes[0], dead), "it came back by repair");
    for n in [1, 2] {
        assert!(knows(&net.nodes[n], dead), "{n}: only one node was told to forget");
    }
    assert!(
        net.nodes[..3]
            .windows(2)
            .all(|pair| { pair[0].catalog().digest() == pair[1].catalog().digest() })
    );
    assert_eq!(net.nodes[0].counters().origins_pruned, 1);
}

#[test]
fn a_member_that_was_pruned_and_returns_is_known_again_with_its_records() {
    let (mut net, away) = with_one_dead();
    let id = identity(3).node_id;
    let now = net.now;
    assert!(net.nodes[0].prune(id, None, now));
    net.flush(0);
    net.nodes[3] = away;
    net.run_for(Duration::from_secs(15));
    let member = net.nodes[0].members().into_iter().find(|member| member.identity.node_id == id);
    assert_eq!(member.map(|member| member.status), Some(MemberStatus::Alive));
    assert_eq!(net.nodes[0].instances().filter(|instance| instance.origin == id).count(), 1);
}

#[test]
fn living_members_are_not_pruned() {
    let mut net = Network::joined(3);
    let now = net.now;
    for n in 0..3 {
        assert!(!net.nodes[0].prune(identity(n).node_id, None, now), "{n}");
        assert!(knows(&net.nodes[0], identity(n).node_id), "{n}");
    }
}

#[test]
fn a_member_that_was_forced_to_leave_and_pruned_is_gone_without_a_trace() {
    let (mut net, _) = with_one_dead();
    let dead = identity(3).node_id;
    net.handle(1, Input::ForceLeave { node: dead, order: None });
    net.run_for(Duration::from_secs(2));
    let now = net.now;
    assert!(net.nodes[0].prune(dead, None, now));
    net.flush(0);
    net.run_for(Duration::from_secs(60));
    assert!(!knows(&net.nodes[0], dead));
    assert!(net.nodes[0].end_of(dead).is_none() && net.nodes[0].belief(dead).is_none());
}

#[test]
fn records_are_kept_where_an_origin_tombstone_has_no_room() {
    let (mut net, _) = with_one_dead();
    let (sender, dead) = (identity(1), identity(3).node_id);
    let tombstone = |n: u64| {
        let origin = NodeId(10_000 + n);
        Delta::origin_tombstone(Head { origin, epoch: Epoch(2_000), known_to: 1 })
    };
    let all: Vec<Delta> = (0..MAX_ORIGIN_TOMBSTONES as u64).map(tombstone).collect();
    for part in all.chunks(20) {
        let mut datagram = DatagramBuilder::new(Envelope::clear(ClusterId::default()));
        datagram
            .push(&Message::Rumors(sender.node_id, part.to_vec(), Ages::default()))
            .expect("it fits");
        let bytes = datagram.finish();
        net.handle(0, Input::Datagram { from: sender.addr, bytes: &bytes });
    }
    let now = net.now;
    assert!(
        !net.nodes[0].prune(dead, None, now),
        "the tombstone of another origin would have to go"
    );
    assert!(knows(&net.nodes[0], dead));
    assert_eq!(net.nodes[0].catalog().origin_tombstones_given_up(), 0);
}
