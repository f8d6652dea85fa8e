//! The corpus of the fuzz targets, replayed: what fuzzing found once stays found, without a fuzzer.

#![allow(clippy::disallowed_methods, reason = "the core reads no files, its tests do")]

#[path = "../fuzz/src/lib.rs"]
#[allow(dead_code, unreachable_pub, reason = "a crate of its own elsewhere")]
mod fuzz;
mod replay;

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use hobnob_membership::catalog::{Delta, Entry, Want};
use hobnob_membership::limits::MAX_RECORD_BYTES;
use hobnob_membership::record::{Health, Key, ServiceRecord, Value};
use hobnob_membership::testing::{Arrival, Network, identity, node_of, record};
use hobnob_membership::wire::{Ages, DatagramBuilder, Message, Pull};
use hobnob_membership::{ClusterId, Epoch, Input, NodeId, Time};

use fuzz::node as script;

fn folder(target: &str) -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "fuzz", "corpus", target].iter().collect()
}

fn replay(target: &str, check: fn(&[u8])) {
    replay::replay(&folder(target), check);
}

#[test]
fn datagrams() {
    replay("datagram", fuzz::datagram::check);
}

#[test]
fn frames() {
    replay("frame", fuzz::frame::check);
}

#[test]
fn nodes() {
    replay("node", fuzz::node::check);
}

/// One step of a script.
fn step(operation: u8, about: u8, body: &[u8]) -> Vec<u8> {
    let len = u16::try_from(body.len()).expect("a body").to_le_bytes();
    [&[operation, about], &len[..], body].concat()
}

fn script_of(net: &Network, own: &[(Time, Vec<u8>)]) -> Vec<u8> {
    let arrivals = net.arrivals.iter().filter(|(_, n, _)| *n == 1);
    let heard = arrivals.map(|(at, _, arrival)| {
        let stream = |stream: hobnob_membership::StreamId| {
            (stream.0 & 0x7f) as u8 | if stream.is_accepted() { 0x80 } else { 0 }
        };
        let step = match arrival {
            Arrival::Datagram(from, bytes) => {
                let n = (0..16).find(|n| identity(*n).addr == *from).expect("a node");
                step(script::MESSAGES, n as u8, &bytes[fuzz::ENVELOPE_BYTES..])
            }
            Arrival::Accepted(id) => step(script::ACCEPTED, stream(*id), &[]),
            Arrival::Answered(_) | Arrival::Secured { .. } => {
                unreachable!("the recorded clusters are clear")
            }
            Arrival::Frame(id, bytes) => step(script::FRAME, stream(*id), bytes),
            Arrival::Written(id) => step(script::WRITTEN, stream(*id), &[]),
            Arrival::Closed(id) => step(script::CLOSED, stream(*id), &[]),
            Arrival::TcpProbeAnswered(tcp_probe) => {
                let n = (0..16).find(|n| identity(*n).node_id == tcp_probe.node).expect("a node");
                step(script::TCP_PROBE_ANSWERED, n as u8, &tcp_probe.nonce)
            }
            Arrival::Held(hold) => step(script::HOLD, hold.0 as u8, &[0]),
            Arrival::HoldEnded(hold, end) => {
                let how = script::ENDS.iter().position(|known| known == end).expect("an end");
                step(script::HOLD, hold.0 as u8, &[1 + how as u8])
            }
            Arrival::Reached(reach, outcome) => {
                let n = (0..16).find(|n| identity(*n).node_id == reach.node).expect("a node");
                let how = script::OUTCOMES.iter().position(|known| known == outcome);
                let body = [&reach.nonce[..], &[how.expect("an outcome") as u8]].concat();
                step(script::REACHED, n as u8, &body)
            }
        };
        (*at, step)
    });
    let mut steps: Vec<(Time, Vec<u8>)> = own.iter().cloned().chain(heard).collect();
    steps.sort_by_key(|(at, _)| *at);
    let (mut now, mut script) = (Time::ZERO, Vec::new());
    for (at, step_then) in steps {
        let micros = (at - now).as_micros().min(script::MAX_MICROS.into()) as u32;
        if micros > 0 {
            script.extend(step(script::TIME, 0, &micros.to_le_bytes()));
        }
        script.extend(step_then);
        now = at;
    }
    script
}

/// Some nodes that say to each other all that there is to say, and what the second is told meanwhile.
fn story(nodes: usize, rounds: u64, tell: impl Fn(&mut Network, u64)) -> (Network, Vec<u8>) {
    let mut net = Network::joined(nodes);
    // The second node joined through the first at the beginning.
    let mut own = vec![(Time::ZERO, step(script::JOIN, 0, &[]))];
    for round in 0..rounds {
        let about = (round * 5) as u8;
        own.push((net.now, step(script::WRITE, about, &[])));
        drop(net.write(1, vec![script::record(about)]));
        tell(&mut net, round);
        net.run_for(Duration::from_millis(60));
    }
    net.run_for(Duration::from_secs(3));
    let script = script_of(&net, &own);
    (net, script)
}

fn service(len: usize) -> Vec<(Key, Option<Value>)> {
    let service = ServiceRecord {
        service: "web".into(),
        namespace: "default".into(),
        address: "10.0.0.1".into(),
        port: 80,
        tags: ["a".to_owned(), "b".to_owned()].into(),
        meta: (0..len / 500).map(|n| (format!("k{n}"), "v".repeat(480))).collect(),
        weight: 3,
        checked: true,
        balancing: Default::default(),
        scope: Default::default(),
        upkeep: Default::default(),
    };
    vec![(Key::Service("web-1".into()), Some(Value::Service(service.into())))]
}

