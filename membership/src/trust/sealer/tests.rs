//! Two sealers of one generation.

use hobnob_keys::suite::AwsLc;

use super::*;
use crate::base::cluster::ClusterId;
use crate::testing::sealed::{SealedCluster, node_id};
use crate::wire::{Envelope, Messages, Outbox, Pull};

const NOW: Time = Time::ZERO;
const EPOCH: Epoch = Epoch(1_000);

fn sealer(n: usize) -> Sealer {
    let mut sealer = Sealer::new(node_id(n), EPOCH);
    sealer.keyring.offer(SealedCluster::default().generation(1, 7), true, false, &AwsLc, NOW);
    sealer
}

fn packed(message: &Message, receiver: Option<NodeId>) -> Packed {
    let mut out: Outbox<()> = Outbox::new(Envelope::sealed(ClusterId::default()));
    let packed = match receiver {
        Some(receiver) => out.pack_for(receiver, message),
        None => out.pack_one(message),
    };
    packed.expect("it has room")
}

/// Opens a datagram of a member whose epoch is known.
fn open<'a>(sealer: &mut Sealer, datagram: &[u8]) -> Result<Opened<'a>, Unopened> {
    sealer.open(datagram, |_| false, |_| Some(EPOCH), NOW)
}

fn messages(opened: &Opened<'_>) -> Vec<Message> {
    match &opened.content {
        Content::Short(message) => vec![message.clone()],
        Content::Messages(bytes) => {
            Messages::new(bytes).map(|message| message.expect("whole")).collect()
        }
    }
}

fn samples() -> Vec<(Message, usize)> {
    let sender = node_id(0);
    let heads = crate::catalog::Catalog::new(sender, Epoch(1));
    vec![
        (Message::Ping(Ping { sender, nonce: [1, 2, 3, 4] }), 25),
        (Message::Pong(Pong { tag: [1; 4], members: [2; 4], local_health: LocalHealth(3) }), 19),
        (Message::Digest(Digest { sender, catalog: 0xffff_0000_ffff_0000, recent: vec![] }), 33),
        (
            Message::Digest(Digest {
                sender,
                catalog: heads.digest(),
                recent: heads.head(sender).into_iter().collect(),
            }),
            0,
        ),
        (Message::Pull(Pull { sender, wants: vec![] }), 32 + 2 + 8 + 1),
    ]
}

#[test]
fn every_message_is_opened_as_it_was_closed_in_the_length_that_was_promised() {
    let (mut one, mut other) = (sealer(0), sealer(1));
    let envelope = Envelope::sealed(ClusterId::default());
    for (message, len) in samples() {
        for receiver in [Some(node_id(1)), None] {
            let packed = packed(&message, receiver);
            let datagram = one.close(&packed, NOW).expect("it has keys");
            assert_eq!(datagram.len(), envelope.datagram_bytes(&packed), "{message:?}");
            if receiver.is_some() && len > 0 {
                assert_eq!(datagram.len(), len, "{message:?}");
            }
            let opened = open(&mut other, &datagram).expect("it is for us");
            assert_eq!(messages(&opened), std::slice::from_ref(&message));
            let is_pong = matches!(message, Message::Pong(_));
            assert_eq!(opened.sender, (!is_pong).then_some(node_id(0)));
        }
    }
}

#[test]
fn a_digest_that_names_heads_and_a_message_among_others_are_sealed() {
    let mut one = sealer(0);
    let ping = samples()[0].0.clone();
    let mut out: Outbox<()> = Outbox::new(Envelope::sealed(ClusterId::default()));
    let both = out.pack(vec![ping.clone(), ping]).pop().expect("one datagram");
    assert_eq!(one.close(&both, NOW).expect("keys")[0], Form::Sealed.byte());
}

