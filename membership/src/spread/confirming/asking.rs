//! The members that a node asks whether they have applied its records, and what they answered.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::base::identity::{Epoch, NodeId};
use crate::base::limits::{MAX_CONFIRMATION_TIME, MAX_CONFIRMATIONS};
use crate::base::time::Time;
use crate::catalog::Version;

/// The first question of each member comes this long after the write: rumors take about as long.
const FIRST_ASKED_AFTER: Duration = Duration::from_millis(5);
/// A member that has not confirmed is asked again after this long, which doubles up to [`ASKED_AGAIN_AT_LAST`].
const ASKED_AGAIN_AFTER: Duration = Duration::from_millis(100);
const ASKED_AGAIN_AT_LAST: Duration = Duration::from_secs(1);
/// Members asked beyond those that are needed, so that one that is lost costs no time.
const ASKED_MORE: usize = 2;

/// The members that are to confirm.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Confirmers {
    /// So many living members, whichever they are.
    Any(usize),
    /// So many living members of our own datacenter, whichever they are.
    Home(usize),
    /// All living members.
    All,
    /// All living members of a datacenter; of our own if none is named.
    Datacenter(Option<String>),
}

/// No confirmation was begun.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConfirmError {
    /// Too many are under way.
    #[error("{MAX_CONFIRMATIONS} confirmations are under way, and more are not allowed")]
    TooMany,
    /// A part of the question is out of its range.
    #[error("{field} is out of range: {expected}")]
    OutOfRange {
        /// The part.
        field: &'static str,
        /// Its range.
        expected: &'static str,
    },
}

/// The outcome of a confirmation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Confirmation {
    /// The number of the confirmation.
    pub number: u64,
    /// The number of other members that have applied the records.
    pub confirmed: usize,
    /// The number of other members that had to. Members that died or left meanwhile do not count.
    pub wanted: usize,
    /// The members that were asked, live, and have not confirmed.
    pub missing: Vec<NodeId>,
}

impl Confirmation {
    /// Whether as many members as had to have applied the records, and at least one.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.confirmed > 0 && self.confirmed >= self.wanted
    }
}

/// The confirmations that are under way.
#[derive(Debug, Default)]
pub(super) struct Asking {
    under_way: BTreeMap<u64, Wanted>,
    next_number: u64,
}

#[derive(Debug)]
struct Wanted {
    goal: (Epoch, Version),
    /// The number of members that are enough, if any will do.
    enough: Option<usize>,
    confirmed: usize,
    /// When each member that has not confirmed is asked next, and how often it was asked.
    waiting: BTreeMap<NodeId, (Time, u32)>,
    due: BTreeSet<(Time, NodeId)>,
    /// Members that are asked when others do not answer.
    spare: Vec<NodeId>,
    until: Time,
}

impl Asking {
    /// Begins to ask these members. `enough` of them are, or all.
    pub(super) fn begin(
        &mut self,
        goal: (Epoch, Version),
        enough: Option<usize>,
        mut members: Vec<NodeId>,
        within: Duration,
        now: Time,
    ) -> Result<u64, ConfirmError> {
        if enough == Some(0) {
            return Err(ConfirmError::OutOfRange {
                field: "number of members",
                expected: "at least 1",
            });
        }
        if within.is_zero() || within > MAX_CONFIRMATION_TIME {
            return Err(ConfirmError::OutOfRange {
                field: "time",
                expected: "from 1 ms to a minute",
            });
        }
        if self.under_way.len() >= MAX_CONFIRMATIONS {
            return Err(ConfirmError::TooMany);
        }
        let asked_first = enough.map_or(members.len(), |enough| enough.saturating_add(ASKED_MORE));
        let spare = members.split_off(asked_first.min(members.len()));
        let mut wanted = Wanted {
            goal,
            enough,
            confirmed: 0,
            waiting: BTreeMap::new(),
            due: BTreeSet::new(),
            spare,
            until: now + within,
        };
        members.into_iter().for_each(|member| wanted.ask(member, now + FIRST_ASKED_AFTER, 0));
        let number = self.next_number;
        self.next_number += 1;
        self.under_way.insert(number, wanted);
        Ok(number)
    }

