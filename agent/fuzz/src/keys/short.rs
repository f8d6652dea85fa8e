//! Pings, pongs and digests with a MAC.

use hobnob_keys::seal::{Header, Ping, Pong, QuietDigest};

use super::CLUSTER;

const PING: [u8; 4] = [1, 2, 3, 4];

/// Opens the bytes as each short form. Only the genuine ping counts.
pub fn check(bytes: &[u8]) {
    let super::Cluster { keys, sender, receiver, .. } = &*CLUSTER;
    let header = Header::read(bytes);
    if let Ok(ping) = Ping::open(keys, *receiver, bytes) {
        assert_eq!(ping.seal(keys, *receiver), *bytes);
        assert_eq!((ping.sender, ping.nonce), (*sender, PING), "forged");
        assert_eq!(header.expect("it was opened").nonce, Some(PING));
    }
    assert!(Pong::open(keys, bytes).is_err(), "forged");
    assert!(QuietDigest::open(keys, *receiver, bytes).is_err(), "forged");
}

pub(super) fn genuine() -> Vec<u8> {
    Ping { sender: CLUSTER.sender, nonce: PING }.seal(&CLUSTER.keys, CLUSTER.receiver).to_vec()
}
