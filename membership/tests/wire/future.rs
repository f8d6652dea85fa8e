//! Records of a later version among nodes of this one: understood as far as they can be, kept and passed on as they
//! came, shown nowhere else, and counted.

use std::time::Duration;

use hobnob_membership::catalog::Want;
use hobnob_membership::record::{Health, Support, Value};
use hobnob_membership::testing::{Network, identity, node};
use hobnob_membership::wire::{DatagramBuilder, Envelope, Message, Pull};
use hobnob_membership::{ClusterId, DatacenterId, Epoch, Event, Input, NodeId, Output};

use crate::fixtures::{hex, recorded};
use crate::later::Later;
use crate::records::entry;

/// A rumor of the later version, about an origin of its own: recorded by `print_future_bytes`.
const FUTURE: &str = include_str!("future.txt");

const ORIGIN: NodeId = NodeId(0x900);
const EPOCH: Epoch = Epoch(5);

/// A node record, a service and its health, each with a tail, and three things that this version does not know: a key, a
/// value of a known key, and a state of health.
fn values() -> [Vec<u8>; 6] {
    let new = Later::default;
    let support = new().number(0b1100).number(0b1);
    let node = new().text("later").text("dc1").text("").text("9.0").number(7).raw(&[0]);
    let node = node.block(support).number(0).raw(b"node tail").0;
    let balancing = new().raw(&[0; 11]);
    let service = new().text("web").text("default").text("10.0.0.9").number(80);
    let service = service.number(0).number(0).number(1).raw(&[1]).block(balancing);
    let service = service.raw(&[0]).raw(b"service tail").0;
    let health = new().raw(&[1]).raw(b"health tail").0;
    [node, service, health, b"unknown key".to_vec(), b"unknown value".to_vec(), vec![77]]
}

fn rumor() -> Vec<u8> {
    let [node, service, health, key, value, state] = values();
    let entries = [
        entry(1, (1, ""), (1, &node)),
        entry(2, (2, "web-1"), (2, &service)),
        entry(3, (3, "web-1"), (3, &health)),
        entry(4, (200, "a key"), (201, &key)),
        entry(5, (2, "web-2"), (202, &value)),
        entry(6, (3, "web-2"), (3, &state)),
    ];
    let new = Later::default;
    let fields = new().node(ORIGIN.0).epoch(EPOCH.0).number(0).number(6).number(6).number(0);
    let fields = fields.number(entries.len() as u64);
    let delta = entries.iter().fold(fields, |list, entry| list.block(new().raw(entry)));
    let body = new().node(identity(1).node_id.0).number(1).block(delta);
    let body = body.number(1).number(300);
    new().raw(&[4]).block(body).0
}

#[test]
#[ignore = "prints the bytes of the later version"]
fn print_future_bytes() {
    println!("rumor: {}", hex(&rumor()));
}

fn datagram(messages: &[u8]) -> Vec<u8> {
    use xxhash_rust::xxh3::xxh3_64_with_seed;
    let cluster = ClusterId::default();
    let mut datagram = DatagramBuilder::new(Envelope::clear(cluster)).finish();
    datagram.extend_from_slice(messages);
    let checksum = xxh3_64_with_seed(&datagram[5..], cluster.0).to_le_bytes();
    datagram[1..5].copy_from_slice(&checksum[..4]);
    datagram
}

fn holds(bytes: &[u8], value: &[u8]) -> bool {
    bytes.windows(value.len()).any(|window| window == value)
}

/// Whether a node holds all six records as they were written, and shows what is known of them.
fn check(net: &Network, n: usize) {
    let node = &net.nodes[n];
    let replica = node.catalog().origin(ORIGIN).and_then(|origin| origin.current());
    let replica = replica.unwrap_or_else(|| panic!("node {n} has nothing"));
    let mut held: Vec<_> = replica.slots().collect();
    held.sort_by_key(|slot| slot.version());
    let raw: Vec<_> =
        held.iter().map(|slot| slot.raw().expect("no tombstone").bytes().to_vec()).collect();
    assert_eq!(raw, values(), "node {n}");
    let known = |n: usize| held[n].value().cloned();
    assert!(matches!(known(0), Some(Value::Node(node)) if node.name == "later"));
    assert!(matches!(known(1), Some(Value::Service(service)) if service.port == 80));
    assert_eq!(known(2), Some(Value::Health(Health::Passing)));
    assert_eq!([known(3), known(4), known(5)], [None, None, None]);
    let shown: Vec<_> = node.instances().filter(|instance| instance.origin == ORIGIN).collect();
    assert_eq!(shown.len(), 1, "the service of which nothing is known is shown nowhere");
    assert_eq!((shown[0].id.as_str(), shown[0].health), ("web-1", Health::Passing));
    assert_eq!(node.load().records_unknown_now, 3);
    assert_eq!(node.counters().records_unknown, 3);
    assert_eq!(node.counters().messages_invalid, 0);
}

