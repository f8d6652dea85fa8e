//! What goes over the wire.

use hobnob_membership::Epoch;
use hobnob_membership::quorum::{
    Answer, Ask, Ballot, Chain, Configuration, Cursor, Life, Look, Message, Page, Part, Proposal,
    Recover, Reply, Seat, Seen, Voice,
};
use proptest::prelude::*;

use super::network::{deposit, n};

fn configuration(number: u64) -> Configuration {
    let seats = [1, 2, 3].map(|node| Seat { node: n(node), token: 0x1111 * node });
    Configuration { number, seats: seats.into() }
}

fn samples() -> Vec<Message> {
    let chain = Some(Chain { installed: configuration(1), next: Some(configuration(2)) });
    let ballot = Ballot { round: 2, node: 4, salt: 9 };
    let write = deposit(5, 10, 1, "a", true);
    let entries = write.entries.clone();
    let look = Look {
        service: "s".into(),
        entries: entries.clone(),
        ends: Vec::new(),
        known: 77,
        lists: true,
        after: None,
    };
    let proposal = Proposal { ballot, configuration: configuration(2) };
    let after = Some(Cursor::Place(entries[0].place.clone()));
    let recover = Recover { token: 3, recoveries: 1, after: after.clone() };
    let parts = vec![
        Part::Look(look),
        Part::Write(write),
        Part::Enlist(2),
        Part::Found(configuration(1)),
        Part::Prepare(2, ballot),
        Part::Accept(proposal.clone()),
        Part::CaughtUp(2),
        Part::Lives,
        Part::Recover(recover),
        Part::Image(None),
    ];
    let lives = vec![Life { node: n(2), token: 5, recoveries: 1 }];
    let voice = Voice { token: 4, recoveries: 2, is_lost: false, lives };
    let seen = Seen { digest: 8, entries, ends: Vec::new(), next: None, is_listed: true };
    let answers = vec![
        Answer::Done,
        Answer::NotVoting,
        Answer::Seen(seen),
        Answer::Fenced(Epoch(3)),
        Answer::Full,
        Answer::Enlisted(6),
        Answer::Taken(None),
        Answer::Promised(Some(proposal)),
        Answer::Refused(ballot),
        Answer::CaughtUp(true),
        Answer::Life(2),
        Answer::Page(Page { changes: Vec::new(), next: after }),
        Answer::Unknown,
    ];
    let ask = Ask { number: 1, chain: chain.clone(), parts };
    vec![Message::Ask(ask), Message::Reply(Reply { number: 1, voice, chain, answers })]
}

#[test]
fn what_was_written_is_read() {
    for message in samples() {
        assert_eq!(Message::decode(&message.encode()), Ok(message));
    }
}

#[test]
fn a_configuration_out_of_range_is_refused() {
    let mut two = configuration(1);
    two.seats.pop();
    let ask = Ask { number: 1, chain: Some(Chain { installed: two, next: None }), parts: vec![] };
    assert!(Message::decode(&Message::Ask(ask).encode()).is_err());
}

#[test]
fn a_question_of_a_later_version_keeps_the_place_of_its_answer() {
    let ask = Ask { number: 1, chain: None, parts: vec![Part::Lives, Part::Lives] };
    let mut bytes = Message::Ask(ask).encode();
    let first = bytes.len() - 4;
    bytes[first] = 99;
    let Ok(Message::Ask(read)) = Message::decode(&bytes) else { panic!("it is read") };
    assert_eq!(read.parts, [Part::Unknown, Part::Lives]);
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn noise_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        drop(Message::decode(&bytes));
    }

    #[test]
    fn a_broken_message_never_panics(
        which in 0..2_usize,
        at in any::<prop::sample::Index>(),
        byte in any::<u8>(),
    ) {
        let mut bytes = samples()[which].encode();
        let at = at.index(bytes.len());
        bytes[at] = byte;
        drop(Message::decode(&bytes));
    }
}
