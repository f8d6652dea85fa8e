//! What nobody can bring a voter to: numbers far ahead, images that are not whole, and more than it has room for.

use std::time::Duration;

use hobnob_membership::quorum::{
    Answer, Ask, Ballot, Chain, Change, Entry, Failure, Image, MAX_ORIGINS, Message, Outcome,
    Output, OwnSeat, Page, Part, Provenance, Quorum, Recover, Reply, Stamp, Standing, Voice,
};
use hobnob_membership::{NodeId, Time};

use super::network::{Network, deposit, n};
use super::samples::configuration;

fn seat_of(quorum: &Quorum) -> OwnSeat {
    let seats = quorum.image().changes().filter_map(|change| match change {
        Change::Seat(seat) => Some(seat),
        _ => None,
    });
    seats.last().expect("it has a seat")
}

/// Asks a node, as a node that no test uses otherwise.
fn ask(net: &mut Network, node: u64, parts: Vec<Part>) {
    let chain = net.node(node).chain().cloned();
    let now = net.now;
    net.node(node).handle(n(99), Message::Ask(Ask { number: 1, chain, parts }), now);
}

#[test]
fn an_attempt_with_the_highest_round_does_not_end_all_others() {
    let mut net = Network::with_voters(6);
    for node in 1..=3 {
        for round in [1 << 62, 1 << 40, 1 << 30] {
            ask(&mut net, node, vec![Part::Prepare(2, Ballot { round, node: 99, salt: 1 })]);
        }
    }
    net.run(Duration::from_millis(20));
    let outcome = net.set_voters(6, &[2, 3, 4]);
    assert!(matches!(&outcome, Outcome::Changed(it) if it.number == 2), "{outcome:?}");
    assert!(net.node(1).counters().numbers_refused >= 3);
}

#[test]
fn numbers_out_of_range_are_no_message() {
    let recover = |recoveries| Recover { token: 1, recoveries, after: None };
    let high = Ballot { round: u64::MAX, node: 1, salt: 1 };
    for part in [Part::Prepare(2, high), Part::Recover(recover(u32::MAX))] {
        let ask = Ask { number: 1, chain: None, parts: vec![part] };
        assert!(Message::decode(&Message::Ask(ask).encode()).is_err());
    }
    let mut pair = configuration(1);
    pair.seats.pop();
    let chain = Change::Chain(Chain { installed: pair, next: None });
    for answer in [Answer::Life(u32::MAX), Answer::Page(Page { changes: vec![chain], next: None })]
    {
        let (voice, answers) = (Voice::default(), vec![answer]);
        let reply = Reply { number: 1, voice, chain: None, answers };
        assert!(Message::decode(&Message::Reply(reply).encode()).is_err());
    }
}

#[test]
fn a_number_of_recoveries_far_ahead_is_refused() {
    let mut net = Network::with_voters(4);
    let chain = net.node(1).chain().cloned().expect("there are voters");
    let token = chain.token(n(2)).expect("it is a voter");
    let recover = Recover { token, recoveries: 1 << 31, after: None };
    let now = net.now;
    let ask = Ask { number: 1, chain: Some(chain), parts: vec![Part::Recover(recover)] };
    net.node(1).handle(n(2), Message::Ask(ask), now);
    assert_eq!(net.node(1).counters().numbers_refused, 1);
    net.disks.remove(&n(2));
    net.start(n(2), false);
    assert!(net.ids(4, "s").is_empty());
    net.run(Duration::from_secs(3));
    assert_eq!(net.node(2).standing(), Standing::Votes);
    assert_eq!(seat_of(net.node(2)).recoveries, 1);
}

/// The questions that a node has for others.
fn questions(quorum: &mut Quorum) -> Vec<(NodeId, Ask)> {
    let mut asked = Vec::new();
    while let Some(output) = quorum.poll_output() {
        match output {
            Output::Send { to, message: Message::Ask(ask) } => asked.push((to, ask)),
            Output::Store { ticket, .. } => quorum.stored(ticket, Time::from_millis(1)),
            _ => {}
        }
    }
    asked
}

#[test]
fn an_image_with_a_change_of_a_later_version_is_not_whole() {
    let chain = Chain { installed: configuration(1), next: None };
    let mut image = Image::default();
    image.apply(&Change::Chain(chain.clone()));
    let mut now = Time::from_millis(1);
    let mut quorum = Quorum::new(n(2), image, Provenance::Unproven, 1, now);
    let mut reply = |quorum: &mut Quorum, answer: &dyn Fn() -> Answer| {
        for (to, ask) in questions(quorum) {
            let voice = Voice { token: 0x1111 * to.0, ..Voice::default() };
            let answers = ask.parts.iter().map(|_| answer()).collect();
            let chain = Some(chain.clone());
            let reply = Reply { number: ask.number, voice, chain, answers };
            quorum.handle(to, Message::Reply(reply), now);
        }
        now = now + Duration::from_secs(1);
        quorum.handle_deadline(now);
    };
    reply(&mut quorum, &|| Answer::Life(0));
    reply(&mut quorum, &|| Answer::Page(Page { changes: vec![Change::Unknown], next: None }));
    assert_eq!(quorum.standing(), Standing::Lost);
    assert!(quorum.counters().pages_unknown >= 2);
    reply(&mut quorum, &|| Answer::Page(Page { changes: Vec::new(), next: None }));
    assert_eq!(quorum.standing(), Standing::Votes);
}

