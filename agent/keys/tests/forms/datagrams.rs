//! Sealed datagrams, short forms, and the replay window.

use std::collections::BTreeSet;

use hobnob_keys::seal::{
    Counter, DatagramKeys, Form, Header, OpenError, Ping, Pong, QuietDigest, ReplayWindow,
    SEALED_OVERHEAD_BYTES, Sealed, WINDOW,
};
use hobnob_keys::{ClusterId, NodeId};
use proptest::prelude::*;

use crate::fixtures::{
    MESSAGES, SECRET, cluster, digest, keys, near, node, ping, pong, receiver, sealed,
};

#[test]
fn the_forms_have_the_promised_lengths() {
    assert_eq!(SEALED_OVERHEAD_BYTES, 32);
    assert_eq!(sealed().len(), 32 + MESSAGES.len());
    assert_eq!(ping().seal(&keys(), receiver()).len(), 25);
    assert_eq!(pong().seal(&keys()).len(), 19);
    assert_eq!(digest().seal(&keys(), receiver()).len(), 33);
}

#[test]
fn a_datagram_is_opened_as_it_was_sealed() {
    let (keys, sender) = (keys(), node().node_id());
    let mut bytes = sealed();
    let header = Header::read(&bytes).unwrap();
    assert_eq!((header.form, header.sender, header.generation), (Form::Sealed, Some(sender), 3));
    let opened = Sealed::open(&keys, &mut bytes).unwrap();
    assert_eq!((opened.sender, Some(opened.counter)), (sender, header.counter));
    assert_eq!(opened.messages, MESSAGES);
    let bytes = ping().seal(&keys, receiver());
    let low = Header::read(&bytes).unwrap().counter_low.unwrap();
    assert_eq!(Counter::next_to(near(), low), ping().counter);
    assert_eq!(Ping::open(&keys, receiver(), near(), &bytes), Ok(ping()));
    let bytes = pong().seal(&keys);
    assert_eq!(Pong::open(&keys, &bytes), Ok(pong()));
    let bytes = digest().seal(&keys, receiver());
    assert_eq!(Header::read(&bytes).unwrap().counter, Some(digest().counter));
    assert_eq!(QuietDigest::open(&keys, receiver(), &bytes), Ok(digest()));
}

#[test]
fn a_datagram_opens_with_its_own_keys_only() {
    let other_secret = DatagramKeys::derive(cluster(), 0x0203, &[8; 32]);
    let other_cluster = DatagramKeys::derive(ClusterId([9; 32]), 0x0203, &SECRET);
    let same_byte = DatagramKeys::derive(cluster(), 0x0303, &SECRET);
    let (ping, digest) = (ping().seal(&keys(), receiver()), digest().seal(&keys(), receiver()));
    let pong = pong().seal(&keys());
    for wrong in [&other_secret, &other_cluster, &same_byte] {
        assert_eq!(Sealed::open(wrong, &mut sealed()), Err(OpenError::Forged));
        assert_eq!(Ping::open(wrong, receiver(), near(), &ping), Err(OpenError::Forged));
        assert_eq!(Pong::open(wrong, &pong), Err(OpenError::Forged));
        assert_eq!(QuietDigest::open(wrong, receiver(), &digest), Err(OpenError::Forged));
    }
    let next = DatagramKeys::derive(cluster(), 0x0204, &SECRET);
    assert_eq!(Sealed::open(&next, &mut sealed()), Err(OpenError::Generation));
    assert_eq!(Ping::open(&next, receiver(), near(), &ping), Err(OpenError::Generation));
}

#[test]
fn a_ping_and_a_digest_are_of_no_use_elsewhere() {
    let (keys, elsewhere) = (keys(), NodeId(1));
    let bytes = ping().seal(&keys, receiver());
    assert_eq!(Ping::open(&keys, elsewhere, near(), &bytes), Err(OpenError::Forged));
    let bytes = digest().seal(&keys, receiver());
    assert_eq!(QuietDigest::open(&keys, elsewhere, &bytes), Err(OpenError::Forged));
}

