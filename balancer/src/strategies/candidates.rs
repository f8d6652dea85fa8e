//! What a policy sees of the targets when it weighs them against each other.

use crate::{
    feedback::{RELIABLE, ServiceState, TargetState},
    snapshot::Snapshot,
    tables::{Alias, Tables, below},
};
use std::{hint, sync::Arc};

/// A target whose reliability is lower than another's by more than this gets no credit for being less loaded.
const RELIABILITY_MARGIN: u32 = RELIABLE / 8;

/// Makes other bits of a random number that is used up: the multiplier of Knuth's linear congruential generator MMIX.
const MULTIPLIER: u64 = 6_364_136_223_846_793_005;

/// The live state of all targets, for one pick.
#[derive(Clone, Copy)]
pub(crate) struct Candidates<'a> {
    pub(crate) states: &'a [Arc<TargetState>],
    pub(crate) tables: &'a Tables,
    pub(crate) core: &'a ServiceState,
    /// Whether every target may be picked, so that none needs a check.
    pub(crate) calm: bool,
}

impl<'a> Candidates<'a> {
    #[inline]
    pub(crate) fn new<T>(snapshot: &'a Snapshot<T>, core: &'a ServiceState, calm: bool) -> Self {
        Self { states: snapshot.states(), tables: snapshot.tables(), core, calm }
    }

    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.states.len()
    }

    /// What a number of picks in flight weighs on a target: itself at the average weight, less on a heavier target.
    #[inline]
    pub(crate) fn load(&self, in_flight: u32, index: usize) -> f32 {
        in_flight as f32 * self.tables.roster().costs()[index]
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

    /// Two different targets at random, of at least two, each in proportion to its weight.
    #[inline(always)]
    pub(crate) fn draw_two(&self, random: &mut fastrand::Rng) -> (usize, usize) {
        let (length, drawn) = (self.len(), random.u64(..));
        if self.tables.roster().is_uniform() {
            return pair(length, drawn);
        }
        weighted_pair(self.tables.alias(), drawn)
    }

    /// A target at random that is not `first`, out of at least two: in proportion to weight, any other where that draws
    /// `first` again.
    #[inline]
    pub(crate) fn draw_another(&self, first: usize, random: &mut fastrand::Rng) -> usize {
        let second = self.draw(random);
        let other = another(self.len(), first, random.u64(..) >> 32);
        hint::select_unpredictable(second == first, other, second)
    }

    /// The one of two targets with the lower cost, the first on a tie.
    /// A target that may not be picked loses, and the less reliable one wins less often: see [`more_reliable`].
    #[inline]
    pub(crate) fn cheaper<C: PartialOrd>(
        &self,
        a: usize,
        b: usize,
        random: &mut fastrand::Rng,
        cost: impl Fn(&TargetState, usize) -> C,
    ) -> usize {
        let (first, second) = (&*self.states[a], &*self.states[b]);
        if !self.calm && first.is_eligible() != second.is_eligible() {
            return if first.is_eligible() { a } else { b };
        }
        let (cost_a, cost_b) = (cost(first, a), cost(second, b));
        let cheaper = hint::select_unpredictable(cost_b < cost_a, b, a);
        match more_reliable(first, second) {
            None => cheaper,
            Some(other) => hint::select_unpredictable(random.bool(), [a, b][other], cheaper),
        }
    }
}

/// Two different indices below `length >= 2` from a uniformly random number.
#[inline]
pub(crate) fn pair(length: usize, random: u64) -> (usize, usize) {
    let first = (((random >> 32) * length as u64) >> 32) as usize;
    (first, another(length, first, random & u64::from(u32::MAX)))
}

/// Two different targets of at least two, each in proportion to its weight, from a uniformly random number. Where both draws
/// are the same, the second is any other: no branch that a processor would have to guess.
#[inline]
pub(crate) fn weighted_pair(alias: &Alias, random: u64) -> (usize, usize) {
    let (first, second) = alias.draw_two(random);
    let other = another(alias.len(), first, random.wrapping_mul(MULTIPLIER) >> 32);
    (first, hint::select_unpredictable(second == first, other, second))
}

/// An index below `length >= 2` that is not `first`, from a uniformly random number of 32 bits.
#[inline]
fn another(length: usize, first: usize, random: u64) -> usize {
    let next = first + 1 + ((random * (length as u64 - 1)) >> 32) as usize;
    next.min(next.wrapping_sub(length))
}

/// Which of two targets, 0 or 1, has been more reliable of late, by more than a margin.
///
/// Load-aware policies are drawn to a target that fails fast, since it always looks idle ("sinkholing" in Wydrowski et al.,
/// "Load is not what you should balance: Introducing Prequal", NSDI 2024, on error aversion). So against a more
/// reliable target a win by low cost counts only half of the time, which leaves an unreliable target its fair share and no
/// more.
#[inline]
pub(crate) fn more_reliable(first: &TargetState, second: &TargetState) -> Option<usize> {
    let (first, second) = (first.reliability(), second.reliability());
    (first.abs_diff(second) > RELIABILITY_MARGIN).then(|| usize::from(second > first))
}
