//! Smooth weighted round robin in constant time.

use std::collections::BTreeMap;

use super::roster::{Roster, apportion};

/// The most slots in one turn of a schedule. Weights that need more are scaled down in proportion.
pub const SCHEDULE_SLOTS_MAX: u32 = 65_536;

/// The length of a turn in units of fixed-point time.
const TURN: f64 = (1_u64 << 47) as f64;

/// One whole turn of weighted round robin, spread as evenly as the weights allow.
///
/// Stride scheduling (Waldspurger and Weihl, "Stride Scheduling: Deterministic Proportional-Share Resource Management",
/// MIT/LCS/TM-528, 1995), computed ahead of time. Weights are divided by their greatest common divisor. A target of weight
/// `w` then owns `w` slots. Its `j`-th slot is due at `(j + phase) / w` of the turn, and slots stand in the order in which
/// they are due. The phases of targets of the same weight are spread over `0..1`, so that these targets do not come in a
/// bunch. With equal weights this is plain round robin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Schedule {
    slots: Box<[u16]>,
}

impl Schedule {
    /// Lays out one turn. An empty roster gives an empty schedule.
    pub fn new(roster: &Roster) -> Self {
        let divisor = roster.weights().iter().copied().fold(0, greatest_common_divisor).max(1);
        let slots = roster.total_weight() / u64::from(divisor);
        if slots <= u64::from(SCHEDULE_SLOTS_MAX) {
            let counts: Vec<u32> = roster.weights().iter().map(|weight| weight / divisor).collect();
            Self { slots: interleave(&counts) }
        } else {
            Self { slots: interleave(&apportion(roster.weights(), SCHEDULE_SLOTS_MAX)) }
        }
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
}

/// Lays out `counts[i]` slots for each `i` in the order in which they are due.
pub(crate) fn interleave(counts: &[u32]) -> Box<[u16]> {
    if let Some(&first) = counts.first()
        && counts.iter().all(|&count| count == first)
    {
        let turn = 0..counts.len() as u16;
        return std::iter::repeat_n(turn, first as usize).flatten().collect();
    }
    let mut peers: BTreeMap<u32, (f64, f64)> = BTreeMap::new();
    counts.iter().for_each(|&count| peers.entry(count).or_default().1 += 1.0);
    let mut due = Vec::with_capacity(counts.iter().map(|&count| count as usize).sum());
    for (index, &count) in counts.iter().enumerate() {
        let (ordinal, size) = peers.entry(count).or_default();
        let phase = (*ordinal + 0.5) / *size;
        *ordinal += 1.0;
        due.extend((0..count).map(|j| {
            let time = (f64::from(j) + phase) / f64::from(count);
            (((time * TURN) as u64) << 16) | index as u64
        }));
    }
    due.sort_unstable();
    due.into_iter().map(|key| key as u16).collect()
}

fn greatest_common_divisor(a: u32, b: u32) -> u32 {
    if b == 0 { a } else { greatest_common_divisor(b, a % b) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn turn(weights: &[u32]) -> Vec<usize> {
        let ids: Vec<String> = (0..weights.len()).map(|i| format!("{i:05}")).collect();
        let roster = Roster::new(ids.iter().map(String::as_str).zip(weights.iter().copied()));
        let schedule = Schedule::new(&roster);
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
}
