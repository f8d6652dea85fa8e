//! Load that moves between regions no faster than they can show whether they bear it.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use super::shares::{Capacity, Shares, share_out};

/// The whole load of the callers of a region moves in this time, a tenth of it in three seconds. A region that does not bear
/// the load which came last then fails its checks (by default, after three in a second each) before much more has come.
///
/// Load that returns too fast topples what has just recovered, and load that moves in one step topples what stands in for
/// it: Veeraraghavan et al., "Maelstrom", OSDI 2018, section 3, which moves it in steps and watches the health meanwhile;
/// Beyer et al., "Site Reliability Engineering", chapter 22, "Slow Startup and Cold Caching".
pub const MOVE_TIME: Duration = Duration::from_secs(30);

/// The clock moves load for this long at most in one step: a clock that stood still moves no more than that.
const STEP_MAX: Duration = Duration::from_secs(1);

/// Shares that differ by less than this are equal.
const EQUAL: f64 = 1e-9;

/// The shares of the load of one group of callers over time.
///
/// A region loses load at once, because what is not there takes no calls. It gains no more, at once, than its share by
/// weight in all that is available: with so much in every region, the load of the most loaded one is as small as it can be.
/// Beyond that its share grows by the whole load in [`MOVE_TIME`].
#[derive(Debug, Default)]
pub(super) struct Damping {
    /// The share of each region; empty before the first that has any.
    held: BTreeMap<Arc<str>, f64>,
    moved_at: Duration,
    is_moving: bool,
}

impl Damping {
    /// Whether load is still on its way.
    pub(super) fn is_moving(&self) -> bool {
        self.is_moving
    }

    /// The shares of regions in the order of their distance. The sum is 1, or 0 while nothing is available.
    pub(super) fn share_out(
        &mut self,
        names: &[Arc<str>],
        regions: &[Capacity],
        overprovisioning: f64,
        now: Duration,
    ) -> Vec<f64> {
        let step = now.saturating_sub(self.moved_at).min(STEP_MAX);
        self.moved_at = now.max(self.moved_at);
        let step = step.as_secs_f64() / MOVE_TIME.as_secs_f64();
        let held: Vec<f64> =
            names.iter().map(|name| self.held.get(name).copied().unwrap_or_default()).collect();
        // A region that is no longer named has lost its load, and that moves as any other.
        let shares = if self.held.values().sum::<f64>() > 0.0 {
            self.damped(regions, overprovisioning, &held, step)
        } else {
            self.is_moving = false;
            share_out(regions, overprovisioning, |_| 1.0).wanted
        };
        self.held = names.iter().cloned().zip(shares.iter().copied()).collect();
        shares
    }

    fn damped(
        &mut self,
        regions: &[Capacity],
        overprovisioning: f64,
        held: &[f64],
        step: f64,
    ) -> Vec<f64> {
        let Shares { even, wanted: goal, .. } = share_out(regions, overprovisioning, |_| 1.0);
        let limit: Vec<f64> = regions
            .iter()
            .zip(even.iter().zip(held))
            .map(|(region, (even, held))| match region.available > 0.0 {
                true => even.max(held + step).min(1.0),
                false => 0.0,
            })
            .collect();
        let Shares { wanted, bearable, .. } =
            share_out(regions, overprovisioning, |index| limit[index]);
        let mut shares: Vec<f64> =
            wanted.iter().zip(&limit).map(|(wanted, limit)| wanted.min(*limit)).collect();
        // The limits add up to 1 at least, because each is no less than the region's share in all that is available.
        let room = |up_to: &dyn Fn(usize) -> f64| (0..limit.len()).map(up_to).collect::<Vec<_>>();
        for up_to in [
            room(&|at| held[at].min(limit[at]).min(bearable[at])),
            room(&|at| limit[at].min(bearable[at])),
            limit.clone(),
        ] {
            pour(&mut shares, &up_to);
        }
        self.is_moving = shares.iter().zip(&goal).any(|(now, goal)| (now - goal).abs() > EQUAL);
        if self.is_moving { shares } else { goal }
    }
}

