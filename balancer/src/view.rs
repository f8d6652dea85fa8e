//! What a policy sees of the targets when it weighs them against each other.

use crate::{core::Core, state::State, tables::Tables};
use crossbeam_utils::CachePadded;
use std::sync::Arc;

/// A target whose reliability is lower than another's by more than this gets no credit for being less loaded.
const RELIABILITY_MARGIN: f32 = 0.15;

/// The live state of all targets, for one pick.
#[derive(Clone, Copy)]
pub(crate) struct View<'a> {
    pub(crate) states: &'a [Arc<CachePadded<State>>],
    pub(crate) tables: &'a Tables,
    pub(crate) core: &'a Core,
    /// Whether every target may be picked, so that none needs a check.
    pub(crate) calm: bool,
}

impl View<'_> {
    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.states.len()
    }

    /// The weight of a target in units of the average, 1 where all are equal.
    #[inline]
    pub(crate) fn relative_weight(&self, index: usize) -> f32 {
        let roster = self.tables.roster();
        if roster.is_uniform() {
            1.0
        } else {
            roster.weights()[index] as f32 * roster.len() as f32 / roster.total_weight() as f32
        }
    }

    /// A target at random in proportion to its weight.
    #[inline]
    pub(crate) fn draw(&self, random: &mut fastrand::Rng) -> usize {
        if self.tables.roster().is_uniform() {
            below(self.len(), random.u64(..))
        } else {
            self.tables.alias().draw(random.u64(..))
        }
    }

    /// A target at random that is not `first`, out of at least two: in proportion to weight unless that fails twice.
    #[inline]
    pub(crate) fn draw_another(&self, first: usize, random: &mut fastrand::Rng) -> usize {
        let second = self.draw(random);
        if second != first {
            return second;
        }
        let third = self.draw(random);
        if third != first {
            return third;
        }
        let step = 1 + below(self.len() - 1, random.u64(..));
        if first + step < self.len() { first + step } else { first + step - self.len() }
    }

    /// The one of two targets with the lower cost, the first on a tie.
    ///
    /// Load-aware policies are drawn to a target that fails fast, since it always looks idle ("sinkholing" in Wydrowski et
    /// al., "Load is not what you should balance: Introducing Prequal", NSDI 2024, on error aversion). So against a more
    /// reliable target a win by low cost counts only half of the time, which leaves an unreliable target its fair share
    /// and no more. A target that may not be picked loses.
    #[inline]
    pub(crate) fn cheaper(
        &self,
        a: usize,
        b: usize,
        random: &mut fastrand::Rng,
        cost: impl Fn(&State, usize) -> f32,
    ) -> usize {
        let (first, second) = (&*self.states[a], &*self.states[b]);
        if !self.calm && first.is_eligible() != second.is_eligible() {
            return if first.is_eligible() { a } else { b };
        }
        let (winner, loser) = if cost(second, b) < cost(first, a) { (b, a) } else { (a, b) };
        let unreliable = self.states[winner].reliability() + RELIABILITY_MARGIN
            < self.states[loser].reliability();
        if unreliable && random.bool() { loser } else { winner }
    }
}

/// A number below `length` from a uniformly random one: Lemire, "Fast Random Integer Generation in an Interval", ACM
/// TOMACS 29(1), 2019, section 4, without the rejection step, whose bias at these lengths is below 2^-48.
#[inline]
pub(crate) fn below(length: usize, random: u64) -> usize {
    ((u128::from(random) * length as u128) >> 64) as usize
}
