//! Which keys the members hold, by what they showed at the door.
//!
//! All credentials tell it, so a member that had a stream with this node lately need not be asked. A survey asks the others,
//! a few at a time and at a bounded rate, by streams that also bring each of them what it lacks. A member that lacked
//! something is asked again in the next round, so that it is known whether it took it.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use hobnob_keys::{GenerationId, PublicKey, Revocations, Succession, Trust};

use super::keyring::Keyring;
use crate::base::identity::NodeId;
use crate::base::limits::{MAX_CERTIFICATES, MAX_GENERATIONS, MAX_ORIGINS, MAX_SURVEY_ERRANDS};
use crate::base::time::Time;
use crate::wire::Credentials;

/// Members that are asked in each step of a survey.
const SURVEY_STEP: usize = 8;
/// The time between two steps. So at most 160 members are asked in a second.
const STEP_GAP: Duration = Duration::from_millis(50);
/// The least time between two questions to one member. It covers the answer of a member that is reached.
const ROUND_GAP: Duration = Duration::from_secs(1);
/// Questions to each member.
const ROUNDS: u32 = 3;

/// The keys of a member, by its latest credentials.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Shown {
    pub(crate) at: Time,
    /// The generations that it holds, the one in use first.
    pub(crate) generations: Vec<GenerationId>,
    /// The digest of its revocations.
    pub(crate) revocations: [u8; 16],
    /// The CA key that succeeds, if one does.
    pub(crate) successor: Option<PublicKey>,
}

/// The keys that all members must hold: ours.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ours {
    /// The generation that replaces all others that we hold.
    pub(crate) newest: Option<GenerationId>,
    /// The digest of our revocations.
    pub(crate) revocations: [u8; 16],
    /// The CA key that succeeds, if one does.
    pub(crate) successor: Option<PublicKey>,
}

impl Ours {
    pub(crate) fn of(keyring: &Keyring, revocations: &Revocations, trust: &Trust) -> Self {
        let successor = trust.succession().map(Succession::new_key);
        Self { newest: keyring.newest(), revocations: revocations.digest(), successor }
    }

    /// Whether a member holds our newest generation.
    pub(crate) fn has_newest(&self, shown: &Shown) -> bool {
        self.newest.is_some_and(|newest| shown.generations.contains(&newest))
    }

    /// Whether a member has the same revocations.
    pub(crate) fn has_revocations(&self, shown: &Shown) -> bool {
        self.revocations == shown.revocations
    }

    /// Whether a member trusts the same CA keys.
    pub(crate) fn has_authorities(&self, shown: &Shown) -> bool {
        self.successor == shown.successor
    }

    fn are_held_by(&self, shown: Option<&Shown>) -> bool {
        shown.is_some_and(|shown| {
            self.has_newest(shown) && self.has_revocations(shown) && self.has_authorities(shown)
        })
    }
}

/// The keys that the members showed, and the survey that is under way.
#[derive(Debug, Default)]
pub(crate) struct Survey {
    shown: BTreeMap<NodeId, Shown>,
    /// The members of the survey.
    members: BTreeSet<NodeId>,
    /// Those of them that are to be asked in this round, the next one first.
    waiting: VecDeque<NodeId>,
    rounds_left: u32,
    /// The next step; `None` while there is no survey.
    next_step: Option<Time>,
}

impl Survey {
    /// Notes the credentials of a member. One beyond the limit is not noted; its certificate was not either.
    pub(crate) fn note(&mut self, node: NodeId, credentials: &Credentials, now: Time) {
        if self.shown.len() >= MAX_CERTIFICATES && !self.shown.contains_key(&node) {
            return;
        }
        let marks = credentials.generations.iter().take(MAX_GENERATIONS);
        let generations = marks.map(|mark| (*mark).into()).collect();
        let revocations = credentials.revocations;
        let succession = Succession::decode(&credentials.succession).ok();
        let successor = succession.map(|succession| succession.new_key());
        self.shown.insert(node, Shown { at: now, generations, revocations, successor });
    }

    /// Forgets a member.
    pub(crate) fn forget(&mut self, node: NodeId) {
        self.shown.remove(&node);
        self.members.remove(&node);
    }

    pub(crate) fn shown(&self, node: NodeId) -> Option<&Shown> {
        self.shown.get(&node)
    }

    /// Whether a survey is under way.
    pub(crate) fn is_under_way(&self) -> bool {
        self.next_step.is_some()
    }

    /// Begins a survey of these members, or begins the one that is under way again with them.
    pub(crate) fn begin(&mut self, members: impl Iterator<Item = NodeId>, now: Time) {
        self.members = members.take(MAX_ORIGINS).collect();
        self.rounds_left = ROUNDS;
        self.waiting.clear();
        self.next_step = Some(now);
    }

