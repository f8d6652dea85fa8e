//! Voters that start again.

use std::time::Duration;

use hobnob_membership::quorum::{Outcome, Standing};

use super::network::{Network, WITHIN, deposit, n};

#[test]
fn a_voter_whose_image_is_the_last_one_votes_at_once() {
    let mut net = Network::with_voters(4);
    assert_eq!(net.write(4, deposit(4, 10, 1, "a", true)), Outcome::Written);
    net.cut.insert(n(3));
    net.start(n(2), true);
    assert_eq!(net.node(2).standing(), Standing::Votes);
    assert_eq!(net.ids(4, "s"), ["a"]);
}

#[test]
fn a_voter_without_its_disk_votes_after_it_read_a_majority_of_the_others() {
    let mut net = Network::with_voters(4);
    net.cut.insert(n(3));
    assert_eq!(net.write(4, deposit(4, 10, 1, "a", true)), Outcome::Written);
    net.disks.remove(&n(2));
    net.start(n(2), false);
    // Voter 1 is one of three, and voter 2 does not count itself.
    assert!(matches!(net.read(4, "s"), Outcome::Unread(_)));
    assert_eq!(net.node(2).standing(), Standing::Lost);
    net.cut.clear();
    assert_eq!(net.ids(4, "s"), ["a"]);
    net.run(Duration::from_secs(3));
    assert_eq!(net.node(2).standing(), Standing::Votes);
    net.cut.insert(n(1));
    assert_eq!(net.ids(4, "s"), ["a"]);
}

#[test]
fn a_voter_with_an_older_image_votes_after_it_read_what_it_lost() {
    let mut net = Network::with_voters(4);
    let image = net.disks[&n(2)].clone();
    net.cut.insert(n(3));
    assert_eq!(net.write(4, deposit(4, 10, 1, "a", true)), Outcome::Written);
    net.disks.insert(n(2), image);
    net.start(n(2), false);
    assert_eq!(net.node(2).standing(), Standing::Doubtful);
    net.cut = [n(1)].into();
    assert!(matches!(net.read(4, "s"), Outcome::Unread(_)), "2 and 3 have lost the write");
    net.cut.clear();
    net.run(Duration::from_secs(3));
    assert_eq!(net.node(2).standing(), Standing::Votes);
    net.cut = [n(1)].into();
    assert_eq!(net.ids(4, "s"), ["a"]);
}

#[test]
fn voters_that_all_lost_power_recover_from_each_other() {
    let mut net = Network::with_voters(4);
    assert_eq!(net.write(4, deposit(4, 10, 1, "a", true)), Outcome::Written);
    (1..=3).for_each(|node| net.start(n(node), false));
    assert_eq!(net.node(1).standing(), Standing::Doubtful);
    net.run(Duration::from_secs(3));
    assert_eq!(net.node(1).standing(), Standing::Votes);
    assert_eq!(net.ids(4, "s"), ["a"]);
}

#[test]
fn an_operator_may_vouch_for_a_disk() {
    let mut net = Network::with_voters(4);
    assert_eq!(net.write(4, deposit(4, 10, 1, "a", true)), Outcome::Written);
    net.nodes.remove(&n(3));
    net.start(n(2), false);
    net.run(Duration::from_secs(3));
    assert_eq!(net.node(2).standing(), Standing::Doubtful, "voter 3 is gone");
    let now = net.now;
    assert!(net.node(2).vouch(now));
    assert_eq!(net.ids(4, "s"), ["a"]);
    assert_eq!(net.node(2).standing(), Standing::Votes);
    net.disks.remove(&n(1));
    net.start(n(1), false);
    let chain = net.node(2).chain().cloned().expect("it votes");
    let now = net.now;
    net.node(1).learn(&chain, now);
    assert!(!net.node(1).vouch(now), "there is nothing to vouch for");
}

/// Voter 1 acknowledges a write, loses its disk, and recovers from voters that do not have the write yet.
fn acknowledged_and_lost() -> (Network, Outcome) {
    let mut net = Network::with_voters(4);
    net.cut = [n(2), n(3)].into();
    let now = net.now;
    let op = net.node(4).write(deposit(4, 10, 1, "a", true), WITHIN, now).expect("it begins");
    net.run(Duration::from_millis(20));
    net.cut = [n(4)].into();
    net.disks.remove(&n(1));
    net.start(n(1), false);
    let chain = net.node(2).chain().cloned().expect("it votes");
    let now = net.now;
    net.node(1).learn(&chain, now);
    net.run(Duration::from_millis(400));
    assert_eq!(net.node(1).standing(), Standing::Votes);
    net.cut = [n(1), n(3)].into();
    let outcome = net.outcome(4, op);
    (net, outcome)
}

#[test]
fn what_a_voter_acknowledged_before_it_lost_its_disk_does_not_count() {
    let (_, outcome) = acknowledged_and_lost();
    assert!(matches!(outcome, Outcome::Unknown(_)), "{outcome:?}");
}

#[cfg(feature = "mutants")]
#[test]
fn if_it_did_a_write_would_be_lost() {
    hobnob_membership::Mutant::activate(Some(hobnob_membership::Mutant::OldLivesVote));
    let (mut net, outcome) = acknowledged_and_lost();
    assert_eq!(outcome, Outcome::Written);
    net.cut = [n(2)].into();
    assert!(net.ids(4, "s").is_empty());
    hobnob_membership::Mutant::activate(None);
}
