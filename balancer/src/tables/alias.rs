//! Weighted random choice in constant time.

use std::hint;

use super::roster::Roster;

/// Draws a target in proportion to its weight, with one random number and one look into a table.
///
/// Walker, "An Efficient Method for Generating Discrete Random Variables with General Distributions", ACM TOMS 3(3),
/// 1977; built in linear time as in Vose, "A Linear Algorithm for Generating Random Numbers with a Given Distribution",
/// IEEE TSE 17(9), 1991, the initialisation algorithm. All arithmetic is in integers, so the table is the same on every host.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Alias {
    columns: Box<[Column]>,
}

/// A column of equal probability, shared by its own target and one other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Column {
    /// The share of the column's own target, as a fraction of 2^32.
    threshold: u32,
    other: u32,
}

impl Alias {
    /// Builds the columns. An empty roster gives an empty table.
    pub fn new(roster: &Roster) -> Self {
        let (count, total) = (roster.len() as u64, roster.total_weight());
        let mut rest: Vec<u64> =
            roster.weights().iter().map(|&weight| u64::from(weight) * count).collect();
        let mut columns: Box<[Column]> =
            (0..count as u32).map(|other| Column { threshold: u32::MAX, other }).collect();
        let (mut small, mut large): (Vec<u32>, Vec<u32>) =
            (0..count as u32).partition(|&index| rest[index as usize] < total);
        while let (Some(&poor), Some(&rich)) = (small.last(), large.last()) {
            small.pop();
            let threshold = (u128::from(rest[poor as usize]) << 32) / u128::from(total);
            columns[poor as usize] = Column { threshold: threshold as u32, other: rich };
            rest[rich as usize] -= total - rest[poor as usize];
            if rest[rich as usize] < total {
                large.pop();
                small.push(rich);
            }
        }
        Self { columns }
    }

    /// The number of targets.
    #[inline]
    pub fn len(&self) -> usize {
        self.columns.len()
    }

    /// Whether there is nothing to draw.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.columns.is_empty()
    }

    /// The target for a uniformly random number. The table must not be empty.
    #[inline]
    pub fn draw(&self, random: u64) -> usize {
        let scaled = u128::from(random) * self.columns.len() as u128;
        self.look_up((scaled >> 64) as usize, (scaled >> 32) as u32)
    }

    /// Two targets, drawn independently, for a uniformly random number. The table must not be empty.
    #[inline]
    pub(crate) fn draw_two(&self, random: u64) -> (usize, usize) {
        let draw = |half: u64| {
            let scaled = half * self.columns.len() as u64;
            self.look_up((scaled >> 32) as usize, scaled as u32)
        };
        (draw(random >> 32), draw(random & u64::from(u32::MAX)))
    }

    #[inline]
    fn look_up(&self, index: usize, fraction: u32) -> usize {
        let column = self.columns[index];
        hint::select_unpredictable(fraction < column.threshold, index, column.other as usize)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn draws_follow_the_weights() {
        let weights = [1, 2, 3, 4, 5, 6, 7, 8, 500, 65_535];
        let ids: Vec<String> = (0..weights.len()).map(|i| i.to_string()).collect();
        let roster = Roster::new(ids.iter().map(String::as_str).zip(weights));
        let alias = Alias::new(&roster);
        let mut random = fastrand::Rng::with_seed(1);
        let mut counts = [0_u32; 10];
        let draws = 4_000_000;
        (0..draws).for_each(|_| counts[alias.draw(random.u64(..))] += 1);
        for (&weight, &count) in weights.iter().zip(&counts) {
            let fair = f64::from(draws) * f64::from(weight) / roster.total_weight() as f64;
            assert!(
                (f64::from(count) - fair).abs() <= 5.0 * fair.sqrt(),
                "weight {weight}: {count}, fair {fair}"
            );
        }
    }

    #[test]
    fn equal_weights_need_no_alias() {
        let alias = Alias::new(&Roster::new([("a", 9), ("b", 9), ("c", 9)]));
        assert_eq!([0, u64::MAX / 2, u64::MAX].map(|random| alias.draw(random)), [0, 1, 2]);
    }
}
