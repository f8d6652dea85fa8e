//! The target with fewer picks in flight.

use super::candidates::{Candidates, more_reliable, pair, weighted_pair};
use crate::{
    feedback::TargetState,
    tables::{Roster, Tables},
};
use std::{hint, sync::Arc};

/// Up to this many targets, all of them are compared rather than two.
const SCAN_MAX: usize = 4;

/// The power of two choices: Mitzenmacher, "The Power of Two Choices in Randomized Load Balancing", IEEE TPDS 12(10), 2001.
/// Two targets are drawn in proportion to their weights and the one with fewer picks in flight for its weight
/// wins. A few targets are compared all, from a random one on.
#[inline]
pub(crate) fn choose(view: Candidates<'_>, random: &mut fastrand::Rng) -> usize {
    if view.tables.roster().is_uniform() {
        two_choices(view, random, |state: &TargetState, _| state.in_flight())
    } else {
        two_choices(view, random, |state: &TargetState, index| {
            view.load(state.in_flight() + 1, index)
        })
    }
}

/// Which of the targets a pick compares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Comparison {
    /// A few: all of them, by [`choose`].
    All,
    /// Two of many, of equal weights: [`of_pair`] does what [`choose`] does.
    Pair,
    /// Two of many, of different weights: [`of_weighted_pair`] does what [`choose`] does.
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

/// [`choose`] for many targets of equal weight, all of which may be picked: the common case, in as few steps as it takes.
#[inline]
pub(crate) fn of_pair(states: &[Arc<TargetState>], random: &mut fastrand::Rng) -> usize {
    let drawn = pair(states.len(), random.u64(..));
    cheaper_of_pair(states, drawn, random, TargetState::in_flight)
}

/// [`choose`] for many targets of different weights, all of which may be picked. A call of its own, so that the common case
/// keeps its registers.
#[inline(never)]
pub(crate) fn of_weighted_pair(
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
    the_reliable(states, (a, b), cheaper, random)
}

/// The cheaper one of two targets, both of which may be picked.
#[inline(always)]
pub(crate) fn cheaper_of_pair<C: PartialOrd>(
    states: &[Arc<TargetState>],
    (a, b): (usize, usize),
    random: &mut fastrand::Rng,
    cost: impl Fn(&TargetState) -> C,
) -> usize {
    let cheaper = hint::select_unpredictable(cost(&states[b]) < cost(&states[a]), b, a);
    the_reliable(states, (a, b), cheaper, random)
}

/// `cheaper`, but half of the time the more reliable one of two targets: see [`more_reliable`].
#[inline(always)]
fn the_reliable(
    states: &[Arc<TargetState>],
    (a, b): (usize, usize),
    cheaper: usize,
    random: &mut fastrand::Rng,
) -> usize {
    match more_reliable(&states[a], &states[b]) {
        None => cheaper,
        Some(other) => hint::select_unpredictable(random.bool(), [a, b][other], cheaper),
    }
}

/// The cheaper one of two targets drawn at random, of all when there are few.
#[inline]
pub(crate) fn two_choices<C: PartialOrd>(
    view: Candidates<'_>,
    random: &mut fastrand::Rng,
    cost: impl Fn(&TargetState, usize) -> C,
) -> usize {
    let length = view.len();
    if length > SCAN_MAX {
        let (first, second) = view.draw_two(random);
        return view.cheaper(first, second, random, cost);
    }
    let mut best = crate::tables::below(length, random.u64(..));
    let mut next = best;
    for _ in 1..length {
        next = if next + 1 == length { 0 } else { next + 1 };
        best = view.cheaper(best, next, random, &cost);
    }
    best
}
