//! Faults that are about the ends of processes: those that agents should notice at once, and those that only look alike.

use rand::RngExt;
use rand::rngs::Xoshiro256PlusPlus;

use super::size::Size;
use crate::scenario::{Fault, FaultKind, Select, Span};

/// The longest time for which the kernel of a killed process goes on accepting connections, as with a process of 4 GB.
const MAX_DYING_MS: u64 = 300;

/// Draws up to three such faults, for every second seed.
pub(super) fn exits(rng: &mut Xoshiro256PlusPlus, size: Size) -> Vec<Fault> {
    if !rng.random_bool(0.5) {
        return Vec::new();
    }
    let kinds = rng.random_range(1..=3);
    (0..kinds).map(|_| exit(rng, size)).collect()
}

fn exit(rng: &mut Xoshiro256PlusPlus, size: Size) -> Fault {
    let few = || Select::Random(1 + size.nodes / 20);
    let share = |rng: &mut Xoshiro256PlusPlus| Select::RandomPercent(rng.random_range(2..40));
    let kill = |nodes, rng: &mut Xoshiro256PlusPlus| FaultKind::Kill {
        nodes,
        dying: Span::millis(rng.random_range(0..=MAX_DYING_MS)),
    };
    let third_ms = 1_000 * size.seconds / 3;
    // The kind of fault, how long it lasts, and the mean time between two of them.
    let (what, lasts, every) = match rng.random_range(0..7) {
        // For good, or until much later.
        0 => (kill(few(), rng), rng.random_bool(0.7).then_some(500..third_ms), None),
        1 => (kill(share(rng), rng), Some(500..third_ms), None),
        // A supervisor starts it again at once, sometimes before the old process is gone.
        2 => (kill(few(), rng), Some(1..MAX_DYING_MS), Some(1_000..20_000)),
        3 => (FaultKind::Restart { nodes: few() }, Some(1..3_000), Some(1_000..20_000)),
        4 => (FaultKind::Restart { nodes: share(rng) }, Some(10..10_000), None),
        5 => (FaultKind::ResetConnections { nodes: share(rng) }, Some(1..2), Some(200..5_000)),
        _ => (FaultKind::InterfaceDown { nodes: few() }, Some(100..10_000), Some(3_000..30_000)),
    };
    let mut within = |range: std::ops::Range<u64>| Span::millis(rng.random_range(range));
    Fault {
        at: within(1_000..2 * third_ms),
        lasts: lasts.map(&mut within),
        every: every.map(&mut within),
        what,
    }
}
