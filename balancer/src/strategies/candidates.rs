//! The targets as a strategy sees them when it weighs them against each other.

use std::{hint, sync::Arc};

use crate::feedback::{RELIABLE, ServiceState, TargetState};
use crate::tables::{Alias, Tables, below};

/// A target whose reliability is lower than another's by more than this gets no credit for being less loaded.
const RELIABILITY_MARGIN: u32 = RELIABLE / 8;

/// Turns a random number that is used up into other bits: the multiplier of Knuth's linear congruential generator MMIX.
const MULTIPLIER: u64 = 6_364_136_223_846_793_005;

/// The live state of all targets, for one pick.
#[derive(Clone, Copy)]
pub(crate) struct Candidates<'a> {
    pub(crate) states: &'a [Arc<TargetState>],
    pub(crate) tables: &'a Tables,
    pub(crate) service: &'a ServiceState,
    /// Whether every target takes every pick, so that none needs a check.
    pub(crate) calm: bool,
}

impl Candidates<'_> {
    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.states.len()
    }

    /// The load that a number of picks in flight is for a target: the number itself at the average weight, less on a
    /// heavier target.
    #[inline]
    pub(crate) fn load(&self, in_flight: u32, index: usize) -> f32 {
        in_flight as f32 * self.tables.roster().costs()[index]
    }

    /// A random target, in proportion to its weight.
    #[inline]
    pub(crate) fn draw(&self, random: &mut fastrand::Rng) -> usize {
        if self.tables.roster().is_uniform() {
            below(self.len(), random.u64(..))
        } else {
            self.tables.alias().draw(random.u64(..))
        }
    }

    /// Two different random targets of at least two, each in proportion to its weight.
    #[inline(always)]
    pub(crate) fn draw_two(&self, random: &mut fastrand::Rng) -> (usize, usize) {
        let (length, drawn) = (self.len(), random.u64(..));
        if self.tables.roster().is_uniform() {
            return pair(length, drawn);
        }
        weighted_pair(self.tables.alias(), drawn)
    }

    /// A random target of at least two that is not `first`: in proportion to its weight, or any other target if that draws
    /// `first` again.
    #[inline]
    pub(crate) fn draw_another(&self, first: usize, random: &mut fastrand::Rng) -> usize {
        let second = self.draw(random);
        let other = another(self.len(), first, random.u64(..) >> 32);
        hint::select_unpredictable(second == first, other, second)
    }

    /// The target with the lower cost of two, the first on a tie. A target that refuses picks loses. A less reliable
    /// target wins less often: see [`more_reliable`].
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
        prefer_reliable(self.states, (a, b), cheaper, random)
    }
}

/// Two different indices below `length >= 2` from a uniformly random number.
#[inline]
pub(super) fn pair(length: usize, random: u64) -> (usize, usize) {
    let first = (((random >> 32) * length as u64) >> 32) as usize;
    (first, another(length, first, random & u64::from(u32::MAX)))
}

/// Two different targets of at least two, each in proportion to its weight, from a uniformly random number. If both draws
/// are the same, the second becomes any other target, without a branch that the processor would have to guess.
#[inline]
pub(super) fn weighted_pair(alias: &Alias, random: u64) -> (usize, usize) {
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

/// `cheaper`, or half of the time the more reliable one of two targets. See [`more_reliable`].
#[inline(always)]
pub(super) fn prefer_reliable(
    states: &[Arc<TargetState>],
    (a, b): (usize, usize),
    cheaper: usize,
    random: &mut fastrand::Rng,
) -> usize {
    match more_reliable(&states[a], &states[b]) {
        None => cheaper,
        Some(reliable) => hint::select_unpredictable(random.bool(), [a, b][reliable], cheaper),
    }
}

/// The one of two targets, 0 or 1, that has been more reliable of late, by more than a margin.
///
/// A target that fails fast always looks idle, so it attracts load-aware strategies ("sinkholing" in Wydrowski et al.,
/// "Load is not what you should balance: Introducing Prequal", NSDI 2024, on error aversion). Against a more reliable
/// target a lower cost therefore wins only half of the time, which leaves an unreliable target at most its fair share.
#[inline]
fn more_reliable(first: &TargetState, second: &TargetState) -> Option<usize> {
    let (first, second) = (first.reliability(), second.reliability());
    (first.abs_diff(second) > RELIABILITY_MARGIN).then(|| usize::from(second > first))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tables::Roster;

    #[test]
    fn two_draws_are_two_targets() {
        let mut random = fastrand::Rng::with_seed(1);
        let alias = Alias::new(&Roster::new([("a", 1), ("b", 100), ("c", 1)]));
        for drawn in (0..10_000).map(|_| random.u64(..)).chain([0, u64::MAX]) {
            for (first, second) in [pair(2, drawn), pair(3, drawn), weighted_pair(&alias, drawn)] {
                assert!(first != second && first.max(second) < 3, "{first} {second}");
            }
        }
    }

    #[test]
    fn another_is_every_other_alike() {
        let mut counts = [0_u32; 5];
        for random in (0..4_000_u64).map(|i| (i << 32) / 4_000) {
            counts[another(5, 2, random)] += 1;
        }
        assert_eq!(counts, [1_000, 1_000, 0, 1_000, 1_000]);
    }
}
