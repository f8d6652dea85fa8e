//! A node that gets false messages and noise. It never panics, never holds or sends more than its limits allow, and
//! honest nodes still converge.

use std::time::Duration;

use hobnob_membership::catalog::{Delta, Entry, Head, Want};
use hobnob_membership::limits::{
    MAX_DATAGRAM_BYTES, MAX_FRAMES_PER_SESSION, MAX_ORIGIN_TOMBSTONES, MAX_ORIGINS,
    MAX_SESSIONS_SERVED,
};
use hobnob_membership::record::{Health, Key, Value};
use hobnob_membership::testing::{Network, bounds, health, identity, node};
use hobnob_membership::wire::{
    Ages, DatagramBuilder, Digest, Envelope, Frame, Heads, Hello, Message, Opening, Ping, Pull,
};
use hobnob_membership::{
    ClusterId, DatacenterId, Epoch, Event, Input, Node, NodeId, Output, Protocol, StreamId, Time,
};
use rand::rngs::Xoshiro256PlusPlus;
use rand::{Rng, RngExt, SeedableRng};
use xxhash_rust::xxh3::xxh3_64_with_seed;

const SECOND: Duration = Duration::from_secs(1);

fn datagram(message: &Message) -> Vec<u8> {
    let mut datagram = DatagramBuilder::new(Envelope::clear(ClusterId::default()));
    datagram.push(message).expect("fits");
    datagram.finish()
}

fn frame(frame: &Frame) -> Vec<u8> {
    frame.encode().expect("fits")
}

fn opening(n: usize) -> Vec<u8> {
    let cluster = ClusterId::default().mark();
    frame(&Frame::Opening(Opening {
        cluster,
        identity: identity(n),
        members: 0,
        catalog: 0,
        datacenter: DatacenterId::UNKNOWN,
        scope: None,
    }))
}

fn deltas(deltas: Vec<Delta>) -> Frame {
    Frame::Deltas { deltas, last: false }
}

fn delta(origin: NodeId, epoch: u64, version: u64) -> Delta {
    let entry = Entry {
        version,
        key: Key::Health("x".into()),
        value: Some(Value::Health(Health::Passing).into()),
    };
    Delta {
        origin,
        epoch: Epoch(epoch),
        after: version - 1,
        to: version,
        head: version,
        gc_floor: 0,
        entries: vec![entry],
    }
}

fn open_sessions(node: &Node) -> u64 {
    let counters = node.counters();
    counters.sessions_opened + counters.sessions_served
        - counters.sessions_completed
        - counters.sessions_failed
}

fn random_bytes(rng: &mut Xoshiro256PlusPlus, most: usize) -> Vec<u8> {
    let mut bytes = vec![0; rng.random_range(0..=most)];
    rng.fill_bytes(&mut bytes);
    bytes
}

/// A recorded message with damage: flipped bits, changed bytes, cuts, and appended parts of other messages.
fn mutate(rng: &mut Xoshiro256PlusPlus, recorded: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = recorded[rng.random_range(0..recorded.len())].clone();
    for _ in 0..rng.random_range(1..4) {
        let at = rng.random_range(0..bytes.len().max(1));
        match rng.random_range(0..5) {
            0 | 1 if !bytes.is_empty() => bytes[at] ^= 1 << rng.random_range(0..8),
            2 if !bytes.is_empty() => bytes[at] = rng.random(),
            3 => bytes.truncate(at),
            _ => {
                let other = &recorded[rng.random_range(0..recorded.len())];
                let from = rng.random_range(0..other.len());
                bytes.extend_from_slice(&other[from..]);
            }
        }
    }
    bytes
}

/// Corrects the checksum, so that the envelope does not reveal the damage.
fn seal(datagram: &mut Vec<u8>) {
    datagram.truncate(MAX_DATAGRAM_BYTES);
    if datagram.len() >= 7 {
        datagram[0] = 0x12;
        datagram[5..7].copy_from_slice(&ClusterId::default().tag());
        let seed = ClusterId::default().0;
        let checksum = xxh3_64_with_seed(&datagram[5..], seed).to_le_bytes();
        datagram[1..5].copy_from_slice(&checksum[..4]);
    }
}

