//! Lives that ended: members that were forced to leave, and members whose address has a new life.

use std::time::Duration;

use hobnob_membership::catalog::OriginTombstone;
use hobnob_membership::testing::{Network, config, identity, instance, node_as, node_of, record};
use hobnob_membership::view::MemberStatus;
use hobnob_membership::wire::{DatagramBuilder, Envelope, MemberUpdates, Message, Update};
use hobnob_membership::{ClusterId, Config, Epoch, Event, Identity, Input, Node, NodeId};

fn status(net: &Network, of: NodeId, as_seen_by: usize) -> Option<MemberStatus> {
    let members = net.nodes[as_seen_by].members();
    members.iter().find(|member| member.identity.node_id == of).map(|member| member.status)
}

/// The statuses of a member that a node told its owner, in order.
fn told(net: &Network, of: NodeId, by: usize) -> Vec<MemberStatus> {
    let member = |event: &Event| match event {
        Event::Member(change) => Some(change.member.clone()),
        _ => None,
    };
    let told = net.events[by].iter().filter_map(member);
    let mut told: Vec<_> =
        told.filter(|member| member.identity.node_id == of).map(|member| member.status).collect();
    told.dedup();
    told
}

fn register(net: &mut Network, n: usize) {
    net.write(n, instance("web"));
    net.run_for(Duration::from_secs(1));
}

fn instances(net: &Network, of: NodeId, as_seen_by: usize) -> usize {
    net.nodes[as_seen_by].instances().filter(|instance| instance.origin == of).count()
}

/// A node stops answering its cluster.
fn crash(net: &mut Network, n: usize) {
    net.nodes[n] = node_of(ClusterId::named("other"), n);
}

/// Tells every one of the first `count` nodes, as if by node 0, that a member is alive.
fn say_alive(net: &mut Network, count: usize, member: Identity) {
    let updates = vec![Update::Alive(member)];
    for n in 1..count {
        let updates = MemberUpdates {
            sender: identity(0).node_id,
            updates: updates.clone(),
            datacenter: hobnob_membership::DatacenterId::UNKNOWN,
        };
        let mut datagram = DatagramBuilder::new(Envelope::clear(ClusterId::default()));
        datagram.push(&Message::MemberUpdates(updates)).expect("it fits");
        let bytes = datagram.finish();
        net.handle(n, Input::Datagram { from: identity(0).addr, bytes: &bytes });
    }
}

#[test]
fn a_member_that_was_forced_to_leave_is_not_shown_as_down() {
    let mut net = Network::joined(4);
    let dead = identity(3).node_id;
    crash(&mut net, 3);
    net.run_for(Duration::from_secs(5));
    net.handle(1, Input::ForceLeave { node: dead, order: None });
    net.run_for(Duration::from_secs(2));
    for n in 0..3 {
        assert_eq!(status(&net, dead, n), Some(MemberStatus::ForceLeft), "{n}");
    }
}

#[test]
fn a_member_without_records_can_be_forced_to_leave_too() {
    let mut net = Network::joined(3);
    let phantom = Identity { epoch: Epoch(5), ..identity(77) };
    say_alive(&mut net, 3, phantom);
    net.run_for(Duration::from_secs(8));
    assert_eq!(status(&net, phantom.node_id, 1), Some(MemberStatus::Down));
    net.handle(1, Input::ForceLeave { node: phantom.node_id, order: None });
    assert_eq!(status(&net, phantom.node_id, 1), Some(MemberStatus::ForceLeft));
    say_alive(&mut net, 3, Identity { epoch: Epoch(6), ..phantom });
    assert_eq!(status(&net, phantom.node_id, 1), Some(MemberStatus::Alive), "a later life");
}

#[test]
fn a_living_member_that_one_node_alone_has_forced_to_leave_is_served_by_all_again_in_a_later_epoch()
{
    let mut net = Network::joined(4);
    register(&mut net, 3);
    let living = identity(3);
    // Every rumor of the force-leave, and every digest that follows it, is lost.
    net.cut = [(0, 1), (1, 2), (1, 3)].into();
    net.handle(1, Input::ForceLeave { node: living.node_id, order: None });
    net.run_for(Duration::from_millis(500));
    let tombstone = net.nodes[1].catalog().origin_tombstone(living.node_id);
    assert!(tombstone.is_some_and(OriginTombstone::yields), "it lives");
    assert_eq!(*net.nodes[3].identity(), living, "it has not heard of it");
    net.cut.clear();
    net.run_for(Duration::from_secs(15));
    assert!(net.nodes[3].identity().epoch > living.epoch, "it heard of it");
    for n in 0..3 {
        assert_eq!(instances(&net, living.node_id, n), 1, "{n}");
    }
    assert!(net.is_converged());
    let different = |net: &Network| -> u64 {
        net.nodes.iter().map(|node| node.counters().digests_different).sum()
    };
    let before = different(&net);
    net.run_for(Duration::from_secs(60));
    assert_eq!(different(&net), before, "they have nothing more to tell each other");
}

/// A cluster of `count` nodes, and an identity for a new life on the host of the last.
fn with_one_that_dies(count: usize) -> (Network, NodeId, Identity) {
    let mut net = Network::joined(count);
    register(&mut net, count - 1);
    let old = identity(count - 1);
    let new = Identity { node_id: NodeId(0xabc), epoch: Epoch(9_000), ..old };
    (net, old.node_id, new)
}