/// Writes the beginnings of a corpus: messages, frames and scripts of real conversations. The rest of it the
/// fuzzer found.
#[test]
#[ignore = "writes the corpus; for a change of the wire"]
fn write_the_seeds() {
    let stories = [
        story(2, 6, |_, _| {}),
        story(3, 4, |net, round| {
            drop(net.write(2, vec![script::record(round as u8 * 3)]));
            drop(net.write(0, service(round as usize * MAX_RECORD_BYTES / 5)));
        }),
        story(3, 3, |net, round| {
            if round == 1 {
                drop(net.handle(2, Input::Leave));
            }
        }),
        story(3, 3, |net, round| {
            if round == 1 {
                net.nodes[2] = node_of(ClusterId::named("other"), 2);
                net.listening.insert(2);
            }
        }),
    ];
    let write = |target: &str, name: String, bytes: &[u8]| {
        fs::create_dir_all(folder(target)).expect("a folder");
        fs::write(folder(target).join(name), bytes).expect("a file");
    };
    for (n, (net, script)) in stories.iter().enumerate() {
        assert_eq!(net.nodes[1].counters().messages_invalid, 0);
        write("node", format!("story-{n}"), script);
        // One of each length will do: others have the same form.
        for datagram in &net.datagrams {
            write(
                "datagram",
                format!("length-{}", datagram.len()),
                &datagram[fuzz::ENVELOPE_BYTES..],
            );
        }
        for frame in &net.frames {
            write("frame", format!("length-{}", frame.len()), frame);
        }
    }
    write("node", "one-version-for-two-keys".to_owned(), &one_version_for_two_keys(&stories[0].1));
    // A later version: one datagram of its messages, its frames, and records of it.
    let later = recorded(include_str!("wire/later.txt"));
    let (frames, messages): (Vec<_>, Vec<_>) =
        later.into_iter().partition(|(name, _)| LATER_FRAMES.contains(name));
    let small = messages.into_iter().filter(|(name, _)| *name != "compare");
    write("datagram", "later".to_owned(), &small.flat_map(|(_, bytes)| bytes).collect::<Vec<_>>());
    for (name, frame) in frames {
        write("frame", format!("later-{}", name.replace(' ', "-")), &frame);
    }
    // The recorded clusters are clear, so this version's frames of a sealed one come from its recorded bytes.
    for (name, bytes) in recorded(include_str!("wire/golden.txt")) {
        match name {
            "credentials" | "generations" | "revocations" | "refusal" => {
                write("frame", format!("golden-{name}"), &bytes);
            }
            "rumors" => {
                write("datagram", "certificate".to_owned(), &bytes[fuzz::ENVELOPE_BYTES..]);
            }
            _ => {}
        }
    }
    for (_, rumor) in recorded(include_str!("wire/future.txt")) {
        write("datagram", "later-records".to_owned(), &rumor);
        write("node", "later-records".to_owned(), &step(script::MESSAGES, 0, &rumor));
    }
}

/// A member tells of an origin that gives one version to two keys, and asks for all of it.
fn one_version_for_two_keys(story: &[u8]) -> Vec<u8> {
    let (origin, sender) = (NodeId(0x900), identity(0).node_id);
    let told = |key: Key, value: Value, version| {
        let entries = vec![Entry { version, key, value: Some(value.into()) }];
        let (epoch, after) = (Epoch(1), version - 1);
        let delta =
            Delta { origin, epoch, after, to: version, head: version, gc_floor: 0, entries };
        Message::Rumors(sender, vec![delta], Ages::default())
    };
    let health = |id: &str| told(Key::Health(id.into()), Value::Health(Health::Passing), 2);
    let want = Want { origin, epoch: Epoch(0), after: 0, gc_floor: 0 };
    let messages = [
        told(Key::Node, Value::Node(record(0).into()), 1),
        health("a"),
        health("b"),
        Message::Pull(Pull { sender, wants: vec![want] }),
    ];
    let mut datagram = DatagramBuilder::new(fuzz::envelope());
    messages.iter().for_each(|message| datagram.push(message).expect("fits"));
    let lies = step(script::MESSAGES, 0, &datagram.finish()[fuzz::ENVELOPE_BYTES..]);
    [story, &lies].concat()
}

/// The names of the frames in `later.txt`.
const LATER_FRAMES: [&str; 13] = [
    "opening",
    "members",
    "sketch",
    "more",
    "heads",
    "wants",
    "end",
    "stream ping",
    "stream pong",
    "credentials",
    "generations",
    "revocations",
    "refusal",
];

/// The lines `name: hexadecimal bytes` of a recording.
fn recorded(text: &str) -> Vec<(&str, Vec<u8>)> {
    let byte = |pair: &[u8]| {
        let pair = std::str::from_utf8(pair).expect("text");
        u8::from_str_radix(pair, 16).expect("hexadecimal")
    };
    let lines = text.lines().filter_map(|line| line.split_once(": "));
    lines.map(|(name, hex)| (name, hex.as_bytes().chunks(2).map(byte).collect())).collect()
}
