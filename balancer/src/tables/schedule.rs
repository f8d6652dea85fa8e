//! Smooth weighted round robin in constant time.

use std::collections::{BTreeMap, BinaryHeap};

use super::roster::{Roster, apportion};

/// The most slots in one turn of a schedule. Weights that need more are scaled down in proportion.
pub const SCHEDULE_SLOTS_MAX: u32 = 65_536;

/// A turn of a schedule whose weights have no common divisor, in units of fixed-point time.
const TURN: f64 = (1_u64 << 47) as f64;

/// One whole turn of weighted round robin, spread as evenly as the weights allow.
///
/// Stride scheduling (Waldspurger and Weihl, "Stride Scheduling: Deterministic Proportional-Share Resource Management",
/// MIT/LCS/TM-528, 1995), computed ahead of time. A target of weight `w` is due `w` times in a unit of time, for the
/// `j`-th time at `(j + phase) / w`. A turn ends where all dues begin to repeat: weights are divided by their greatest
/// common divisor. The phases of targets of the same weight are spread over `0..1`, so that these targets do not come in
/// a bunch. With equal weights this is plain round robin.
///
/// A target that stays keeps its phase across updates, so that its dues do not move whatever comes and goes beside it. A
/// newcomer takes the middle of the widest gap between the phases of its weight.
#[derive(Clone, Debug, PartialEq)]
pub struct Schedule {
    slots: Box<[u16]>,
    /// The time at which each slot is due, with the index of its target in the lowest 16 bits.
    dues: Box<[u64]>,
    /// The phase of each target.
    phases: Box<[f64]>,
    /// The length of the turn in time.
    end: u64,
}

impl Schedule {
    /// Lays out one turn. An empty roster gives an empty schedule.
    pub fn new(roster: &Roster) -> Self {
        let mut phases = vec![None; roster.len()];
        spread(roster.weights(), &mut phases);
        Self::with_phases(roster, phases)
    }

    /// Lays out one turn for the targets of `roster`. Those that were in `former` with the same weight keep their phases.
    pub(crate) fn follow(&self, former: &Roster, roster: &Roster) -> Self {
        let by_hash = |roster: &Roster| -> BTreeMap<u64, usize> {
            roster.hashes().iter().enumerate().map(|(index, &hash)| (hash, index)).collect()
        };
        let former_index = by_hash(former);
        let kept = roster.hashes().iter().zip(roster.weights()).map(|(hash, weight)| {
            let index = *former_index.get(hash)?;
            (former.weights()[index] == *weight).then(|| self.phases[index])
        });
        let mut phases: Vec<Option<f64>> = kept.collect();
        spread(roster.weights(), &mut phases);
        Self::with_phases(roster, phases)
    }

    fn with_phases(roster: &Roster, phases: Vec<Option<f64>>) -> Self {
        let phases: Box<[f64]> = phases.into_iter().map(Option::unwrap_or_default).collect();
        let weights = roster.weights();
        let divisor = weights.iter().copied().fold(0, greatest_common_divisor).max(1);
        let slots = roster.total_weight() / u64::from(divisor);
        let is_exact = slots <= u64::from(SCHEDULE_SLOTS_MAX);
        let scaled: Vec<u32> =
            if is_exact { weights.to_vec() } else { apportion(weights, SCHEDULE_SLOTS_MAX) };
        let divisor = if is_exact { divisor } else { 1 };
        let dues = dues(&scaled, divisor, &phases);
        let slots = dues.iter().map(|&due| due as u16).collect();
        Self { slots, dues, phases, end: (TURN / f64::from(divisor)) as u64 }
    }

    /// The number of picks in one turn.
    #[inline]
    pub fn len(&self) -> usize {
        self.slots.len()
    }

    /// Whether there is nothing to pick.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    /// The target at a position of the turn, `position < len()`.
    #[inline]
    pub fn at(&self, position: usize) -> usize {
        usize::from(self.slots[position])
    }

    /// The time at which a position is due.
    pub(crate) fn time(&self, position: usize) -> u64 {
        self.dues[position] >> 16
    }

    /// The first position that is due at a time or later, and there at a target that is not before this one.
    pub(crate) fn position(&self, time: u64, target: usize) -> usize {
        let due = ((time % self.end.max(1)) << 16) | target as u64;
        self.dues.partition_point(|&before| before < due)
    }
}

/// The order of the slots in a turn of `counts[i]` slots for each `i`.
pub(crate) fn interleave(counts: &[u32]) -> Box<[u16]> {
    if let Some(&first) = counts.first()
        && counts.iter().all(|&count| count == first)
    {
        let turn = 0..counts.len() as u16;
        return std::iter::repeat_n(turn, first as usize).flatten().collect();
    }
    let mut phases = vec![None; counts.len()];
    spread(counts, &mut phases);
    let phases: Vec<f64> = phases.into_iter().map(Option::unwrap_or_default).collect();
    dues(counts, 1, &phases).iter().map(|&due| due as u16).collect()
}