/// Two nodes that exchanged messages and frames of most kinds.
fn talkative() -> Network {
    let mut net = Network::joined(2);
    for round in 0..20 {
        let health = health(&format!("i{round}"), Health::Passing);
        drop(net.write(round % 2, health));
        net.run_for(Duration::from_millis(50));
    }
    let deleted = (0..10).map(|n| (Key::Health(format!("i{}", 2 * n).into()), None)).collect();
    drop(net.write(0, deleted));
    let lies = Message::Digest(Digest { sender: identity(0).node_id, catalog: 1, recent: vec![] });
    let lies = datagram(&lies);
    drop(net.handle(1, Input::Datagram { from: identity(0).addr, bytes: &lies }));
    net.run_for(40 * SECOND);
    net
}

/// Checks that each node still learns the other's new records.
fn assert_still_converges(net: &mut Network) {
    net.run_for(60 * SECOND);
    for n in 0..2 {
        drop(net.write(n, health(&format!("after-{n}"), Health::Failing)));
    }
    net.run_for(60 * SECOND);
    for n in 0..2 {
        let other = identity(1 - n).node_id;
        let origin = net.nodes[n].catalog().origin(other).and_then(|origin| origin.current());
        let key = Key::Health(format!("after-{}", 1 - n).into());
        let learned = origin.and_then(|replica| replica.get(&key));
        assert_eq!(learned, Some(&Value::Health(Health::Failing)), "node {n} did not learn");
    }
}

#[test]
fn noise_and_damaged_datagrams_do_no_harm() {
    let recorded = talkative().datagrams;
    for seed in 0..4 {
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(seed);
        let mut net = Network::joined(2);
        for round in 0..4_000 {
            let bytes = match round % 3 {
                0 => random_bytes(&mut rng, 2_000),
                1 => mutate(&mut rng, &recorded),
                _ => {
                    let mut bytes = mutate(&mut rng, &recorded);
                    seal(&mut bytes);
                    bytes
                }
            };
            let victim = rng.random_range(0..2);
            let input = Input::Datagram { from: identity(7).addr, bytes: &bytes };
            let outputs = net.handle(victim, input);
            bounds::check(&net.nodes[victim], &outputs);
            if round % 10 == 0 {
                net.run_for(Duration::from_millis(5));
            }
        }
        assert!(net.nodes[0].counters().datagrams_malformed > 0);
        assert!(net.nodes[0].counters().messages_invalid > 0);
        assert_still_converges(&mut net);
    }
}

#[test]
fn noise_and_damaged_frames_do_no_harm() {
    let recorded = talkative().frames;
    for seed in 0..4 {
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(seed);
        let mut net = Network::joined(2);
        for round in 0..3_000 {
            let stream = StreamId::accepted(1 << 40 | rng.random_range(0..40));
            let victim = rng.random_range(0..2);
            let mutated;
            let input = match rng.random_range(0..10) {
                0 | 1 => Input::StreamAccepted { stream },
                2 => Input::StreamClosed { stream },
                3 => Input::StreamWritten { stream },
                4 => {
                    mutated = opening(5 + victim);
                    Input::StreamFrame { stream, bytes: &mutated }
                }
                5 => Input::StreamFrame { stream, bytes: &recorded[round % recorded.len()] },
                6 => {
                    mutated = random_bytes(&mut rng, 300);
                    Input::StreamFrame { stream, bytes: &mutated }
                }
                _ => {
                    mutated = mutate(&mut rng, &recorded);
                    Input::StreamFrame { stream, bytes: &mutated }
                }
            };
            let outputs = net.handle(victim, input);
            bounds::check(&net.nodes[victim], &outputs);
            if round % 10 == 0 {
                net.run_for(Duration::from_millis(5));
            }
        }
        assert!(net.nodes[0].counters().messages_invalid > 0);
        assert_still_converges(&mut net);
        assert!(net.nodes.iter().all(|node| open_sessions(node) <= 2), "sessions were left open");
    }
}

