//! Limits of what is in a message.

use std::sync::Arc;

use hobnob_membership::catalog::{Delta, Entry, Want};
use hobnob_membership::detector::{Cause, Verdict};
use hobnob_membership::limits::{
    MAX_DATAGRAM_BYTES, MAX_FRAME_BYTES, MAX_MEMBER_BUCKETS, MAX_NAME_BYTES, MAX_RECORD_BYTES,
    MAX_REFEREES, MAX_VERSION,
};
use hobnob_membership::record::{Key, Meta, ServiceRecord, Value};
use hobnob_membership::wire::{
    Ages, Compare, Frame, MemberUpdates, Message, Update, WireError, decode_datagram,
};
use hobnob_membership::{Epoch, NodeId};

use crate::fixtures::{ENVELOPE, datagram, delta, deltas, heads, read, seal, service};

#[test]
fn verdicts_with_too_many_referees_and_views_with_other_parts_are_refused() {
    let verdict = |referees| Verdict {
        node: NodeId(2),
        epoch: Epoch(1),
        cause: Cause::Silence,
        accuser: NodeId(1),
        referees: vec![NodeId(3); referees],
        exited: false,
    };
    let member_updates = |referees| {
        let updates = vec![Update::Down(verdict(referees))];
        Message::MemberUpdates(MemberUpdates {
            sender: NodeId(1),
            updates,
            datacenter: hobnob_membership::DatacenterId::UNKNOWN,
        })
    };
    let compare =
        |buckets| Message::Compare(Compare { sender: NodeId(1), buckets, tables: [0; 4] });
    let legal = [member_updates(MAX_REFEREES), compare(vec![[0; 4]; MAX_MEMBER_BUCKETS])];
    let illegal = [member_updates(MAX_REFEREES + 1), compare(vec![[0; 4]; MAX_MEMBER_BUCKETS - 1])];
    let reads = |message: &Message| read(&datagram(message)).is_ok();
    assert!(legal.iter().all(reads) && !illegal.iter().any(reads));
}

#[test]
fn a_datagram_that_is_too_long_is_refused() {
    let mut long = vec![0; MAX_DATAGRAM_BYTES + 1];
    long[0] = 0x12;
    seal(&mut long);
    assert!(matches!(decode_datagram(&long, &ENVELOPE), Err(WireError::TooLarge { .. })));
}

#[test]
fn deltas_that_no_honest_node_sends_are_refused() {
    let refused = |change: &dyn Fn(&mut Delta)| {
        let mut delta = delta();
        change(&mut delta);
        let frame = deltas(vec![delta.clone()]).encode().expect("fits");
        assert!(Frame::decode(&frame).is_err(), "{delta:?}");
        let bytes = datagram(&Message::Rumors(NodeId(1), vec![delta.clone()], Ages::default()));
        assert!(read(&bytes).is_err(), "{delta:?}");
    };
    refused(&|delta| delta.to = delta.after);
    refused(&|delta| delta.head = delta.to - 1);
    refused(&|delta| delta.gc_floor = delta.head + 1);
    refused(&|delta| delta.head = MAX_VERSION + 1);
    refused(&|delta| delta.entries[0].version = delta.after);
    refused(&|delta| delta.entries[1].version = 4);
    refused(&|delta| delta.to = 299);
    refused(&|delta| delta.entries[3].key = Key::Service("".into()));
    refused(&|delta| delta.entries[3].key = Key::Service("x".repeat(MAX_NAME_BYTES + 1).into()));
}

/// A record of exactly the largest size.
fn largest() -> Entry {
    let mut service = service();
    let mut values = vec![490; 8];
    let meta = |values: &[usize]| -> Meta {
        let label = |(n, len): (usize, &usize)| (format!("m{n}"), "y".repeat(*len));
        values.iter().enumerate().map(label).collect()
    };
    let entry = |service: &ServiceRecord| Entry {
        version: 1,
        key: Key::Service("large".into()),
        value: Some(Value::Service(Arc::new(service.clone())).into()),
    };

    loop {
        service.meta = meta(&values);
        let missing = MAX_RECORD_BYTES - entry(&service).encoded_len();
        if missing == 0 {
            return entry(&service);
        }
        let shortest = values.iter_mut().min().expect("there are some");
        *shortest += missing.min(22).min(512 - *shortest);
    }
}

#[test]
fn the_largest_bodies_that_are_legal_are_carried() {
    let entry = largest();
    assert_eq!(entry.encoded_len(), MAX_RECORD_BYTES);
    let delta = Delta { after: 0, to: 1, head: 1, gc_floor: 0, entries: vec![entry], ..delta() };
    delta.validate().expect("legal");
    let mut larger = delta.clone();
    larger.entries[0].key = Key::Service("larger".into());
    assert!(larger.validate().is_err(), "one byte more");
    let mut many = Vec::new();
    while deltas(many.clone()).encode().is_ok() {
        many.push(delta.clone());
    }
    many.pop();
    let frame = deltas(many);
    let bytes = frame.encode().expect("fits");
    assert!(bytes.len() > MAX_FRAME_BYTES - MAX_RECORD_BYTES - 100);
    assert_eq!(Frame::decode(&bytes).expect("legal"), frame);
    let heads = Frame::Heads(heads(vec![
        Want {
            origin: NodeId(u64::MAX),
            epoch: Epoch::MAX,
            after: u64::MAX,
            gc_floor: u64::MAX
        };
        MAX_FRAME_BYTES / 34
    ]));
    assert_eq!(Frame::decode(&heads.encode().expect("fits")).expect("legal"), heads);
    let small = Entry { version: 0, key: Key::Node, value: None };
    let entries = (1..=8_000).map(|version| Entry { version, ..small.clone() }).collect();
    let many = Delta { after: 0, to: 8_000, head: 8_000, entries, ..delta };
    let frame = deltas(vec![many]);
    assert_eq!(Frame::decode(&frame.encode().expect("fits")).expect("legal"), frame);
}
