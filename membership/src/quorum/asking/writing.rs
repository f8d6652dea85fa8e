//! Strong writes: done when a majority of the voters has them on disk.

use std::collections::{BTreeMap, BTreeSet};

use super::calls::Pace;
use super::votes::{Speaker, VoterLives, Votes};
use crate::base::identity::NodeId;
use crate::base::time::Time;
use crate::quorum::chain::{Chain, Seat};
use crate::quorum::message::{Answer, Deposit};
use crate::quorum::{Failure, Op, OpId, Outcome};

/// A write under way.
#[derive(Debug)]
struct Write {
    deposit: Deposit,
    acks: Votes,
    /// The voters that have no room.
    full: BTreeSet<NodeId>,
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
        let (acks, full, paces) = Default::default();
        self.0.insert(op.id, Write { deposit, acks, full, paces, until: op.until });
    }

    /// The writes to send to a voter now.
    pub(crate) fn due(
        &mut self,
        seat: Seat,
        chain: &Chain,
        lives: &VoterLives,
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
                write.full.remove(&from.node);
                write.paces.remove(&from.node);
                return None;
            }
            Answer::Full => {
                write.full.insert(from.node);
                return None;
            }
            Answer::Fenced(epoch) => Failure::Fenced(*epoch),
            _ => return None,
        };
        self.0.remove(&id);
        Some(Outcome::Unknown(failure))
    }

    /// Takes the writes that are done, and those whose time is over.
    pub(crate) fn take_over(
        &mut self,
        chain: Option<&Chain>,
        lives: &VoterLives,
        now: Time,
    ) -> Vec<(OpId, Outcome)> {
        let is_done = |write: &Write| {
            chain.is_some_and(|chain| {
                chain.has_majorities(|seat| write.acks.has_at(seat, chain, lives))
            })
        };
        // The others cannot decide without the voters that have no room.
        let is_full = |write: &Write| {
            !write.full.is_empty()
                && chain.is_some_and(|chain| {
                    !chain.has_majorities(|seat| !write.full.contains(&seat.node))
                })
        };
        let is_over =
            |_: &OpId, write: &mut Write| is_done(write) || is_full(write) || write.until <= now;
        let over = self.0.extract_if(.., is_over);
        let outcome = |(id, write): (OpId, Write)| {
            let outcome = if is_done(&write) {
                Outcome::Written
            } else if is_full(&write) {
                Outcome::Unknown(Failure::Full)
            } else {
                let seats = chain.map(Chain::seats).unwrap_or_default();
                let (answered, silent) =
                    seats.iter().partition(|seat| write.acks.has(**seat, lives));
                Outcome::Unknown(Failure::no_quorum(answered, silent))
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