#[test]
fn a_pull_of_a_stranger_gets_no_answer_and_a_forged_one_is_answered_at_the_member() {
    let mut net = Network::joined(2);
    let wants = vec![Want { origin: identity(0).node_id, epoch: Epoch(0), after: 0, gc_floor: 0 }];
    let pull = |sender| datagram(&Message::Pull(Pull { sender, wants: wants.clone() }));
    let from = identity(7).addr;
    let stranger = pull(NodeId(7));
    assert!(net.handle(0, Input::Datagram { from, bytes: &stranger }).is_empty());
    assert_eq!(net.nodes[0].counters().strangers_ignored, 1);
    let forged = pull(identity(1).node_id);
    let outputs = net.handle(0, Input::Datagram { from, bytes: &forged });
    assert!(!outputs.is_empty());
    for output in outputs {
        let Output::Datagram { to, .. } = output else { panic!("{output:?}") };
        assert_eq!(to, identity(1).addr);
    }
}

/// Feeds frames to a served session until the node drops it. Returns the number of frames.
fn frames_until_dropped(mut next: impl FnMut(usize) -> Vec<u8>) -> usize {
    let mut node = node(0);
    let stream = StreamId::accepted(1);
    node.handle(Input::StreamAccepted { stream }, Time::ZERO);
    node.handle(Input::StreamFrame { stream, bytes: &opening(7) }, Time::ZERO);
    for count in 1..=2 * MAX_FRAMES_PER_SESSION {
        node.handle(Input::StreamFrame { stream, bytes: &next(count) }, Time::ZERO);
        while let Some(output) = node.poll_output() {
            if matches!(output, Output::ResetStream { .. }) {
                return count;
            }
        }
    }
    panic!("never dropped");
}

#[test]
fn a_peer_whose_frames_never_end_is_dropped() {
    let delta = |count: usize| frame(&deltas(vec![delta(NodeId(9), 1, count as u64)]));
    assert_eq!(frames_until_dropped(delta), MAX_FRAMES_PER_SESSION);
    let same_head = |_| {
        let want = Want { origin: NodeId(9), epoch: Epoch(1), after: 1, gc_floor: 0 };
        frame(&Frame::Heads(Heads::part(vec![want], vec![], vec![])))
    };
    assert_eq!(frames_until_dropped(same_head), MAX_FRAMES_PER_SESSION);
    // The peer asks for more symbols than all heads would cost, or for so few at a time that each costs a pass over all
    // heads.
    assert!(frames_until_dropped(|_| frame(&Frame::More(1))) <= 100);
    assert!(frames_until_dropped(|_| frame(&Frame::More(1_000))) <= 1);
    assert_eq!(frames_until_dropped(|_| frame(&Frame::More(0))), 2);
    let members = frame(&Frame::Members(vec![identity(7); 1_000]));
    assert_eq!(frames_until_dropped(|_| members.clone()), MAX_ORIGINS / 1_000 + 1);
    let nothing = Frame::Heads(Heads::part(vec![], vec![], vec![]));
    for empty in [Frame::Members(vec![]), nothing, deltas(vec![])] {
        assert_eq!(frames_until_dropped(|_| frame(&empty)), 1);
    }
}

#[test]
fn heads_beyond_the_limit_are_refused() {
    let heads = |count: usize| {
        let origin = |n: usize| NodeId((count * 1_000 + n) as u64);
        let want = |n| Want { origin: origin(n), epoch: Epoch(1), after: 1, gc_floor: 0 };
        frame(&Frame::Heads(Heads::part((0..1_000).map(want).collect(), vec![], vec![])))
    };
    let limit = 2 * (2 * MAX_ORIGINS + MAX_ORIGIN_TOMBSTONES);
    assert_eq!(frames_until_dropped(heads), limit / 1_000 + 1);
}

