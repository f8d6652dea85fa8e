//! When a suspicion ends in a verdict, and when in an acquittal.

use std::collections::BTreeSet;

use super::*;
use crate::base::identity::Epoch;

fn at(ms: u64) -> Time {
    Time::from_millis(ms)
}

fn suspicion(referees: u64, heard_ms: u64) -> Suspicion {
    let suspect = Identity {
        node_id: NodeId(99),
        epoch: Epoch(1),
        addr: ([10, 0, 0, 1], 7_946).into(),
        sync_port: 7_947,
    };
    let monitors = usize::try_from(referees).expect("a few") + 1;
    let referees = (1..=referees).map(NodeId).collect();
    Suspicion::new(
        suspect,
        at(1_000),
        Some(at(heard_ms)),
        Some(LocalHealth::PROMPT),
        monitors,
        referees,
        at(1_350),
    )
}

fn vote(sender: u64, silence_ms: u16, probed_ms: u16) -> Vote {
    let local_health = Some(LocalHealth::PROMPT);
    let (sender, suspect) = (NodeId(sender), NodeId(99));
    Vote { sender, suspect, silence_ms, probed_ms, local_health, tcp_probe_answered: false }
}

/// Four monitors and ten others, besides the suspect.
fn others() -> Electorate {
    Electorate::heard((1..=4).chain(50..60).map(NodeId))
}

/// The first moment, in milliseconds, at which there is a verdict if `agreeing` agree whenever they are asked.
fn decided(suspicion: &mut Suspicion, agreeing: &[u64], heard_ms: u64) -> Option<u64> {
    decided_among(suspicion, agreeing, heard_ms, |_| others())
}

/// The same, if these members have a vote, which may depend on the time in milliseconds.
fn decided_among(
    suspicion: &mut Suspicion,
    agreeing: &[u64],
    heard_ms: u64,
    electorate: impl Fn(u64) -> Electorate,
) -> Option<u64> {
    for _ in 0..1_000 {
        let now = suspicion.next_deadline();
        let ms = now.as_micros() / 1_000;
        let electorate = electorate(ms);
        let asked = suspicion.step(&electorate, now);
        for node in asked.into_iter().filter(|node| agreeing.contains(&node.0)) {
            let silence = u16::try_from(ms - heard_ms).unwrap_or(u16::MAX);
            let probed = u16::try_from(ms - 1_350).unwrap_or(u16::MAX);
            assert_eq!(suspicion.vote(&vote(node.0, silence, probed), now), Word::Noted);
        }
        if suspicion.verdict(at(1_350), electorate.voters_on(NodeId(99)), now).is_some() {
            return Some(ms);
        }
    }
    None
}

#[test]
fn a_quorum_of_monitors_decides_when_the_suspicion_timeout_ends() {
    assert_eq!(decided(&mut suspicion(4, 800), &[1, 2, 3, 4], 800), Some(2_750));
    assert_eq!(decided(&mut suspicion(4, 800), &[2, 3], 800), Some(2_750), "three of five");
    assert_eq!(decided(&mut suspicion(4, 800), &[2, 3], 950), Some(2_900), "latest sign");
}

#[test]
fn substitutes_stand_in_for_referees_that_do_not_vote() {
    assert_eq!(decided(&mut suspicion(4, 800), &[50, 51], 800), Some(2_750));
}

#[test]
fn one_vote_is_enough_as_a_last_resort_and_no_vote_is_not_while_others_have_one() {
    let end = decided(&mut suspicion(4, 800), &[1], 800).expect("decided");
    assert!((7_350..7_700).contains(&end), "{end}");
    assert_eq!(decided(&mut suspicion(4, 800), &[], 800), None);
}

#[test]
fn the_silent_have_no_vote() {
    let dead = (1..=4).chain(51..60).map(NodeId);
    let one_left = |ms| match ms {
        ..3_500 => others(),
        _ => others().without_votes_of(dead.clone()),
    };
    let end = decided_among(&mut suspicion(4, 800), &[50], 800, one_left).expect("decided");
    assert!((3_500..3_800).contains(&end), "one witness is enough once no other is left: {end}");
    let silent = decided_among(&mut suspicion(4, 800), &[], 800, one_left);
    assert_eq!(silent, None, "it lives, and does not agree");
}

#[test]
fn without_any_witness_a_verdict_takes_five_seconds() {
    let nobody = |_| others().without_votes_of((1..60).map(NodeId));
    let end = decided_among(&mut suspicion(4, 800), &[], 800, nobody).expect("decided");
    assert!((5_800..6_100).contains(&end), "{end}");
}