    /// The number of confirmations under way.
    pub(super) fn len(&self) -> usize {
        self.under_way.len()
    }

    /// Takes the word of a member that it has applied our records so far.
    pub(super) fn note(&mut self, member: NodeId, applied: (Epoch, Version)) {
        for wanted in self.under_way.values_mut().filter(|wanted| applied >= wanted.goal) {
            if wanted.forget(member) {
                wanted.confirmed += 1;
            }
        }
    }

    /// Takes the members to ask now, at most `most`, with what each is asked. Those that are no longer active are not
    /// expected any more.
    pub(super) fn take_due(
        &mut self,
        most: usize,
        now: Time,
        is_active: impl Fn(NodeId) -> bool,
    ) -> Vec<(NodeId, Epoch, Version)> {
        let mut asked = Vec::new();
        for wanted in self.under_way.values_mut() {
            while asked.len() < most
                && let Some(&(at, member)) = wanted.due.first()
                && at <= now
            {
                let (_, tries) = wanted.waiting.get(&member).copied().unwrap_or_default();
                wanted.forget(member);
                let is_lost = !is_active(member);
                if !is_lost {
                    let again = ASKED_AGAIN_AFTER * (1 << tries.min(8));
                    wanted.ask(member, now + again.min(ASKED_AGAIN_AT_LAST), tries + 1);
                    asked.push((member, wanted.goal.0, wanted.goal.1));
                }
                if (is_lost || tries > 0)
                    && let Some(other) = wanted.spare.pop()
                {
                    wanted.ask(other, now, 0);
                }
            }
        }
        asked
    }

    /// Takes the outcomes of those that are complete, that nobody can complete, or whose time is over.
    pub(super) fn take_over(&mut self, now: Time) -> Vec<Confirmation> {
        let over = self.under_way.extract_if(.., |_, wanted| wanted.is_over(now));
        over.map(|(number, wanted)| wanted.outcome(number)).collect()
    }

    /// When somebody is to be asked, or a time is over.
    pub(super) fn next_deadline(&self) -> Option<Time> {
        let first = |wanted: &Wanted| {
            let asked = wanted.due.first().map_or(wanted.until, |(at, _)| *at);
            asked.min(wanted.until)
        };
        self.under_way.values().map(first).min()
    }
}

impl Wanted {
    fn ask(&mut self, member: NodeId, at: Time, tries: u32) {
        self.waiting.insert(member, (at, tries));
        self.due.insert((at, member));
    }

    /// Expects nothing more of a member. Returns whether it was expected to confirm.
    fn forget(&mut self, member: NodeId) -> bool {
        let known = self.waiting.remove(&member);
        known.is_some_and(|(at, _)| self.due.remove(&(at, member)))
    }

    fn is_over(&self, now: Time) -> bool {
        let is_enough = self.enough.is_some_and(|enough| self.confirmed >= enough);
        let nobody_is_left = self.waiting.is_empty() && self.spare.is_empty();
        is_enough || nobody_is_left || now >= self.until
    }

