//! The share of the load that each region should take.

/// A region takes the whole load of its callers while at least 1/1.4 = 71 % of its weight is available: Envoy's default.
pub const OVERPROVISIONING: f64 = 1.4;

/// The weights of one region.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Capacity {
    /// The weight of its available targets.
    pub(super) available: f64,
    /// Its weight if all of its targets were available.
    pub(super) total: f64,
    /// Its distance from the client. Regions of one distance are alike.
    pub(super) distance: u32,
}

/// The share of the load of each layer within one region, given as `(available, total)` weights, nearest first.
///
/// Envoy's priority levels ("Priority levels" in its architecture overview). The health of a layer is `available / total`
/// times the overprovisioning factor, at most 1. Each layer in turn takes as much of the remaining load as its health
/// allows. If the healths add up to less than 1, all are scaled up.
pub fn spill_over(layers: &[(f64, f64)], overprovisioning: f64) -> Vec<f64> {
    let health = |&(available, total): &(f64, f64)| {
        if available <= 0.0 {
            0.0
        } else {
            (overprovisioning * available / total.max(available)).min(1.0)
        }
    };
    let sum: f64 = layers.iter().map(health).sum();
    let scale = if sum > 0.0 && sum < 1.0 { 1.0 / sum } else { 1.0 };
    let mut left = 1.0;
    let mut take = |layer| {
        let share = (health(layer) * scale).min(left);
        left -= share;
        share
    };
    layers.iter().map(&mut take).collect()
}

/// The shares of the callers' load that regions should take, with what each of them can take.
#[derive(Debug, PartialEq)]
pub(super) struct Shares {
    /// The share of each region. The sum is 1, or 0 while nothing is available.
    pub(super) wanted: Vec<f64>,
    /// The share that each region can take without more load than its weight is good for.
    pub(super) bearable: Vec<f64>,
    /// The share of each region in the weight that is available.
    pub(super) even: Vec<f64>,
}

/// Shares the load of the callers of the nearest region out, given regions in the order of their distance.
///
/// Envoy lets a healthy priority level take any load, however small it is. Here a region has callers of its own, and takes
/// no more of others' than its weight leaves room for. A region is taken to have a load of its `total` weight, and to bear
/// `overprovisioning` times its `available` weight. The nearest region that has any weight takes the load of its own callers
/// as far as it can bear it. The rest goes to the others, nearest first, each as far as it has room. Other regions that
/// cannot bear their own load need the same room: each gets it in proportion to its need. Load that nobody has room for is
/// shared among all by their available weight, which makes the largest overload as small as it can be.
///
/// `at_home` limits the share of the regions at the nearest distance.
pub(super) fn share_out(
    regions: &[Capacity],
    overprovisioning: f64,
    at_home: impl Fn(usize) -> f64,
) -> Shares {
    let available: f64 = regions.iter().map(|region| region.available).sum();
    let home = regions.iter().find(|region| region.total > 0.0).map(|region| region.distance);
    let (Some(home), true) = (home, available > 0.0) else {
        let none = || vec![0.0; regions.len()];
        return Shares { wanted: none(), bearable: none(), even: none() };
    };
    let even: Vec<f64> = regions.iter().map(|region| region.available / available).collect();
    let bears = |region: &Capacity| overprovisioning * region.available;
    let is_home = |region: &Capacity| region.distance == home;
    let load: f64 = regions.iter().filter(|region| is_home(region)).map(|home| home.total).sum();

    let mut wanted = vec![0.0; regions.len()];
    let mut bearable: Vec<f64> = regions.iter().map(|region| bears(region) / load).collect();
    fill(regions, &bearable, 1.0, is_home, &mut wanted);
    let limited = wanted.iter().enumerate().map(|(index, share)| share.min(at_home(index)));
    wanted = limited.collect();

    let need = load * (1.0 - wanted.iter().sum::<f64>()).max(0.0);
    let lacks = |region: &Capacity| (region.total - bears(region)).max(0.0);
    let others: f64 = regions.iter().filter(|region| !is_home(region)).map(lacks).sum();
    let part = if need > 0.0 { need / (need + others) } else { 0.0 };
    for (region, bearable) in regions.iter().zip(&mut bearable).filter(|(it, _)| !is_home(it)) {
        *bearable = (bears(region) - region.total).max(0.0) * part / load;
    }
    let left = 1.0 - wanted.iter().sum::<f64>();
    let left = fill(regions, &bearable, left, |region| !is_home(region), &mut wanted);
    for (wanted, even) in wanted.iter_mut().zip(&even) {
        *wanted += left * even;
    }
    Shares { wanted, bearable, even }
}