    /// Whether a step is due.
    pub(crate) fn is_due(&self, now: Time) -> bool {
        self.next_step.is_some_and(|due| due <= now)
    }

    /// Takes a step, and returns the members to ask now. `under_way` is the number of streams for news that are open.
    pub(crate) fn step(&mut self, ours: Ours, under_way: usize, now: Time) -> Vec<NodeId> {
        if self.waiting.is_empty() && !self.begin_round(ours) {
            self.next_step = None;
            self.members.clear();
            return Vec::new();
        }
        let room = MAX_SURVEY_ERRANDS.saturating_sub(under_way).min(SURVEY_STEP);
        let mut asked = Vec::new();
        while asked.len() < room
            && let Some(node) = self.waiting.pop_front()
        {
            // It may have shown its keys meanwhile.
            if !ours.are_held_by(self.shown.get(&node)) {
                asked.push(node);
            }
        }
        let gap = if self.waiting.is_empty() { ROUND_GAP } else { STEP_GAP };
        self.next_step = Some(now + gap);
        asked
    }

    /// Begins another round, if there is one left and somebody to ask.
    fn begin_round(&mut self, ours: Ours) -> bool {
        let lacks = |node: &&NodeId| !ours.are_held_by(self.shown.get(node));
        self.waiting = self.members.iter().filter(lacks).copied().collect();
        let begins = self.rounds_left > 0 && !self.waiting.is_empty();
        self.rounds_left = self.rounds_left.saturating_sub(1);
        begins
    }

    pub(crate) fn deadline(&self) -> Option<Time> {
        self.next_step
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OURS: Ours = Ours {
        newest: Some(GenerationId { number: 2, hash: [1; 32] }),
        revocations: [3; 16],
        successor: None,
    };

    fn shows(survey: &mut Survey, node: NodeId, number: u64, at: Time) {
        let credentials = Credentials {
            certificate: Vec::new(),
            generations: vec![GenerationId { number, hash: [1; 32] }.into()],
            proof: [0; 16],
            revocations: OURS.revocations,
            began: 0,
            counter: 0,
            succession: Vec::new(),
            holds: None,
        };
        survey.note(node, &credentials, at);
    }

    /// Runs a survey of a thousand members of which each that is asked shows a generation, and returns who was asked when.
    fn run(shown: impl Fn(NodeId, u32) -> Option<u64>) -> Vec<(Time, NodeId)> {
        let mut survey = Survey::default();
        let (mut asked, mut times) = (Vec::new(), BTreeMap::<NodeId, u32>::new());
        survey.begin((0..1_000).map(NodeId), Time::ZERO);
        while let Some(now) = survey.deadline() {
            assert!(now < Time::from_millis(100_000), "it does not end");
            for node in survey.step(OURS, 0, now) {
                let nth = times.entry(node).and_modify(|nth| *nth += 1).or_insert(1);
                asked.push((now, node));
                if let Some(number) = shown(node, *nth) {
                    shows(&mut survey, node, number, now);
                }
            }
        }
        assert!(!survey.is_under_way());
        asked
    }

    #[test]
    fn each_of_a_thousand_members_is_asked_once_if_it_has_all_at_a_bounded_rate() {
        let asked = run(|_, _| Some(2));
        assert_eq!(asked.len(), 1_000);
        for (at, _) in &asked {
            let within = |other: &&(Time, NodeId)| {
                other.0 >= *at && other.0.since(*at) < Duration::from_secs(1)
            };
            assert!(asked.iter().filter(within).count() <= 160);
        }
    }

    #[test]
    fn a_member_that_lacked_something_is_asked_again_and_a_silent_one_three_times() {
        // The first question gives it all that it lacks.
        let asked =
            run(|node, nth| (node.0 > 0).then_some(if node.0 < 9 { u64::from(nth) } else { 2 }));
        let times = |node| asked.iter().filter(|(_, asked)| asked.0 == node).count();
        assert_eq!((times(0), times(1), times(8), times(9)), (3, 2, 2, 1));
        assert_eq!(asked.len(), 1_000 + 2 + 8);
    }

    #[test]
    fn streams_that_are_open_leave_less_room_and_a_member_that_shows_all_meanwhile_is_not_asked() {
        let mut survey = Survey::default();
        survey.begin((0..20).map(NodeId), Time::ZERO);
        assert_eq!(survey.step(OURS, MAX_SURVEY_ERRANDS, Time::ZERO), []);
        assert_eq!(survey.step(OURS, MAX_SURVEY_ERRANDS - 2, Time::ZERO), [NodeId(0), NodeId(1)]);
        shows(&mut survey, NodeId(2), 2, Time::ZERO);
        assert_eq!(survey.step(OURS, MAX_SURVEY_ERRANDS - 1, Time::ZERO), [NodeId(3)]);
        survey.forget(NodeId(2));
        assert_eq!(survey.shown(NodeId(2)), None);
    }
}
