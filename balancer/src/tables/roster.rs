//! The ids and weights that tables are built from.

use super::hash::hash_key;

/// The most targets that one balancer holds. Tables keep their indices in 16 bits.
pub const MAX_TARGETS: usize = 65_535;

/// The largest weight. A weight outside `1..=MAX_WEIGHT` is clamped into it.
pub const MAX_WEIGHT: u32 = 65_535;

/// The hashed ids and the weights of a set of targets. Every table is a pure function of it. An index in a table is a
/// position in the roster.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Roster {
    hashes: Box<[u64]>,
    weights: Box<[u32]>,
    /// The load of one pick in flight at each target: the average weight over its weight.
    costs: Box<[f32]>,
    total_weight: u64,
    uniform: bool,
}

impl Roster {
    /// Takes pairs `(id, weight)`, in the order of the ids for the same tables on every host. Weights are clamped into
    /// `1..=MAX_WEIGHT`.
    pub fn new<'a>(entries: impl IntoIterator<Item = (&'a str, u32)>) -> Self {
        let (hashes, weights): (Vec<_>, Vec<_>) = entries
            .into_iter()
            .map(|(id, weight)| (hash_key(id.as_bytes()), weight.clamp(1, MAX_WEIGHT)))
            .unzip();
        let total_weight: u64 = weights.iter().map(|&weight| u64::from(weight)).sum();
        let mean = total_weight as f64 / weights.len().max(1) as f64;
        let costs = weights.iter().map(|&weight| (mean / f64::from(weight)) as f32).collect();
        let uniform = weights.windows(2).all(|pair| pair[0] == pair[1]);
        Self { hashes: hashes.into(), weights: weights.into(), costs, total_weight, uniform }
    }

    /// The number of targets.
    #[inline]
    pub fn len(&self) -> usize {
        self.hashes.len()
    }

    /// Whether there is no target.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.hashes.is_empty()
    }

    /// The hashes of the ids.
    pub fn hashes(&self) -> &[u64] {
        &self.hashes
    }

    /// The weights, each in `1..=MAX_WEIGHT`.
    #[inline]
    pub fn weights(&self) -> &[u32] {
        &self.weights
    }

    #[inline]
    pub(crate) fn costs(&self) -> &[f32] {
        &self.costs
    }

    /// The sum of the weights.
    pub fn total_weight(&self) -> u64 {
        self.total_weight
    }

    /// Whether all weights are equal.
    #[inline]
    pub fn is_uniform(&self) -> bool {
        self.uniform
    }
}

/// Splits `slots` among weights in proportion, by largest remainder (Hamilton's method), with at least one slot for each.
/// The earlier index wins a tie. The sum is `slots`, or the number of weights if that is larger.
pub(crate) fn apportion(weights: &[u32], slots: u32) -> Vec<u32> {
    let total: u64 = weights.iter().map(|&weight| u64::from(weight)).sum();
    let mut shares = Vec::with_capacity(weights.len());
    let mut remainders = Vec::with_capacity(weights.len());
    for (index, &weight) in weights.iter().enumerate() {
        let exact = u64::from(weight) * u64::from(slots);
        shares.push(((exact / total) as u32).max(1));
        remainders.push((std::cmp::Reverse(exact % total), index));
    }
    let given: u64 = shares.iter().map(|&share| u64::from(share)).sum();
    if given <= u64::from(slots) {
        remainders.sort_unstable();
        let missing = (u64::from(slots) - given) as usize;
        remainders.iter().take(missing).for_each(|&(_, index)| shares[index] += 1);
    } else {
        take_back(&mut shares, given - u64::from(slots));
    }
    shares
}

/// Takes slots back, one from each share in turn, largest share first. No share falls below one.
fn take_back(shares: &mut [u32], mut excess: u64) {
    let mut order: Vec<usize> = (0..shares.len()).collect();
    order.sort_by_key(|&index| std::cmp::Reverse(shares[index]));
    while excess > 0 {
        let before = excess;
        for &index in &order {
            if excess > 0 && shares[index] > 1 {
                shares[index] -= 1;
                excess -= 1;
            }
        }
        if excess == before {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn apportioning_uses_up_all_slots() {
        assert_eq!(apportion(&[1, 1, 1], 10), [4, 3, 3]);
        assert_eq!(apportion(&[1, 2, 3], 12), [2, 4, 6]);
        assert_eq!(apportion(&[65_535, 1, 1], 10), [8, 1, 1]);
        assert_eq!(apportion(&[1, 1, 1], 2), [1, 1, 1]);
    }

    #[test]
    fn weights_are_clamped() {
        let roster = Roster::new([("a", 0), ("b", u32::MAX)]);
        assert_eq!(roster.weights(), [1, MAX_WEIGHT]);
        assert!(!roster.is_uniform());
    }
}
