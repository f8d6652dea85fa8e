//! Reads and writes.

use std::time::Duration;

use hobnob_membership::Epoch;
use hobnob_membership::quorum::{Failure, OriginEnd, Outcome, last_of};

use super::network::{Network, WITHIN, deposit, is_no_quorum, n};

#[test]
fn a_read_tells_what_was_written_before() {
    let mut net = Network::with_voters(5);
    assert!(net.ids(4, "s").is_empty());
    assert_eq!(net.write(5, deposit(5, 10, 1, "a", true)), Outcome::Written);
    assert_eq!(net.ids(4, "s"), ["a"]);
    assert_eq!(net.write(5, deposit(5, 10, 2, "b", true)), Outcome::Written);
    assert_eq!(net.write(5, deposit(5, 10, 3, "a", false)), Outcome::Written);
    assert_eq!(net.ids(1, "s"), ["b"], "voters read as others do");
    assert!(net.ids(4, "other").is_empty());
}

#[test]
fn without_voters_nothing_is_asked() {
    let mut net = Network::new(3);
    let now = net.now;
    assert_eq!(net.node(1).read(&"s".into(), WITHIN, now), Err(Failure::NoVoters));
    let write = net.node(1).write(deposit(1, 10, 1, "a", true), WITHIN, now);
    assert_eq!(write, Err(Failure::NoVoters));
}

#[test]
fn one_voter_may_be_out_of_reach_and_two_may_not() {
    let mut net = Network::with_voters(5);
    net.cut.insert(n(3));
    assert_eq!(net.write(5, deposit(5, 10, 1, "a", true)), Outcome::Written);
    assert_eq!(net.ids(4, "s"), ["a"]);
    net.cut.insert(n(2));
    match net.read(4, "s") {
        Outcome::Unread(failure) => assert!(is_no_quorum(&failure, &[1], &[2, 3]), "{failure:?}"),
        other => panic!("{other:?}"),
    }
    match net.write(5, deposit(5, 10, 2, "b", true)) {
        Outcome::Unknown(failure) => assert!(is_no_quorum(&failure, &[1], &[2, 3])),
        other => panic!("{other:?}"),
    }
    net.cut.clear();
    // The write that was not confirmed reached a voter, and a read makes it known to all.
    assert_eq!(net.ids(4, "s"), ["a", "b"]);
}

#[test]
fn nothing_is_acknowledged_before_it_is_on_disk() {
    let mut net = Network::with_voters(4);
    net.stuck.extend([n(2), n(3)]);
    let outcome = net.write(4, deposit(4, 10, 1, "a", true));
    assert!(matches!(outcome, Outcome::Unknown(Failure::NoQuorum { .. })), "{outcome:?}");
}

#[test]
fn a_write_of_an_earlier_life_or_of_another_key_is_refused() {
    let mut net = Network::with_voters(4);
    assert_eq!(net.write(4, deposit(4, 20, 1, "a", true)), Outcome::Written);
    let late = net.write(4, deposit(4, 19, 9, "b", true));
    assert_eq!(late, Outcome::Unknown(Failure::Fenced(Epoch(20))));
    let mut forged = deposit(4, 30, 1, "c", true);
    forged.fence.as_mut().expect("it has one").key = 8;
    assert_eq!(net.write(4, forged), Outcome::Unknown(Failure::Fenced(Epoch(20))));
    assert_eq!(net.ids(4, "s"), ["a"]);
}

