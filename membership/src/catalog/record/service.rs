//! The records of a service instance: its definition and its health.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::rules::{RecordError, count, name, text};
use super::{Calling, InstanceScope, Meta, Tags, Text, Upkeep};
use crate::base::limits;
use crate::codec::{Block, DecodeError, Field, Reader, Writer, block};

/// The namespace of a service that names none.
pub const DEFAULT_NAMESPACE: &str = "default";

/// The definition of a service instance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceRecord {
    /// The service that it belongs to.
    pub service: Text,
    /// The namespace of the service.
    pub namespace: Text,
    /// The address where it answers: an IP address or a host name.
    pub address: Text,
    /// The port where it answers.
    pub port: u16,
    /// Labels without a value.
    pub tags: Tags,
    /// Labels with a value.
    pub meta: Meta,
    /// Its capacity relative to that of other instances.
    pub weight: u32,
    /// Whether its agent checks its health. An instance without a check is healthy while its agent lives.
    pub checked: bool,
    /// The balancing of calls to its service.
    pub balancing: Balancing,
    /// How far its definition goes.
    pub scope: InstanceScope,
    /// What an operator did to it. It is the last field for good.
    pub upkeep: Upkeep,
}
block!(ServiceRecord { service, namespace, address, port, tags, meta, weight, checked, balancing } later {
    scope: InstanceScope::Global,
    upkeep: Upkeep::default(),
});

/// The settings for balancing calls to a service, for all callers. A setting that is not given is left to the caller.
///
/// Every instance may carry settings. Of the instances that do, the one with the lowest id, then node id, decides for
/// the service.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Balancing {
    /// The name of the strategy for picks that name none. A reader ignores a name that it does not know.
    pub strategy: Option<Text>,
    /// Failures without a success in between that open the circuit of an instance. `None`: no circuit breaker.
    pub failure_threshold: Option<u32>,
    /// Milliseconds until an open circuit lets one probe through.
    pub recovery_timeout_ms: Option<u64>,
    /// Failures without a success in between that eject an instance. `None`: no outlier ejection.
    pub outlier_failures: Option<u32>,
    /// Milliseconds from one comparison of success rates to the next.
    pub outlier_interval_ms: Option<u64>,
    /// Milliseconds of the first ejection; the n-th is n times as long.
    pub ejection_time_ms: Option<u64>,
    /// The largest percentage of the instances that may be ejected at one time.
    pub max_ejection_percent: Option<u32>,
    /// While less than this percentage of the instances takes picks, circuits and ejections are ignored.
    pub panic_threshold_percent: Option<u32>,
    /// Milliseconds in which the weight of a new instance ramps up.
    pub slow_start_ms: Option<u64>,
    /// The largest number of picks in flight to an instance under a keyed strategy, in percent of its fair share.
    pub load_bound_percent: Option<u32>,
    /// The datacenters that the service fails over to, in this order. Others come after them.
    pub failover: Vec<Text>,
    /// How calls are made. It is the last field for good.
    pub calling: Calling,
}
block!(Balancing { strategy, failure_threshold, recovery_timeout_ms } later {
    outlier_failures: None,
    outlier_interval_ms: None,
    ejection_time_ms: None,
    max_ejection_percent: None,
    panic_threshold_percent: None,
    slow_start_ms: None,
    load_bound_percent: None,
    failover: Vec::new(),
    calling: Calling::default(),
});

/// The health of an instance, as its checks found it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Health {
    /// No check has run yet, or the check is overdue.
    #[default]
    Unknown,
    /// The checks pass.
    Passing,
    /// The checks pass, and one of them warns. A version without warnings reads it as [`Passing`](Self::Passing).
    Warning,
    /// A check fails.
    Failing,
}

/// The byte that follows a passing health that warns.
const WARNS: u8 = 1;

impl Health {
    /// Whether the instance may be used.
    #[must_use]
    pub const fn passes(self) -> bool {
        matches!(self, Self::Passing | Self::Warning)
    }
}

