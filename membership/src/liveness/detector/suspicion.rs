//! A case: an accused member, those who are asked whether they hear it, and when that is enough.
//!
//! The verdict rests on *silence*: for `patience` nobody who was asked had a sign of life. Each vote says how long ago
//! the last one was, and the latest counts. When the time is over, a quorum must say once more that it has heard nothing.
//! (The standing monitors are those of Rapid, Suresh et al., "Stable and Consistent Membership at Scale with Rapid",
//! 2018; there too a process is removed only when several of its observers agree.)

use std::collections::BTreeMap;
use std::time::Duration;

use crate::base::identity::{Identity, NodeId};
use crate::base::mutants::{self as mutant, Mutant};
use crate::base::time::Time;
use crate::wire::{LocalHealth, Vote};

use super::local_health::{
    SUSPICION_TIMEOUT_STALLED, SUSPICION_TIMEOUT_UNKNOWN, SUSPICION_TIMEOUT_UNPROVEN,
};

/// Who has looked for less than this has no vote.
const PROBED_AT_LEAST: Duration = Duration::from_millis(600);
/// An unanswered question is asked again after this time, at first.
const ASK_GAP: Duration = Duration::from_millis(150);
/// ... and so often; then rarely.
const QUICK_ASKS: u32 = 3;
const SLOW_ASK_GAP: Duration = Duration::from_millis(600);
/// Who does not answer within this time gets a substitute.
const ANSWERS_WITHIN: Duration = Duration::from_millis(280);
/// When the time is over, votes are collected this often, so many times; then rarely.
const POLL_GAP: Duration = Duration::from_millis(40);
const QUICK_POLLS: u32 = 5;
const SLOW_POLL_GAP: Duration = Duration::from_millis(300);
/// Substitutes of one case.
const MAX_SUBSTITUTES: usize = 10;
/// Who finds no quorum decides with one other vote after twice the patience and this much more.
const LAST_RESORT: Duration = Duration::from_secs(2);

/// One of those who are asked.
#[derive(Debug, Default)]
struct Referee {
    asked: u32,
    first_asked: Option<Time>,
    answered: bool,
    /// When it last said that it looked long enough and heard nothing.
    agreed: Option<Time>,
    replaced: bool,
}

/// What an incoming vote means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Word {
    /// Somebody hears the suspect.
    Alive,
    /// It may be enough for a verdict.
    Noted,
}

#[derive(Debug)]
pub(super) struct Suspicion {
    pub(super) suspect: Identity,
    /// When the first ping that was not answered was sent.
    opened: Time,
    accused: Time,
    last_sign: Time,
    local_health: Option<LocalHealth>,
    stalled: bool,
    quorum: usize,
    referees: BTreeMap<NodeId, Referee>,
    substitutes: usize,
    polls: u32,
    next_look: Time,
}

impl Suspicion {
    /// Accuses a member: `heard` is the last sign of life that we have, `referees` are those to ask first.
    pub(super) fn new(
        suspect: Identity,
        opened: Time,
        heard: Option<Time>,
        local_health: Option<LocalHealth>,
        referees: Vec<NodeId>,
        now: Time,
    ) -> Self {
        // A majority of those who watch it: three of five.
        let quorum = referees.len().div_ceil(2) + 1;
        Self {
            suspect,
            opened,
            accused: now,
            last_sign: heard.unwrap_or(opened),
            local_health,
            stalled: false,
            quorum,
            referees: referees.into_iter().map(|node| (node, Referee::default())).collect(),
            substitutes: 0,
            polls: 0,
            next_look: now,
        }
    }

    /// We slept: what we did not hear meanwhile says nothing.
    pub(super) fn begin_anew(&mut self, now: Time) {
        self.accused = now;
        self.polls = 0;
        self.referees.values_mut().for_each(|referee| referee.agreed = None);
        self.next_look = now + PROBED_AT_LEAST;
    }

    pub(super) fn next_deadline(&self) -> Time {
        self.next_look
    }

    /// When there was silence for long enough.
    pub(super) fn due(&self) -> Time {
        let suspicion_timeout =
            self.local_health.map_or(SUSPICION_TIMEOUT_UNKNOWN, LocalHealth::suspicion_timeout);
        // Who has nobody to ask had better be sure.
        let alone = if self.quorum == 1 { SUSPICION_TIMEOUT_UNPROVEN } else { Duration::ZERO };
        let stands_still = self.stalled && !mutant::is(Mutant::IgnoreTcpProbe);
        let stalled = if stands_still { SUSPICION_TIMEOUT_STALLED } else { Duration::ZERO };
        self.last_sign + suspicion_timeout.max(alone).max(stalled)
    }

