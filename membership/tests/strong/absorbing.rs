//! Plain registrations are in strong reads soon after: voters take what gossip brings.

use std::time::Duration;

use hobnob_membership::quorum::{Failure, Image, Outcome, Provenance, Quorum, Standing};
use hobnob_membership::testing::node_of;
use hobnob_membership::{ClusterId, Input};

use crate::cluster::{Strong, WITHIN};

const SOON: Duration = Duration::from_secs(2);

/// Six nodes. The first three are voters.
fn cluster() -> Strong {
    let mut strong = Strong::new(6, 6);
    assert!(matches!(strong.set_voters(5, &[0, 1, 2]), Outcome::Changed(_)));
    strong.run(Duration::from_secs(1));
    strong
}

/// A node is gone, as after a crash. It comes back by a restart alone.
fn crash(strong: &mut Strong, n: usize) {
    strong.net.nodes[n] = node_of(ClusterId::named("other"), n);
}

#[test]
fn a_plain_registration_is_read_soon_after_and_so_is_its_end() {
    let mut strong = cluster();
    for n in [0, 4] {
        strong.register(n, &format!("i{n}"), "web");
    }
    strong.run(SOON);
    assert_eq!(strong.ids(3, "web"), ["i0", "i4"]);
    strong.deregister(0, "i0");
    strong.deregister(4, "i4");
    strong.run(SOON);
    assert_eq!(strong.ids(3, "web"), [""; 0]);
    strong.register(4, "i4", "web");
    strong.run(SOON);
    assert_eq!(strong.ids(3, "web"), ["i4"]);
}

#[test]
fn a_plain_move_takes_an_instance_out_of_its_service() {
    let mut strong = cluster();
    assert_eq!(strong.register_strongly(4, "a", "old"), Outcome::Written);
    strong.register(4, "a", "new");
    strong.run(SOON);
    assert_eq!((strong.ids(3, "old"), strong.ids(3, "new")), (vec![], vec!["a".into()]));
    strong.register(4, "a", "old");
    strong.run(SOON);
    assert_eq!((strong.ids(3, "old"), strong.ids(3, "new")), (vec!["a".into()], vec![]));
}

#[test]
fn what_was_registered_before_there_were_voters_is_taken_too() {
    let mut strong = Strong::new(6, 6);
    for n in 0..40 {
        strong.register(n % 6, &format!("i{n:02}"), "web");
    }
    strong.run(SOON);
    assert!(matches!(strong.set_voters(5, &[0, 1, 2]), Outcome::Changed(_)));
    strong.run(SOON);
    assert_eq!(strong.ids(3, "web").len(), 40);
    // A new voter takes it from its own catalog and from the others.
    assert!(matches!(strong.set_voters(5, &[2, 3, 4]), Outcome::Changed(_)));
    strong.deregister(5, "i05");
    strong.run(SOON);
    assert_eq!(strong.ids(0, "web").len(), 39);
}

#[test]
fn a_deletion_whose_tombstone_is_forgotten_is_taken_when_a_voter_is_back() {
    let mut strong = cluster();
    for id in ["a", "b"] {
        assert_eq!(strong.register_strongly(4, id, "web"), Outcome::Written);
    }
    // No voter hears of the deletion, nor of the many that follow it.
    for voter in 0..3 {
        crash(&mut strong, voter);
    }
    strong.run(Duration::from_secs(10));
    strong.deregister(4, "a");
    for n in 0..300 {
        strong.register(4, &format!("x{n}"), "other");
        strong.deregister(4, &format!("x{n}"));
    }
    for voter in 0..3 {
        strong.restart(voter, &[]);
    }
    strong.run(Duration::from_secs(20));
    assert_eq!(strong.ids(5, "web"), ["b"]);
}

#[test]
fn a_new_life_leaves_what_it_registers_no_more() {
    let mut strong = cluster();
    assert_eq!(strong.register_strongly(4, "a", "web"), Outcome::Written);
    strong.register(4, "b", "web");
    strong.register(4, "c", "web");
    strong.run(SOON);
    assert_eq!(strong.ids(3, "web"), ["a", "b", "c"]);
    strong.restart(4, &[("b", "web"), ("c", "other")]);
    strong.run(Duration::from_secs(15));
    assert_eq!(
        (strong.ids(3, "web"), strong.ids(3, "other")),
        (vec!["b".into()], vec!["c".into()])
    );
}

#[test]
fn an_origin_that_an_operator_ends_is_over_and_one_that_is_away_is_not() {
    for prunes in [false, true] {
        let mut strong = cluster();
        assert_eq!(strong.register_strongly(4, "a", "web"), Outcome::Written);
        strong.register(4, "b", "web");
        strong.run(SOON);
        crash(&mut strong, 4);
        strong.run(Duration::from_secs(30));
        assert_eq!(strong.ids(3, "web"), ["a", "b"], "its agent is down, and they are registered");
        let (node, now) = (strong.net.id(4), strong.net.now);
        if prunes {
            assert!(strong.net.nodes[5].prune(node, None, now));
            strong.net.flush(5);
        } else {
            strong.net.handle(5, Input::ForceLeave { node, order: None });
        }
        strong.run(SOON);
        assert_eq!(strong.ids(3, "web"), [""; 0]);
        // It comes back, and registers anew.
        strong.restart(4, &[("b", "web")]);
        strong.run(Duration::from_secs(20));
        assert_eq!(strong.ids(3, "web"), ["b"]);
    }
}

