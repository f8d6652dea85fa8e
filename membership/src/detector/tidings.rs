//! News of members, told to a few and told again: rumors that do not wait for a catalog.

use std::collections::{BTreeMap, BTreeSet};
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
    /// The same in the order of their turns: in a mass join thousands wait, and everything that happens asks who is next.
    turns: BTreeSet<(Time, NodeId)>,
    /// What was too much for one go follows then.
    not_before: Time,
}

impl TidingsQueue {
    /// Tells something; what was to be told of the same member is outdated. Returns whether there was room.
    pub(crate) fn push(&mut self, update: Update, now: Time) -> bool {
        let node = update.node();
        if self.waiting.len() >= MAX_TIDINGS && !self.waiting.contains_key(&node) {
            return false;
        }
        let due = now + COALESCE;
        if let Some(outdated) = self.waiting.insert(node, Waiting { update, told: 0, due }) {
            self.turns.remove(&(outdated.due, node));
        }
        self.turns.insert((due, node));
        true
    }

    pub(crate) fn len(&self) -> usize {
        self.waiting.len()
    }

    pub(crate) fn next_deadline(&self) -> Option<Time> {
        self.turns.first().map(|(due, _)| self.not_before.max(*due))
    }

    /// What is to be told now.
    pub(crate) fn take_due(&mut self, now: Time) -> Vec<Update> {
        if self.next_deadline().is_none_or(|due| due > now) {
            return Vec::new();
        }
        let rounds = if self.waiting.len() > MANY { ROUNDS / 2 } else { ROUNDS };
        let mut told = Vec::new();
        while let Some((due, node)) = self.turns.first().copied()
            && due <= now
            && told.len() < MOST_AT_ONCE
        {
            self.turns.pop_first();
            let Some(waiting) = self.waiting.get_mut(&node) else { continue };
            told.push(waiting.update.clone());
            waiting.told += 1;
            if waiting.told < rounds {
                waiting.due = now + AGAIN_AFTER;
                self.turns.insert((waiting.due, node));
            } else {
                self.waiting.remove(&node);
            }
        }
        if told.len() == MOST_AT_ONCE {
            self.not_before = now + COALESCE;
        }
        told
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