    /// Whether its host answers for it.
    pub(super) fn is_stalled(&self) -> bool {
        self.stalled
    }

    /// One of those who look, ourselves among them, touched its host or did not.
    pub(super) fn note_tcp_probe(&mut self, tcp_probe_answered: bool) {
        self.stalled |= tcp_probe_answered;
    }

    /// Takes the vote of somebody.
    pub(super) fn vote(&mut self, vote: &Vote, now: Time) -> Word {
        let sign = vote.silence().map(|silence| {
            Time::from_micros(now.as_micros().saturating_sub(silence.as_micros() as u64))
        });
        if sign.is_some_and(|sign| sign > self.opened) && !mutant::is(Mutant::NeverAcquit) {
            return Word::Alive;
        }
        let Some(referee) = self.referees.get_mut(&vote.sender) else { return Word::Noted };
        referee.answered = true;
        if vote.probed() >= PROBED_AT_LEAST {
            referee.agreed = Some(now);
        }
        self.last_sign = self.last_sign.max(sign.unwrap_or(Time::ZERO));
        self.local_health = self.local_health.max(vote.local_health);
        self.note_tcp_probe(vote.tcp_probe_answered);
        Word::Noted
    }

    /// Who agreed, if that is enough to call it down. `probing_since` is since when we look for signs of life ourselves.
    pub(super) fn verdict(&self, probing_since: Time, now: Time) -> Option<Vec<NodeId>> {
        let due = self.due();
        if now < due || now.since(probing_since) < PROBED_AT_LEAST {
            return None;
        }
        let agreed: Vec<NodeId> = self
            .referees
            .iter()
            .filter(|(_, referee)| referee.agreed.is_some_and(|at| at >= due))
            .map(|(node, _)| *node)
            .collect();
        let suspicion_timeout = due.since(self.last_sign);
        let last_resort = now.since(self.accused) >= suspicion_timeout * 2 + LAST_RESORT;
        let enough = agreed.len() + 1 >= self.quorum || (last_resort && !agreed.is_empty());
        enough.then_some(agreed)
    }

    /// Whom to ask now. `others` are those who may stand in for referees that do not answer, in the order in which they
    /// are asked.
    pub(super) fn step(&mut self, others: impl Iterator<Item = NodeId>, now: Time) -> Vec<NodeId> {
        if self.next_look > now {
            return Vec::new();
        }
        let due = self.due();
        self.replace_silent(others, now);
        let polling = now >= due;
        let asked: Vec<NodeId> = self
            .referees
            .iter()
            .filter(|(_, referee)| !referee.answered || polling)
            .filter(|(_, referee)| referee.asked < QUICK_ASKS || referee.answered || polling)
            .map(|(node, _)| *node)
            .collect();
        for node in &asked {
            if let Some(referee) = self.referees.get_mut(node) {
                referee.asked += 1;
                referee.first_asked.get_or_insert(now);
            }
        }
        let gap = if polling {
            self.polls += 1;
            if self.polls <= QUICK_POLLS { POLL_GAP } else { SLOW_POLL_GAP }
        } else if self.referees.values().all(|referee| referee.answered) {
            SLOW_ASK_GAP
        } else {
            ASK_GAP
        };
        self.next_look = now + gap;
        if !polling {
            self.next_look = self.next_look.min(due);
        }
        asked
    }

    /// Finds somebody else for each referee that does not answer.
    fn replace_silent(&mut self, others: impl Iterator<Item = NodeId>, now: Time) {
        let silent = self.referees.values_mut().filter(|referee| {
            let late = |at: Time| now.since(at) >= ANSWERS_WITHIN;
            !referee.answered && !referee.replaced && referee.first_asked.is_some_and(late)
        });
        let room = MAX_SUBSTITUTES - self.substitutes;
        let wanted = silent.take(room).map(|referee| referee.replaced = true).count();
        if wanted == 0 {
            return;
        }
        let suspect = self.suspect.node_id;
        let fresh: Vec<NodeId> = others
            .filter(|node| *node != suspect && !self.referees.contains_key(node))
            .take(wanted)
            .collect();
        self.substitutes += fresh.len();
        self.referees.extend(fresh.into_iter().map(|node| (node, Referee::default())));
    }
}

