//! News of members, told to a few and told again: rumors that do not wait for a catalog.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::base::identity::NodeId;
use crate::base::limits::MAX_MEMBER_UPDATES;
use crate::base::time::Time;
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
/// What a telling costs, for each datagram's worth of things; who goes on telling pays in time. To five members that is
/// a thousand datagrams a second: what goes out a few at a time while a thousand join would be five times as many, among
/// which pings and answers to knocks are lost.
const COST: Duration = Duration::from_millis(5);
const THINGS_IN_A_DATAGRAM: usize = 40;
/// So much may be owed.
const CREDIT: Duration = Duration::from_millis(500);

#[derive(Debug)]
struct Waiting {
    update: Update,
    told: u32,
    due: Time,
}

/// What is to be told of members, one thing of each.
#[derive(Debug, Default)]
pub(crate) struct MemberUpdateQueue {
    waiting: BTreeMap<NodeId, Waiting>,
    /// The same in the order of their turns: in a mass join thousands wait, and everything that happens asks who is next.
    turns: BTreeSet<(Time, NodeId)>,
    /// When all that was told is paid for (the generic cell rate algorithm, ITU-T I.371).
    paid_at: Time,
}

impl MemberUpdateQueue {
    /// Tells something; what was to be told of the same member is outdated. Returns whether there was room.
    pub(crate) fn push(&mut self, update: Update, now: Time) -> bool {
        let node = update.node();
        if self.waiting.len() >= MAX_MEMBER_UPDATES && !self.waiting.contains_key(&node) {
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
        let (due, _) = self.turns.first()?;
        let credit = CREDIT.as_micros() as u64;
        Some(Time::from_micros(self.paid_at.as_micros().saturating_sub(credit)).max(*due))
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
        let datagrams = told.len().div_ceil(THINGS_IN_A_DATAGRAM);
        self.paid_at = self.paid_at.max(now) + COST * u32::try_from(datagrams).unwrap_or(u32::MAX);
        told
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::identity::Epoch;
    use crate::liveness::detector::{Cause, Verdict};

    fn down(node: u64) -> Update {
        Update::Down(Verdict {
            node: NodeId(node),
            epoch: Epoch(1),
            cause: Cause::Silence,
            accuser: NodeId(1),
            referees: Vec::new(),
        })
    }

    fn drain(queue: &mut MemberUpdateQueue) -> Vec<(u64, usize)> {
        let mut told = Vec::new();
        while let Some(due) = queue.next_deadline() {
            told.push((due.as_micros() / 1_000, queue.take_due(due).len()));
        }
        told
    }

    #[test]
    fn a_thing_is_told_four_times() {
        let mut queue = MemberUpdateQueue::default();
        assert!(queue.push(down(7), Time::ZERO) && queue.push(down(7), Time::ZERO));
        assert_eq!(drain(&mut queue), [(2, 1), (52, 1), (102, 1), (152, 1)]);
    }

    #[test]
    fn many_things_are_told_twice_and_a_part_at_a_time() {
        let mut queue = MemberUpdateQueue::default();
        (0..200).for_each(|node| assert!(queue.push(down(node), Time::ZERO)));
        assert_eq!(drain(&mut queue), [(2, 160), (2, 40), (52, 160), (52, 40)]);
    }

    #[test]
    fn who_tells_something_all_the_time_tells_more_at_a_time() {
        let mut queue = MemberUpdateQueue::default();
        let mut tellings = Vec::new();
        for ms in 0..2_000 {
            assert!(queue.push(down(ms), Time::from_millis(ms)));
            let told = queue.take_due(Time::from_millis(ms)).len();
            if told > 0 {
                tellings.push(told);
            }
        }
        let credit = (CREDIT.as_millis() / COST.as_millis()) as usize;
        let paid = (2_000 / COST.as_millis()) as usize;
        assert!((paid..=paid + credit).contains(&tellings.len()), "{}", tellings.len());
        assert!(tellings.iter().sum::<usize>() > 3_500, "each twice");
    }

    #[test]
    fn beyond_the_limit_nothing_is_taken() {
        let mut queue = MemberUpdateQueue::default();
        (0..MAX_MEMBER_UPDATES as u64).for_each(|node| assert!(queue.push(down(node), Time::ZERO)));
        assert!(!queue.push(down(u64::MAX), Time::ZERO));
        assert!(queue.push(down(3), Time::ZERO), "one that is known is replaced");
    }
}
