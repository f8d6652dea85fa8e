//! Questions about a service: its instances, an instance for a call, the outcome of that call, its changes.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

pub use hobnob_balancer::{Outcome, Prefer, Strategy, UnknownName};
use serde::{Deserialize, Serialize};

use super::{
    Consistency, DEFAULT_NAMESPACE, Datacenters, NodeId, default_namespace, default_one,
    is_default, is_default_namespace, is_one,
};

/// Asks for the instances of a service.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Query {
    /// The service.
    pub service: String,
    /// Its namespace.
    #[serde(default = "default_namespace", skip_serializing_if = "is_default_namespace")]
    pub namespace: String,
    /// Whether instances that are not offered match, too.
    #[serde(default, skip_serializing_if = "is_default")]
    pub all: bool,
    /// Whether only healthy instances match, also when none is left. Then `all` has no effect.
    #[serde(default, skip_serializing_if = "is_default")]
    pub strict: bool,
    /// Only instances with all these tags.
    #[serde(default, skip_serializing_if = "is_default")]
    pub tags: BTreeSet<String>,
    /// Only instances with all this metadata.
    #[serde(default, skip_serializing_if = "is_default")]
    pub meta: BTreeMap<String, String>,
    /// Only instances that this label selector matches, as in Kubernetes: `tier in (a,b),env!=prod,!canary`. Metadata
    /// are labels; a tag is a label with an empty value.
    #[serde(default, skip_serializing_if = "is_default")]
    pub selector: Option<String>,
    /// Only instances of these datacenters.
    #[serde(default, skip_serializing_if = "is_default")]
    pub datacenter: Datacenters,
    /// Only instances whose [age](super::Instance::age_ms) is not above this; when that leaves none of those that would be
    /// offered, the answer is refused.
    #[serde(default, skip_serializing_if = "is_default")]
    pub max_age_ms: Option<u64>,
    /// Answer only when the service has changed since a revision.
    #[serde(default, skip_serializing_if = "is_default")]
    pub wait: Option<Wait>,
    /// The consistency of the answer. A strong one does not wait for a change.
    #[serde(default, skip_serializing_if = "is_default")]
    pub consistency: Consistency,
    /// The longest wait for voters when it is strong, in milliseconds: 1 to 60,000, and 2,000 when absent.
    #[serde(default, skip_serializing_if = "is_default")]
    pub consistency_timeout_ms: Option<u64>,
}

/// The longest wait of a [`Wait`] that names none.
pub const DEFAULT_WAIT: Duration = Duration::from_secs(60);

/// Asks that an answer waits for a change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Wait {
    /// The revision of an earlier answer. When the agent no longer knows what came since, it answers at once.
    pub since: u64,
    /// The run of the agent that the revision is of. An agent in another run answers at once.
    #[serde(default, skip_serializing_if = "is_default")]
    pub run: Option<String>,
    /// Milliseconds after which it answers in any case: 60,000 when absent, 300,000 at most.
    #[serde(default, skip_serializing_if = "is_default")]
    pub timeout_ms: Option<u64>,
}

impl Wait {
    /// The time after which the agent answers in any case.
    #[must_use]
    pub fn longest(&self) -> Duration {
        self.timeout_ms.map_or(DEFAULT_WAIT, Duration::from_millis)
    }
}

impl Query {
    /// The instances of a service in the default namespace that are offered: the healthy ones, or, when none is left, the
    /// best that there are.
    #[must_use]
    pub fn new(service: impl Into<String>) -> Self {
        Self {
            service: service.into(),
            namespace: DEFAULT_NAMESPACE.to_owned(),
            all: false,
            strict: false,
            tags: BTreeSet::new(),
            meta: BTreeMap::new(),
            selector: None,
            datacenter: Datacenters::All,
            max_age_ms: None,
            wait: None,
            consistency: Consistency::Eventual,
            consistency_timeout_ms: None,
        }
    }
}

