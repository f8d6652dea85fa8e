//! Packets of SWIM, behind the envelope and the hash of their destination, where noise would hardly ever get.

use std::time::Duration;

use hobnob_membership::Input;
use hobnob_membership::wire::Message;
use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::alone;
use super::subject::{Subject, identity};

/// The packet that is meant for whatever life of a node is there.
const ANNOUNCE: u8 = 0;

/// Splits the bytes into packets, each behind its length in one byte, and hands them to a node, some time apart.
pub fn check(bytes: &[u8]) {
    let mut subject = Subject::new(0);
    let mut rest = bytes;
    while let [len, more @ ..] = rest {
        let (packet, more) = more.split_at(usize::from(*len).min(more.len()));
        rest = more;
        let datagram = addressed(&subject, packet);
        subject.tell(Input::Datagram { from: identity(1).addr, bytes: &datagram });
        subject.pass(Duration::from_millis(100));
    }
    // Long enough for probes to fail, suspects to be given up and knocks to be repeated.
    subject.pass(Duration::from_secs(10));
    assert_eq!(
        subject.node().counters().swim_not_for_us,
        0,
        "the hash of a destination has changed"
    );
}

fn addressed(subject: &Subject, packet: &[u8]) -> Vec<u8> {
    // One byte at least, or it is for nobody.
    let packet = if packet.is_empty() { &[ANNOUNCE] } else { packet };
    let own = subject.node().identity();
    let (epoch, seed) = if packet[0] == ANNOUNCE { (0, 1) } else { (own.epoch.0, 0) };
    let destination = [&own.node_id.0.to_le_bytes()[..], &epoch.to_le_bytes()[..6]].concat();
    let hash = xxh3_64_with_seed(&destination, seed).to_le_bytes();
    alone(&Message::Swim(&[&hash[..4], packet].concat()))
}
