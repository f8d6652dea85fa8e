//! A node asks whether other members have applied what it wrote.

use std::time::Duration;

use hobnob_membership::record::Key;
use hobnob_membership::testing::{Network, bounds, config, identity, instance, node};
use hobnob_membership::wire::{Confirm, DatagramBuilder, Envelope, Message, decode_datagram};
use hobnob_membership::{
    ClusterId, ConfirmError, Confirmation, Confirmers, Event, Input, Node, NodeId, Output, Time,
};

const SECOND: Duration = Duration::from_secs(1);
const MS: Duration = Duration::from_millis(1);

fn node_id(n: usize) -> NodeId {
    identity(n).node_id
}

/// Writes at the first node, and asks for a confirmation.
fn confirm(net: &mut Network, by: &Confirmers, within: Duration) -> u64 {
    let now = net.now;
    net.nodes[0].write(instance("web-1"), now).expect("legal");
    let number = net.nodes[0].confirm(by, within, now).expect("begun");
    net.flush(0);
    number
}

/// The outcome of the first node's confirmation, if it is over.
fn outcome_of(net: &Network, number: u64) -> Option<Confirmation> {
    net.events[0].iter().find_map(|event| match event {
        Event::Confirmation(outcome) if outcome.number == number => Some(outcome.clone()),
        _ => None,
    })
}

/// Runs until it is over, and returns the time that this took.
fn wait(net: &mut Network, number: u64, at_most: Duration) -> (Confirmation, Duration) {
    let began = net.now;
    while net.now < began + at_most {
        net.run_for(MS);
        if let Some(outcome) = outcome_of(net, number) {
            return (outcome, net.now.since(began));
        }
    }
    panic!("not over after {at_most:?}");
}

fn holds(net: &Network, n: usize) -> bool {
    let catalog = net.nodes[n].catalog();
    let replica = catalog.origin(node_id(0)).and_then(|origin| origin.current());
    replica.is_some_and(|replica| replica.get(&Key::Service("web-1".into())).is_some())
}

/// The questions and answers in the datagrams sent since there were so many.
fn messages(net: &Network, since: usize) -> (usize, usize) {
    let (mut questions, mut answers) = (0, 0);
    for bytes in &net.datagrams[since..] {
        let envelope = Envelope::clear(ClusterId::default());
        for message in decode_datagram(bytes, &envelope).expect("ours").flatten() {
            match message {
                Message::Confirm(_) => questions += 1,
                Message::Confirmed(_) => answers += 1,
                _ => {}
            }
        }
    }
    (questions, answers)
}

#[test]
fn all_confirm_soon_after_they_have_applied_it() {
    let mut net = Network::joined(8);
    let sent = net.datagrams.len();
    let number = confirm(&mut net, &Confirmers::All, SECOND);
    let (outcome, took) = wait(&mut net, number, SECOND);
    assert!(outcome.is_complete(), "{outcome:?}");
    assert_eq!((outcome.confirmed, outcome.wanted, outcome.missing), (7, 7, vec![]));
    assert!((1..8).all(|n| holds(&net, n)));
    assert!(took <= 20 * MS, "{took:?}");
    assert_eq!(messages(&net, sent), (7, 7), "one question and one answer for each");
    net.run_for(5 * SECOND);
    assert_eq!(messages(&net, sent), (7, 7), "and none afterwards");
}

#[test]
fn a_few_are_enough_and_the_others_are_not_asked() {
    let mut net = Network::joined(12);
    let sent = net.datagrams.len();
    let number = confirm(&mut net, &Confirmers::Any(3), SECOND);
    let (outcome, _) = wait(&mut net, number, SECOND);
    assert!(outcome.is_complete() && outcome.confirmed >= 3, "{outcome:?}");
    assert!(outcome.missing.is_empty());
    assert_eq!(messages(&net, sent).0, 5, "two more than are needed");
}