/// Every due of a turn, in order, with its target in the lowest 16 bits.
fn dues(weights: &[u32], divisor: u32, phases: &[f64]) -> Box<[u64]> {
    let slots = weights.iter().map(|&weight| (weight / divisor) as usize).sum();
    let mut dues = Vec::with_capacity(slots);
    for (index, (&weight, &phase)) in weights.iter().zip(phases).enumerate() {
        dues.extend((0..weight / divisor).map(|j| {
            let time = (f64::from(j) + phase) / f64::from(weight);
            (((time * TURN) as u64) << 16) | index as u64
        }));
    }
    dues.sort_unstable();
    dues.into()
}

/// Gives a phase to each target that has none.
fn spread(weights: &[u32], phases: &mut [Option<f64>]) {
    let mut newcomers: BTreeMap<u32, Vec<usize>> = BTreeMap::new();
    let mut held: BTreeMap<u32, Vec<f64>> = BTreeMap::new();
    for (index, (&weight, phase)) in weights.iter().zip(phases.iter()).enumerate() {
        match phase {
            Some(phase) => held.entry(weight).or_default().push(*phase),
            None => newcomers.entry(weight).or_default().push(index),
        }
    }
    for (weight, newcomers) in newcomers {
        let mut gaps = Gaps::between(held.remove(&weight).unwrap_or_default());
        let size = newcomers.len() as f64;
        for (ordinal, index) in newcomers.into_iter().enumerate() {
            let alone = || (ordinal as f64 + 0.5) / size;
            phases[index] = Some(gaps.as_mut().map_or_else(alone, Gaps::take_widest));
        }
    }
}

/// The gaps between phases, the widest first.
struct Gaps(BinaryHeap<(u64, u64)>);

/// Units of a phase in a gap.
const PHASE: f64 = (1_u64 << 52) as f64;

impl Gaps {
    /// `None` where there is no phase.
    fn between(mut phases: Vec<f64>) -> Option<Self> {
        phases.sort_unstable_by(f64::total_cmp);
        let (first, last) = (*phases.first()?, *phases.last()?);
        let units = |phase: f64| (phase * PHASE) as u64;
        let around = units(1.0 + first - last);
        let between = phases.windows(2).map(|pair| (units(pair[1] - pair[0]), units(pair[0])));
        Some(Self(between.chain([(around, units(last))]).collect()))
    }

    /// A phase in the middle of the widest gap, which parts it in two.
    fn take_widest(&mut self) -> f64 {
        let (width, start) = self.0.pop().unwrap_or_default();
        let half = width / 2;
        self.0.push((half, start));
        self.0.push((width - half, start + half));
        ((start + half) as f64 / PHASE).fract()
    }
}

fn greatest_common_divisor(a: u32, b: u32) -> u32 {
    if b == 0 { a } else { greatest_common_divisor(b, a % b) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn roster(weights: &[u32]) -> Roster {
        let ids: Vec<String> = (0..weights.len()).map(|i| format!("{i:05}")).collect();
        Roster::new(ids.iter().map(String::as_str).zip(weights.iter().copied()))
    }

    fn turn(weights: &[u32]) -> Vec<usize> {
        let schedule = Schedule::new(&roster(weights));
        (0..schedule.len()).map(|position| schedule.at(position)).collect()
    }

    #[test]
    fn equal_weights_are_round_robin() {
        assert_eq!(turn(&[7, 7, 7]), [0, 1, 2]);
    }

    #[test]
    fn a_heavy_target_is_spread_over_the_turn() {
        assert_eq!(turn(&[5, 1, 1]), [0, 1, 0, 0, 0, 2, 0]);
        assert_eq!(turn(&[2, 1, 1]), [0, 1, 0, 2]);
        assert_eq!(turn(&[3, 1]), [0, 0, 1, 0]);
    }

    #[test]
    fn no_targets_no_slots() {
        assert_eq!(turn(&[]), Vec::<usize>::new());
    }

    #[test]
    fn large_weights_are_scaled_down_and_every_target_keeps_a_slot() {
        let slots = turn(&[65_535, 65_535, 65_534, 1]);
        assert_eq!(slots.len(), SCHEDULE_SLOTS_MAX as usize);
        assert_eq!(slots.iter().filter(|&&slot| slot == 3).count(), 1);
    }

    #[test]
    fn a_target_that_stays_is_due_when_it_was_due() {
        let (few, many) = (roster(&[2, 2, 4]), roster(&[2, 2, 4, 2, 3, 1]));
        let before = Schedule::new(&few);
        let after = before.follow(&few, &many);
        let times = |schedule: &Schedule, target: usize| -> Vec<u64> {
            let positions = 0..schedule.len();
            let due = positions.filter(|&position| schedule.at(position) == target);
            due.map(|position| schedule.time(position)).collect()
        };
        for target in 0..3 {
            let (before, after) = (times(&before, target), times(&after, target));
            assert_eq!(before[..], after[..before.len()], "the turn is twice as long now");
        }
        let back = after.follow(&many, &few);
        assert_eq!(back, before);
    }

    #[test]
    fn newcomers_fill_the_widest_gaps() {
        let mut phases = [Some(0.0), None, None, None];
        spread(&[1; 4], &mut phases);
        let mut phases = phases.map(Option::unwrap_or_default);
        phases.sort_unstable_by(f64::total_cmp);
        assert_eq!(phases, [0.0, 0.25, 0.5, 0.75]);
    }
}
