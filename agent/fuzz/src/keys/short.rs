//! Pings, pongs and digests with a MAC.

use hobnob_keys::seal::{Counter, Header, Ping, Pong, QuietDigest};

use super::CLUSTER;

const NONCE: [u8; 4] = [1, 2, 3, 4];
const COUNTER: u64 = 1 << 40;

/// Opens the bytes as each short form. Only the genuine ping counts.
pub fn check(bytes: &[u8]) {
    let super::Cluster { keys, sender, receiver, .. } = &*CLUSTER;
    let header = Header::read(bytes);
    let counter = Counter::new(COUNTER);
    if let Ok(ping) = Ping::open(keys, *receiver, counter, bytes) {
        assert_eq!(ping.seal(keys, *receiver), *bytes);
        assert_eq!(ping, Ping { sender: *sender, counter, nonce: NONCE }, "forged");
        let low = header.expect("it was opened").counter_low.expect("it is a ping");
        assert_eq!(Counter::next_to(counter, low), counter);
    }
    assert!(Pong::open(keys, bytes).is_err(), "forged");
    assert!(QuietDigest::open(keys, *receiver, bytes).is_err(), "forged");
}

pub(super) fn genuine() -> Vec<u8> {
    let ping = Ping { sender: CLUSTER.sender, counter: Counter::new(COUNTER), nonce: NONCE };
    ping.seal(&CLUSTER.keys, CLUSTER.receiver).to_vec()
}