#[test]
fn members_of_a_datacenter_are_found_by_their_records() {
    let named = |n: usize| {
        let mut config = config(n);
        config.node.datacenter = if n.is_multiple_of(2) { "eu" } else { "us" }.into();
        Node::new(config, Time::ZERO).expect("legal")
    };
    let mut net = Network::new((0..6).map(named).collect(), Default::default(), Time::ZERO);
    (1..6).for_each(|n| drop(net.handle(n, Input::Join(vec![identity(0).addr]))));
    net.run_for(5 * SECOND);
    for (datacenter, wanted) in [(None, 2), (Some("eu".to_owned()), 2), (Some("ap".to_owned()), 0)]
    {
        let number = confirm(&mut net, &Confirmers::Datacenter(datacenter.clone()), SECOND);
        let (outcome, _) = wait(&mut net, number, SECOND);
        assert_eq!((outcome.confirmed, outcome.wanted), (wanted, wanted), "{datacenter:?}");
        assert_eq!(outcome.is_complete(), wanted > 0, "nobody is no confirmation");
    }
}

#[test]
fn a_member_that_is_cut_off_is_missing_and_confirms_when_it_is_back_in_time() {
    let mut net = Network::joined(5);
    net.blocked.insert(4);
    let number = confirm(&mut net, &Confirmers::All, SECOND);
    let (outcome, took) = wait(&mut net, number, 2 * SECOND);
    assert_eq!((outcome.confirmed, outcome.wanted), (3, 4));
    assert_eq!((outcome.missing.clone(), outcome.is_complete()), (vec![node_id(4)], false));
    assert!((SECOND..SECOND + 20 * MS).contains(&took), "{took:?}");
    assert!(!holds(&net, 4));

    net.blocked.clear();
    net.run_for(5 * SECOND);
    net.blocked.insert(4);
    let number = confirm(&mut net, &Confirmers::All, 3 * SECOND);
    net.run_for(SECOND);
    assert_eq!(outcome_of(&net, number), None);
    net.blocked.clear();
    let (outcome, took) = wait(&mut net, number, 3 * SECOND);
    assert!(outcome.is_complete(), "{outcome:?}");
    assert!(took < 2 * SECOND, "{took:?}");
}

#[test]
fn lost_questions_and_answers_are_made_up_for() {
    let mut net = Network::joined(5);
    let number = confirm(&mut net, &Confirmers::All, 5 * SECOND);
    // Rumors arrive; questions, answers and all else of the next 150 ms do not.
    net.run_for(3 * MS);
    net.blocked.extend(1..5);
    net.run_for(150 * MS);
    net.blocked.clear();
    let (outcome, took) = wait(&mut net, number, SECOND);
    assert!(outcome.is_complete(), "{outcome:?}");
    assert!(took < 300 * MS, "asked again: {took:?}");
}

#[test]
fn a_member_that_leaves_or_dies_meanwhile_is_not_expected() {
    let mut net = Network::joined(5);
    net.cut.extend((0..4).flat_map(|n| [(n, 3), (n, 4)]).filter(|(one, other)| one < other));
    let number = confirm(&mut net, &Confirmers::All, 30 * SECOND);
    let (outcome, took) = wait(&mut net, number, 30 * SECOND);
    assert_eq!((outcome.confirmed, outcome.wanted), (2, 2), "{outcome:?}");
    assert!(outcome.is_complete() && outcome.missing.is_empty());
    assert!(took < 10 * SECOND, "as soon as they are held down: {took:?}");
}

#[test]
fn a_member_that_restarts_confirms_once_it_has_caught_up() {
    let mut net = Network::joined(4);
    net.blocked.insert(3);
    let number = confirm(&mut net, &Confirmers::All, 30 * SECOND);
    net.run_for(500 * MS);
    let mut again = config(3);
    again.identity.epoch.0 += 1;
    net.nodes[3] = Node::new(again, net.now).expect("legal");
    net.blocked.clear();
    net.handle(3, Input::Join(vec![identity(0).addr]));
    let (outcome, _) = wait(&mut net, number, 10 * SECOND);
    assert_eq!((outcome.confirmed, outcome.wanted), (3, 3), "{outcome:?}");
    assert!(holds(&net, 3));
}

