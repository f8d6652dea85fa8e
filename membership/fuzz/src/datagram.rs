//! A datagram: its envelope, and every message in it.

use hobnob_membership::wire::{Message, Update};

use super::{alone, read, sealed};

/// Reads the bytes as a datagram, then as the messages of one whose envelope is in order.
pub fn check(bytes: &[u8]) {
    if read(bytes).is_ok() {
        survives(bytes);
    }
    survives(&sealed(bytes));
}

/// A datagram that can be read can be written in no more bytes, and is read again as the same. Only what an earlier version wrote
/// ends some bytes sooner than ours.
fn survives(datagram: &[u8]) {
    for message in read(datagram).expect("the envelope is in order") {
        let written = alone(&message);
        let longest = datagram.len() + later_fields(&message);
        assert!(written.len() <= longest, "a shorter form was read");
        let again = read(&written).expect("our own envelope");
        assert_eq!(again, [message]);
        assert_eq!(alone(&again[0]), written);
    }
}

/// Bytes of the fields of a message that an earlier version does not write, and of the longer lengths that come of them.
fn later_fields(message: &Message) -> usize {
    match message {
        Message::MemberUpdates(told) => {
            let verdicts = told.updates.iter().filter(|update| matches!(update, Update::Down(_)));
            verdicts.count() + 8 + 2
        }
        Message::Hello(_) | Message::Welcome(_) | Message::Referral(_) => 8 + 4,
        Message::Compare(_) => 4 + 2,
        Message::Rumors(..) => 1 + 2,
        _ => 0,
    }
}
