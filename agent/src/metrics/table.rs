//! The table of all metrics.

use std::borrow::Cow;

use hobnob_membership::Counters;

use super::alerts::alert_for;
use super::rows::OWN;

/// The start of the name of each metric that is not one of a process in general.
pub(super) const PREFIX: &str = "hobnob_";

/// How the values of a metric behave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// It only grows while the agent runs. Its name ends with `_total`.
    Counter,
    /// It comes and goes.
    Gauge,
    /// A distribution of durations, as `_bucket`, `_sum` and `_count`.
    Histogram,
}

impl Kind {
    /// Its name in texts for Prometheus.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }
}

/// A metric.
#[derive(Clone, Debug)]
pub struct Metric {
    /// Its name, as Prometheus shows it.
    pub name: Cow<'static, str>,
    /// How its values behave.
    pub kind: Kind,
    /// The names of its labels.
    pub labels: &'static [&'static str],
    /// What it is.
    pub help: Cow<'static, str>,
    /// What to alert on; empty where nothing is to be.
    pub alert: &'static str,
}

impl Metric {
    /// Whether it is a counter of the protocol.
    pub(super) fn is_of_protocol(&self) -> bool {
        !OWN.iter().any(|row| row.name == self.name)
    }
}

/// The name under which the answer to `info` has the value of a node that comes and goes, among its counters.
const NODE_GAUGES: [&str; 1] = ["pool_is_far"];

/// Every metric of an agent: its own, then the counters of the protocol, in the order of their names.
#[must_use]
pub fn table() -> Vec<Metric> {
    let mut counters: Vec<_> =
        Counters::HELP.iter().map(|(name, help)| of_node(name, help)).collect();
    counters.sort_by(|a, b| a.name.cmp(&b.name));
    let own = OWN.iter().map(|row| Metric {
        name: row.name.into(),
        kind: row.kind,
        labels: row.labels,
        help: row.help.into(),
        alert: row.alert,
    });
    own.chain(counters).collect()
}

/// The metric that shows a value of the answer to `info`, by its name there.
pub(crate) fn name_of(counter: &str, is_gauge: bool) -> String {
    let suffix = if is_gauge { "" } else { "_total" };
    format!("{PREFIX}{counter}{suffix}")
}

fn of_node(name: &'static str, help: &'static str) -> Metric {
    let is_gauge = NODE_GAUGES.contains(&name);
    Metric {
        name: name_of(name, is_gauge).into(),
        kind: if is_gauge { Kind::Gauge } else { Kind::Counter },
        labels: &[],
        help: help.trim().into(),
        alert: alert_for(name),
    }
}