#[test]
fn a_later_epoch_of_the_origin_has_what_the_earlier_one_had() {
    let mut net = Network::joined(4);
    net.blocked.insert(3);
    let number = confirm(&mut net, &Confirmers::All, 30 * SECOND);
    net.run_for(200 * MS);
    let epoch = net.nodes[0].identity().epoch;
    // Somebody holds the origin down, and it refutes.
    let now = net.now;
    net.nodes[1].declare_down(node_id(0), now);
    net.handle(1, Input::Deadline);
    net.run_for(200 * MS);
    assert!(net.nodes[0].identity().epoch > epoch);
    net.blocked.clear();
    let (outcome, _) = wait(&mut net, number, 10 * SECOND);
    assert_eq!((outcome.confirmed, outcome.wanted), (3, 3), "{outcome:?}");
}

#[test]
fn alone_there_is_nobody_to_confirm() {
    let mut net = Network::new(vec![node(0)], Default::default(), Time::ZERO);
    for by in [Confirmers::All, Confirmers::Any(1), Confirmers::Datacenter(None)] {
        let number = confirm(&mut net, &by, 30 * SECOND);
        let (outcome, _) = wait(&mut net, number, 10 * MS);
        assert!(!outcome.is_complete() && outcome.missing.is_empty(), "{outcome:?}");
    }
}

/// The questions of strangers are not answered, those of members with one datagram at most, and no more wait than may.
#[test]
fn questions_are_answered_with_no_more_than_was_asked() {
    let mut net = Network::joined(3);
    let question = |sender: NodeId, version: u64| {
        let confirm = Confirm { sender, origin: node_id(2), epoch: identity(2).epoch, version };
        let mut datagram = DatagramBuilder::new(Envelope::clear(ClusterId::default()));
        // The second one of a datagram is not looked at.
        datagram.push(&Message::Confirm(confirm)).expect("fits");
        datagram.push(&Message::Confirm(confirm)).expect("fits");
        datagram.finish()
    };
    let sent = net.datagrams.len();
    for (sender, version) in [(NodeId(77), 1), (node_id(1), 1), (node_id(1), 1_000_000)] {
        let bytes = question(sender, version);
        net.handle(0, Input::Datagram { from: identity(1).addr, bytes: &bytes });
    }
    assert_eq!(messages(&net, sent), (0, 1), "of a member, about what is applied");
    assert_eq!(net.nodes[0].load().confirms, 1);

    let mut outputs = Vec::new();
    for version in 0..3_000 {
        let bytes = question(node_id(1), 2_000_000 + version);
        let now = net.now;
        net.nodes[0].handle(Input::Datagram { from: identity(1).addr, bytes: &bytes }, now);
        while let Some(output) = net.nodes[0].poll_output() {
            outputs.push(output);
        }
        bounds::check(&net.nodes[0], &[]);
    }
    let datagrams = outputs.iter().filter(|output| matches!(output, Output::Datagram { .. }));
    assert_eq!(datagrams.count(), 0);
    assert_eq!(net.nodes[0].counters().confirms_refused, 3_000 + 1 - 1_024);
}

#[test]
fn no_more_confirmations_are_under_way_than_may_be_and_each_has_its_bounds() {
    let mut net = Network::joined(2);
    net.blocked.insert(1);
    let now = net.now;
    let node = &mut net.nodes[0];
    let out_of_range = |refused| matches!(refused, Err(ConfirmError::OutOfRange { .. }));
    assert!(out_of_range(node.confirm(&Confirmers::Any(0), SECOND, now)));
    assert!(out_of_range(node.confirm(&Confirmers::All, 61 * SECOND, now)));
    let begun = (0..100).map(|_| node.confirm(&Confirmers::All, SECOND, now));
    let begun: Vec<_> = begun.collect();
    assert_eq!(begun.iter().filter(|begun| begun.is_ok()).count(), 64);
    assert_eq!(begun[64], Err(ConfirmError::TooMany));
    net.handle(0, Input::Deadline);
    net.run_for(2 * SECOND);
    let over = net.events[0].iter().filter(|event| matches!(event, Event::Confirmation(_)));
    assert_eq!((over.count(), net.nodes[0].load().confirms), (64, 0));
}