#[test]
fn an_end_removes_all_of_an_origin_until_its_next_life() {
    let mut net = Network::with_voters(5);
    assert_eq!(net.write(4, deposit(4, 20, 1, "a", true)), Outcome::Written);
    assert_eq!(net.write(5, deposit(5, 20, 1, "b", true)), Outcome::Written);
    let mut end = deposit(4, 20, 1, "a", true);
    (end.entries, end.fence) = (Vec::new(), None);
    end.ends = vec![OriginEnd { origin: n(4), stamp: last_of(Epoch(20)) }];
    assert_eq!(net.write(5, end), Outcome::Written);
    assert_eq!(net.ids(1, "s"), ["b"]);
    let late = net.write(4, deposit(4, 20, 2, "a", true));
    assert_eq!(late, Outcome::Unknown(Failure::Fenced(Epoch(21))));
    assert_eq!(net.write(4, deposit(4, 21, 1, "a", true)), Outcome::Written);
    assert_eq!(net.ids(1, "s"), ["a", "b"]);
}

#[test]
fn a_thousand_reads_at_once_cost_a_few_rounds() {
    let mut net = Network::with_voters(4);
    assert_eq!(net.write(4, deposit(4, 10, 1, "a", true)), Outcome::Written);
    net.messages = 0;
    let now = net.now;
    let ops: Vec<_> = (0..1_000).map(|_| net.node(4).read(&"s".into(), WITHIN, now)).collect();
    for op in ops {
        let outcome = net.outcome(4, op.expect("it begins"));
        assert!(matches!(&outcome, Outcome::Read(read) if read.len() == 1), "{outcome:?}");
    }
    assert!(net.messages <= 24, "{} messages", net.messages);
}

#[test]
fn a_service_of_many_instances_is_read_in_parts_and_listed_once() {
    let mut net = Network::with_voters(4);
    for first in (0..900).step_by(15) {
        let mut all = deposit(4, 10, first + 1, "x", true);
        let entry = all.entries.remove(0);
        all.entries.extend((first..first + 15).map(|number| {
            let mut entry = entry.clone();
            entry.place.id = format!("instance-{number:04}").into();
            entry.value = Some(vec![0; 100].into());
            entry
        }));
        assert_eq!(net.write(4, all), Outcome::Written);
    }
    net.messages = 0;
    assert_eq!(net.ids(4, "s").len(), 900);
    assert!(net.messages > 20, "it takes several parts");
    net.messages = 0;
    assert_eq!(net.ids(4, "s").len(), 900);
    assert!(net.messages <= 6, "nothing is listed again: {} messages", net.messages);
}

#[test]
fn a_write_beyond_its_limits_is_refused() {
    let mut net = Network::with_voters(3);
    let now = net.now;
    let mut large = deposit(1, 10, 1, "a", true);
    large.entries = vec![large.entries[0].clone(); 33];
    assert!(matches!(net.node(1).write(large.clone(), WITHIN, now), Err(Failure::Invalid(_))));
    large.entries.truncate(1);
    for bytes in [8 * 1024 + 1, 17 * 1024] {
        large.entries[0].value = Some(vec![0; bytes].into());
        let refused = net.node(1).write(large.clone(), WITHIN, now);
        assert!(matches!(refused, Err(Failure::Invalid(_))), "{bytes} bytes");
    }
    let pair = net.node(1).set_voters(vec![n(1), n(2)], false, WITHIN, now);
    assert!(matches!(pair, Err(Failure::Invalid(_))));
}

#[test]
fn a_deregistration_that_reached_one_voter_is_not_undone_by_one_that_missed_both() {
    let mut net = Network::with_voters(4);
    net.cut.insert(n(1));
    assert_eq!(net.write(4, deposit(4, 10, 1, "a", true)), Outcome::Written);
    net.cut = [n(1), n(2)].into();
    let unknown = net.write(4, deposit(4, 10, 2, "a", false));
    assert!(matches!(unknown, Outcome::Unknown(_)), "{unknown:?}");
    net.cut = [n(2)].into();
    // Voter 1 never saw the instance, voter 3 saw it end. The end counts.
    assert!(net.ids(1, "s").is_empty());
    net.cut = [n(3)].into();
    assert!(net.ids(1, "s").is_empty(), "it does not come back");
    net.run(Duration::from_millis(10));
}