#[test]
fn a_new_life_at_an_address_ends_the_old_one_on_every_node() {
    let (mut net, old, new) = with_one_that_dies(12);
    net.nodes[11] = node_as(ClusterId::default(), new, 11);
    net.handle(11, Input::Join(vec![identity(0).addr]));
    net.run_for(Duration::from_secs(12));
    let course = [MemberStatus::Alive, MemberStatus::Down, MemberStatus::Replaced];
    for n in 0..12 {
        let own = n == 11;
        assert!(own || status(&net, new.node_id, n) == Some(MemberStatus::Alive), "{n}");
        assert_eq!(status(&net, old, n), Some(MemberStatus::Replaced), "{n}");
        assert_eq!(instances(&net, old, n), 0, "{n}: gone with its life");
        let told = told(&net, old, n);
        assert!(told.ends_with(&course), "{n}: no suspect is ended: {told:?}");
    }
    assert!(net.is_converged());
}

#[test]
fn a_life_that_was_ended_may_come_back_elsewhere() {
    let (mut net, old, new) = with_one_that_dies(4);
    net.nodes[3] = node_as(ClusterId::default(), new, 3);
    net.handle(3, Input::Join(vec![identity(0).addr]));
    net.run_for(Duration::from_secs(12));
    assert_eq!(status(&net, old, 1), Some(MemberStatus::Replaced));
    let back = Identity { node_id: old, epoch: Epoch(10_000), ..identity(20) };
    net.nodes.push(node_as(ClusterId::default(), back, 3));
    net.events.push(Vec::new());
    net.handle(4, Input::Join(vec![identity(0).addr]));
    net.run_for(Duration::from_secs(5));
    for n in 0..4 {
        assert_eq!(status(&net, old, n), Some(MemberStatus::Alive), "{n}");
    }
}

#[test]
fn a_member_that_does_not_answer_at_an_address_ends_no_life_there() {
    let (mut net, old, new) = with_one_that_dies(5);
    crash(&mut net, 4);
    net.run_for(Duration::from_secs(6));
    // Node 0 says all the time that a new life is there. Nobody hears it.
    for round in 0..20 {
        say_alive(&mut net, 4, Identity { epoch: Epoch(9_000 + round), ..new });
        net.run_for(Duration::from_secs(1));
    }
    for n in 0..4 {
        assert_eq!(status(&net, old, n), Some(MemberStatus::Down), "{n}");
        assert_eq!(instances(&net, old, n), 1, "{n}: still there as unknown");
    }
}

/// The conflicts of names that a node told its owner.
fn conflicts(net: &Network, n: usize) -> Vec<Identity> {
    let conflict = |event: &Event| match event {
        Event::NameConflict { other } => Some(*other),
        _ => None,
    };
    net.events[n].iter().filter_map(conflict).collect()
}

#[test]
fn two_living_members_of_one_name_are_told_once_by_both() {
    let mut net = Network::joined(3);
    let node = record(1);
    net.nodes.push(Node::new(Config { node, ..config(3) }, net.now).expect("legal records"));
    net.events.push(Vec::new());
    net.handle(3, Input::Join(vec![identity(0).addr]));
    net.run_for(Duration::from_secs(20));
    for (n, others) in [(0, vec![]), (1, vec![identity(3)]), (2, vec![]), (3, vec![identity(1)])] {
        let told: Vec<NodeId> = conflicts(&net, n).iter().map(|other| other.node_id).collect();
        let others: Vec<NodeId> = others.iter().map(|other| other.node_id).collect();
        assert_eq!(told, others, "{n}");
        let known: Vec<NodeId> =
            net.nodes[n].name_conflicts().iter().map(|other| other.node_id).collect();
        assert_eq!(known, others, "{n}");
    }
    crash(&mut net, 3);
    net.run_for(Duration::from_secs(6));
    assert!(net.nodes[1].name_conflicts().is_empty(), "the other is down");
    assert_eq!(conflicts(&net, 1).len(), 1);
}

#[test]
fn a_rebuilt_host_has_no_conflict_with_its_earlier_life() {
    let (mut net, _, new) = with_one_that_dies(5);
    net.nodes[4] = node_as(ClusterId::default(), new, 4);
    net.handle(4, Input::Join(vec![identity(0).addr]));
    net.run_for(Duration::from_secs(20));
    assert!(conflicts(&net, 4).is_empty());
    // The host got another address, and its earlier life is not known to be down for a moment.
    crash(&mut net, 3);
    let moved = Identity { node_id: NodeId(0xdef), epoch: Epoch(9_000), ..identity(20) };
    net.nodes.push(node_as(ClusterId::default(), moved, 3));
    net.events.push(Vec::new());
    net.handle(5, Input::Join(vec![identity(0).addr]));
    net.run_for(Duration::from_secs(20));
    assert_eq!(status(&net, identity(0).node_id, 5), Some(MemberStatus::Alive), "it joined");
    assert_eq!(status(&net, identity(3).node_id, 0), Some(MemberStatus::Down), "known elsewhere");
    assert!(conflicts(&net, 5).is_empty());
}

#[test]
fn members_that_start_again_at_once_and_forgot_one_meet_it_again() {
    let mut net = Network::joined(4);
    for n in 0..3 {
        let next_life = Identity { epoch: Epoch(2_000), ..identity(n) };
        net.nodes[n] = node_as(ClusterId::default(), next_life, n);
    }
    for n in 1..3 {
        net.handle(n, Input::Join(vec![identity(0).addr]));
    }
    net.run_for(Duration::from_secs(20));
    for n in 0..4 {
        assert_eq!(net.nodes[n].active_members(), 4, "{n}");
    }
    let forgotten = &net.nodes[3];
    let members = forgotten.members();
    let earlier = members.iter().filter(|member| member.identity.epoch < Epoch(2_000)).count();
    assert_eq!(earlier, 1, "all but its own");
}
