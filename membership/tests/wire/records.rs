//! Records: what is kept as it came, and what is known of it.

use std::time::Duration;

use hobnob_membership::catalog::{Delta, Entry};
use hobnob_membership::record::{Health, Key, NodeRecord, RawValue, Support, Upkeep, Value};
use hobnob_membership::wire::{Ages, Frame, Message};
use proptest::prelude::*;

use crate::fixtures::{datagram, delta, deltas, service};
use crate::later::Later;

/// Reads the entries of a delta that are given as bytes.
pub(crate) fn entries(bytes: &[Vec<u8>]) -> Vec<Entry> {
    let fields = Later::default().node(7).epoch(1).number(0).number(9).number(9).number(0);
    let list = bytes.iter().fold(fields.number(bytes.len() as u64), |list, entry| {
        list.number(entry.len() as u64).raw(entry)
    });
    let frame = Later::default().raw(&[6, 1]).number(list.0.len() as u64).raw(&list.0).0;
    match Frame::decode(&frame).expect("a frame") {
        Frame::Deltas { mut deltas, .. } => deltas.remove(0).entries,
        frame => panic!("{frame:?}"),
    }
}

/// An entry as bytes: version, kind and bytes of the key, kind and bytes of the value.
pub(crate) fn entry(version: u64, key: (u8, &str), value: (u8, &[u8])) -> Vec<u8> {
    let entry = Later::default().number(version).raw(&[key.0]).text(key.1);
    entry.raw(&[value.0]).number(value.1.len() as u64).raw(value.1).0
}

/// The bytes of a record's value.
fn bytes_of(value: Value) -> Vec<u8> {
    RawValue::from(value).bytes().to_vec()
}

#[test]
fn a_known_value_with_a_tail_is_understood_and_kept_with_it() {
    let tailed = [bytes_of(Value::Service(service().into())), b"later".to_vec()].concat();
    let read = entries(&[
        entry(1, (2, "web-1"), (2, &tailed)),
        entry(2, (3, "web-1"), (3, &[1, 9, 9])),
        entry(3, (2, "web-2"), (0, &[])),
    ]);
    let values: Vec<_> = read.iter().map(|entry| entry.value.as_ref()).collect();
    let content = |n: usize| values[n].and_then(|value| value.content().cloned());
    assert_eq!(content(0), Some(Value::Service(service().into())));
    assert_eq!(content(1), Some(Value::Health(Health::Passing)));
    assert_eq!(values[0].map(RawValue::bytes), Some(&tailed[..]));
    assert_eq!(values[1].map(RawValue::bytes), Some(&[1, 9, 9][..]));
    assert_eq!(values[2], None, "a tombstone");
    let written =
        deltas(vec![Delta { after: 0, to: 9, head: 9, gc_floor: 0, entries: read, ..delta() }]);
    let written = written.encode().expect("fits");
    assert!(written.windows(tailed.len()).any(|window| window == tailed), "written as it came");
}

#[test]
fn a_value_that_makes_no_sense_to_this_version_is_kept_without_content() {
    let mut weightless = service();
    weightless.weight = 0;
    let weightless = bytes_of(Value::Service(weightless.into()));
    let nonsense: [(u8, &[u8]); 6] = [
        (99, b"of an unknown kind"),
        (3, &[7]),
        (3, &[]),
        (2, &[250, 1]),
        (2, &weightless),
        (1, &[1, 2, 3]),
    ];
    for (kind, bytes) in nonsense {
        let read = entries(&[entry(1, (2, "web-1"), (kind, bytes))]);
        let value = read[0].value.as_ref().expect("no tombstone");
        assert_eq!((value.kind(), value.bytes(), value.content()), (kind, bytes, None));
    }
    // A value that belongs to another key is none.
    let read = entries(&[entry(1, (2, "web-1"), (3, &[1]))]);
    assert_eq!(read[0].value.as_ref().and_then(|value| value.content()), None);
}

#[test]
fn an_unknown_key_is_kept_within_the_limits_of_all_keys() {
    let read = |len: usize| {
        let entry = entry(1, (200, &"k".repeat(len)), (200, b"value"));
        let fields = Later::default().node(7).epoch(1).number(0).number(9).number(9).number(0);
        let list = fields.number(1).number(entry.len() as u64).raw(&entry);
        let frame = Later::default().raw(&[6, 1]).number(list.0.len() as u64).raw(&list.0).0;
        Frame::decode(&frame).map(|frame| (frame.encode().expect("fits"), frame))
    };
    let (written, frame) = read(128).expect("legal");
    assert!(written.windows(128).any(|window| window == "k".repeat(128).as_bytes()));
    let Frame::Deltas { deltas, .. } = frame else { unreachable!() };
    assert!(matches!(deltas[0].entries[0].key, Key::Unknown(_)));
    assert!(read(129).is_err());
    let large = vec![7; 4_096];
    let too_large = entry(1, (200, "k"), (200, &large));
    assert!(std::panic::catch_unwind(|| entries(&[too_large])).is_err(), "over the limit");
}

