//! The queue of member updates. Each update is sent to a few members, a few times.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::base::identity::NodeId;
use crate::base::limits::MAX_MEMBER_UPDATES;
use crate::base::time::Time;
use crate::wire::Update;

/// An update waits this long, so that updates that come together are sent together.
const COALESCE: Duration = Duration::from_millis(2);
/// The time between two rounds of one update.
const AGAIN_AFTER: Duration = Duration::from_millis(50);
/// Rounds of each update. Half as many while more than [`MANY`] updates wait.
const ROUNDS: u32 = 4;
const MANY: usize = 16;
/// Updates sent at once.
const MOST_AT_ONCE: usize = 160;
/// Time that each datagram's worth of updates uses up. With five receivers, this limits a node to a thousand datagrams
/// of updates a second. Without the limit, a node would send five times as many, a few updates in each, while a
/// thousand nodes join, and pings and answers to hellos would be lost among them.
const COST: Duration = Duration::from_millis(5);
const THINGS_IN_A_DATAGRAM: usize = 40;
/// Cost that may be used up in advance.
const CREDIT: Duration = Duration::from_millis(500);

#[derive(Debug)]
struct Waiting {
    update: Update,
    told: u32,
    due: Time,
}

/// Member updates that wait to be sent, at most one of each member.
#[derive(Debug, Default)]
pub(crate) struct MemberUpdateQueue {
    waiting: BTreeMap<NodeId, Waiting>,
    /// The waiting updates by due time. In a mass join thousands wait, and every input asks for the first one.
    turns: BTreeSet<(Time, NodeId)>,
    /// When the cost of everything sent so far is used up (the generic cell rate algorithm, ITU-T I.371).
    paid_at: Time,
}

impl MemberUpdateQueue {
    /// Adds an update, which replaces a waiting one of the same member. Returns whether there was room.
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

    /// Takes the updates to send now.
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
            exited: false,
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
    fn an_update_is_sent_four_times() {
        let mut queue = MemberUpdateQueue::default();
        assert!(queue.push(down(7), Time::ZERO) && queue.push(down(7), Time::ZERO));
        assert_eq!(drain(&mut queue), [(2, 1), (52, 1), (102, 1), (152, 1)]);
    }

    #[test]
    fn many_updates_are_sent_twice_and_in_parts() {
        let mut queue = MemberUpdateQueue::default();
        (0..200).for_each(|node| assert!(queue.push(down(node), Time::ZERO)));
        assert_eq!(drain(&mut queue), [(2, 160), (2, 40), (52, 160), (52, 40)]);
    }

    #[test]
    fn a_steady_flow_of_updates_is_sent_in_larger_batches() {
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
    fn a_full_queue_takes_no_update_of_another_member() {
        let mut queue = MemberUpdateQueue::default();
        (0..MAX_MEMBER_UPDATES as u64).for_each(|node| assert!(queue.push(down(node), Time::ZERO)));
        assert!(!queue.push(down(u64::MAX), Time::ZERO));
        assert!(queue.push(down(3), Time::ZERO), "an update replaces a waiting one");
    }
}
