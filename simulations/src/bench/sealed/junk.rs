//! The time that a sealed node takes to drop a datagram of an outsider, without a socket.

use std::hint::black_box;
use std::net::SocketAddr;
use std::time::Instant;

use hobnob_membership::testing::sealed::SealedCluster;
use hobnob_membership::{Input, Time};
use rand::rngs::Xoshiro256PlusPlus;
use rand::{Rng, SeedableRng};

use crate::bench::row::{Goal, Row};

/// Datagrams of each kind.
const COUNT: u32 = 200_000;
/// Different datagrams of each kind.
const VARIETY: usize = 1_000;
/// Rounds, of which the quickest counts.
const ROUNDS: usize = 5;
/// The generation of the node.
const GENERATION: u8 = 1;

/// The kinds of junk: a name, the bytes at the front, and the length.
const KINDS: [(&str, &[u8], usize); 6] = [
    ("random bytes", &[], 200),
    ("sealed with an unknown generation", &[0x02, 9], 200),
    ("sealed and forged, 200 B", &[0x02, GENERATION], 200),
    ("sealed and forged, 1,400 B", &[0x02, GENERATION], 1_400),
    ("a forged pong", &[0x52, GENERATION], 19),
    ("a forged digest", &[0x62, GENERATION], 33),
];

pub(super) fn measure(rows: &mut Vec<Row>) {
    for (what, front, length) in KINDS {
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(3);
        let datagrams: Vec<Vec<u8>> = (0..VARIETY)
            .map(|_| {
                let mut bytes = vec![0; length];
                rng.fill_bytes(&mut bytes);
                bytes[..front.len()].copy_from_slice(front);
                bytes
            })
            .collect();
        let ns = (0..ROUNDS).map(|_| round(&datagrams)).fold(f64::INFINITY, f64::min);
        let row = Row::new(format!("dropped by a node: {what}"), ns / 1e3, "us");
        rows.push(row.goal(Goal::AtMost(1.0)));
    }
}

/// Nanoseconds for each datagram.
fn round(datagrams: &[Vec<u8>]) -> f64 {
    let mut node = SealedCluster::default().node(0);
    let from = SocketAddr::from(([192, 0, 2, 1], 9));
    let began = Instant::now();
    for bytes in datagrams.iter().cycle().take(COUNT as usize) {
        node.handle(Input::Datagram { from, bytes }, Time::ZERO);
        while let Some(output) = node.poll_output() {
            black_box(output);
        }
    }
    began.elapsed().as_nanos() as f64 / f64::from(COUNT)
}
