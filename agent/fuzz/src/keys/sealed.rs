//! Sealed datagrams.

use hobnob_keys::seal::{Counter, Header, ReplayWindow, Sealed};

use super::CLUSTER;

const MESSAGES: &[u8] = b"messages";

/// Opens the bytes, and what they make when they are sealed.
pub fn check(bytes: &[u8]) {
    let header = Header::read(bytes);
    if let Ok(opened) = Sealed::open(&CLUSTER.keys, &mut bytes.to_vec()) {
        let mut again = vec![];
        opened.seal(&CLUSTER.keys, &mut again).expect("it has messages");
        assert_eq!(again, bytes);
        assert_eq!(opened.messages, MESSAGES, "forged");
        assert_eq!(header.expect("it was opened").counter, Some(opened.counter));
    }
    let mut counter = [0; 8];
    let len = bytes.len().min(8);
    counter[..len].copy_from_slice(&bytes[..len]);
    let counter = Counter::new(u64::from_le_bytes(counter));
    let sealed = Sealed { sender: CLUSTER.sender, counter, messages: bytes };
    let mut datagram = vec![];
    if sealed.seal(&CLUSTER.keys, &mut datagram).is_ok() {
        assert_eq!(Sealed::open(&CLUSTER.keys, &mut datagram), Ok(sealed));
    }
    // The window takes no counter twice, in whatever order they come.
    let mut window = ReplayWindow::above(Counter::new(100));
    for step in bytes {
        let counter = Counter::new(90 + u64::from(*step));
        let is_new = window.check(counter).is_ok();
        assert_eq!(window.record(counter).is_ok(), is_new);
        assert!(window.record(counter).is_err());
    }
}

pub(super) fn genuine() -> Vec<u8> {
    let mut datagram = vec![];
    let counter = Counter::of_epoch(1_700_000_000_000);
    let sealed = Sealed { sender: CLUSTER.sender, counter, messages: MESSAGES };
    sealed.seal(&CLUSTER.keys, &mut datagram).expect("it has messages");
    datagram
}
