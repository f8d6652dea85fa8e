//! One number, and what it was meant to be.

use serde::Serialize;

/// How much is measured, and of what.
#[derive(Clone, Debug)]
pub struct Setting {
    /// Agents.
    pub nodes: usize,
    /// Shares of datagrams that are lost, for what is measured at several.
    pub losses: Vec<f64>,
    /// The seed.
    pub seed: u64,
    /// Changes that are followed one by one.
    pub changes: usize,
    /// Changes of which none may be lost.
    pub deliveries: usize,
    /// Crashes that are followed.
    pub crashes: usize,
    /// Minutes in which false downs are counted, and that the longer cut between halves lasts.
    pub minutes: u64,
    /// Clean agents that begin to pause.
    pub onsets: usize,
}

/// One number.
#[derive(Clone, Debug, Serialize)]
pub struct Measurement {
    /// The section that it belongs to.
    pub section: &'static str,
    /// What was measured.
    pub what: String,
    /// Agents.
    pub nodes: usize,
    /// The share of datagrams that are lost.
    pub loss: f64,
    /// The number; `None` when it did not happen in time.
    pub measured: Option<f64>,
    /// Its unit.
    pub unit: &'static str,
    /// It is to be at most this.
    pub goal: Option<f64>,
    /// What else there is to say.
    pub note: String,
    /// The seed.
    pub seed: u64,
}

impl Measurement {
    /// Whether the goal was met, if there is one.
    #[must_use]
    pub fn is_met(&self) -> Option<bool> {
        self.goal.map(|goal| self.measured.is_some_and(|measured| measured <= goal))
    }
}

/// Takes the measurements of a section.
pub struct SectionReport<'a> {
    section: &'static str,
    setting: &'a Setting,
    measurements: Vec<Measurement>,
    progress: &'a mut dyn FnMut(&str),
}

impl<'a> SectionReport<'a> {
    /// A report without measurements; `progress` hears how far it is.
    pub fn new(
        section: &'static str,
        setting: &'a Setting,
        progress: &'a mut dyn FnMut(&str),
    ) -> Self {
        Self { section, setting, measurements: Vec::new(), progress }
    }

    /// Tells how far it is.
    pub fn progress(&mut self, what: &str) {
        (self.progress)(what);
    }

    /// Adds a number, to be improved upon by the methods of [`MeasurementEntry`].
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

    /// What was measured.
    #[must_use]
    pub fn finish(self) -> Vec<Measurement> {
        self.measurements
    }
}

/// A measurement that was just added.
pub struct MeasurementEntry<'a>(&'a mut Measurement);

impl MeasurementEntry<'_> {
    /// The loss at which it was measured.
    pub fn at_loss(self, loss: f64) -> Self {
        self.0.loss = loss;
        self
    }

    /// It is to be at most this.
    pub fn goal(self, at_most: f64) -> Self {
        self.0.goal = Some(at_most);
        self
    }

    /// What else there is to say.
    pub fn note(self, note: impl Into<String>) -> Self {
        self.0.note = note.into();
        self
    }
}

/// The value below which a share of the values lie, the upper one of two; `None` of none.
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
    fn what_never_happened_misses_its_goal() {
        let setting = Setting {
            nodes: 10,
            losses: Vec::new(),
            seed: 1,
            changes: 0,
            deliveries: 0,
            crashes: 0,
            minutes: 0,
            onsets: 0,
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
