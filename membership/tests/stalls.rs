//! The ages that a node shows after its own loop stood still: a suspended host, a stopped process.

use std::time::Duration;

use hobnob_membership::testing::{Arrival, Network, identity, node_of};
use hobnob_membership::{ClusterId, Input, Node, Time};

const STALL: Duration = Duration::from_secs(20);
/// Nobody is gone for less at the end of the stall.
const NEARLY: Duration = Duration::from_millis(19_000);

/// The time since the last sign of life of the `n`th node, as this node shows it.
fn age(node: &Node, n: usize, now: Time) -> Duration {
    now.since(node.last_alive(identity(n).node_id, now))
}

/// Node 0 stands still while node `dead` dies, and the others find that out. Returns the network at the end of the stall.
fn missed_a_death(members: usize, dead: usize) -> Network {
    let mut net = Network::joined(members);
    net.run_for(Duration::from_secs(2));
    let stands_still = std::mem::replace(&mut net.nodes[0], node_of(ClusterId::named("other"), 0));
    net.nodes[dead] = node_of(ClusterId::named("other"), dead);
    net.run_for(STALL);
    net.nodes[0] = stands_still;
    net
}

#[test]
fn an_age_after_a_stall_holds_the_stall() {
    for dead in 1..8 {
        let mut net = missed_a_death(8, dead);
        assert!(age(&net.nodes[0], dead, net.now) > NEARLY, "{dead}: before anything is handled");
        net.handle(0, Input::Deadline);
        assert!(age(&net.nodes[0], dead, net.now) > NEARLY, "{dead}: after the stall is noticed");
        for step in 0..200 {
            net.run_for(Duration::from_millis(100));
            let age = age(&net.nodes[0], dead, net.now);
            assert!(age > NEARLY, "{dead}: nobody heard it, and its age is {age:?} at {step}");
        }
        assert_eq!(net.nodes[0].active_members(), 7, "it was declared down, not heard again");
    }
}

#[test]
fn a_message_that_may_have_waited_for_the_end_of_a_stall_is_no_fresh_sign_of_life() {
    let mut net = Network::joined(3);
    net.run_for(Duration::from_secs(2));
    let last_words = net.arrivals.iter().rev().find_map(|(_, to, arrival)| match arrival {
        Arrival::Datagram(from, bytes) if (*to, *from) == (0, identity(1).addr) => Some(bytes),
        _ => None,
    });
    let bytes = last_words.expect("node 1 speaks to node 0").clone();
    let now = net.now + STALL;
    net.nodes[0].handle(Input::Datagram { from: identity(1).addr, bytes: &bytes }, now);
    let shown = age(&net.nodes[0], 1, now);
    assert!(shown > NEARLY, "{shown:?}");
    let contact = net.nodes[0].last_contact().expect("it heard some");
    assert!(now.since(contact) > NEARLY, "{:?}", now.since(contact));
}

#[test]
fn a_node_that_stood_still_finds_the_living_alive_and_young_again_and_calls_nobody_down() {
    let mut net = Network::joined(8);
    net.run_for(Duration::from_secs(2));
    let stands_still = std::mem::replace(&mut net.nodes[0], node_of(ClusterId::named("other"), 0));
    net.run_for(STALL);
    net.nodes[0] = stands_still;
    net.run_for(Duration::from_secs(15));
    for n in 1..8 {
        let age = age(&net.nodes[0], n, net.now);
        assert!(age < Duration::from_secs(5), "{n}: {age:?}");
        assert_eq!(net.nodes[n].active_members(), 8, "{n}: it is back");
        assert_eq!(net.nodes[n].identity().epoch, identity(n).epoch, "{n}: nobody called it down");
    }
}