#[test]
fn silent_referees_are_replaced_for_as_long_as_there_are_candidates() {
    let mut suspicion = suspicion(4, 800);
    let mut asked = BTreeSet::new();
    for round in 0..20 {
        let now = suspicion.next_deadline();
        // All that were asked so far are dead.
        let candidates = (1..=4).chain(100..200).map(NodeId);
        let electorate = Electorate::heard(candidates).without_votes_of(asked.iter().copied());
        let fresh = suspicion.step(&electorate, now);
        assert!(fresh.iter().all(|node| asked.insert(*node)), "round {round}");
        assert_eq!(fresh.len(), 4, "round {round}");
    }
    assert_eq!(suspicion.referees.len(), 4, "the silent ones are forgotten");
}

#[test]
fn small_clusters_have_small_quorums() {
    assert_eq!(
        decided(&mut suspicion(0, 800), &[], 800),
        Some(4_000),
        "alone, with a longer timeout"
    );
    assert_eq!(decided(&mut suspicion(1, 800), &[1], 800), Some(2_750));
    assert_eq!(decided(&mut suspicion(2, 800), &[1], 800), Some(2_750), "two of three");
    let three = decided(&mut suspicion(3, 800), &[1, 2], 800);
    assert_eq!(three, Some(2_750), "three of four");
}

#[test]
fn one_sign_of_life_acquits() {
    let mut suspicion = suspicion(4, 800);
    assert_eq!(suspicion.vote(&vote(1, 500, 0), at(1_400)), Word::Noted, "older than the ping");
    assert_eq!(suspicion.vote(&vote(2, 100, 0), at(1_400)), Word::Alive);
}

#[test]
fn after_a_stall_we_probe_again_before_a_verdict() {
    let mut suspicion = suspicion(0, 800);
    suspicion.begin_anew(at(9_000));
    assert_eq!(suspicion.verdict(at(9_000), 0, at(9_100)), None);
    assert_eq!(suspicion.verdict(at(9_000), 0, at(9_600)), Some(Vec::new()));
}

#[test]
fn a_slow_suspect_gets_more_time() {
    let mut suspicion = suspicion(4, 800);
    let slow = Vote { local_health: Some(LocalHealth(20)), ..vote(1, 600, 50) };
    suspicion.vote(&slow, at(1_400));
    assert_eq!(decided(&mut suspicion, &[1, 2, 3, 4], 800), Some(7_800));
}

#[test]
fn a_local_health_of_long_ago_counts_only_while_there_is_no_later_one() {
    let young = Some(LocalHealth::UNPROVEN);
    let of_its_start = Vote { local_health: young, ..vote(1, 35_500, 50) };
    let now = at(41_400);
    let accused_by = |heard: Option<u64>, local_health: Option<LocalHealth>| {
        let suspect = suspicion(4, 800).suspect;
        let referees = (1..=4).map(NodeId).collect();
        let heard = heard.map(at);
        Suspicion::new(suspect, at(41_000), heard, local_health, 5, referees, at(41_350))
    };
    let mut by_monitor = accused_by(Some(40_800), Some(LocalHealth::PROMPT));
    by_monitor.vote(&of_its_start, now);
    assert_eq!(by_monitor.due(), at(42_750));
    let mut by_another = accused_by(Some(5_000), young);
    by_another.vote(&vote(2, 600, 50), now);
    assert_eq!(by_another.due(), at(42_750), "the accuser knows less than a monitor");
    let mut by_stranger = accused_by(None, None);
    by_stranger.vote(&of_its_start, now);
    assert_eq!(by_stranger.due(), at(44_200), "nobody knows better");
    by_stranger.vote(&Vote { silence_ms: u16::MAX, ..of_its_start }, now);
    by_stranger.vote(&vote(2, 600, 50), now);
    assert_eq!(by_stranger.due(), at(42_950));
    by_stranger.vote(&of_its_start, now);
    assert_eq!(by_stranger.due(), at(42_950), "in any order");
}

#[test]
fn a_stalled_suspect_is_down_after_five_seconds() {
    let tcp_probe_answered = Vote { tcp_probe_answered: true, ..vote(1, 600, 50) };
    let mut suspicion = suspicion(4, 800);
    suspicion.vote(&tcp_probe_answered, at(1_400));
    assert_eq!(
        decided(&mut suspicion, &[1, 2, 3, 4], 800),
        Some(5_800),
        "one answered TCP probe is enough"
    );
    let mut ours = self::suspicion(4, 800);
    ours.note_tcp_probe(true);
    ours.note_tcp_probe(false);
    assert_eq!(decided(&mut ours, &[1, 2, 3, 4], 800), Some(5_800), "our own TCP probe");
    let mut alone = self::suspicion(0, 800);
    alone.note_tcp_probe(true);
    assert_eq!(decided(&mut alone, &[], 800), Some(5_800));
    let mut slow = self::suspicion(4, 800);
    slow.vote(&Vote { local_health: Some(LocalHealth(20)), ..tcp_probe_answered }, at(1_400));
    assert_eq!(
        decided(&mut slow, &[1, 2, 3, 4], 800),
        Some(7_800),
        "its local health asks for more"
    );
}