impl Block for Health {
    fn put_fields(&self, writer: &mut Writer) {
        writer.byte(match self {
            Self::Unknown => 0,
            Self::Passing | Self::Warning => 1,
            Self::Failing => 2,
        });
        if *self == Self::Warning {
            writer.byte(WARNS);
        }
    }

    fn take_fields(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        match u8::take(reader)? {
            0 => Ok(Self::Unknown),
            // A second byte that is not known here is the word of a later version for an instance that passes.
            1 if reader.is_empty() || u8::take(reader)? != WARNS => Ok(Self::Passing),
            1 => Ok(Self::Warning),
            2 => Ok(Self::Failing),
            state => Err(DecodeError::Unknown(state)),
        }
    }
}

impl ServiceRecord {
    /// Checks every limit.
    ///
    /// # Errors
    /// The first rule that it breaks.
    pub fn validate(&self) -> Result<(), RecordError> {
        name("service", &self.service)?;
        name("namespace", &self.namespace)?;
        name("address", &self.address)?;
        if !is_host(&self.address) {
            return Err(RecordError::NotAHost { address: self.address.to_string() });
        }
        if self.port == 0 {
            return Err(RecordError::OutOfRange { field: "port", expected: "from 1 to 65535" });
        }
        if self.weight == 0 || self.weight > limits::MAX_WEIGHT {
            return Err(RecordError::OutOfRange { field: "weight", expected: "from 1 to 65535" });
        }
        count("tags", self.tags.len(), limits::MAX_TAGS)?;
        for tag in self.tags.iter() {
            name("tag", tag)?;
        }
        self.balancing.validate()?;
        self.upkeep.validate()?;
        count("metadata keys", self.meta.len(), limits::MAX_META_KEYS)?;
        for (key, value) in self.meta.iter() {
            name("metadata key", key)?;
            text("metadata value", value, limits::MAX_META_VALUE_BYTES)?;
        }
        Ok(())
    }
}

impl Balancing {
    /// Checks every limit.
    ///
    /// # Errors
    /// The first rule that it breaks.
    pub fn validate(&self) -> Result<(), RecordError> {
        if let Some(strategy) = &self.strategy {
            name("strategy", strategy)?;
        }
        count("failover datacenters", self.failover.len(), limits::MAX_FAILOVER)?;
        for datacenter in &self.failover {
            name("failover datacenter", datacenter)?;
        }
        self.calling.validate()?;
        let failures = (1..=1_000, "from 1 to 1000");
        let time = (1..=86_400_000, "from 1 ms to a day");
        for (field, value, (range, expected)) in [
            ("failure_threshold", self.failure_threshold.map(u64::from), failures.clone()),
            ("recovery_timeout_ms", self.recovery_timeout_ms, time.clone()),
            ("outlier_failures", self.outlier_failures.map(u64::from), failures),
            ("outlier_interval_ms", self.outlier_interval_ms, time.clone()),
            ("ejection_time_ms", self.ejection_time_ms, time.clone()),
            (
                "max_ejection_percent",
                self.max_ejection_percent.map(u64::from),
                (1..=100, "from 1 to 100"),
            ),
            (
                "panic_threshold_percent",
                self.panic_threshold_percent.map(u64::from),
                (0..=100, "from 0 to 100"),
            ),
            ("slow_start_ms", self.slow_start_ms, time),
            (
                "load_bound_percent",
                self.load_bound_percent.map(u64::from),
                (100..=1_000, "from 100 to 1000"),
            ),
        ] {
            if value.is_some_and(|value| !range.contains(&value)) {
                return Err(RecordError::OutOfRange { field, expected });
            }
        }
        Ok(())
    }
}

fn is_host(address: &str) -> bool {
    let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_');
    address.parse::<IpAddr>().is_ok() || address.chars().all(legal)
}
