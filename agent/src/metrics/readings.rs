//! The values of one scrape, and how they are written.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{DescriptorEncoder, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::exemplar::Exemplar;
use prometheus_client::registry::Registry;

use super::histogram::Distribution;
use super::table::{Kind, table};

/// The text in which a scrape is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exposition {
    /// The text of Prometheus, version 0.0.4.
    Prometheus,
    /// OpenMetrics 1.0.
    OpenMetrics,
}

impl Exposition {
    /// The one that a scraper prefers, by its header `Accept`.
    pub(crate) fn accepted(accept: &str) -> Self {
        if accept.contains("application/openmetrics-text") {
            Self::OpenMetrics
        } else {
            Self::Prometheus
        }
    }

    pub(crate) fn content_type(self) -> &'static str {
        match self {
            Self::Prometheus => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }
}

/// A value of a metric.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Value {
    Count(u64),
    /// A counter that is no whole number, such as seconds.
    Sum(f64),
    Level(f64),
    Durations(Distribution),
}

/// The labels of a value.
type Labels = Vec<(&'static str, String)>;

/// The values of all metrics at one moment. A metric without a value is left out.
#[derive(Debug, Default)]
pub(crate) struct Readings {
    values: BTreeMap<String, Vec<(Labels, Value)>>,
}

impl Readings {
    pub(crate) fn set(&mut self, name: impl Into<String>, value: Value) {
        self.set_for(name, Vec::new(), value);
    }

    pub(crate) fn set_for(&mut self, name: impl Into<String>, labels: Labels, value: Value) {
        self.values.entry(name.into()).or_default().push((labels, value));
    }

    pub(crate) fn level(&mut self, name: &str, value: impl Into<f64>) {
        self.set(name, Value::Level(value.into()));
    }

    /// The text of these values, in the order of the table.
    pub(crate) fn write(self: &Arc<Self>, exposition: Exposition) -> Result<String, fmt::Error> {
        let mut registry = Registry::default();
        registry.register_collector(Box::new(self.clone()));
        let mut text = String::new();
        encode(&mut text, &registry)?;
        Ok(match exposition {
            Exposition::OpenMetrics => text,
            Exposition::Prometheus => prometheus(&text),
        })
    }
}

impl Collector for Readings {
    fn encode(&self, mut encoder: DescriptorEncoder) -> Result<(), fmt::Error> {
        for metric in table() {
            let Some(values) = self.values.get(metric.name.as_ref()) else { continue };
            // The encoder adds the suffix.
            let name = metric.name.strip_suffix("_total").unwrap_or(&metric.name);
            let kind = match metric.kind {
                Kind::Counter => MetricType::Counter,
                Kind::Gauge => MetricType::Gauge,
                Kind::Histogram => MetricType::Histogram,
            };
            let mut encoder = encoder.encode_descriptor(name, &metric.help, None, kind)?;
            for (labels, value) in values {
                match labels.is_empty() {
                    true => value.write(&mut encoder)?,
                    false => value.write(&mut encoder.encode_family(&labels.as_slice())?)?,
                }
            }
        }
        Ok(())
    }
}

impl Value {
    fn write(&self, encoder: &mut MetricEncoder) -> Result<(), fmt::Error> {
        const NO_EXEMPLAR: Option<&Exemplar<NoLabelSet, u64>> = None;
        match self {
            Self::Count(count) => encoder.encode_counter(count, NO_EXEMPLAR),
            Self::Sum(sum) => encoder.encode_counter(sum, NO_EXEMPLAR),
            Self::Level(level) => encoder.encode_gauge(level),
            Self::Durations(Distribution { sum_s, count, buckets }) => {
                encoder.encode_histogram::<NoLabelSet>(*sum_s, *count, buckets, None)
            }
        }
    }
}

/// OpenMetrics in the older text of Prometheus: a counter is described under its whole name, and there is no end.
fn prometheus(open_metrics: &str) -> String {
    let mut text = String::with_capacity(open_metrics.len());
    let mut help = None;
    for line in open_metrics.lines() {
        if line == "# EOF" || line.starts_with("# UNIT ") {
            continue;
        }
        // The type decides the name, and follows the help.
        if let Some(rest) = line.strip_prefix("# HELP ") {
            help = rest.split_once(' ');
            continue;
        }
        if let Some((name, kind)) =
            line.strip_prefix("# TYPE ").and_then(|rest| rest.split_once(' '))
        {
            let suffix = if kind == "counter" { "_total" } else { "" };
            if let Some((_, help)) = help.take() {
                text.push_str(&format!("# HELP {name}{suffix} {help}\n"));
            }
            text.push_str(&format!("# TYPE {name}{suffix} {kind}\n"));
            continue;
        }
        text.push_str(line);
        text.push('\n');
    }
    text
}