#[test]
fn many_questions_for_images_have_one_reply_of_bounded_length() {
    let mut net = Network::with_voters(4);
    let write = deposit(4, 10, 1, "a", true);
    let entries = (0..900_u32).map(|number| {
        let mut entry = write.entries[0].clone();
        entry.place.id = format!("instance-{number}").into();
        entry.value = Some(vec![0; 200].into());
        entry
    });
    let now = net.now;
    net.node(1).absorb(entries.collect(), Vec::new(), now);
    net.run(Duration::from_millis(5));
    ask(&mut net, 1, vec![Part::Image(None); 64]);
    let mut replies = Vec::new();
    while let Some(output) = net.node(1).poll_output() {
        if let Output::Send { to: NodeId(99), message } = output {
            replies.push(message);
        }
    }
    let [message @ Message::Reply(reply)] = &replies[..] else { panic!("{replies:?}") };
    assert!(message.encode().len() < 40 * 1024, "{} bytes", message.encode().len());
    assert!(reply.answers.contains(&Answer::Later));
    assert!(matches!(&reply.answers[0], Answer::Page(page) if page.next.is_some()));
}

/// Fills a voter with origins.
pub(crate) fn fill(net: &mut Network, node: u64, origins: usize) {
    let write = deposit(4, 10, 1, "a", true);
    let entries: Vec<Entry> = (0..origins as u64)
        .map(|origin| {
            let mut entry = write.entries[0].clone();
            entry.place.origin = NodeId(1_000 + origin);
            entry.stamp = Stamp { version: 1, ..entry.stamp };
            entry.place.service = "other".into();
            entry
        })
        .collect();
    let now = net.now;
    net.node(node).absorb(entries, Vec::new(), now);
    net.run(Duration::from_millis(5));
}

#[test]
fn a_full_voter_is_outvoted_and_two_are_not() {
    let mut net = Network::with_voters(4);
    fill(&mut net, 1, MAX_ORIGINS);
    assert_eq!(net.write(4, deposit(4, 10, 1, "a", true)), Outcome::Written);
    assert_eq!(net.ids(4, "s"), ["a"]);
    assert!(net.node(1).counters().writes_full > 0);
    fill(&mut net, 2, MAX_ORIGINS - 1);
    assert_eq!(net.write(4, deposit(4, 10, 2, "a", true)), Outcome::Written, "2 knows the origin");
    let other = net.write(4, deposit(5, 10, 1, "b", true));
    assert_eq!(other, Outcome::Unknown(Failure::Full));
}

#[test]
fn a_node_that_cannot_tell_whether_it_voted_is_no_first_voter() {
    let mut net = Network::new(4);
    net.start_as(n(2), Provenance::Unproven);
    let outcome = net.set_voters(1, &[1, 2, 3]);
    assert_eq!(outcome, Outcome::Unchanged(Failure::Forgetful(n(2))));
    let now = net.now;
    assert!(net.node(2).vouch(now));
    assert!(matches!(net.set_voters(1, &[1, 2, 3]), Outcome::Changed(_)));
}

#[test]
fn a_voter_that_forgot_a_first_configuration_makes_no_other() {
    let mut net = Network::new(5);
    let now = net.now;
    let within = Duration::from_secs(2);
    net.node(1).set_voters([1, 2, 3].map(n).into(), false, within, now).expect("it begins");
    net.run(Duration::from_millis(20));
    assert_eq!(net.node(1).standing(), Standing::Votes, "it is made");
    net.cut = [n(1), n(2)].into();
    net.disks.remove(&n(3));
    net.start(n(3), false);
    let outcome = net.set_voters(4, &[3, 4, 5]);
    assert_eq!(outcome, Outcome::Unchanged(Failure::Forgetful(n(3))));
}

#[test]
fn the_number_of_a_recovery_that_was_vouched_for_is_not_used_twice() {
    let mut net = Network::with_voters(4);
    let gone = net.nodes.remove(&n(3)).expect("it runs");
    net.start(n(2), false);
    let now = net.now;
    assert!(net.node(2).vouch(now));
    net.run(Duration::from_millis(500));
    assert_eq!(seat_of(net.node(2)).recoveries, 1);
    assert_eq!(net.node(2).standing(), Standing::Votes);
    net.nodes.insert(n(3), gone);
    net.disks.remove(&n(2));
    net.start(n(2), false);
    assert!(net.ids(4, "s").is_empty());
    net.run(Duration::from_secs(3));
    assert_eq!(net.node(2).standing(), Standing::Votes);
    assert_eq!(seat_of(net.node(2)).recoveries, 2);
}