#[test]
fn a_datagram_full_of_pings_is_answered_once() {
    let mut net = Network::joined(2);
    let mut pings = DatagramBuilder::new(Envelope::clear(ClusterId::default()));
    let mut count = 0_u32;
    let ping = |count: u32| Message::Ping(Ping { sender: NodeId(77), nonce: count.to_le_bytes() });
    while pings.push(&ping(count)).is_ok() {
        count += 1;
    }
    assert!(count > 50, "{count}");
    let bytes = pings.finish();
    let from = ([192, 0, 2, 1], 7_946).into();
    let outputs = net.handle(0, Input::Datagram { from, bytes: &bytes });
    let answers: Vec<usize> = outputs
        .iter()
        .filter_map(|output| match output {
            Output::Datagram { to, bytes } if *to == from => Some(bytes.len()),
            _ => None,
        })
        .collect();
    assert_eq!(answers.len(), 1);
    assert_eq!(net.nodes[0].counters().questions_repeated, u64::from(count) - 1);
}

#[test]
fn a_session_that_stalls_is_dropped_after_the_session_timeout() {
    let mut net = Network::joined(2);
    let stream = StreamId::accepted(1 << 40);
    drop(net.handle(0, Input::StreamAccepted { stream }));
    drop(net.handle(0, Input::StreamFrame { stream, bytes: &opening(7) }));
    let before = open_sessions(&net.nodes[0]);
    let timeout = Protocol::default().session_timeout;
    net.run_for(timeout - Duration::from_millis(1));
    assert_eq!(net.nodes[0].counters().sessions_failed, 0);
    net.run_for(Duration::from_millis(1));
    assert_eq!(net.nodes[0].counters().sessions_failed, 1);
    assert!(open_sessions(&net.nodes[0]) < before);
}

#[test]
fn false_memories_of_later_epochs_raise_our_epoch_once_and_start_no_race() {
    let mut net = Network::joined(2);
    let own = identity(0).node_id;
    let raised = |net: &Network| {
        let raised = net.events[0].iter().filter_map(|event| match event {
            Event::EpochRaised(epoch) => Some(*epoch),
            _ => None,
        });
        raised.collect::<Vec<_>>()
    };
    for n in 0..50 {
        let lie = Message::Rumors(
            identity(1).node_id,
            vec![delta(own, 5_000 + 10 * n, 3)],
            Ages::default(),
        );
        let bytes = datagram(&lie);
        drop(net.handle(0, Input::Datagram { from: identity(1).addr, bytes: &bytes }));
        net.run_for(Duration::from_millis(50));
    }
    assert_eq!(raised(&net), [Epoch(5_001)]);
    assert_eq!(net.nodes[0].catalog().epoch(), Epoch(5_001));
    assert!(net.is_converged());
}

#[test]
fn an_origin_learns_of_an_epoch_that_a_peer_waits_for_even_if_catalogs_are_equal() {
    let mut net = Network::joined(3);
    let origin = identity(2).node_id;
    // Node 0 gets a part of an epoch that the origin never had. The messages that it sends at once are lost.
    let lie = Delta { head: 9, ..delta(origin, 5_000, 3) };
    let bytes = datagram(&Message::Rumors(identity(1).node_id, vec![lie], Ages::default()));
    net.nodes[0].handle(Input::Datagram { from: identity(1).addr, bytes: &bytes }, net.now);
    while net.nodes[0].poll_output().is_some() {}
    assert_eq!(net.nodes[0].catalog().half_received().count(), 1);
    assert!(net.is_converged());
    net.run_for(Duration::from_secs(20));
    assert!(net.nodes[2].catalog().epoch() > Epoch(5_000));
    assert!(net.is_converged());
    assert!(net.nodes.iter().all(|node| node.catalog().half_received().count() == 0));
}

