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

/// A datagram that can be read can be written in no more bytes, and is read again as the same. Only verdicts of an earlier
/// version end a byte sooner than ours.
fn survives(datagram: &[u8]) {
    for message in read(datagram).expect("the envelope is in order") {
        let written = alone(&message);
        let longest = datagram.len() + verdicts(&message);
        assert!(written.len() <= longest, "a shorter form was read");
        let again = read(&written).expect("our own envelope");
        assert_eq!(again, [message]);
        assert_eq!(alone(&again[0]), written);
    }
}

/// The number of verdicts in a message.
fn verdicts(message: &Message) -> usize {
    let Message::MemberUpdates(told) = message else { return 0 };
    told.updates.iter().filter(|update| matches!(update, Update::Down(_))).count()
}
