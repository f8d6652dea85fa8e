//! What is asked of a service: which instances, which one for a call, how that call went, what changes.

use std::collections::{BTreeMap, BTreeSet};

pub use hobnob_balancer::{Outcome, Prefer, Strategy, UnknownName};
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

/// How the call of a pick went.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CallReport {
    /// The token of the pick.
    pub token: u64,
    /// How it ended.
    #[serde(default)]
    pub outcome: Outcome,
    /// Microseconds from the call to its end; not used for a cancelled one.
    #[serde(default)]
    pub latency_us: u64,
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