#[test]
fn no_peer_can_use_up_our_last_epoch() {
    let mut net = Network::joined(2);
    drop(net.write(0, health("mine", Health::Passing)));
    for version in [7, 8] {
        let lie = delta(identity(0).node_id, Epoch::MAX.0, version);
        let bytes = datagram(&Message::Rumors(identity(1).node_id, vec![lie], Ages::default()));
        drop(net.handle(0, Input::Datagram { from: identity(1).addr, bytes: &bytes }));
        net.run_for(20 * SECOND);
    }
    let catalog = net.nodes[0].catalog();
    let known_to = catalog.head(identity(0).node_id).map(|head| head.known_to);
    assert_eq!((catalog.epoch(), known_to), (Epoch::MAX, Some(2)), "no version was written twice");
}

#[test]
fn invented_heads_cause_few_pulls_and_no_lasting_gaps() {
    let mut net = Network::joined(2);
    let sent = net.nodes[0].counters().datagrams_sent;
    for n in 0..100 {
        let head = |m| Head { origin: NodeId(50_000 + 60 * n + m), epoch: Epoch(9), known_to: 9 };
        let digest =
            Digest { sender: identity(1).node_id, catalog: n, recent: (0..60).map(head).collect() };
        let bytes = datagram(&Message::Digest(digest));
        drop(net.handle(0, Input::Datagram { from: identity(1).addr, bytes: &bytes }));
    }
    assert!(net.nodes[0].counters().gaps_dropped > 0);
    net.run_for(10 * SECOND);
    let counters = net.nodes[0].counters();
    assert!(counters.datagrams_sent - sent < 500, "{}", counters.datagrams_sent - sent);
    let pulls = counters.pulls_sent;
    net.run_for(10 * SECOND);
    assert_eq!(net.nodes[0].counters().pulls_sent, pulls, "gaps are still pulled");
}

#[test]
fn a_flood_of_hellos_is_referred_to_other_members_without_amplification() {
    let mut net = Network::joined(2);
    let mut referred = 0;
    for n in 50..200 {
        let hello = datagram(&Message::Hello(Hello {
            token: 7,
            identity: identity(n),
            datacenter: DatacenterId::UNKNOWN,
            tables: [0; 4],
        }));
        let input = Input::Datagram { from: identity(n).addr, bytes: &hello };
        for output in net.handle(0, input) {
            let Output::Datagram { to, bytes } = output else { continue };
            if to != identity(n).addr {
                continue;
            }
            assert_eq!(bytes.len(), hello.len());
            let other = identity(1);
            let datacenter = DatacenterId::named("dc1");
            let referral = Hello { token: 7, identity: other, datacenter, tables: [0; 4] };
            let referral = Message::Referral(referral);
            referred += usize::from(bytes == datagram(&referral));
        }
    }
    assert_eq!(referred, 150 - MAX_SESSIONS_SERVED);
}

#[test]
fn referrals_that_answer_no_hello_are_not_followed() {
    let mut net = Network::joined(2);
    let referral = datagram(&Message::Referral(Hello {
        token: 7,
        identity: identity(9),
        datacenter: DatacenterId::UNKNOWN,
        tables: [0; 4],
    }));
    let input = Input::Datagram { from: identity(1).addr, bytes: &referral };
    assert!(net.handle(0, input).is_empty());
}

#[test]
fn a_node_that_has_left_is_quiet() {
    let mut net = Network::joined(3);
    drop(net.write(1, health("x", Health::Passing)));
    drop(net.handle(0, Input::Leave));
    let stream = StreamId::accepted(1 << 40);
    drop(net.handle(0, Input::StreamAccepted { stream }));
    net.run_for(2 * SECOND);
    assert!(net.events[0].contains(&Event::Left));
    net.deadlines = 0;
    net.run_for(Duration::from_secs(2 * 3_600));
    let an_hour = 3_600 * 60;
    assert!(net.deadlines < an_hour, "{} deadlines in two hours", net.deadlines);
    assert_eq!(open_sessions(&net.nodes[0]), 0);
}
