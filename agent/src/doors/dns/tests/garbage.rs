//! Packets that were changed at random: each is answered or ignored, counted, and nothing more.

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::*;

const PACKETS: usize = 100_000;

/// Queries to begin from.
fn genuine() -> Vec<Vec<u8>> {
    let mut all = Vec::new();
    for name in [
        "web.service.consul",
        "_web._tcp.service.dc1.hobnob",
        "v1.web.service.consul",
        "n1.node.consul",
        "7f000001.addr.consul",
        "consul",
        "1.0.0.10.in-addr.arpa",
        "example.com",
    ] {
        for rtype in [Rtype::A, Rtype::SRV, Rtype::TXT, Rtype::PTR, Rtype::SOA, Rtype::ANY] {
            all.extend([None, Some(512), Some(4_096)].map(|size| query(name, rtype, size)));
        }
    }
    all
}

fn mutate(packet: &mut Vec<u8>, random: &mut StdRng) {
    for _ in 0..random.random_range(1..6) {
        let at = random.random_range(0..packet.len().max(1));
        match random.random_range(0..7) {
            0 => packet.truncate(at),
            1 => packet.insert(at.min(packet.len()), random.random()),
            2 => packet.extend((0..random.random_range(1..600)).map(|_| random.random::<u8>())),
            // A pointer to another place of the packet.
            3 if at + 1 < packet.len() => packet[at] = 0xc0 | random.random_range(0..2),
            4 if at < packet.len() => {
                packet[at] = [0, 0x3f, 0x40, 0x80, 0xff][random.random_range(0..5)];
            }
            5 if at < packet.len() => packet[at] ^= 1 << random.random_range(0..8),
            _ if at < packet.len() => packet[at] = random.random(),
            _ => {}
        }
    }
}

#[tokio::test]
async fn a_hundred_thousand_mutated_packets_are_counted_and_nothing_more() {
    let door = Door::filled();
    let (genuine, mut random) = (genuine(), StdRng::seed_from_u64(20));
    let mut sent = 0;
    for number in 0..PACKETS {
        let mut packet = genuine[number % genuine.len()].clone();
        mutate(&mut packet, &mut random);
        let came = if number % 2 == 0 { LOOPBACK } else { Came::Tcp };
        let Some(answer) = door.send(&packet, came) else { continue };
        sent += 1;
        let message = Message::from_octets(&answer[..]).expect("a message");
        assert!(message.header().qr(), "an answer to {packet:?}");
        assert_eq!(answer[..2], packet[..2], "the id is that of the client");
        assert!(message.iter().all(|record| record.is_ok()), "an answer to {packet:?}");
        if came == LOOPBACK {
            assert!(answer.len() <= 1_232);
            assert!(message.opt().is_some() || answer.len() <= 512);
        }
    }
    let counters = door.counters();
    let of = |name: &str| counters[&format!("dns_{name}")];
    let answered = of("queries") + of("refused") + of("unsupported") + of("malformed");
    assert_eq!(answered, sent, "{counters:?}");
    assert_eq!(answered + of("ignored"), PACKETS as u64, "{counters:?}");
    for kind in ["queries", "refused", "unsupported", "malformed", "ignored", "negative"] {
        assert!(of(kind) > 100, "the packets are not of all kinds: {counters:?}");
    }
    assert_eq!(door.ask("v1.web.service.consul", Rtype::A).answers.len(), 1, "it still answers");
}
