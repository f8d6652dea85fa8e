//! Questions of other members that wait until the versions that they ask for are applied.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::base::identity::{Epoch, NodeId};
use crate::base::limits::MAX_CONFIRMS_WAITING;
use crate::base::time::Time;
use crate::catalog::Version;

/// A question waits for this long. A member that still wants to know asks again before.
const WAITS_FOR: Duration = Duration::from_secs(2);

/// A question: the origin, the epoch and version that are to be applied, and the member that asks.
type Question = (NodeId, Epoch, Version, NodeId);

/// The questions that wait, each with the end of its time. One whose time is over keeps its place until another needs it.
#[derive(Debug, Default)]
pub(super) struct Waiting(BTreeMap<Question, Time>);

/// The outcome of a question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kept {
    /// It waits.
    New,
    /// It waited already: the member asks again.
    Again,
    /// Too many wait.
    Refused,
}

impl Waiting {
    /// Keeps a question for later.
    pub(super) fn keep(&mut self, question: Question, now: Time) -> Kept {
        if self.0.len() >= MAX_CONFIRMS_WAITING {
            self.0.retain(|_, until| *until > now);
        }
        if let Some(until) = self.0.get_mut(&question) {
            *until = now + WAITS_FOR;
            return Kept::Again;
        }
        if self.0.len() >= MAX_CONFIRMS_WAITING {
            return Kept::Refused;
        }
        self.0.insert(question, now + WAITS_FOR);
        Kept::New
    }

    /// Takes the members whose questions about an origin are answered by what is applied now.
    pub(super) fn take(
        &mut self,
        origin: NodeId,
        applied: (Epoch, Version),
        now: Time,
    ) -> Vec<NodeId> {
        if self.0.is_empty() {
            return Vec::new();
        }
        let first = (origin, Epoch(0), 0, NodeId(0));
        let last = (origin, applied.0, applied.1, NodeId(u64::MAX));
        let answered: Vec<(Question, Time)> =
            self.0.range(first..=last).map(|(question, until)| (*question, *until)).collect();
        let mut members = Vec::new();
        for (question, until) in answered {
            self.0.remove(&question);
            if until > now && !members.contains(&question.3) {
                members.push(question.3);
            }
        }
        members
    }

    /// The number of questions that wait.
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ORIGIN: NodeId = NodeId(9);

    fn question(version: Version, by: u64) -> Question {
        (ORIGIN, Epoch(2), version, NodeId(by))
    }

    #[test]
    fn questions_are_answered_once_when_their_version_is_applied() {
        let mut waiting = Waiting::default();
        let now = Time::ZERO;
        assert_eq!(waiting.keep(question(5, 1), now), Kept::New);
        assert_eq!(waiting.keep(question(5, 1), now), Kept::Again);
        for other in [question(6, 1), question(8, 2), (NodeId(8), Epoch(0), 0, NodeId(3))] {
            assert_eq!(waiting.keep(other, now), Kept::New);
        }
        assert!(waiting.take(ORIGIN, (Epoch(2), 4), now).is_empty());
        assert_eq!(waiting.take(ORIGIN, (Epoch(2), 7), now), [NodeId(1)], "once");
        assert_eq!(waiting.take(ORIGIN, (Epoch(3), 1), now), [NodeId(2)], "a later epoch has all");
        assert_eq!(waiting.len(), 1);
    }

    #[test]
    fn a_question_waits_for_its_time_and_no_more_wait_than_may() {
        let mut waiting = Waiting::default();
        for by in 0..MAX_CONFIRMS_WAITING as u64 {
            assert_eq!(waiting.keep(question(5, by), Time::ZERO), Kept::New);
        }
        assert_eq!(waiting.keep(question(5, u64::MAX), Time::ZERO), Kept::Refused);
        let late = Time::ZERO + WAITS_FOR;
        assert_eq!(waiting.take(ORIGIN, (Epoch(2), 5), late).len(), 0, "their time is over");
        assert_eq!(waiting.keep(question(5, 1), late), Kept::New);
    }
}
