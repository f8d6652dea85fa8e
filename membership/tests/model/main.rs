//! A model of merge, tombstones, garbage collection and origin_tombstones, checked in every state that it can reach.
//!
//! An origin writes and deletes, collects garbage and starts new epochs whenever it likes; others replicate it. Their
//! catalogs are the real ones. The network is the worst that there can be: whatever anybody could have told anybody, at
//! any time so far, may arrive at anybody now, any number of times, in any order, or never. Beside the replicas that are
//! followed there are any number of others: what follows from the origin's doings for them is told too. With origin_tombstones,
//! each of them takes the origin for dead or for alive as it likes at any time, reaps it and buries it.

mod gossip;
mod history;
mod names;
mod seen;

use stateright::{Checker, Expectation, HasDiscoveries, Model};

#[cfg(feature = "mutants")]
use hobnob_membership::Mutant;

use gossip::Gossip;
use history::{Act, all_scripts};

fn explore(model: Gossip) -> impl Checker<Gossip> {
    // One thread, so that names are given in the same order each time.
    model.checker().threads(1).finish_when(HasDiscoveries::AnyFailures).spawn_bfs().join()
}

/// The properties that do not hold, each with a story that shows it.
fn failures(checker: &impl Checker<Gossip>) -> Vec<String> {
    let model = checker.model();
    let is_failure =
        |name: &'static str| model.property(name).expectation != Expectation::Sometimes;
    let found = checker.discoveries().into_iter().filter(|(name, _)| is_failure(name));
    let story = found.map(|(name, path)| {
        let state = format!("{:?}", path.last_state());
        let actions: Vec<String> =
            path.into_actions().iter().map(|action| model.format_action(action)).collect();
        format!("{name}:\n{}\n{state}", actions.join("\n"))
    });
    story.collect()
}

fn check(model: Gossip) {
    let checker = explore(model);
    println!("{} transitions, {} states", checker.state_count(), checker.unique_state_count());
    let failures = failures(&checker);
    assert!(failures.is_empty(), "{}", failures.join("\n\n"));
    checker.assert_properties();
}

#[test]
fn every_history_of_two_writes_on_three_replicas() {
    check(Gossip::new(all_scripts(2), 2));
}

#[test]
fn every_history_of_three_writes() {
    check(Gossip::new(all_scripts(3), 1));
}

#[test]
fn a_new_epoch_in_the_middle() {
    check(Gossip::new(vec![vec![Act::Put(0), Act::Delete(0), Act::Raise, Act::Put(1)]], 2));
    check(Gossip::new(vec![vec![Act::Put(0), Act::Raise, Act::Delete(0), Act::Put(0)]], 1));
}

/// A state with a record that was deleted and written again since, and one that hides the deletion, were mixed once.
#[test]
fn a_record_that_is_deleted_and_written_again() {
    check(Gossip::new(vec![vec![Act::Put(0), Act::Delete(0), Act::Put(1), Act::Put(0)]], 1));
}

/// Every history of four writes takes minutes.
#[test]
#[ignore = "takes minutes"]
fn every_history_of_four_writes() {
    check(Gossip::new(all_scripts(4), 1));
}

#[test]
fn origin_tombstones_in_every_history_of_two_writes() {
    check(Gossip::new(all_scripts(2), 1).with_origin_tombstones());
}

#[test]
fn origin_tombstones_and_a_new_epoch() {
    check(
        Gossip::new(vec![vec![Act::Put(0), Act::Raise, Act::Delete(0)]], 1)
            .with_origin_tombstones(),
    );
}

/// The bugs that can be switched on in what the model is made of, each with histories that are long enough for it.
#[cfg(feature = "mutants")]
fn hunts() -> Vec<(Mutant, Gossip)> {
    let three = || Gossip::new(all_scripts(3), 1);
    let origin_tombstones = || Gossip::new(all_scripts(2), 1).with_origin_tombstones();
    vec![
        (Mutant::ForgetTombstones, three()),
        (Mutant::SuffixBelowFloor, three()),
        (Mutant::SeenBeforeApplied, three()),
        (Mutant::KnownOverGap, three()),
        (Mutant::MergeByArrival, three()),
        (Mutant::ReapWithoutTombstone, origin_tombstones()),
        (Mutant::TombstoneNotInDigest, origin_tombstones()),
        (Mutant::TombstoneForGood, origin_tombstones()),
        (Mutant::TombstoneOfTheLiving, origin_tombstones()),
        (Mutant::IgnoreForceLeave, origin_tombstones()),
    ]
}

#[cfg(feature = "mutants")]
#[test]
fn bugs_of_the_catalog_are_found() {
    for (mutant, model) in hunts() {
        let failures = failures(&explore(model.with(mutant)));
        println!("{mutant:?}: {}", failures.first().map_or("not found", String::as_str));
        assert!(!failures.is_empty(), "{mutant:?} was not found");
    }
}
