//! Recorded bytes of this version.
//!
//! They are what other versions of the software speak. If a test here fails, either a change was not meant to touch the
//! wire and does, or it adds something at the end of a block: then run
//! `cargo test -p hobnob-membership --test wire print_golden_bytes -- --ignored --nocapture`, put the printed lines in
//! `golden.txt`, and keep the lines that stood there in `earlier.txt`, as those of an earlier version that must still be
//! read.

use hobnob_membership::DatacenterId;
use hobnob_membership::wire::{Ages, Credentials, Frame, MemberUpdates, Message, Update};

use crate::fixtures::{credentials, datagram, encoded, frames, hex, messages, read, recorded};

const GOLDEN: &str = include_str!("golden.txt");

/// Records written before a service could set outlier ejection, slow start, panic threshold and load bound, others written
/// before a node record had a certificate, or before a service could name datacenters to fail over to or had a scope, a verdict written
/// before one could say that a process exited, messages and an opening that name no datacenter, updates and tables without orders to
/// isolate datacenters, without the word whether one is forgotten or without round trips, and credentials that do not say which certificate their sender holds.
const EARLIER: &str = include_str!("earlier.txt");

#[test]
fn the_written_bytes_are_the_recorded_ones() {
    let (encoded, golden) = (encoded(), recorded(GOLDEN));
    assert_eq!(encoded.len(), golden.len());
    for ((name, bytes), (golden_name, golden)) in encoded.iter().zip(golden) {
        assert_eq!((*name, hex(bytes)), (golden_name, hex(&golden)));
    }
}

#[test]
#[ignore = "prints the bytes for a change of the wire that is meant"]
fn print_golden_bytes() {
    for (name, bytes) in encoded() {
        println!("{name}: {}", hex(&bytes));
    }
}

#[test]
fn written_messages_and_frames_are_read() {
    for (name, message) in messages() {
        assert_eq!(read(&datagram(&message)).expect(name), (vec![message], 0));
    }
    for (name, frame) in frames() {
        assert_eq!(Frame::decode(&frame.encode().expect(name)).expect(name), frame);
    }
}

#[test]
fn bytes_of_an_earlier_version_are_read_and_passed_on_as_they_came() {
    let messages: Vec<&str> = messages().iter().map(|(name, _)| *name).collect();
    for (name, bytes) in recorded(EARLIER) {
        if name == "member_updates" {
            let (read, skipped) = read(&bytes).expect(name);
            let [Message::MemberUpdates(MemberUpdates { updates, .. })] = &read[..] else {
                panic!("{read:?}");
            };
            let is_down = |update: &Update| matches!(update, Update::Down(_));
            assert!(skipped == 0 && updates.iter().any(is_down), "{updates:?}");
        } else if messages.contains(&name) {
            let (read, skipped) = read(&bytes).expect(name);
            assert_eq!((read.len(), skipped), (1, 0), "{name}");
            if has_grown(&read[0]) {
                continue;
            }
            assert_eq!(hex(&datagram(&read[0])), hex(&bytes), "{name}");
        } else if name == "opening" {
            let Ok(Frame::Opening(read)) = Frame::decode(&bytes) else { panic!("{name}") };
            assert_eq!(read.datacenter, DatacenterId::UNKNOWN);
        } else if name == "tables" {
            let Ok(Frame::Tables(read)) = Frame::decode(&bytes) else { panic!("{name}") };
            assert!(read.last && read.reach.len() == 1);
            assert!(read.isolations.iter().all(|order| !order.forgets));
        } else if name == "credentials" {
            let Ok(Frame::Credentials(read)) = Frame::decode(&bytes) else { panic!("{name}") };
            assert_eq!(read, Credentials { holds: None, ..credentials() });
        } else {
            let frame = Frame::decode(&bytes).expect(name);
            assert_eq!(hex(&frame.encode().expect(name)), hex(&bytes), "{name}");
        }
    }
}

/// Whether a message has a field that earlier versions do not send: the datacenter of the sender, or the ages of rumors.
fn has_grown(message: &Message) -> bool {
    match message {
        Message::Hello(hello) | Message::Welcome(hello) | Message::Referral(hello) => {
            assert_eq!(hello.datacenter, DatacenterId::UNKNOWN);
            true
        }
        Message::Rumors(_, _, ages) => *ages == Ages::default(),
        Message::Compare(compare) => compare.tables == [0; 4],
        _ => false,
    }
}
