//! The target with fewer picks in flight.

use crate::{
    roster::Roster,
    state::State,
    view::{View, more_reliable, pair},
};
use std::{hint, sync::Arc};

/// Up to this many targets, all of them are compared rather than two.
const SCAN_MAX: usize = 4;

/// The power of two choices: Mitzenmacher, "The Power of Two Choices in Randomized Load Balancing", IEEE TPDS 12(10), 2001,
/// section 1. Two targets are drawn in proportion to their weights and the one with fewer picks in flight for its weight
/// wins. A few targets are compared all, from a random one on.
#[inline]
pub(crate) fn choose(view: View<'_>, random: &mut fastrand::Rng) -> usize {
    if view.tables.roster().is_uniform() {
        two_choices(view, random, |state: &State, _| state.in_flight())
    } else {
        two_choices(view, random, |state: &State, index| view.load(state.in_flight() + 1, index))
    }
}

/// Whether [`of_pair`] does what [`choose`] does: the weights are equal and the targets many.
pub(crate) fn draws_pairs(roster: &Roster) -> bool {
    roster.is_uniform() && roster.len() > SCAN_MAX
}

/// [`choose`] for many targets of equal weight, all of which may be picked: the common case, in as few steps as it takes.
#[inline]
pub(crate) fn of_pair(states: &[Arc<State>], random: &mut fastrand::Rng) -> usize {
    cheaper_of_pair(states, random, State::in_flight)
}

/// The cheaper one of two targets drawn uniformly, all of which may be picked. There must be at least two.
#[inline]
pub(crate) fn cheaper_of_pair<C: PartialOrd>(
    states: &[Arc<State>],
    random: &mut fastrand::Rng,
    cost: impl Fn(&State) -> C,
) -> usize {
    let (a, b) = pair(states.len(), random.u64(..));
    let (first, second) = (&*states[a], &*states[b]);
    let cheaper = hint::select_unpredictable(cost(second) < cost(first), b, a);
    match more_reliable(first, second) {
        None => cheaper,
        Some(other) => hint::select_unpredictable(random.bool(), [a, b][other], cheaper),
    }
}

/// The cheaper one of two targets drawn at random, of all when there are few.
#[inline]
pub(crate) fn two_choices<C: PartialOrd>(
    view: View<'_>,
    random: &mut fastrand::Rng,
    cost: impl Fn(&State, usize) -> C,
) -> usize {
    let length = view.len();
    if length > SCAN_MAX {
        let (first, second) = view.draw_two(random);
        return view.cheaper(first, second, random, cost);
    }
    let mut best = crate::roster::below(length, random.u64(..));
    let mut next = best;
    for _ in 1..length {
        next = if next + 1 == length { 0 } else { next + 1 };
        best = view.cheaper(best, next, random, &cost);
    }
    best
}