#[test]
fn an_origin_that_is_forgotten_after_its_retention_stays_registered() {
    let mut strong = Strong::with_retention(6, Duration::from_secs(60));
    assert!(matches!(strong.set_voters(5, &[0, 1, 2]), Outcome::Changed(_)));
    assert_eq!(strong.register_strongly(4, "a", "web"), Outcome::Written);
    strong.run(SOON);
    crash(&mut strong, 4);
    strong.run(Duration::from_secs(300));
    let origin = strong.net.id(4);
    assert!(strong.net.nodes[0].catalog().origin(origin).is_none(), "it is forgotten");
    strong.run(SOON);
    assert_eq!(strong.ids(3, "web"), ["a"]);
}

#[test]
fn many_changes_are_few_writes_to_the_disk() {
    let mut strong = cluster();
    let before = strong.stored;
    for round in 0..20 {
        for n in 0..50 {
            strong.register(4, &format!("i{n}"), if round % 2 == 0 { "one" } else { "two" });
        }
        strong.run(Duration::from_millis(50));
    }
    strong.run(SOON);
    let (changes, writes) = (strong.stored.0 - before.0, strong.stored.1 - before.1);
    // Three voters write at most every 100 ms, for a second.
    assert!((1..=45).contains(&writes), "{writes} writes");
    assert!(changes < 3 * 1_000, "{changes} changes of 3 * 1,000");
    assert_eq!(strong.ids(3, "two").len(), 50);
}

#[test]
fn more_changes_than_are_remembered_are_all_taken() {
    let mut strong = cluster();
    for n in 0..6_000 {
        strong.register(4, &format!("i{n}"), "web");
    }
    strong.run(Duration::from_secs(5));
    for n in 0..6_000 {
        if n % 3 != 0 {
            strong.deregister(4, &format!("i{n}"));
        }
    }
    strong.run(Duration::from_secs(5));
    let ids = strong.ids(3, "web");
    assert_eq!(ids.len(), 2_000);
    assert!(ids.iter().all(|id| id[1..].parse::<usize>().is_ok_and(|n| n % 3 == 0)));
}

/// Reads of a service while plain registrations change, and how they end: done, contended, other.
fn reads_under(service: &str, changes_per_s: u64) -> [usize; 3] {
    let mut strong = cluster();
    for n in 0..20 {
        strong.register(3 + n % 3, &format!("i{n}"), "web");
    }
    strong.run(SOON);
    let mut ends = [0; 3];
    let pause = Duration::from_millis(1_000 / changes_per_s);
    for round in 0..200 {
        strong.register(3 + round % 3, &format!("x{}", round % 30), service);
        if round % 2 == 1 {
            strong.deregister(3 + round % 3, &format!("x{}", round % 30));
        }
        strong.run(pause);
        let now = strong.net.now;
        let op = strong.net.nodes[3 + round % 3].read_strongly(&"web".into(), WITHIN, now);
        let end = match strong.outcome(3 + round % 3, op) {
            Outcome::Read(_) => 0,
            Outcome::Unread(Failure::Contended) => 1,
            _ => 2,
        };
        ends[end] += 1;
    }
    ends
}

#[test]
fn reads_settle_under_plain_registrations() {
    assert_eq!(reads_under("other", 50), [200, 0, 0]);
    assert_eq!(reads_under("web", 50), [200, 0, 0]);
}

#[test]
fn a_room_that_begins_anew_goes_on_with_what_the_disk_holds() {
    let mut strong = cluster();
    assert_eq!(strong.register_strongly(4, "a", "web"), Outcome::Written);
    strong.run(SOON);
    let now = strong.net.now;
    strong.net.nodes[0].strong_failed();
    let op = strong.net.nodes[0].read_strongly(&"web".into(), WITHIN, now).expect("it begins");
    let image = strong.disks[0].clone();
    strong.net.nodes[0].begin_strong(image, Provenance::Proven, 9, now);
    assert!(matches!(strong.outcome(0, Ok(op)), Outcome::Unread(Failure::NoQuorum { .. })));
    let again = strong.net.nodes[0].read_strongly(&"web".into(), WITHIN, now).expect("it begins");
    assert!(again > op, "numbers do not come twice");
    assert!(matches!(strong.outcome(0, Ok(again)), Outcome::Read(it) if it.len() == 1));
    // It votes again: without it there is no majority.
    strong.cut_off(1);
    strong.register(4, "b", "web");
    assert_eq!(strong.keep(4, "b", None), Outcome::Written);
    assert_eq!(strong.ids(3, "web"), ["a", "b"]);
    // An image that may be an old one does not vote before it has recovered.
    let now = strong.net.now;
    strong.net.nodes[0].begin_strong(Image::default(), Provenance::Unproven, 9, now);
    assert_eq!(strong.net.nodes[0].strong().map(Quorum::standing), Some(Standing::Lost));
    strong.net.cut.clear();
    strong.run(Duration::from_secs(30));
    assert_eq!(strong.ids(0, "web"), ["a", "b"]);
}
