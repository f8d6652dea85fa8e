//! What goes over the wire.

use hobnob_membership::quorum::{Ask, Chain, Message, Part};
use proptest::prelude::*;

use super::recorded::{EARLIER, RECORDED};
use super::samples::{configuration, samples};

#[test]
fn what_was_written_is_read() {
    for message in samples() {
        assert_eq!(Message::decode(&message.encode()), Ok(message));
    }
}

/// Nodes of different versions speak with each other.
#[test]
fn recorded_bytes_are_read_and_written_again() {
    let hex = |message: Message| -> String {
        message.encode().iter().map(|byte| format!("{byte:02x}")).collect()
    };
    let written: Vec<String> = samples().into_iter().map(hex).collect();
    assert_eq!(written, RECORDED);
}

#[test]
fn recorded_bytes_of_an_earlier_version_are_read() {
    for recorded in EARLIER {
        let bytes = (0..recorded.len()).step_by(2);
        let bytes = bytes.map(|at| u8::from_str_radix(&recorded[at..at + 2], 16).expect("hex"));
        let message = Message::decode(&bytes.collect::<Vec<_>>()).expect("it is read");
        if let Message::Ask(ask) = message {
            assert_eq!(ask.parts[2], Part::Enlist(2, false));
        }
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