/// Gives each region as much as it bears, nearest first, and regions of one distance in proportion to that. Returns the load
/// that is left.
fn fill(
    regions: &[Capacity],
    bearable: &[f64],
    mut left: f64,
    takes: impl Fn(&Capacity) -> bool,
    shares: &mut [f64],
) -> f64 {
    let mut from = 0;
    while let Some(nearest) = regions.get(from) {
        let until = regions.partition_point(|region| region.distance <= nearest.distance);
        if takes(nearest) {
            let sum: f64 = bearable[from..until].iter().sum();
            let part = if sum > left { left / sum } else { 1.0 };
            for (share, bearable) in shares[from..until].iter_mut().zip(&bearable[from..until]) {
                *share += bearable * part;
            }
            left = (left - sum).max(0.0);
        }
        from = until;
    }
    left
}

#[cfg(test)]
mod tests {
    use super::*;

    fn percent(shares: &[f64]) -> Vec<u32> {
        shares.iter().map(|share| (share * 100.0).round() as u32).collect()
    }

    /// The shares of regions at distances 0, 1, 2 and so on, in percent.
    fn wanted(regions: &[(u32, u32)]) -> Vec<u32> {
        let regions: Vec<Capacity> = (0..)
            .zip(regions)
            .map(|(distance, &(available, total))| Capacity {
                available: available.into(),
                total: total.into(),
                distance,
            })
            .collect();
        percent(&share_out(&regions, OVERPROVISIONING, |_| 1.0).wanted)
    }

    #[test]
    fn layers_of_a_region_follow_envoy() {
        let shares = |layers: &[(f64, f64)]| percent(&spill_over(layers, OVERPROVISIONING));
        assert_eq!(shares(&[(100.0, 100.0), (100.0, 100.0)]), [100, 0]);
        assert_eq!(shares(&[(72.0, 100.0), (72.0, 100.0)]), [100, 0]);
        assert_eq!(shares(&[(71.0, 100.0), (71.0, 100.0)]), [99, 1]);
        assert_eq!(shares(&[(50.0, 100.0), (50.0, 100.0)]), [70, 30]);
        assert_eq!(shares(&[(25.0, 100.0), (100.0, 100.0)]), [35, 65]);
        assert_eq!(shares(&[(25.0, 100.0), (25.0, 100.0)]), [50, 50]);
        assert_eq!(shares(&[(0.0, 100.0), (5.0, 100.0)]), [0, 100]);
        assert_eq!(shares(&[(0.0, 100.0), (0.0, 0.0)]), [0, 0]);
    }

    #[test]
    fn the_own_region_takes_its_load_while_it_can_bear_it() {
        assert_eq!(wanted(&[(100, 100), (100, 100)]), [100, 0]);
        assert_eq!(wanted(&[(72, 100), (100, 100)]), [100, 0]);
        assert_eq!(wanted(&[(50, 100), (100, 100)]), [70, 30]);
        assert_eq!(wanted(&[(50, 100), (50, 100)]), [85, 15], "neither has room: by weight");
        assert_eq!(wanted(&[(0, 100), (5, 100)]), [0, 100], "calls are not refused");
        assert_eq!(wanted(&[(0, 0), (5, 5), (5, 5)]), [0, 100, 0], "the nearest stands in");
        assert_eq!(wanted(&[(0, 100), (0, 100)]), [0, 0]);
        assert!(wanted(&[]).is_empty());
    }

    #[test]
    fn a_region_gets_no_more_than_it_has_room_for_while_another_one_has_room() {
        assert_eq!(wanted(&[(0, 100), (100, 100), (200, 200)]), [0, 40, 60]);
        assert_eq!(wanted(&[(0, 100), (2, 2), (500, 500)]), [0, 1, 99], "however near it is");
        // 100 to place, 0.4 * 150 = 60 of room, 40 by weight.
        assert_eq!(wanted(&[(0, 100), (50, 50), (100, 100)]), [0, 33, 67]);
    }

    #[test]
    fn regions_in_need_divide_the_room_that_there_is() {
        // The second region lacks 100, too: each gets half of the 80 of the third, and what is left goes by weight.
        assert_eq!(wanted(&[(0, 100), (0, 100), (200, 200), (1_000, 1_000)]), [0, 0, 40, 60]);
    }

    #[test]
    fn regions_of_one_distance_share_by_their_room() {
        let region = |available, distance| Capacity { available, total: 100.0, distance };
        let regions = [region(0.0, 0), region(100.0, 1), region(85.72, 1), region(100.0, 2)];
        let shares = share_out(&regions, OVERPROVISIONING, |_| 1.0);
        assert_eq!(percent(&shares.wanted), [0, 40, 20, 40]);
        let no_home = [Capacity::default(), region(50.0, 1), region(100.0, 1)];
        assert_eq!(percent(&share_out(&no_home, OVERPROVISIONING, |_| 1.0).wanted), [0, 33, 67]);
    }
}