#[test]
fn a_node_advertises_what_it_supports() {
    assert_eq!(Support::OURS, Support { versions: 0b100, features: 0 });
    let both = Support { versions: 0b1100, features: 0b11 };
    assert!(both.includes(Support::OURS) && !Support::OURS.includes(both));
    assert_eq!(both.and(Support::OURS), Support::OURS);
    assert_eq!(both.and(Support::NONE), Support::NONE);
}

fn value() -> impl Strategy<Value = (Key, Value)> {
    let name = "[a-z0-9-]{1,30}";
    let health = prop::sample::select(vec![Health::Unknown, Health::Passing, Health::Failing]);
    let health =
        (name, health).prop_map(|(id, health)| (Key::Health(id.into()), Value::Health(health)));
    let labels = prop::collection::vec((name, name), 0..9);
    let service = (name, name, 1..65_535_u16, labels).prop_map(|(id, name, port, labels)| {
        let tags = labels.iter().map(|(tag, _)| tag.clone()).collect();
        let meta = labels.into_iter().collect();
        let service = hobnob_membership::record::ServiceRecord {
            service: name.into(),
            port,
            tags,
            meta,
            // Without it, a tail might read as one.
            upkeep: Upkeep::new(Some("x".into()), None),
            ..service()
        };
        (Key::Service(id.into()), Value::Service(service.into()))
    });
    let node = (name, any::<u64>(), any::<u64>()).prop_map(|(name, hash, features)| {
        let support = Support { versions: 4, features };
        let node = NodeRecord {
            name: name.into(),
            datacenter: "dc1".into(),
            zone: "".into(),
            software: "test".into(),
            instance_key_hash: hash,
            left: None,
            support,
            certificate: Vec::new(),
            gateway: hobnob_membership::Gateway::Yes,
        };
        (Key::Node, Value::Node(node.into()))
    });
    prop_oneof![health, service, node]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_value_with_any_tail_says_the_same(
        (key, value) in value(), tail in prop::collection::vec(any::<u8>(), 0..100),
    ) {
        let (kind, id) = match &key {
            Key::Node => (1, ""),
            Key::Service(id) => (2, id.as_str()),
            Key::Health(id) => (3, id.as_str()),
            Key::Unknown(_) => unreachable!(),
        };
        // A second byte may say that a passing instance warns.
        prop_assume!(value != Value::Health(Health::Passing) || tail.first() != Some(&1));
        let bytes = [bytes_of(value.clone()), tail].concat();
        let read = entries(&[entry(1, (kind, id), (kind, &bytes))]);
        prop_assert_eq!(&read[0].key, &key);
        let raw = read[0].value.as_ref().expect("no tombstone");
        prop_assert_eq!(raw.content(), Some(&value));
        prop_assert_eq!(raw.bytes(), &bytes[..]);
    }

    #[test]
    fn any_cut_of_any_value_has_no_content_and_no_panic(
        (key, value) in value(), cut in any::<prop::sample::Index>(),
    ) {
        let bytes = bytes_of(value);
        // The last bytes of a node record say that there is no certificate, and whether it may be a gateway; the last bytes of a
        // definition are its scope, and five that say that it is in maintenance. Without them, the record is one of an earlier version.
        let later = match key { Key::Node => 2, Key::Service(_) => 6, _ => 0 };
        let cut = &bytes[..cut.index(bytes.len() - later)];
        let kind = match key { Key::Node => 1, Key::Service(_) => 2, _ => 3 };
        let read = entries(&[entry(1, (kind, if kind == 1 { "" } else { "x" }), (kind, cut))]);
        prop_assert_eq!(read[0].value.as_ref().and_then(|value| value.content()), None);
    }
}

#[test]
fn a_warning_reads_as_passing_where_there_are_no_warnings() {
    assert_eq!(bytes_of(Value::Health(Health::Warning)), [1, 1]);
    let read = entries(&[entry(1, (3, "a"), (3, &[1, 1])), entry(2, (3, "b"), (3, &[1, 2, 3]))]);
    let content = |at: usize| read[at].value.as_ref().and_then(|value| value.content().cloned());
    assert_eq!(content(0), Some(Value::Health(Health::Warning)));
    assert_eq!(content(1), Some(Value::Health(Health::Passing)), "another word for passing");
}

#[test]
fn a_flap_costs_52_bytes() {
    let value = Some(Value::Health(Health::Passing).into());
    let entries = vec![Entry { version: 7, key: Key::Health("web-1".into()), value }];
    let delta = Delta { after: 6, to: 7, head: 7, gc_floor: 0, entries, ..delta() };
    let ages = Ages::new([Some(Duration::from_millis(20))]);
    let rumor = |ages| datagram(&Message::Rumors(delta.origin, vec![delta.clone()], ages)).len();
    assert_eq!(rumor(Ages::default()), 51);
    assert_eq!(rumor(ages), 52);
}
