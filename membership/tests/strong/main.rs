//! Strong reads and writes between nodes, over streams.

mod absorbing;
mod cluster;
mod registering;

use std::time::Duration;

use cluster::{Strong, WITHIN};
use hobnob_membership::NodeId;
use hobnob_membership::quorum::{Failure, Image, Outcome, Provenance, Quorum, Standing};
use hobnob_membership::testing::Network;

#[test]
fn members_read_what_others_wrote_and_all_learn_of_the_voters() {
    let mut strong = Strong::new(5, 5);
    let outcome = strong.set_voters(4, &[0, 1, 2]);
    assert!(matches!(&outcome, Outcome::Changed(it) if it.number == 1), "{outcome:?}");
    assert_eq!(strong.write(4, "a"), Outcome::Written);
    strong.run(Duration::from_secs(1));
    for n in 0..5 {
        let chain = strong.net.nodes[n].strong().and_then(Quorum::chain);
        assert_eq!(chain.map(|chain| chain.installed.number), Some(1), "node {n}");
        assert_eq!(strong.ids(n, "s"), ["a"]);
    }
    assert_eq!(strong.net.nodes[1].strong().map(Quorum::standing), Some(Standing::Votes));
    let counters = strong.net.nodes[0].counters();
    assert!(counters.voter_questions_received > 0 && counters.requests_received == 0);
    strong.run(Duration::from_secs(5));
    let sent = strong.net.nodes[0].counters().voter_questions_sent;
    strong.run(Duration::from_secs(30));
    assert_eq!(strong.net.nodes[0].counters().voter_questions_sent, sent, "nothing at rest");
    assert!(strong.net.is_without_streams(), "lines end when nothing is asked on them");
    let opened = |strong: &Strong| -> u64 {
        strong.net.nodes.iter().map(|node| node.counters().voter_lines_opened).sum()
    };
    let before = opened(&strong);
    for _ in 0..20 {
        strong.read(4, "s");
    }
    assert!(opened(&strong) <= before + 3, "one line to each voter");
    assert!(strong.stored.0 > 0);
}

#[test]
fn a_cut_of_one_voter_costs_nothing_and_a_cut_of_two_is_no_quorum() {
    let mut strong = Strong::new(5, 5);
    assert!(matches!(strong.set_voters(4, &[0, 1, 2]), Outcome::Changed(_)));
    assert_eq!(strong.write(4, "a"), Outcome::Written);
    strong.cut_off(0);
    assert_eq!(strong.write(4, "b"), Outcome::Written);
    assert_eq!(strong.ids(3, "s"), ["a", "b"]);
    strong.cut_off(1);
    let ids = |of: &[usize], net: &Network| of.iter().map(|n| net.id(*n)).collect::<Vec<NodeId>>();
    match strong.read(3, "s") {
        Outcome::Unread(Failure::NoQuorum { answered, silent }) => {
            assert_eq!(answered, ids(&[2], &strong.net));
            assert_eq!(silent, ids(&[0, 1], &strong.net));
        }
        other => panic!("{other:?}"),
    }
    assert!(matches!(strong.write(4, "c"), Outcome::Unknown(Failure::NoQuorum { .. })));
    strong.net.cut.clear();
    strong.run(Duration::from_secs(20));
    assert_eq!(strong.ids(0, "s"), ["a", "b", "c"]);
}

#[test]
fn a_member_that_takes_no_part_refuses_and_counts_that() {
    let mut strong = Strong::new(4, 3);
    let outcome = strong.set_voters(0, &[1, 2, 3]);
    assert!(matches!(outcome, Outcome::Unknown(Failure::NoQuorum { .. })), "{outcome:?}");
    assert!(strong.net.nodes[3].counters().voter_questions_refused > 0);
    let now = strong.net.now;
    let none = strong.net.nodes[3].read_strongly(&"s".into(), WITHIN, now);
    assert_eq!(none, Err(Failure::NoVoters));
    assert!(matches!(strong.set_voters(0, &[0, 1, 2]), Outcome::Changed(_)));
    strong.run(Duration::from_secs(15));
    assert!(strong.net.is_without_streams(), "a member that refuses is not told again soon");
    let now = strong.net.now;
    strong.net.nodes[3].begin_strong(Image::default(), Provenance::New, 3, now);
    strong.run(Duration::from_secs(70));
    let chain = strong.net.nodes[3].strong().and_then(Quorum::chain);
    assert!(chain.is_some(), "it is told again a minute later");
}