#[test]
fn records_of_a_later_version_reach_everybody_as_they_were_written() {
    assert_eq!(recorded(FUTURE), [("rumor", rumor())], "recorded by print_future_bytes");
    let mut net = Network::joined(3);
    let sent = net.datagrams.len();
    let bytes = datagram(&recorded(FUTURE)[0].1);
    drop(net.handle(0, Input::Datagram { from: identity(1).addr, bytes: &bytes }));
    net.run_for(Duration::from_secs(1));
    (0..3).for_each(|n| check(&net, n));
    assert!(net.is_converged());
    let told = |value: &Vec<u8>| net.datagrams[sent..].iter().any(|bytes| holds(bytes, value));
    assert!(values().iter().all(told), "rumors pass on what came");

    // A pull is answered with the same bytes.
    let want = Want { origin: ORIGIN, epoch: Epoch(0), after: 0, gc_floor: 0 };
    let pull = Message::Pull(Pull { sender: identity(1).node_id, wants: vec![want] });
    let mut builder = DatagramBuilder::new(Envelope::clear(ClusterId::default()));
    builder.push(&pull).expect("fits");
    let pull = builder.finish();
    let answers = net.handle(2, Input::Datagram { from: identity(1).addr, bytes: &pull });
    let answered = |value: &Vec<u8>| {
        answers.iter().any(|answer| match answer {
            Output::Datagram { bytes, .. } => holds(bytes, value),
            _ => false,
        })
    };
    assert!(values().iter().all(answered), "pulls bring what came");

    // A newcomer gets them by session.
    let frames = net.frames.len();
    net.nodes.push(node(3));
    net.events.push(Vec::new());
    drop(net.handle(3, Input::Join(vec![identity(2).addr])));
    net.run_for(Duration::from_secs(2));
    check(&net, 3);
    let brought = |value: &Vec<u8>| net.frames[frames..].iter().any(|bytes| holds(bytes, value));
    assert!(values().iter().all(brought), "sessions bring what came");
    let told_of = |event: &Event| match event {
        Event::Instance(change) => change.instance.origin == ORIGIN,
        _ => false,
    };
    let told: Vec<_> = net.events[3].iter().filter(|event| told_of(event)).collect();
    assert_eq!(told.len(), 1, "one instance is told of: {told:?}");
}

#[test]
fn unknown_kinds_are_counted_and_nothing_else_of_the_datagram_is_lost() {
    let mut net = Network::joined(2);
    let before = net.nodes[0].counters().kinds_unknown;
    let unknown = [200, 3, 1, 2, 3];
    let messages = [&unknown[..], &recorded(FUTURE)[0].1, &unknown].concat();
    let bytes = datagram(&messages);
    drop(net.handle(0, Input::Datagram { from: identity(1).addr, bytes: &bytes }));
    check(&net, 0);
    assert_eq!(net.nodes[0].counters().kinds_unknown - before, 2);
}

#[test]
fn sealed_forms_and_other_versions_are_counted_apart_from_noise() {
    let mut net = Network::joined(2);
    let bytes = datagram(&[]);
    for first in [0x02, 0x42, 0x52, 0x62, 0x13, 0x72] {
        let mut bytes = bytes.clone();
        bytes[0] = first;
        drop(net.handle(0, Input::Datagram { from: identity(1).addr, bytes: &bytes }));
    }
    let counters = net.nodes[0].counters();
    assert_eq!((counters.datagrams_sealed, counters.datagrams_other_version), (4, 2));
    assert_eq!(counters.datagrams_malformed, 0);
}

#[test]
fn a_session_skips_frames_of_unknown_kinds() {
    let mut net = Network::joined(2);
    let stream = hobnob_membership::StreamId::accepted(9);
    let opening = net.frames.iter().find(|frame| frame[0] == 1).expect("a session").clone();
    drop(net.handle(0, Input::StreamAccepted { stream }));
    let first = net.handle(0, Input::StreamFrame { stream, bytes: &[200, 1] });
    let reset = |output: &Output| matches!(output, Output::ResetStream { .. });
    assert!(first.iter().any(reset), "no session begins with it");
    let failed = net.nodes[0].counters().sessions_failed;
    drop(net.handle(0, Input::StreamAccepted { stream }));
    drop(net.handle(0, Input::StreamFrame { stream, bytes: &opening }));
    let skipped = net.handle(0, Input::StreamFrame { stream, bytes: &[200, 1, 2, 3] });
    assert!(!skipped.iter().any(reset));
    let counters = net.nodes[0].counters();
    assert_eq!((counters.kinds_unknown, counters.sessions_failed), (1, failed));
}

#[test]
fn the_common_support_of_all_live_members_is_known() {
    let mut net = Network::joined(3);
    assert_eq!(net.nodes[0].common_support(), Support::OURS);
    // A member whose record has not arrived may support nothing.
    let newcomer = identity(9);
    let alive = Later::default().node(identity(1).node_id.0).number(1).raw(&[0]);
    let alive = alive.raw(&Later::default().identity(&newcomer).0);
    let update = Later::default().raw(&[14]).block(alive.node(DatacenterId::named("dc1").0));
    let bytes = datagram(&update.0);
    drop(net.handle(0, Input::Datagram { from: identity(1).addr, bytes: &bytes }));
    assert_eq!(net.nodes[0].active_members(), 4);
    assert_eq!(net.nodes[0].common_support(), Support::NONE);
    net.run_for(Duration::from_secs(10));
    assert_eq!(net.nodes[0].common_support(), Support::OURS, "it is down");
}
