//! Known bugs are found.

use hobnob_membership::Mutant;
use hobnob_simulations::swarm::mutants::hunt;
use hobnob_simulations::swarm::{Size, run_seed};

const SIZE: Size = Size { nodes: 10, seconds: 40 };

/// Bugs that show within seconds of virtual time, quickly enough for a debug build. The command `mutants` hunts all
/// bugs.
const QUICK: [Mutant; 6] = [
    Mutant::KnownOverGap,
    Mutant::NeverRepair,
    Mutant::DropMemberEvent,
    Mutant::TruncateSync,
    Mutant::IgnoreBrokenLinks,
    Mutant::KeepMassLosses,
];

#[test]
fn known_bugs_are_found() {
    for mutant in QUICK {
        let caught = hunt(mutant, 20, SIZE);
        assert!(caught.failure.is_some(), "{mutant:?} escaped");
    }
}

#[test]
fn without_a_bug_nothing_fires() {
    for seed in 0..3 {
        let outcome = run_seed(seed, SIZE);
        assert!(outcome.is_green(), "seed {seed}: {:?}", outcome.failures);
    }
}
