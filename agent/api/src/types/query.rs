//! What is asked of a service: which instances, which one for a call, how that call went, what changes.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::default_namespace;

/// Which instances of a service.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Query {
    /// The service.
    pub service: String,
    /// Its namespace.
    #[serde(default = "default_namespace")]
    pub namespace: String,
    /// Also those that are not healthy.
    #[serde(default)]
    pub all: bool,
    /// Only instances with all these tags.
    #[serde(default)]
    pub tags: BTreeSet<String>,
    /// Only instances with all this metadata.
    #[serde(default)]
    pub meta: BTreeMap<String, String>,
    /// Only instances that this label selector matches, as in Kubernetes: `tier in (a,b),env!=prod,!canary`. Metadata
    /// are labels; a tag is a label with an empty value.
    #[serde(default)]
    pub selector: Option<String>,
    /// Only instances of this datacenter.
    #[serde(default)]
    pub datacenter: Option<String>,
}

/// Which instance a call should go to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PickQuery {
    /// The service.
    pub service: String,
    /// Its namespace.
    #[serde(default = "default_namespace")]
    pub namespace: String,
    /// How to choose. Defaults to what the service was registered with, then to round robin.
    #[serde(default)]
    pub strategy: Option<Strategy>,
    /// What keyed strategies hash; a key sticks to an instance while it is there.
    #[serde(default)]
    pub key: Option<String>,
    /// How many picks, from 1 to 10,000.
    #[serde(default = "default_count")]
    pub count: u32,
    /// Only instances that this label selector matches; see [`Query::selector`].
    #[serde(default)]
    pub selector: Option<String>,
    /// Only instances of this datacenter.
    #[serde(default)]
    pub datacenter: Option<String>,
    /// Which instances first.
    #[serde(default)]
    pub prefer: Prefer,
    /// Whether [`Request::Report`](super::Request::Report) will follow. Each pick then has a token, and its call counts as in flight until it is
    /// reported, for a minute at most.
    #[serde(default)]
    pub report: bool,
}

fn default_count() -> u32 {
    1
}

/// How an instance is chosen. Keyed strategies need a key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Strategy {
    /// Each in turn.
    #[default]
    RoundRobin,
    /// Each in turn, as often as its weight says.
    Weighted,
    /// Any, in proportion to its weight.
    WeightedRandom,
    /// Any.
    Random,
    /// The one with fewer calls in flight, of two drawn at random.
    LeastConnections,
    /// The one with the lower latency times calls in flight, of two drawn at random; needs reports.
    PeakEwma,
    /// The fastest that is not among the most loaded, of a few drawn at random; needs reports.
    HotCold,
    /// The one that the key hashes to (Maglev).
    ConsistentHash,
    /// The same, but none gets more than 1.25 times its share of the calls in flight.
    BoundedHash,
    /// The one that the key hashes to; one that goes moves next to no other's keys.
    Rendezvous,
    /// The one that the key hashes to, on the classic ring.
    Ring,
}

impl Strategy {
    /// Its name, as in JSON.
    #[must_use]
    pub fn name(self) -> &'static str {
        hobnob_balancer::Strategy::from(self).name()
    }
}

impl From<Strategy> for hobnob_balancer::Strategy {
    fn from(strategy: Strategy) -> Self {
        match strategy {
            Strategy::RoundRobin => Self::RoundRobin,
            Strategy::Weighted => Self::Weighted,
            Strategy::WeightedRandom => Self::WeightedRandom,
            Strategy::Random => Self::Random,
            Strategy::LeastConnections => Self::LeastConnections,
            Strategy::PeakEwma => Self::PeakEwma,
            Strategy::HotCold => Self::HotCold,
            Strategy::ConsistentHash => Self::ConsistentHash,
            Strategy::BoundedHash => Self::BoundedHash,
            Strategy::Rendezvous => Self::Rendezvous,
            Strategy::Ring => Self::Ring,
        }
    }
}

/// Which instances are picked first. The others follow as far as the first ones are not healthy enough.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(rename_all = "kebab-case")]
pub enum Prefer {
    /// All alike.
    #[default]
    Any,
    /// Those in this agent's zone, then those in its datacenter.
    Zone,
    /// Those in this agent's datacenter.
    Datacenter,
}

/// How the call of a pick went.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CallReport {
    /// The token of the pick.
    pub token: u64,
    /// How it ended.
    #[serde(default)]
    pub outcome: CallOutcome,
    /// Microseconds from the call to its end; not used for a cancelled one.
    #[serde(default)]
    pub latency_us: u64,
}

/// How a call ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CallOutcome {
    /// The instance answered.
    #[default]
    Success,
    /// No connection, no answer in time, or an answer that says so.
    Failure,
    /// The caller gave up for its own reasons.
    Cancelled,
}

/// Which service to follow.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WatchQuery {
    /// The service.
    pub service: String,
    /// Its namespace.
    #[serde(default = "default_namespace")]
    pub namespace: String,
    /// Go on after this revision, of an earlier watch on the same agent. When the agent no longer knows what came
    /// since, the watch starts over with the instances now.
    #[serde(default)]
    pub since: Option<u64>,
}