#[cfg(test)]
mod tests {
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
        let referees = (1..=referees).map(NodeId).collect();
        Suspicion::new(
            suspect,
            at(1_000),
            Some(at(heard_ms)),
            Some(LocalHealth::PROMPT),
            referees,
            at(1_350),
        )
    }

    fn vote(sender: u64, silence_ms: u16, probed_ms: u16) -> Vote {
        let local_health = Some(LocalHealth::PROMPT);
        let (sender, suspect) = (NodeId(sender), NodeId(99));
        Vote { sender, suspect, silence_ms, probed_ms, local_health, tcp_probe_answered: false }
    }

    /// The first moment at which a case is decided when these referees agree whenever they are asked.
    fn decided(suspicion: &mut Suspicion, agreeing: &[u64], heard_ms: u64) -> Option<u64> {
        for _ in 0..1_000 {
            let now = suspicion.next_deadline();
            let ms = now.as_micros() / 1_000;
            let asked = suspicion.step((50..60).map(NodeId), now);
            for node in asked.into_iter().filter(|node| agreeing.contains(&node.0)) {
                let silence = u16::try_from(ms - heard_ms).unwrap_or(u16::MAX);
                let probed = u16::try_from(ms - 1_350).unwrap_or(u16::MAX);
                assert_eq!(suspicion.vote(&vote(node.0, silence, probed), now), Word::Noted);
            }
            if suspicion.verdict(at(1_350), now).is_some() {
                return Some(ms);
            }
        }
        None
    }

    #[test]
    fn a_quorum_of_those_who_watch_decides_after_enough_silence() {
        assert_eq!(decided(&mut suspicion(4, 800), &[1, 2, 3, 4], 800), Some(2_750));
        assert_eq!(decided(&mut suspicion(4, 800), &[2, 3], 800), Some(2_750), "three of five");
        assert_eq!(decided(&mut suspicion(4, 800), &[2, 3], 950), Some(2_900), "who heard it last");
    }

    #[test]
    fn substitutes_stand_in_for_referees_that_are_gone_too() {
        assert_eq!(decided(&mut suspicion(4, 800), &[50, 51], 800), Some(2_750));
    }

    #[test]
    fn one_other_vote_is_enough_in_the_end_and_none_never_is() {
        let end = decided(&mut suspicion(4, 800), &[1], 800).expect("decided");
        assert!((7_350..7_700).contains(&end), "{end}");
        assert_eq!(decided(&mut suspicion(4, 800), &[], 800), None);
    }

    #[test]
    fn small_clusters_have_small_quorums() {
        assert_eq!(
            decided(&mut suspicion(0, 800), &[], 800),
            Some(4_000),
            "alone, with more patience"
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
    fn who_slept_looks_again_before_it_decides() {
        let mut suspicion = suspicion(0, 800);
        suspicion.begin_anew(at(9_000));
        assert_eq!(suspicion.verdict(at(9_000), at(9_100)), None);
        assert_eq!(suspicion.verdict(at(9_000), at(9_600)), Some(Vec::new()));
    }

    #[test]
    fn a_slow_suspect_gets_more_time() {
        let mut suspicion = suspicion(4, 800);
        let slow = Vote { local_health: Some(LocalHealth(20)), ..vote(1, 600, 50) };
        suspicion.vote(&slow, at(1_400));
        assert_eq!(decided(&mut suspicion, &[1, 2, 3, 4], 800), Some(7_800));
    }

    #[test]
    fn a_stalled_suspect_is_given_five_seconds_and_then_is_down() {
        let tcp_probe_answered = Vote { tcp_probe_answered: true, ..vote(1, 600, 50) };
        let mut suspicion = suspicion(4, 800);
        suspicion.vote(&tcp_probe_answered, at(1_400));
        assert_eq!(
            decided(&mut suspicion, &[1, 2, 3, 4], 800),
            Some(5_800),
            "one of five is enough"
        );
        let mut ours = self::suspicion(4, 800);
        ours.note_tcp_probe(true);
        ours.note_tcp_probe(false);
        assert_eq!(decided(&mut ours, &[1, 2, 3, 4], 800), Some(5_800), "and it may be us");
        let mut alone = self::suspicion(0, 800);
        alone.note_tcp_probe(true);
        assert_eq!(decided(&mut alone, &[], 800), Some(5_800));
        let mut slow = self::suspicion(4, 800);
        slow.vote(&Vote { local_health: Some(LocalHealth(20)), ..tcp_probe_answered }, at(1_400));
        assert_eq!(decided(&mut slow, &[1, 2, 3, 4], 800), Some(7_800), "it asks for more");
    }
}
