//! The metrics of a proxy, in the text of OpenMetrics.

use std::fmt;
use std::sync::Arc;

use hobnob_api::calls::CircuitState;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{DescriptorEncoder, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::exemplar::Exemplar;
use prometheus_client::registry::Registry;

use crate::access_log::lost_lines;
use crate::phase::Phase;
use crate::refusal::Code;
use crate::route::{Common, Route};

pub(crate) const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// A metric of a proxy.
#[derive(Clone, Copy, Debug)]
pub struct MetricRow {
    /// Its name; that of a counter without `_total`.
    pub name: &'static str,
    /// Whether it only grows, comes and goes, or is a distribution.
    kind: MetricType,
    /// Its description.
    pub help: &'static str,
}

macro_rules! rows {
    ($($kind:ident $name:ident $help:literal;)*) => {
        &[$(MetricRow { name: stringify!($name), kind: MetricType::$kind, help: $help }),*]
    };
}

/// All metrics.
pub const METRICS: &[MetricRow] = rows! {
    Gauge hobnob_proxy_draining "1 while the proxy drains";
    Counter hobnob_proxy_accepts_failed "Connections that could not be accepted, mostly for want of a descriptor";
    Counter hobnob_proxy_accepts_paused "Times at which there were as many connections as there may be";
    Counter hobnob_proxy_access_log_lost "Lines of the access log that were lost";
    Gauge hobnob_proxy_instances_known "1 once an agent has told the instances, by route";
    Gauge hobnob_proxy_agent_away_seconds "The time for which no agent has answered, by route";
    Counter hobnob_proxy_answers "Answers of instances, by route and class of status";
    Counter hobnob_proxy_refused "Requests and connections that the proxy answered itself, by route and reason";
    Counter hobnob_proxy_broken_off "Answers that an instance broke off, by route";
    Counter hobnob_proxy_cancelled "Calls whose client was gone before the answer was sent, by route";
    Gauge hobnob_proxy_calls "Calls in flight, by route";
    Histogram hobnob_proxy_call_duration_seconds "Time from the head of a request to the end of its answer, by route";
    Counter hobnob_proxy_calls_failed "Calls that ended with an error or an answer that is a failure, by route";
    Counter hobnob_proxy_retries "Further tries of calls that had failed, by route";
    Counter hobnob_proxy_hedges "Second tries of calls that took long, by route";
    Counter hobnob_proxy_retry_budget_spent "Calls that were not tried again because the budget was spent, by route";
    Counter hobnob_proxy_connections_accepted "Connections of clients so far, by route";
    Gauge hobnob_proxy_connections "Connections of clients, by route";
    Counter hobnob_proxy_connections_closed "Connections that were closed because their time was over, by route and reason";
    Gauge hobnob_proxy_instance_connections "Connections to instances for calls over HTTP, by route";
    Counter hobnob_proxy_tunnels_opened "Tunnels so far, over TCP and after upgrades, by route";
    Gauge hobnob_proxy_tunnels "Tunnels, by route";
    Counter hobnob_proxy_tunnel_bytes "Bytes through tunnels, by route and direction";
    Counter hobnob_proxy_instance_tries "Tries at an instance";
    Counter hobnob_proxy_instance_failures "Tries at an instance that failed";
    Gauge hobnob_proxy_instance_calls "Calls in flight at an instance";
    Gauge hobnob_proxy_instance_latency_seconds "The average time to the head of an answer of an instance";
    Gauge hobnob_proxy_instance_circuit "The circuit of an instance: 0 closed, 0.5 half-open, 1 open";
    Gauge hobnob_proxy_instance_ejected "1 while an instance is ejected as an outlier";
};

/// The most instances of a service that have metrics of their own.
const MAX_INSTANCES: usize = 1_000;

/// A value, and its labels.
struct Sample {
    labels: Vec<(&'static str, String)>,
    value: Value,
}

enum Value {
    Count(u64),
    Level(f64),
    Durations((f64, u64, Vec<(f64, u64)>)),
}

/// The values of one scrape, in the order of the table.
struct Scrape(Vec<(&'static MetricRow, Vec<Sample>)>);

impl fmt::Debug for Scrape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Scrape").field(&self.0.len()).finish()
    }
}

/// The metrics of now.
///
/// # Errors
/// None is known: a string takes all text.
pub(crate) fn write(routes: &[Arc<Route>], common: &Common) -> Result<String, fmt::Error> {
    let mut scrape = Scrape(METRICS.iter().map(|row| (row, Vec::new())).collect());
    let is_draining = common.phases.now() != Phase::Serves;
    scrape.set("draining", &[], Value::Level(f64::from(u8::from(is_draining))));
    scrape.set("accepts_failed", &[], Value::Count(common.counters.accepts_failed.get()));
    scrape.set("accepts_paused", &[], Value::Count(common.counters.accepts_paused.get()));
    scrape.set("access_log_lost", &[], Value::Count(lost_lines()));
    for route in routes {
        scrape.route(route);
        scrape.instances(route);
    }
    let mut registry = Registry::default();
    registry.register_collector(Box::new(scrape));
    let mut text = String::new();
    encode(&mut text, &registry)?;
    Ok(text)
}

impl Scrape {
    /// Adds a value to the metric `hobnob_proxy_` and this name.
    fn set(&mut self, name: &str, labels: &[(&'static str, &str)], value: Value) {
        let row =
            self.0.iter_mut().find(|(row, _)| row.name.strip_prefix("hobnob_proxy_") == Some(name));
        debug_assert!(row.is_some(), "{name} is in the table");
        let labels = labels.iter().map(|(label, value)| (*label, (*value).to_owned())).collect();
        if let Some((_, samples)) = row {
            samples.push(Sample { labels, value });
        }
    }

    fn route(&mut self, route: &Route) {
        use Value::{Count, Durations, Level};
        let (counters, calls) = (&route.counters, route.discovery.call_stats());
        let [service, namespace, listen] = labels_of(route);
        let of = &[service, namespace, listen];
        let is_known = route.discovery.is_ready();
        self.set("instances_known", of, Level(f64::from(u8::from(is_known))));
        self.set("agent_away_seconds", of, Level(route.discovery.age().as_secs_f64()));
        for (class, count) in ["1xx", "2xx", "3xx", "4xx", "5xx"].iter().zip(&counters.answers) {
            self.set(
                "answers",
                &[service, namespace, listen, ("class", class)],
                Count(count.get()),
            );
        }
        for (code, count) in Code::ALL.iter().zip(&counters.refused) {
            self.set(
                "refused",
                &[service, namespace, listen, ("reason", code.name())],
                Count(count.get()),
            );
        }
        self.set("broken_off", of, Count(counters.broken_off.get()));
        self.set("cancelled", of, Count(counters.cancelled.get()));
        self.set("calls", of, Level(counters.calls.get() as f64));
        self.set("call_duration_seconds", of, Durations(counters.durations.read()));
        self.set("calls_failed", of, Count(calls.failed));
        self.set("retries", of, Count(calls.retries));
        self.set("hedges", of, Count(calls.hedges));
        self.set("retry_budget_spent", of, Count(calls.budget_spent));
        self.set("connections_accepted", of, Count(counters.accepted.get()));
        self.set("connections", of, Level(counters.connections.get() as f64));
        for (reason, count) in [
            ("idle", &counters.idle_closed),
            ("head", &counters.head_closed),
            ("stalled", &counters.stall_closed),
        ] {
            self.set(
                "connections_closed",
                &[service, namespace, listen, ("reason", reason)],
                Count(count.get()),
            );
        }
        self.set("instance_connections", of, Level(calls.connections as f64));
        self.set("tunnels_opened", of, Count(counters.tunnels_opened.get()));
        self.set("tunnels", of, Level(counters.tunnels.get() as f64));
        for (direction, count) in [
            ("to_instance", &counters.tunnel_bytes_to_instance),
            ("to_client", &counters.tunnel_bytes_to_client),
        ] {
            self.set(
                "tunnel_bytes",
                &[service, namespace, listen, ("direction", direction)],
                Count(count.get()),
            );
        }
    }

    fn instances(&mut self, route: &Route) {
        let [service, namespace, listen] = labels_of(route);
        for standing in route.discovery.standings().iter().take(MAX_INSTANCES) {
            let instance = &standing.instance;
            let of = &[
                service,
                namespace,
                listen,
                ("instance", &*instance.id),
                ("member", &*instance.node),
            ];
            self.set("instance_tries", of, Value::Count(standing.tries));
            self.set("instance_failures", of, Value::Count(standing.failures));
            self.set("instance_calls", of, Value::Level(f64::from(standing.in_flight)));
            if let Some(latency) = standing.latency {
                self.set("instance_latency_seconds", of, Value::Level(latency.as_secs_f64()));
            }
            let circuit = match standing.circuit {
                CircuitState::Closed => 0.0,
                CircuitState::HalfOpen { .. } => 0.5,
                CircuitState::Open { .. } => 1.0,
            };
            self.set("instance_circuit", of, Value::Level(circuit));
            let is_ejected = f64::from(u8::from(standing.ejected_for.is_some()));
            self.set("instance_ejected", of, Value::Level(is_ejected));
        }
    }
}

/// The labels that tell a route from all others: a service may be offered at several addresses.
fn labels_of(route: &Route) -> [(&'static str, &str); 3] {
    [("service", &*route.service), ("namespace", &route.namespace), ("listen", &route.listen)]
}

impl Collector for Scrape {
    fn encode(&self, mut encoder: DescriptorEncoder) -> Result<(), fmt::Error> {
        for (row, samples) in &self.0 {
            if samples.is_empty() {
                continue;
            }
            let mut encoder = encoder.encode_descriptor(row.name, row.help, None, row.kind)?;
            for Sample { labels, value } in samples {
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
            Self::Level(level) => encoder.encode_gauge(level),
            Self::Durations((sum_s, count, buckets)) => {
                encoder.encode_histogram::<NoLabelSet>(*sum_s, *count, buckets, None)
            }
        }
    }
}
