//! Changes of the voters.

use std::time::Duration;

use hobnob_membership::quorum::{Failure, Outcome, Standing};

use super::network::{Network, WITHIN, deposit, n};

#[test]
fn the_first_voters_all_have_to_agree() {
    let mut net = Network::new(4);
    net.cut.insert(n(3));
    let outcome = net.set_voters(1, &[1, 2, 3]);
    assert!(matches!(outcome, Outcome::Unknown(_)), "{outcome:?}");
    net.cut.clear();
    assert!(matches!(net.set_voters(4, &[1, 2, 3]), Outcome::Changed(_)));
    assert_eq!(net.node(3).standing(), Standing::Votes);
}

#[test]
fn of_two_first_sets_at_most_one_is_made() {
    let mut net = Network::new(5);
    let now = net.now;
    let one =
        net.node(4).set_voters([1, 2, 3].map(n).into(), false, WITHIN, now).expect("it begins");
    let two =
        net.node(5).set_voters([3, 4, 5].map(n).into(), false, WITHIN, now).expect("it begins");
    let outcomes = [net.outcome(4, one), net.outcome(5, two)];
    let made = outcomes.iter().filter(|it| matches!(it, Outcome::Changed(_))).count();
    assert!(made <= 1, "{outcomes:?}");
}

#[test]
fn new_voters_hold_what_the_old_ones_held() {
    let mut net = Network::with_voters(7);
    assert_eq!(net.write(7, deposit(7, 10, 1, "a", true)), Outcome::Written);
    let outcome = net.set_voters(7, &[4, 5, 6]);
    assert!(matches!(&outcome, Outcome::Changed(it) if it.number == 2), "{outcome:?}");
    net.cut = [n(1), n(2), n(3)].into();
    assert_eq!(net.ids(7, "s"), ["a"]);
    assert_eq!(net.node(1).standing(), Standing::Votes, "it does not know yet");
    net.cut.clear();
    assert_eq!(net.ids(1, "s"), ["a"], "a node with old knowledge is told");
    assert_eq!(net.node(1).standing(), Standing::NoSeat);
}

#[test]
fn voters_are_replaced_one_by_one() {
    let mut net = Network::with_voters(7);
    for (step, voters) in [[2, 3, 4], [3, 4, 5], [4, 5, 6]].into_iter().enumerate() {
        let version = step as u64 + 1;
        assert_eq!(net.write(7, deposit(7, 10, version, "a", true)), Outcome::Written);
        let outcome = net.set_voters(7, &voters);
        assert!(
            matches!(&outcome, Outcome::Changed(it) if it.number == version + 1),
            "{outcome:?}"
        );
        assert_eq!(net.ids(1, "s"), ["a"]);
    }
}

#[test]
fn of_two_changes_at_once_at_most_one_is_made() {
    for pause in 0..12 {
        let mut net = Network::with_voters(7);
        let now = net.now;
        let one =
            net.node(6).set_voters([2, 3, 4].map(n).into(), false, WITHIN, now).expect("it begins");
        net.run(Duration::from_millis(pause));
        let now = net.now;
        let two =
            net.node(7).set_voters([3, 4, 5].map(n).into(), false, WITHIN, now).expect("it begins");
        let outcomes = [net.outcome(6, one), net.outcome(7, two)];
        let made = outcomes.iter().filter(|it| matches!(it, Outcome::Changed(_))).count();
        let displaced = |it: &&Outcome| matches!(it, Outcome::Unchanged(Failure::Superseded(_)));
        assert_eq!((made, outcomes.iter().filter(displaced).count()), (1, 1), "{outcomes:?}");
    }
}

#[test]
fn a_change_that_is_left_half_way_is_finished_by_the_voters() {
    for stops_after in 2..14 {
        let mut net = Network::with_voters(7);
        let now = net.now;
        net.node(7).set_voters([3, 4, 5].map(n).into(), false, WITHIN, now).expect("it begins");
        net.run(Duration::from_millis(stops_after));
        net.nodes.remove(&n(7));
        net.run(Duration::from_secs(4));
        let outcome = net.set_voters(6, &[3, 4, 5]);
        assert!(matches!(&outcome, Outcome::Changed(it) if it.number == 2), "{outcome:?}");
        assert_eq!(net.write(6, deposit(6, 10, 1, "a", true)), Outcome::Written);
        assert_eq!(net.ids(6, "s"), ["a"]);
    }
}
