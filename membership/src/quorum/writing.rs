//! Strong writes: done when a majority of the voters has them on disk.

use std::collections::BTreeMap;

use super::calls::Pace;
use super::chain::{Chain, Seat};
use super::message::{Answer, Deposit};
use super::votes::{Lives, Speaker, Votes};
use super::{Failure, Op, OpId, Outcome};
use crate::base::identity::NodeId;
use crate::base::time::Time;

/// A write under way.
#[derive(Debug)]
struct Write {
    deposit: Deposit,
    acks: Votes,
    paces: BTreeMap<NodeId, Pace>,
    until: Time,
}

/// The writes under way.
#[derive(Debug, Default)]
pub(crate) struct Writes(BTreeMap<OpId, Write>);

impl Writes {
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn begin(&mut self, op: Op, deposit: Deposit) {
        let (acks, paces) = (Votes::default(), BTreeMap::new());
        self.0.insert(op.id, Write { deposit, acks, paces, until: op.until });
    }

    /// The writes to send to a voter now.
    pub(crate) fn due(
        &mut self,
        seat: Seat,
        chain: &Chain,
        lives: &Lives,
        now: Time,
        mut has_room: impl FnMut() -> bool,
        mut ask: impl FnMut(OpId, Deposit),
    ) {
        for (id, write) in &mut self.0 {
            if !has_room() {
                return;
            }
            let is_missing = !write.acks.has_at(seat, chain, lives);
            if is_missing && write.paces.entry(seat.node).or_default().is_due(now) {
                ask(*id, write.deposit.clone());
            }
        }
    }

    /// Takes the answer of a voter. Returns the outcome if the voter refused.
    pub(crate) fn answered(
        &mut self,
        id: OpId,
        from: &Speaker<'_>,
        answer: &Answer,
    ) -> Option<Outcome> {
        let write = self.0.get_mut(&id)?;
        let failure = match answer {
            Answer::Done => {
                write.acks.add(from);
                write.paces.remove(&from.node);
                return None;
            }
            Answer::Fenced(epoch) => Failure::Fenced(*epoch),
            Answer::Full => Failure::Full,
            _ => return None,
        };
        self.0.remove(&id);
        Some(Outcome::Unknown(failure))
    }

    /// Takes the writes that are done, and those whose time is over.
    pub(crate) fn take_over(
        &mut self,
        chain: Option<&Chain>,
        lives: &Lives,
        now: Time,
    ) -> Vec<(OpId, Outcome)> {
        let is_done = |write: &Write| {
            chain.is_some_and(|chain| {
                chain.has_majorities(|seat| write.acks.has_at(seat, chain, lives))
            })
        };
        let over = self.0.extract_if(.., |_, write| is_done(write) || write.until <= now);
        let outcome = |(id, write): (OpId, Write)| {
            let outcome = if is_done(&write) {
                Outcome::Written
            } else {
                let seats = chain.map(Chain::seats).unwrap_or_default();
                let (answered, silent) =
                    seats.iter().partition(|seat| write.acks.has(**seat, lives));
                Outcome::Unknown(super::no_quorum(answered, silent))
            };
            (id, outcome)
        };
        over.map(outcome).collect()
    }

    pub(crate) fn next_deadline(&self) -> Option<Time> {
        let due = |write: &Write| {
            let paces = write.paces.values().filter_map(Pace::deadline);
            paces.chain([write.until]).min()
        };
        self.0.values().filter_map(due).min()
    }
}
