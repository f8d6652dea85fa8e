//! A measured number and its goal.

use serde::Serialize;

use crate::world::Seal;

/// The extent of the measurements.
#[derive(Clone, Debug)]
pub struct Setting {
    /// Agents.
    pub nodes: usize,
    /// Loss, for sections that measure at several.
    pub losses: Vec<f64>,
    /// The seed.
    pub seed: u64,
    /// Changes to follow one by one.
    pub changes: usize,
    /// Changes of which none may be lost.
    pub deliveries: usize,
    /// Crashes to follow.
    pub crashes: usize,
    /// Minutes over which false downs are counted, and length of the longer cut between halves.
    pub minutes: u64,
    /// Agents that pause for the first time.
    pub onsets: usize,
    /// How the clusters are sealed.
    pub seal: Seal,
}

/// One measured number.
#[derive(Clone, Debug, Serialize)]
pub struct Measurement {
    /// Its section.
    pub section: &'static str,
    /// The measurements.
    pub what: String,
    /// Agents.
    pub nodes: usize,
    /// Share of datagrams lost.
    pub loss: f64,
    /// The number; `None` when the event did not happen in time.
    pub measured: Option<f64>,
    /// Its unit.
    pub unit: &'static str,
    /// The goal: the number must be at most this.
    pub goal: Option<f64>,
    /// Remarks.
    pub note: String,
    /// The seed.
    pub seed: u64,
}

impl Measurement {
    /// Whether the goal was met; `None` without a goal.
    #[must_use]
    pub fn is_met(&self) -> Option<bool> {
        self.goal.map(|goal| self.measured.is_some_and(|measured| measured <= goal))
    }
}

/// Collects the measurements of a section.
pub struct SectionReport<'a> {
    section: &'static str,
    setting: &'a Setting,
    measurements: Vec<Measurement>,
    progress: &'a mut dyn FnMut(&str),
}

impl<'a> SectionReport<'a> {
    /// An empty report. `progress` receives the name of each step.
    pub fn new(
        section: &'static str,
        setting: &'a Setting,
        progress: &'a mut dyn FnMut(&str),
    ) -> Self {
        Self { section, setting, measurements: Vec::new(), progress }
    }

    /// Reports the present step.
    pub fn progress(&mut self, what: &str) {
        (self.progress)(what);
    }

    /// Adds a number. The methods of [`MeasurementEntry`] complete it.
    pub fn add(
        &mut self,
        what: impl Into<String>,
        measured: Option<f64>,
        unit: &'static str,
    ) -> MeasurementEntry<'_> {
        self.measurements.push(Measurement {
            section: self.section,
            what: what.into(),
            nodes: self.setting.nodes,
            loss: 0.0,
            measured,
            unit,
            goal: None,
            note: String::new(),
            seed: self.setting.seed,
        });
        let last = self.measurements.len() - 1;
        MeasurementEntry(&mut self.measurements[last])
    }

    /// The measurements.
    #[must_use]
    pub fn finish(self) -> Vec<Measurement> {
        self.measurements
    }
}

/// A measurement that was just added.
pub struct MeasurementEntry<'a>(&'a mut Measurement);

impl MeasurementEntry<'_> {
    /// Sets the loss at which it was measured.
    pub fn at_loss(self, loss: f64) -> Self {
        self.0.loss = loss;
        self
    }

    /// The goal: the number must be at most this.
    pub fn goal(self, at_most: f64) -> Self {
        self.0.goal = Some(at_most);
        self
    }

    /// Remarks.
    pub fn note(self, note: impl Into<String>) -> Self {
        self.0.note = note.into();
        self
    }
}

/// The value at a quantile, rounded up to one of the values. `None` without values.
#[must_use]
pub fn quantile(values: &[f64], share: f64) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    let rank = (sorted.len() as f64 * share).ceil() as usize;
    sorted.get(rank.saturating_sub(1)).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quantile_is_one_of_the_values() {
        let values: Vec<f64> = (1..=200).rev().map(f64::from).collect();
        assert_eq!(quantile(&values, 0.5), Some(100.0));
        assert_eq!(quantile(&values, 0.99), Some(198.0));
        assert_eq!(quantile(&values[..1], 0.99), Some(200.0));
        assert_eq!(quantile(&[], 0.5), None);
    }

    #[test]
    fn an_event_that_never_happened_misses_its_goal() {
        let setting = Setting {
            nodes: 10,
            losses: Vec::new(),
            seed: 1,
            changes: 0,
            deliveries: 0,
            crashes: 0,
            minutes: 0,
            onsets: 0,
            seal: Seal::None,
        };
        let mut quiet = |_: &str| {};
        let mut report = SectionReport::new("join", &setting, &mut quiet);
        report.add("never", None, "s").goal(1.0);
        report.add("in time", Some(1.0), "s").goal(1.0);
        report.add("no goal", Some(1.0), "s").note("as it is");
        let met: Vec<_> = report.finish().iter().map(Measurement::is_met).collect();
        assert_eq!(met, [Some(false), Some(true), None]);
    }
}
