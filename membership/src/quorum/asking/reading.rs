//! Strong reads: answered when a majority of the voters reports one digest for the service, and the reader holds what has that digest.
//! Until then the reader writes back the join of what it was told, and asks again.

use std::collections::BTreeMap;
use std::time::Duration;

use smol_str::SmolStr;

use super::rounds::{MadeLook, ServiceRead};
use super::votes::{Speaker, VoterLives};
use crate::base::identity::NodeId;
use crate::base::time::Time;
use crate::quorum::chain::{Chain, Seat};
use crate::quorum::message::{Look, Seen};
use crate::quorum::{Op, OpId, Outcome};

/// What was read of a service is kept for this long after its last read, so that voters need not list it again.
const KEPT_FOR: Duration = Duration::from_secs(60);
/// Services of which something is kept.
pub(crate) const MAX_SERVICES: usize = 1_024;
/// Bytes of what is kept of all services. Services that nobody reads are forgotten beyond it.
const MAX_KEPT_BYTES: usize = 128 * 1024 * 1024;

/// The reads under way, by service.
#[derive(Debug, Default)]
pub(crate) struct Reads {
    services: BTreeMap<SmolStr, ServiceRead>,
    rounds: u64,
    ops: usize,
}

impl Reads {
    /// The number of reads under way.
    pub(crate) fn len(&self) -> usize {
        self.ops
    }

    /// Begins a read. Returns whether there is room for its service.
    pub(crate) fn begin(&mut self, op: Op, service: &SmolStr, now: Time) -> bool {
        if !self.services.contains_key(service) && self.services.len() >= MAX_SERVICES {
            let idle = self.services.iter().filter(|(_, reading)| reading.is_idle());
            let oldest = idle.min_by_key(|(_, reading)| reading.last_read);
            let Some(oldest) = oldest.map(|(service, _)| service.clone()) else { return false };
            self.services.remove(&oldest);
        }
        let reading = self.services.entry(service.clone()).or_default();
        reading.last_read = now;
        reading.waiting.push(op);
        self.ops += 1;
        true
    }

    /// Begins rounds for reads that wait.
    pub(crate) fn begin_rounds(&mut self) {
        for reading in self.services.values_mut() {
            if reading.round.is_none() && !reading.waiting.is_empty() {
                self.rounds += 1;
                reading.begin_round(self.rounds);
            }
        }
    }

    /// The looks at a voter that are due now.
    pub(crate) fn due(
        &mut self,
        seat: Seat,
        chain: &Chain,
        lives: &VoterLives,
        now: Time,
        mut has_room: impl FnMut() -> bool,
        mut ask: impl FnMut(Look, MadeLook),
    ) {
        for (service, reading) in &mut self.services {
            if !has_room() {
                return;
            }
            if let Some((look, made)) = reading.due(service, seat, chain, lives, now) {
                ask(look, made);
            }
        }
    }

    /// Takes what a voter saw.
    pub(crate) fn answered(&mut self, from: &Speaker<'_>, look: MadeLook, seen: Seen) {
        let others = || self.services.values().map(ServiceRead::bytes).sum::<usize>();
        let room = MAX_KEPT_BYTES.saturating_sub(others());
        if let Some(reading) = self.services.get_mut(&look.service) {
            reading.answered(from, look, seen, room);
        }
    }

    /// Notes that a voter does not vote.
    pub(crate) fn refused(&mut self, from: NodeId, look: &MadeLook) {
        if let Some(reading) = self.services.get_mut(&look.service) {
            reading.refused(from);
        }
    }

    /// Takes the reads that are over, and forgets services that nobody reads.
    pub(crate) fn take_over(
        &mut self,
        chain: Option<&Chain>,
        lives: &VoterLives,
        now: Time,
    ) -> Vec<(OpId, Outcome)> {
        let mut over = Vec::new();
        for (service, reading) in &mut self.services {
            reading.take_over(service, chain, lives, now, &mut over);
        }
        self.ops -= over.len();
        let is_tight =
            self.services.values().map(ServiceRead::bytes).sum::<usize>() > MAX_KEPT_BYTES / 2;
        let stays = |it: &ServiceRead| !is_tight && it.last_read + KEPT_FOR > now;
        self.services.retain(|_, it| !it.is_idle() || stays(it));
        over
    }

    pub(crate) fn next_deadline(&self) -> Option<Time> {
        let idle = |it: &ServiceRead| it.is_idle().then_some(it.last_read + KEPT_FOR);
        let due = |it: &ServiceRead| it.next_deadline().into_iter().chain(idle(it)).min();
        self.services.values().filter_map(due).min()
    }
}