    fn outcome(self, number: u64) -> Confirmation {
        let Self { enough, confirmed, waiting, .. } = self;
        let wanted = enough.unwrap_or(confirmed + waiting.len());
        let missing = if confirmed >= wanted { Vec::new() } else { waiting.into_keys().collect() };
        Confirmation { number, confirmed, wanted, missing }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOAL: (Epoch, Version) = (Epoch(3), 7);
    const WITHIN: Duration = Duration::from_secs(2);

    fn members(count: u64) -> Vec<NodeId> {
        (1..=count).map(NodeId).collect()
    }

    fn asked(asking: &mut Asking, now: Time) -> Vec<u64> {
        asking.take_due(100, now, |_| true).iter().map(|(member, ..)| member.0).collect()
    }

    fn ms(ms: u64) -> Time {
        Time::ZERO + Duration::from_millis(ms)
    }

    #[test]
    fn all_are_asked_again_until_they_confirm() {
        let mut asking = Asking::default();
        let number = asking.begin(GOAL, None, members(3), WITHIN, Time::ZERO).expect("begun");
        assert_eq!(asking.next_deadline(), Some(ms(5)));
        assert!(asked(&mut asking, ms(4)).is_empty());
        assert_eq!(asked(&mut asking, ms(5)), [1, 2, 3]);
        asking.note(NodeId(2), GOAL);
        asking.note(NodeId(2), GOAL);
        asking.note(NodeId(1), (Epoch(3), 6));
        asking.note(NodeId(9), GOAL);
        assert_eq!(asked(&mut asking, ms(105)), [1, 3]);
        asking.note(NodeId(1), (Epoch(4), 1));
        assert!(asking.take_over(ms(200)).is_empty());
        assert_eq!(asked(&mut asking, ms(305)), [3]);
        asking.note(NodeId(3), (Epoch(3), 8));
        let expected = Confirmation { number, confirmed: 3, wanted: 3, missing: vec![] };
        assert!(expected.is_complete());
        assert_eq!(asking.take_over(ms(306)), [expected]);
        assert_eq!((asking.len(), asking.next_deadline()), (0, None));
    }

    #[test]
    fn the_time_is_over_with_those_that_are_missing() {
        let mut asking = Asking::default();
        let number = asking.begin(GOAL, None, members(3), WITHIN, Time::ZERO).expect("begun");
        asking.note(NodeId(2), GOAL);
        assert!(asking.take_over(ms(1_999)).is_empty());
        let missing = vec![NodeId(1), NodeId(3)];
        let expected = Confirmation { number, confirmed: 1, wanted: 3, missing };
        assert!(!expected.is_complete());
        assert_eq!(asking.take_over(ms(2_000)), [expected]);
    }

    #[test]
    fn any_asks_a_few_and_others_when_those_do_not_answer_or_are_lost() {
        let mut asking = Asking::default();
        let number = asking.begin(GOAL, Some(2), members(10), WITHIN, Time::ZERO).expect("begun");
        assert_eq!(asked(&mut asking, ms(5)), [1, 2, 3, 4]);
        asking.note(NodeId(1), GOAL);
        let due = asking.take_due(100, ms(105), |member| member != NodeId(2));
        let due: Vec<u64> = due.iter().map(|(member, ..)| member.0).collect();
        assert_eq!(due, [3, 4, 8, 9, 10], "2 is lost, and one more is asked for each of three");
        asking.note(NodeId(9), GOAL);
        let expected = Confirmation { number, confirmed: 2, wanted: 2, missing: vec![] };
        assert_eq!(asking.take_over(ms(106)), [expected]);
    }

    #[test]
    fn nobody_to_ask_is_told_at_once_and_is_not_complete() {
        let mut asking = Asking::default();
        for enough in [None, Some(3)] {
            asking.begin(GOAL, enough, vec![], WITHIN, Time::ZERO).expect("begun");
            let over = asking.take_over(Time::ZERO).pop().expect("over");
            assert!(!over.is_complete() && over.missing.is_empty(), "{over:?}");
        }
        asking.begin(GOAL, None, members(1), WITHIN, Time::ZERO).expect("begun");
        assert!(asking.take_due(9, ms(5), |_| false).is_empty());
        let over = asking.take_over(ms(5)).pop().expect("the only one is lost");
        assert!(!over.is_complete());
    }

    #[test]
    fn a_limit_bounds_questions_and_confirmations() {
        let mut asking = Asking::default();
        for number in 0..MAX_CONFIRMATIONS as u64 {
            assert_eq!(asking.begin(GOAL, None, members(3), WITHIN, Time::ZERO), Ok(number));
        }
        let more = asking.begin(GOAL, None, members(3), WITHIN, Time::ZERO);
        assert_eq!(more, Err(ConfirmError::TooMany));
        assert_eq!(asking.take_due(5, ms(5), |_| true).len(), 5);
        assert_eq!(asking.next_deadline(), Some(ms(5)), "the others are due, too");
        assert!(asking.begin(GOAL, Some(0), vec![], WITHIN, Time::ZERO).is_err());
        assert!(asking.begin(GOAL, None, vec![], Duration::ZERO, Time::ZERO).is_err());
    }
}