/// Asks for an instance for a call.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PickQuery {
    /// The service.
    pub service: String,
    /// Its namespace.
    #[serde(default = "default_namespace", skip_serializing_if = "is_default_namespace")]
    pub namespace: String,
    /// The strategy. Defaults to that of the service's registration, then to round robin.
    #[serde(default, skip_serializing_if = "is_default")]
    pub strategy: Option<Strategy>,
    /// The key that keyed strategies hash. A key sticks to an instance while it is there.
    #[serde(default, skip_serializing_if = "is_default")]
    pub key: Option<String>,
    /// The number of picks, from 1 to 10,000.
    #[serde(default = "default_one", skip_serializing_if = "is_one")]
    pub count: u32,
    /// Only instances that this label selector matches; see [`Query::selector`].
    #[serde(default, skip_serializing_if = "is_default")]
    pub selector: Option<String>,
    /// Only instances of these datacenters.
    #[serde(default, skip_serializing_if = "is_default")]
    pub datacenter: Datacenters,
    /// The instances that come first.
    #[serde(default, skip_serializing_if = "is_default")]
    pub prefer: Prefer,
    /// Whether to pick healthy instances only, also when none is left.
    #[serde(default, skip_serializing_if = "is_default")]
    pub strict: bool,
    /// Whether a [`Request::Report`](super::Request::Report) will follow. Each pick then has a token, and its call counts
    /// as in flight until it is reported, for a minute at most.
    #[serde(default, skip_serializing_if = "is_default")]
    pub report: bool,
    /// Pick only instances whose [age](super::Instance::age_ms) is not above this; when none is found, the call is refused.
    #[serde(default, skip_serializing_if = "is_default")]
    pub max_age_ms: Option<u64>,
    /// The consistency of the answer.
    #[serde(default, skip_serializing_if = "is_default")]
    pub consistency: Consistency,
    /// The longest wait for voters when it is strong, in milliseconds: 1 to 60,000, and 2,000 when absent.
    #[serde(default, skip_serializing_if = "is_default")]
    pub consistency_timeout_ms: Option<u64>,
}

impl PickQuery {
    /// One pick of a service in the default namespace, as its registration says.
    #[must_use]
    pub fn new(service: impl Into<String>) -> Self {
        Self {
            service: service.into(),
            namespace: DEFAULT_NAMESPACE.to_owned(),
            strategy: None,
            key: None,
            count: 1,
            selector: None,
            datacenter: Datacenters::All,
            prefer: Prefer::default(),
            strict: false,
            report: false,
            max_age_ms: None,
            consistency: Consistency::Eventual,
            consistency_timeout_ms: None,
        }
    }
}

/// The report of a pick's call.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CallReport {
    /// The token of the pick.
    pub token: u64,
    /// Its outcome.
    #[serde(default, skip_serializing_if = "is_default")]
    pub outcome: Outcome,
    /// Microseconds from the call to its end; not used for a cancelled one.
    #[serde(default, skip_serializing_if = "is_default")]
    pub latency_us: u64,
}

/// The calls of a service that a client picked for by itself, since it last told of them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ServiceCalls {
    /// The service.
    pub service: String,
    /// Its namespace.
    #[serde(default = "default_namespace", skip_serializing_if = "is_default_namespace")]
    pub namespace: String,
    /// The instances that were called.
    pub instances: Vec<InstanceCalls>,
}

/// The calls of one instance.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InstanceCalls {
    /// The id of the node that it is registered with.
    pub node_id: NodeId,
    /// Its id.
    pub id: String,
    /// The calls that it answered.
    #[serde(default, skip_serializing_if = "is_default")]
    pub successes: u32,
    /// The calls that failed.
    #[serde(default, skip_serializing_if = "is_default")]
    pub failures: u32,
    /// The average latency of the successes in microseconds; 0 when it is not known.
    #[serde(default, skip_serializing_if = "is_default")]
    pub latency_us: u64,
}
