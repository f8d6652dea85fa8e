//! Who is called down, by whom, and what a member can say against it.

mod common;

use std::time::Duration;

use hobnob_membership::detector::Cause;
use hobnob_membership::view::MemberStatus;
use hobnob_membership::{ClusterId, Event, Input, Node, NodeId, Output};

use common::{Net, identity, node_of};

fn status(net: &Net, of: usize, as_seen_by: usize) -> Option<MemberStatus> {
    let id = identity(of).node_id;
    let members = net.nodes[as_seen_by].members();
    members.iter().find(|member| member.identity.node_id == id).map(|member| member.status)
}

#[test]
fn a_verdict_names_who_found_it_and_who_agreed() {
    let mut net = Net::joined(7);
    // It answers nobody of its old cluster any more.
    net.nodes[6] = node_of(ClusterId::named("other"), 6);
    net.run_for(Duration::from_secs(5));
    let dead = identity(6).node_id;
    let living: Vec<NodeId> = (0..6).map(|n| identity(n).node_id).collect();
    for n in 0..6 {
        assert_eq!(status(&net, 6, n), Some(MemberStatus::Down), "{n}");
        let belief = net.nodes[n].belief(dead).expect("why it is down");
        let verdict = &belief.verdict;
        assert_eq!((verdict.node, verdict.epoch), (dead, identity(6).epoch));
        assert_eq!(verdict.cause, Cause::Silence);
        assert!(living.contains(&verdict.accuser) && living.contains(&belief.told_by));
        assert!(verdict.referees.len() >= 2, "three of five: {verdict:?}");
        assert!(!verdict.referees.contains(&verdict.accuser));
    }
    let passed: u64 = (0..6).map(|n| net.nodes[n].counters().verdicts_passed).sum();
    assert!((1..=5).contains(&passed), "{passed} verdicts");
}

#[test]
fn who_lives_contradicts_what_is_declared_and_nobody_else_is_touched() {
    let mut net = Net::joined(5);
    let victim = identity(3).node_id;
    let now = net.now;
    assert!(net.nodes[0].declare_down(victim, now));
    assert!(!net.nodes[0].declare_down(NodeId(9), now), "nobody knows it");
    let belief = net.nodes[0].belief(victim).expect("it is down");
    assert_eq!(belief.verdict.cause, Cause::Declared);
    assert_eq!(belief.verdict.accuser, identity(0).node_id);
    net.flush(0);
    net.run_for(Duration::from_secs(2));
    for n in 0..5 {
        assert_eq!(net.nodes[n].active_members(), 5, "{n}");
        assert_eq!(net.nodes[n].belief(victim), None);
        assert_eq!(status(&net, 3, n), Some(MemberStatus::Alive));
    }
    let raised = identity(3).epoch.next();
    assert_eq!(net.nodes[3].identity().epoch, raised);
    assert!(net.events[3].contains(&Event::EpochRaised(raised)));
    for n in [0, 1, 2, 4] {
        assert_eq!(net.nodes[n].identity().epoch, identity(n).epoch, "{n}");
    }
}

#[test]
fn two_nodes_alone_with_each_other_need_no_third() {
    let mut net = Net::joined(2);
    net.nodes[1] = node_of(ClusterId::named("other"), 1);
    net.run_for(Duration::from_secs(5));
    assert!(!net.nodes[0].is_connected(), "it knows that it is alone");
    assert_eq!(net.nodes[0].active_members(), 1);
}

#[test]
fn who_slept_did_not_lose_touch() {
    let mut net = Net::joined(3);
    let awake_again = net.now + Duration::from_secs(20);
    let mut events = Vec::new();
    let mut wake = |node: &mut Node, now| {
        node.handle(Input::Deadline, now);
        events.extend(std::iter::from_fn(|| node.poll_output()).filter(|output| {
            matches!(output, Output::Event(Event::Isolated | Event::EpochRaised(_)))
        }));
        events.len()
    };
    let sleeper = &mut net.nodes[1];
    assert_eq!(wake(sleeper, awake_again), 0, "nobody was silent while it slept");
    assert_eq!(sleeper.active_members(), 3);
    let isolated_after = sleeper.protocol().isolated_after;
    while let Some(due) = sleeper.next_deadline()
        && sleeper.is_connected()
    {
        wake(sleeper, due);
        assert!(due < awake_again + isolated_after * 2, "it never finds out");
    }
    assert!(!sleeper.is_connected(), "but now they are");
}
