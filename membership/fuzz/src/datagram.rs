//! A datagram: its envelope, and every message in it.

use super::{alone, read, sealed};

/// Reads the bytes as a datagram, then as the messages of one whose envelope is in order.
pub fn check(bytes: &[u8]) {
    if read(bytes).is_ok() {
        survives(bytes);
    }
    survives(&sealed(bytes));
}

/// A datagram that can be read can be written in no more bytes, and is read again as the same.
fn survives(datagram: &[u8]) {
    for message in read(datagram).expect("the envelope is in order") {
        let written = alone(&message);
        assert!(written.len() <= datagram.len(), "a shorter form was read");
        let again = read(&written).expect("our own envelope");
        assert_eq!(again, [message]);
        assert_eq!(alone(&again[0]), written);
    }
}
