//! Running the strategies.

use super::{
    candidates::Candidates,
    hot_cold::{Threshold, hot_cold},
    least_connections::least_connections,
    peak_ewma::peak_ewma,
    strategy::Strategy,
    turns::{Cursor, Turns},
};
use crate::feedback::ServiceState;
use crate::tables::below;

/// The memory that the strategies of one picker keep from pick to pick.
pub(crate) struct Chooser {
    pub(crate) random: fastrand::Rng,
    pub(crate) turn: Cursor,
    pub(crate) weighted_turn: Cursor,
    threshold: Threshold,
}

impl Chooser {
    pub(crate) fn new(seed: u64, service: &ServiceState) -> Self {
        Self {
            random: fastrand::Rng::with_seed(seed),
            turn: Cursor::default(),
            weighted_turn: Cursor::default(),
            threshold: Threshold::new(service),
        }
    }

    /// The index of the target that a strategy chooses, of at least one. `hash` is that of the key, for keyed strategies.
    /// No target is asked whether it takes the pick.
    #[inline(always)]
    pub(crate) fn choose(
        &mut self,
        candidates: Candidates<'_>,
        turns: &Turns,
        strategy: Strategy,
        hash: u64,
    ) -> usize {
        let (random, tables) = (&mut self.random, candidates.tables);
        match strategy {
            Strategy::RoundRobin => self.turn.advance(&turns.plain, candidates.len()),
            Strategy::Weighted => {
                let schedule = tables.schedule();
                schedule.at(self.weighted_turn.advance(&turns.weighted, schedule.len()))
            }
            Strategy::WeightedRandom => candidates.draw(random),
            Strategy::Random => below(candidates.len(), random.u64(..)),
            Strategy::LeastConnections => least_connections(candidates, random),
            Strategy::PeakEwma => peak_ewma(candidates, random),
            Strategy::HotCold => hot_cold(candidates, random, &mut self.threshold),
            Strategy::ConsistentHash | Strategy::BoundedHash => {
                tables.maglev().get(hash).unwrap_or_default()
            }
            Strategy::Rendezvous => tables.rendezvous().get(hash).unwrap_or_default(),
            Strategy::Ring => tables.ring().get(hash).unwrap_or_default(),
        }
    }

    /// [`Chooser::choose`] as a call, for picks that may have to choose more than once.
    #[inline(never)]
    pub(super) fn choose_by_call(
        &mut self,
        candidates: &Candidates<'_>,
        turns: &Turns,
        strategy: Strategy,
        hash: u64,
    ) -> usize {
        self.choose(*candidates, turns, strategy, hash)
    }

    /// Gives back everything, for a picker that ends.
    pub(crate) fn release(&mut self, turns: &Turns, service: &ServiceState) {
        self.turn.end(&turns.plain);
        self.weighted_turn.end(&turns.weighted);
        self.threshold.release(service);
    }
}
