//! The target with fewer picks in flight.

use std::{hint, sync::Arc};

use super::candidates::{Candidates, pair, prefer_reliable, weighted_pair};
use crate::feedback::TargetState;
use crate::tables::{Roster, Tables, below};

/// Up to this many targets, all of them are compared instead of two.
const SCAN_MAX: usize = 4;

/// The power of two choices: Mitzenmacher, "The Power of Two Choices in Randomized Load Balancing", IEEE TPDS 12(10), 2001.
/// Two targets are drawn in proportion to their weights, and the one with fewer picks in flight for its weight wins. A few
/// targets are all compared, from a random one on.
#[inline]
pub(super) fn least_connections(candidates: Candidates<'_>, random: &mut fastrand::Rng) -> usize {
    if candidates.tables.roster().is_uniform() {
        two_choices(candidates, random, |state: &TargetState, _| state.in_flight())
    } else {
        two_choices(candidates, random, |state: &TargetState, index| {
            candidates.load(state.in_flight() + 1, index)
        })
    }
}

/// The number of targets that a pick compares, and whether by weight. A picker looks it up once for each snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Comparison {
    /// All targets, since there are few.
    All,
    /// Two of many, of equal weights: the `of_pair` functions apply.
    Pair,
    /// Two of many, of different weights: the `of_weighted_pair` functions apply.
    WeightedPair,
}

impl Comparison {
    pub(crate) fn of(roster: &Roster) -> Self {
        match roster.is_uniform() {
            _ if roster.len() <= SCAN_MAX => Self::All,
            true => Self::Pair,
            false => Self::WeightedPair,
        }
    }
}

/// [`least_connections`] for many targets of equal weight that take every pick: the common case, in the fewest steps.
#[inline]
pub(crate) fn least_connections_of_pair(
    states: &[Arc<TargetState>],
    random: &mut fastrand::Rng,
) -> usize {
    let drawn = pair(states.len(), random.u64(..));
    cheaper_of_pair(states, drawn, random, TargetState::in_flight)
}

/// [`least_connections`] for many targets of different weights that take every pick. It is a call of its own, so that the
/// common case keeps its registers.
#[inline(never)]
pub(crate) fn least_connections_of_weighted_pair(
    states: &[Arc<TargetState>],
    tables: &Tables,
    random: &mut fastrand::Rng,
) -> usize {
    let weights = tables.roster().weights();
    let (a, b) = weighted_pair(tables.alias(), random.u64(..));
    let load = |index: usize| u64::from(states[index].in_flight()) + 1;
    // `load / weight` on both sides, without the division.
    let second_is_cheaper = load(b) * u64::from(weights[a]) < load(a) * u64::from(weights[b]);
    let cheaper = hint::select_unpredictable(second_is_cheaper, b, a);
    prefer_reliable(states, (a, b), cheaper, random)
}

/// The cheaper one of two targets that take every pick.
#[inline(always)]
pub(super) fn cheaper_of_pair<C: PartialOrd>(
    states: &[Arc<TargetState>],
    (a, b): (usize, usize),
    random: &mut fastrand::Rng,
    cost: impl Fn(&TargetState) -> C,
) -> usize {
    let cheaper = hint::select_unpredictable(cost(&states[b]) < cost(&states[a]), b, a);
    prefer_reliable(states, (a, b), cheaper, random)
}

/// The cheaper one of two targets drawn at random; the cheapest of all where there are few.
#[inline]
pub(super) fn two_choices<C: PartialOrd>(
    candidates: Candidates<'_>,
    random: &mut fastrand::Rng,
    cost: impl Fn(&TargetState, usize) -> C,
) -> usize {
    let length = candidates.len();
    if length > SCAN_MAX {
        let (first, second) = candidates.draw_two(random);
        return candidates.cheaper(first, second, random, cost);
    }
    let mut best = below(length, random.u64(..));
    let mut next = best;
    for _ in 1..length {
        next = if next + 1 == length { 0 } else { next + 1 };
        best = candidates.cheaper(best, next, random, &cost);
    }
    best
}
