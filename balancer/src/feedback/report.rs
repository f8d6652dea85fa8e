//! A report of how evenly the load of a service is spread.

use std::{collections::BTreeMap, sync::Arc};

/// The picks of each target of a service, in total or [since](Report::since) an earlier report.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// The targets in the order of their ids.
    pub targets: Vec<TargetReport>,
}

/// The picks of one target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TargetReport {
    /// The stable identity.
    pub id: Arc<str>,
    /// The share of the load relative to the other targets.
    pub weight: u32,
    /// The picks made.
    pub picks: u64,
    /// The picks that ended in failure.
    pub failures: u64,
    /// The picks in flight now.
    pub in_flight: u32,
    /// Whether a pick could go to it now.
    pub available: bool,
}

impl Report {
    /// The picks between an earlier report and this one. A target that the earlier report lacks keeps all of its picks.
    pub fn since(mut self, earlier: &Self) -> Self {
        let before: BTreeMap<&str, &TargetReport> =
            earlier.targets.iter().map(|target| (target.id.as_ref(), target)).collect();
        for target in &mut self.targets {
            if let Some(before) = before.get(target.id.as_ref()) {
                target.picks = target.picks.saturating_sub(before.picks);
                target.failures = target.failures.saturating_sub(before.failures);
            }
        }
        self
    }

    /// The fewest picks of a target over the most; 1 is even. `None` before the first pick.
    pub fn efficiency(&self) -> Option<f64> {
        ratio(self.targets.iter().map(|target| target.picks as f64))
    }

    /// The smallest load of a target over the largest, where load is picks for each unit of weight; 1 is fair. `None`
    /// before the first pick.
    pub fn fairness(&self) -> Option<f64> {
        ratio(self.targets.iter().map(|target| target.picks as f64 / f64::from(target.weight)))
    }

    /// Jain's index of picks for each unit of weight, from 1/n (one target has all picks) to 1 (fair). Unlike
    /// [`Report::fairness`] it depends on every target, not only on the two extremes. `None` before the first pick.
    ///
    /// Jain, Chiu and Hawe, "A Quantitative Measure of Fairness and Discrimination for Resource Allocation in Shared
    /// Computer Systems", DEC-TR-301, 1984.
    pub fn jain_index(&self) -> Option<f64> {
        let loads =
            self.targets.iter().map(|target| target.picks as f64 / f64::from(target.weight));
        let (sum, squares) =
            loads.fold((0.0, 0.0), |(sum, squares), load| (sum + load, squares + load * load));
        (squares > 0.0).then(|| sum * sum / (squares * self.targets.len() as f64))
    }
}

fn ratio(loads: impl Iterator<Item = f64> + Clone) -> Option<f64> {
    let max = loads.clone().fold(0.0, f64::max);
    (max > 0.0).then(|| loads.fold(f64::MAX, f64::min) / max)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(loads: &[(u32, u64)]) -> Report {
        let target = |(i, &(weight, picks)): (usize, &(u32, u64))| TargetReport {
            id: i.to_string().into(),
            weight,
            picks,
            failures: 0,
            in_flight: 0,
            available: true,
        };
        Report { targets: loads.iter().enumerate().map(target).collect() }
    }

    #[test]
    fn even_and_fair_are_not_the_same() {
        let report = report(&[(1, 10), (3, 30)]);
        assert_eq!(report.efficiency(), Some(1.0 / 3.0));
        assert_eq!(report.fairness(), Some(1.0));
        assert_eq!(report.jain_index(), Some(1.0));
    }

    #[test]
    fn one_target_that_has_it_all() {
        let report = report(&[(1, 10), (1, 0), (1, 0), (1, 0)]);
        assert_eq!(
            (report.efficiency(), report.fairness(), report.jain_index()),
            (Some(0.0), Some(0.0), Some(0.25))
        );
    }

    #[test]
    fn nothing_yet() {
        let report = report(&[(1, 0), (1, 0)]);
        assert_eq!(
            (report.efficiency(), report.fairness(), report.jain_index()),
            (None, None, None)
        );
    }

    #[test]
    fn since_an_earlier_report() {
        let window = report(&[(1, 15), (1, 20), (1, 5)]).since(&report(&[(1, 10), (1, 10)]));
        assert_eq!(
            window.targets.iter().map(|target| target.picks).collect::<Vec<_>>(),
            [5, 10, 5]
        );
    }
}
