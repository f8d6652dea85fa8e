//! Strong reads and writes are linearizable under faults, and known bugs of theirs are found.

#[cfg(feature = "mutants")]
use hobnob_membership::Mutant;
use hobnob_simulations::strong::{Judgement, Totals, run_seed};

#[test]
fn histories_under_faults_are_linearizable() {
    let mut totals = Totals::default();
    for seed in 0..300 {
        let outcome = run_seed(seed);
        assert_eq!(outcome.judge(), Judgement::default(), "seed {seed}");
        totals.add(&outcome);
    }
    println!("{totals:?}");
    assert!(totals.succeeded_percent() >= 60, "{totals:?}");
    assert!(totals.overlapping_percent() >= 30, "{totals:?}");
    // In a fifth of the seeds two first sets are tried; of these, a half-made one may bind its voters for good.
    assert!(totals.unfounded <= 30, "the first voters are made: {totals:?}");
    assert!(totals.changes >= 100 && totals.losses >= 100, "the faults happen: {totals:?}");
}

#[test]
fn a_seed_runs_the_same_twice() {
    for seed in [3, 11] {
        assert_eq!(run_seed(seed).fingerprint, run_seed(seed).fingerprint);
    }
}

#[cfg(feature = "mutants")]
#[test]
fn known_bugs_are_found() {
    for mutant in Mutant::QUORUM {
        Mutant::activate(Some(*mutant));
        let found = (0..200).find(|seed| !run_seed(*seed).judge().broken.is_empty());
        Mutant::activate(None);
        println!("{mutant:?}: seed {found:?}");
        assert!(found.is_some(), "{mutant:?} escaped");
    }
}