#[test]
fn a_ping_counts_at_its_own_counter_only_though_it_carries_a_part_of_it() {
    let (keys, own) = (keys(), ping().counter.number());
    let bytes = ping().seal(&keys, receiver());
    let at = |near| Ping::open(&keys, receiver(), Counter::new(near), &bytes);
    for near in [own, own - (1 << 22), own + (1 << 22)] {
        assert_eq!(at(near), Ok(ping()));
    }
    for near in [0, own - (1 << 24), own + (1 << 24), own + (1 << 40)] {
        assert_eq!(at(near), Err(OpenError::Forged), "{near}");
    }
}

#[test]
fn nothing_is_sealed_for_no_messages() {
    let (sender, counter) = (node().node_id(), Counter::new(1));
    let mut out = b"before".to_vec();
    let empty = Sealed { sender, counter, messages: &[] };
    assert_eq!(empty.seal(&keys(), &mut out), Err(OpenError::Length));
    assert_eq!(out, b"before");
    Sealed { sender, counter, messages: b"m" }.seal(&keys(), &mut out).unwrap();
    assert_eq!(Sealed::open(&keys(), &mut out[6..]).unwrap().messages, b"m");
}

proptest! {
    #[test]
    fn messages_are_opened_as_they_were_sealed(
        sender in any::<u64>(), counter in 0..=Counter::MAX.number(), messages in prop::collection::vec(any::<u8>(), 1..1_400),
        secret in any::<[u8; 32]>(), number in any::<u64>(),
    ) {
        let keys = DatagramKeys::derive(cluster(), number, &secret);
        let (sender, counter) = (NodeId(sender), Counter::new(counter));
        let mut datagram = vec![];
        Sealed { sender, counter, messages: &messages }.seal(&keys, &mut datagram).unwrap();
        let opened = Sealed::open(&keys, &mut datagram).unwrap();
        prop_assert_eq!(opened, Sealed { sender, counter, messages: &messages });
    }

    #[test]
    fn no_bytes_are_opened_or_make_the_opener_panic(mut bytes in prop::collection::vec(any::<u8>(), 0..64), form in 0_usize..4) {
        if let Some(first) = bytes.first_mut() {
            *first = [0x02, 0x42, 0x52, 0x62][form];
        }
        if let Some(second) = bytes.get_mut(1) {
            *second = keys().byte();
        }
        prop_assert!(Ping::open(&keys(), receiver(), near(), &bytes).is_err());
        prop_assert!(Pong::open(&keys(), &bytes).is_err());
        prop_assert!(QuietDigest::open(&keys(), receiver(), &bytes).is_err());
        prop_assert!(Sealed::open(&keys(), &mut bytes).is_err());
    }

    #[test]
    fn the_window_is_the_model(
        floor in 0_u64..200, steps in prop::collection::vec((0_u64..300, any::<bool>()), 0..300), far in any::<bool>(),
    ) {
        let base = if far { Counter::MAX.number() - 500 } else { 0 };
        let mut window = ReplayWindow::above(Counter::new(base + floor));
        // The model: all that was recorded, and all up to the floor.
        let (mut seen, mut highest) = (BTreeSet::new(), base + floor);
        for (step, opens) in steps {
            let counter = base + step;
            let new = counter > base + floor && !seen.contains(&counter) && counter + WINDOW > highest;
            prop_assert_eq!(window.check(Counter::new(counter)).is_ok(), new, "{}", counter);
            if opens {
                prop_assert_eq!(window.record(Counter::new(counter)).is_ok(), new);
                if new {
                    seen.insert(counter);
                    highest = highest.max(counter);
                }
            }
        }
    }
}

#[test]
fn a_leap_forgets_what_is_behind_the_window() {
    let mut window = ReplayWindow::above(Counter::new(0));
    for counter in [1, 64, 65, 129, 1_000_000] {
        window.record(Counter::new(counter)).unwrap();
    }
    assert!(window.check(Counter::new(999_937)).is_ok());
    assert!(window.check(Counter::new(999_936)).is_err());
    assert!(window.record(Counter::MAX).is_ok() && window.record(Counter::MAX).is_err());
}