#[test]
fn a_counter_is_used_once_and_a_later_life_is_above_an_earlier_one() {
    let mut other = sealer(1);
    let (digest, receiver) = (samples()[2].0.clone(), Some(node_id(1)));
    let packed = packed(&digest, receiver);
    let mut one = sealer(0);
    let datagrams: Vec<Vec<u8>> = (0..3).map(|_| one.close(&packed, NOW).expect("keys")).collect();
    for datagram in &datagrams {
        assert!(open(&mut other, datagram).is_ok());
        assert_eq!(open(&mut other, datagram).err(), Some(Unopened::Replayed));
    }
    let mut later = Sealer::new(node_id(0), Epoch(1_001));
    later.keyring.offer(SealedCluster::default().generation(1, 7), true, false, &AwsLc, NOW);
    assert!(open(&mut other, &later.close(&packed, NOW).expect("keys")).is_ok());
    let mut earlier = Sealer::new(node_id(0), Epoch(900));
    earlier.keyring.offer(SealedCluster::default().generation(1, 7), true, false, &AwsLc, NOW);
    let datagram = earlier.close(&packed, NOW).expect("keys");
    assert_eq!(open(&mut other, &datagram).err(), Some(Unopened::Replayed));
    let (began, last) = earlier.counters();
    other.windows.prove(node_id(0), began, last);
    assert!(open(&mut other, &earlier.close(&packed, NOW).expect("keys")).is_ok());
}

#[test]
fn a_forged_datagram_uses_up_no_counter() {
    let (mut one, mut other) = (sealer(0), sealer(1));
    let packed = packed(&samples()[4].0, None);
    let datagram = one.close(&packed, NOW).expect("keys");
    let mut forged = datagram.clone();
    *forged.last_mut().expect("not empty") ^= 1;
    assert_eq!(open(&mut other, &forged).err(), Some(Unopened::Forged));
    assert!(open(&mut other, &datagram).is_ok());
}

#[test]
fn a_ping_is_answered_once_and_found_by_the_epoch_of_its_sender_or_by_what_came_before() {
    let (mut one, mut other) = (sealer(0), sealer(1));
    let packed = packed(&samples()[0].0, Some(node_id(1)));
    let pings: Vec<Vec<u8>> = (0..3).map(|_| one.close(&packed, NOW).expect("keys")).collect();
    let unknown = other.open(&pings[0], |_| false, |_| None, NOW);
    assert_eq!(unknown.err(), Some(Unopened::UnknownSender));
    // The life before the last one is as far away as a sixteenth of eight million milliseconds.
    let long_ago = other.open(&pings[0], |_| false, |_| Some(Epoch(1_000 + (1 << 20))), NOW);
    assert_eq!(long_ago.err(), Some(Unopened::Forged));
    for ping in &pings {
        assert!(open(&mut other, ping).is_ok());
        assert_eq!(open(&mut other, ping).err(), Some(Unopened::Replayed));
    }
    let next = one.close(&packed, NOW).expect("keys");
    assert!(other.open(&next, |_| false, |_| None, NOW).is_ok(), "its counters are known now");
}

#[test]
fn a_clock_that_is_centuries_ahead_leaves_counters_for_a_life_and_the_next_ones() {
    let this_year = Epoch(1_790_000_000_000);
    for wall_ms in [Epoch::LAST_WALL_MS, Epoch::LAST_WALL_MS + 1, 1 << 44, u64::MAX] {
        let epoch = Epoch::of_new_life(this_year, wall_ms, u16::MAX);
        let (mut sender, mut receiver) = (Sealer::new(node_id(1), epoch), sealer(2));
        assert!(Counter::MAX.number() - sender.counter.number() > 1 << 43, "{wall_ms}");
        sender.keyring.offer(SealedCluster::default().generation(1, 7), true, false, &AwsLc, NOW);
        for _ in 0..100 {
            let pull = Message::Pull(Pull { sender: node_id(1), wants: Vec::new() });
            let datagram = sender.close(&packed(&pull, None), NOW).expect("a generation");
            open(&mut receiver, &datagram).expect("it is no copy of an earlier one");
        }
    }
}
