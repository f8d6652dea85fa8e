//! News of members, told to a few and told again: rumors that do not wait for a catalog.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::identity::NodeId;
use crate::limits::MAX_TIDINGS;
use crate::time::Time;
use crate::wire::Update;

/// News that come together go together.
const COALESCE: Duration = Duration::from_millis(2);
/// The time between two tellings of one thing.
const AGAIN_AFTER: Duration = Duration::from_millis(50);
/// How often a thing is told when there are few; when there are many, half as often.
const ROUNDS: u32 = 4;
const MANY: usize = 16;
/// Things told in one go.
const MOST_AT_ONCE: usize = 160;

#[derive(Debug)]
struct Waiting {
    update: Update,
    told: u32,
    due: Time,
}

/// What is to be told of members, one thing of each.
#[derive(Debug, Default)]
pub(crate) struct TidingsQueue {
    waiting: BTreeMap<NodeId, Waiting>,
}

impl TidingsQueue {
    /// Tells something; what was to be told of the same member is outdated. Returns whether there was room.
    pub(crate) fn push(&mut self, update: Update, now: Time) -> bool {
        let node = update.node();
        if self.waiting.len() >= MAX_TIDINGS && !self.waiting.contains_key(&node) {
            return false;
        }
        self.waiting.insert(node, Waiting { update, told: 0, due: now + COALESCE });
        true
    }

    pub(crate) fn len(&self) -> usize {
        self.waiting.len()
    }

    pub(crate) fn next_deadline(&self) -> Option<Time> {
        self.waiting.values().map(|waiting| waiting.due).min()
    }

    /// What is to be told now.
    pub(crate) fn take_due(&mut self, now: Time) -> Vec<Update> {
        if self.next_deadline().is_none_or(|due| due > now) {
            return Vec::new();
        }
        let rounds = if self.waiting.len() > MANY { ROUNDS / 2 } else { ROUNDS };
        let mut due = Vec::new();
        for waiting in self.waiting.values_mut().filter(|waiting| waiting.due <= now) {
            if due.len() == MOST_AT_ONCE {
                // The rest follows; what has been told least comes first by its earlier turn.
                waiting.due = now + COALESCE;
                continue;
            }
            due.push(waiting.update.clone());
            waiting.told += 1;
            waiting.due = now + AGAIN_AFTER;
        }
        self.waiting.retain(|_, waiting| waiting.told < rounds);
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detector::{Cause, Verdict};
    use crate::identity::Epoch;

    fn down(node: u64) -> Update {
        Update::Down(Verdict {
            node: NodeId(node),
            epoch: Epoch(1),
            cause: Cause::Silence,
            accuser: NodeId(1),
            referees: Vec::new(),
        })
    }

    fn drain(queue: &mut TidingsQueue) -> Vec<(u64, usize)> {
        let mut told = Vec::new();
        while let Some(due) = queue.next_deadline() {
            told.push((due.as_micros() / 1_000, queue.take_due(due).len()));
        }
        told
    }

    #[test]
    fn a_thing_is_told_four_times() {
        let mut queue = TidingsQueue::default();
        assert!(queue.push(down(7), Time::ZERO) && queue.push(down(7), Time::ZERO));
        assert_eq!(drain(&mut queue), [(2, 1), (52, 1), (102, 1), (152, 1)]);
    }

    #[test]
    fn many_things_are_told_twice_and_a_part_at_a_time() {
        let mut queue = TidingsQueue::default();
        (0..200).for_each(|node| assert!(queue.push(down(node), Time::ZERO)));
        assert_eq!(drain(&mut queue), [(2, 160), (4, 40), (52, 160), (54, 40)]);
    }

    #[test]
    fn beyond_the_limit_nothing_is_taken() {
        let mut queue = TidingsQueue::default();
        (0..MAX_TIDINGS as u64).for_each(|node| assert!(queue.push(down(node), Time::ZERO)));
        assert!(!queue.push(down(u64::MAX), Time::ZERO));
        assert!(queue.push(down(3), Time::ZERO), "one that is known is replaced");
    }
}