/// Raises shares until their sum is 1, in proportion to the room that each has below its bound, as far as there is room.
fn pour(shares: &mut [f64], up_to: &[f64]) {
    let left = 1.0 - shares.iter().sum::<f64>();
    let room = |share: f64, up_to: f64| (up_to - share).max(0.0);
    let sum: f64 = shares.iter().zip(up_to).map(|(share, up_to)| room(*share, *up_to)).sum();
    if left > 0.0 && sum > 0.0 {
        let part = (left / sum).min(1.0);
        for (share, up_to) in shares.iter_mut().zip(up_to) {
            *share += room(*share, *up_to) * part;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::shares::OVERPROVISIONING;
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    struct Callers {
        damping: Damping,
        names: Vec<Arc<str>>,
        regions: Vec<Capacity>,
        now: Duration,
    }

    impl Callers {
        /// Callers of the first of so many regions, each with a weight of 100.
        fn of(regions: u32) -> Self {
            let region = |distance| Capacity { available: 100.0, total: 100.0, distance };
            let mut callers = Self {
                damping: Damping::default(),
                names: (0..regions).map(|n| n.to_string().into()).collect(),
                regions: (0..regions).map(region).collect(),
                now: Duration::ZERO,
            };
            callers.after(Duration::ZERO);
            callers
        }

        fn after(&mut self, time: Duration) -> Vec<f64> {
            self.now += time;
            let Self { damping, names, regions, now } = self;
            let shares = damping.share_out(names, regions, OVERPROVISIONING, *now);
            let sum: f64 = shares.iter().sum();
            assert!(sum == 0.0 || (sum - 1.0).abs() < 1e-9, "{shares:?}");
            shares
        }

        fn settle(&mut self) -> Duration {
            let began = self.now;
            while self.damping.is_moving() {
                self.after(SECOND / 10);
                assert!(self.now - began < 2 * MOVE_TIME);
            }
            self.now - began
        }
    }

    fn percent(shares: &[f64]) -> Vec<u32> {
        shares.iter().map(|share| (share * 100.0).round() as u32).collect()
    }

    #[test]
    fn the_load_of_a_lost_region_goes_to_all_at_once_and_to_the_nearest_in_time() {
        let mut callers = Callers::of(6);
        callers.regions[0].available = 0.0;
        assert_eq!(percent(&callers.after(Duration::ZERO)), [0, 20, 20, 20, 20, 20]);
        assert_eq!(percent(&callers.after(SECOND * 3)), [0, 23, 23, 20, 17, 17], "one step");
        callers.settle();
        assert_eq!(percent(&callers.after(Duration::ZERO)), [0, 40, 40, 20, 0, 0]);
    }

    #[test]
    fn a_region_that_is_back_gets_its_load_back_in_time_and_others_keep_it_meanwhile() {
        let mut callers = Callers::of(6);
        callers.regions[0].available = 0.0;
        callers.after(Duration::ZERO);
        callers.settle();
        callers.regions[0].available = 100.0;
        assert_eq!(percent(&callers.after(Duration::ZERO)), [17, 40, 40, 3, 0, 0]);
        let took = callers.settle();
        assert!((SECOND * 24..SECOND * 26).contains(&took), "{took:?}");
        assert_eq!(percent(&callers.after(Duration::ZERO)), [100, 0, 0, 0, 0, 0]);
    }

    #[test]
    fn a_clock_that_stood_still_moves_a_second_of_load_at_most() {
        let mut callers = Callers::of(6);
        callers.regions[0].available = 0.0;
        callers.after(Duration::ZERO);
        callers.regions[0].available = 100.0;
        let back = callers.after(Duration::from_secs(3_600));
        assert_eq!(percent(&back)[0], 17);
    }

    #[test]
    fn another_order_moves_load_in_time_and_nowhere_else() {
        let mut callers = Callers::of(4);
        callers.regions[0].available = 50.0;
        callers.after(Duration::ZERO);
        callers.settle();
        assert_eq!(percent(&callers.after(Duration::ZERO)), [70, 30, 0, 0]);
        callers.names.swap(1, 3);
        let moved = callers.after(Duration::ZERO);
        assert_eq!(percent(&moved), [70, 29, 0, 1]);
    }

    #[test]
    fn the_load_of_a_region_that_is_gone_moves_as_that_of_one_that_failed() {
        let mut callers = Callers::of(6);
        callers.names.remove(0);
        callers.regions.remove(0);
        assert_eq!(percent(&callers.after(Duration::ZERO)), [20, 20, 20, 20, 20]);
        callers.settle();
        assert_eq!(percent(&callers.after(Duration::ZERO)), [100, 0, 0, 0, 0]);
    }

    #[test]
    fn callers_without_any_region_left_begin_anew() {
        let mut callers = Callers::of(2);
        callers.regions.iter_mut().for_each(|region| region.available = 0.0);
        assert_eq!(callers.after(SECOND), [0.0, 0.0]);
        callers.regions[0].available = 100.0;
        assert_eq!(callers.after(SECOND), [1.0, 0.0]);
    }
}
