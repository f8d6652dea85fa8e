//! The vocabulary of the local API: one request and one response type for both codecs.
//!
//! Every field is always serialized, because bincode knows fields by position; `#[serde(default)]` lets JSON leave
//! them out. Enums are externally tagged, the one form that both codecs can read.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use hobnob_membership::{NodeId, record::DEFAULT_NAMESPACE};

/// A request with the number that its responses carry. Requests on one connection may be pipelined.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Call {
    /// Chosen by the client; responses carry it back.
    #[serde(default)]
    pub id: u64,
    /// What is asked.
    pub request: Request,
}

/// A response to the call with the same number.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Reply {
    /// The number of the call.
    pub id: u64,
    /// The answer. A `watch` is answered many times.
    pub response: Response,
}

/// What a client can ask.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Request {
    /// Register an instance with this agent, or replace it. Answered by [`Response::Done`] once it is durable.
    Register(Registration),
    /// Remove an instance of this agent by its id. Answered by [`Response::Done`].
    Deregister {
        /// The instance's id.
        id: String,
    },
    /// List the instances of a service. Answered by [`Response::Instances`].
    Resolve(Query),
    /// Choose instances of a service for calls. Answered by [`Response::Picked`].
    Pick(PickQuery),
    /// Say how the calls of earlier picks went. Answered by [`Response::Reported`].
    Report {
        /// One for each call, at most 10,000.
        reports: Vec<CallReport>,
    },
    /// List the services. Answered by [`Response::Services`].
    Services {
        /// Only this namespace; all when absent.
        #[serde(default)]
        namespace: Option<String>,
    },
    /// List the members. Answered by [`Response::Members`].
    Members,
    /// Follow a service: its instances now, then every change. Answered by [`Response::Instances`], then by
    /// [`Response::Changes`] until the connection ends.
    Watch(WatchQuery),
    /// Join the cluster of these gossip addresses (`host:port`). Answered by [`Response::Done`] when the addresses
    /// could be resolved; the agent goes on knocking for as long as it is alone.
    Join {
        /// Where to knock.
        addresses: Vec<String>,
    },
    /// Leave the cluster and stop the agent. Answered by [`Response::Done`] before it stops.
    Leave,
    /// Describe this agent. Answered by [`Response::Info`].
    Info,
}

/// What the agent answers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Response {
    /// It is done.
    Done,
    /// The instances that match.
    Instances(Instances),
    /// What was picked.
    Picked(Picked),
    /// What became of the reports.
    Reported {
        /// How many tokens were known. The others were reported before, or expired.
        known: usize,
    },
    /// The services.
    Services(Vec<ServiceSummary>),
    /// The members.
    Members(Vec<Member>),
    /// Changes of a watched service, in order.
    Changes(Changes),
    /// This agent.
    Info(Box<Info>),
    /// It could not be done.
    Error(ApiError),
}

/// A service instance to be registered.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Registration {
    /// The service that it belongs to.
    pub service: String,
    /// The id of the instance, unique on this agent. Defaults to `service`.
    #[serde(default)]
    pub id: Option<String>,
    /// The namespace of the service.
    #[serde(default = "default_namespace")]
    pub namespace: String,
    /// Where it answers: an IP address or a host name. Defaults to the agent's own address.
    #[serde(default)]
    pub address: Option<String>,
    /// The port where it answers.
    pub port: u16,
    /// Labels without a value.
    #[serde(default)]
    pub tags: BTreeSet<String>,
    /// Labels with a value.
    #[serde(default)]
    pub meta: BTreeMap<String, String>,
    /// Its capacity relative to others', from 1 to 65535.
    #[serde(default = "default_weight")]
    pub weight: u32,
    /// How its health is checked. Without a check it is healthy while its agent lives.
    #[serde(default)]
    pub check: Option<Check>,
    /// How calls to its service are balanced, on every agent.
    #[serde(default)]
    pub balancing: Balancing,
}

/// How calls to a service are balanced. What is not given is left to whoever calls.
///
/// Every instance may carry it; of those that do, the one with the lowest id speaks for its service.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Balancing {
    /// The strategy of picks that name none.
    #[serde(default)]
    pub strategy: Option<Strategy>,
    /// So many reported failures without a success in between open the circuit of an instance: it gets no calls, from
    /// the agents that saw them. Without it there is no breaker.
    #[serde(default)]
    pub failure_threshold: Option<u32>,
    /// Milliseconds until an open circuit lets one call through, which decides; doubles each time that it fails.
    /// Defaults to 5,000.
    #[serde(default)]
    pub recovery_timeout_ms: Option<u64>,
}

impl Registration {
    /// The id under which the instance is known: the given one, else the name of its service.
    #[must_use]
    pub fn instance_id(&self) -> &str {
        self.id.as_deref().unwrap_or(&self.service)
    }
}

fn default_namespace() -> String {
    DEFAULT_NAMESPACE.to_owned()
}

fn default_weight() -> u32 {
    1
}

/// A periodic health check and what it takes to change its verdict.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Check {
    /// What is tried.
    pub probe: Probe,
    /// Milliseconds from the start of one try to the start of the next.
    #[serde(default = "default_interval_ms")]
    pub interval_ms: u64,
    /// Milliseconds after which a try has failed.
    #[serde(default = "default_timeout_ms")]
    pub timeout_ms: u64,
    /// Successes in a row before the instance is healthy.
    #[serde(default = "default_success_before_passing")]
    pub success_before_passing: u32,
    /// Failures in a row before the instance is unhealthy.
    #[serde(default = "default_failures_before_critical")]
    pub failures_before_critical: u32,
}

/// One try of a health check.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Probe {
    /// `GET` this `http://` URL; any 2xx status is a success.
    Http {
        /// The URL.
        url: String,
    },
    /// Open a TCP connection to this `host:port`.
    Tcp {
        /// The address.
        address: String,
    },
}

/// Milliseconds between tries unless a check says otherwise.
pub const DEFAULT_CHECK_INTERVAL: Duration = Duration::from_secs(1);
/// Milliseconds that a try may take unless a check says otherwise.
pub const DEFAULT_CHECK_TIMEOUT: Duration = Duration::from_millis(500);
/// Successes in a row before an instance is healthy, unless a check says otherwise.
pub const DEFAULT_SUCCESS_BEFORE_PASSING: u32 = 1;
/// Failures in a row before an instance is unhealthy, unless a check says otherwise.
pub const DEFAULT_FAILURES_BEFORE_CRITICAL: u32 = 3;

fn default_interval_ms() -> u64 {
    DEFAULT_CHECK_INTERVAL.as_millis() as u64
}

fn default_timeout_ms() -> u64 {
    DEFAULT_CHECK_TIMEOUT.as_millis() as u64
}

fn default_success_before_passing() -> u32 {
    DEFAULT_SUCCESS_BEFORE_PASSING
}

fn default_failures_before_critical() -> u32 {
    DEFAULT_FAILURES_BEFORE_CRITICAL
}

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
    /// Whether [`Request::Report`] will follow. Each pick then has a token, and its call counts as in flight until it is
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

/// Instances of a service.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Instances {
    /// The revision of the agent's view that this is taken from.
    pub revision: u64,
    /// Whether this agent has lost touch with all other members, so that what it knows of them may be old.
    pub isolated: bool,
    /// The instances, by id and node.
    pub instances: Vec<Instance>,
}

/// One service instance.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Instance {
    /// The service that it belongs to.
    pub service: String,
    /// Its id, unique on its node.
    pub id: String,
    /// The name of the node that it is registered with.
    pub node: String,
    /// The id of that node.
    pub node_id: NodeId,
    /// The datacenter of that node.
    pub datacenter: String,
    /// The zone of that node; empty when it has none.
    pub zone: String,
    /// Where it answers.
    pub address: String,
    /// The port where it answers.
    pub port: u16,
    /// Labels without a value.
    pub tags: BTreeSet<String>,
    /// Labels with a value.
    pub meta: BTreeMap<String, String>,
    /// Its capacity relative to others'.
    pub weight: u32,
    /// The namespace of the service.
    pub namespace: String,
    /// Whether it should be used.
    pub status: InstanceStatus,
    /// Milliseconds since its node was last known to be alive.
    pub age_ms: u64,
}

/// Whether an instance should be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum InstanceStatus {
    /// Its checks pass and its node lives.
    Healthy,
    /// Its checks fail.
    Unhealthy,
    /// Its checks have not run, or its node is down.
    Unknown,
    /// It was deregistered or its node left. Seen in a watch only.
    Gone,
}

/// What was picked.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Picked {
    /// Whether this agent hears no other member.
    pub isolated: bool,
    /// One for each pick; empty when no instance can be offered.
    pub picks: Vec<Pick>,
}

/// One pick.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Pick {
    /// Names the call in its report, when one was promised; else 0. Without a report the calls of
    /// [`Strategy::LeastConnections`] and [`Strategy::BoundedHash`] count as in flight until the connection ends, and
    /// those of the others not at all.
    pub token: u64,
    /// Where the call should go.
    pub instance: Instance,
}

/// One service in a list.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ServiceSummary {
    /// Its name.
    pub service: String,
    /// Its namespace.
    pub namespace: String,
    /// How many instances it has.
    pub instances: usize,
    /// How many of them are healthy.
    pub healthy: usize,
    /// All tags of its instances.
    pub tags: BTreeSet<String>,
    /// The fewest picks over the most picks that any of its healthy instances got from this agent: 1 is even. `None`
    /// before the first pick.
    pub efficiency: Option<f64>,
    /// The same for picks over weight: 1 is fair.
    pub fairness: Option<f64>,
}

/// One member of the cluster.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Member {
    /// Its name; its node id while its record has not arrived.
    pub name: String,
    /// Its id.
    pub node_id: NodeId,
    /// Where it takes gossip.
    pub address: String,
    /// What we believe of it.
    pub status: MemberStatus,
    /// Its datacenter; empty while its record has not arrived.
    pub datacenter: String,
    /// Its zone; empty when it has none.
    pub zone: String,
    /// Which of its lives.
    pub epoch: u64,
}

/// What we believe of a member.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MemberStatus {
    /// It answers.
    Alive,
    /// It did not answer somebody; it has a moment to contradict.
    Suspect,
    /// It is gone without a word.
    Down,
    /// It left on purpose.
    Left,
}

/// Changes of a watched service.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Changes {
    /// The revision after these changes.
    pub revision: u64,
    /// The changed instances as they are now.
    pub instances: Vec<Instance>,
}

/// What an agent says of itself.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Info {
    /// Its name.
    pub name: String,
    /// Its node id.
    pub node_id: NodeId,
    /// Which of its lives.
    pub epoch: u64,
    /// The version of its software.
    pub version: String,
    /// Its datacenter.
    pub datacenter: String,
    /// Its zone; empty when it has none.
    pub zone: String,
    /// Where it takes gossip.
    pub address: String,
    /// Where it takes sync streams.
    pub sync_address: String,
    /// Its process id.
    pub pid: u32,
    /// Milliseconds since it started.
    pub uptime_ms: u64,
    /// Whether it hears no other member.
    pub isolated: bool,
    /// Milliseconds since it last heard another member; absent when it never did.
    pub last_contact_ms: Option<u64>,
    /// Members believed alive or suspect, itself included.
    pub members_alive: usize,
    /// Instances in its catalog.
    pub instances: usize,
    /// A digest of its catalog: equal on two agents when they hold the same records.
    pub catalog_digest: String,
    /// What it counted since its start, by name.
    pub counters: BTreeMap<String, u64>,
}

/// Why a request failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{message}")]
pub struct ApiError {
    /// What kind of failure.
    pub kind: ErrorKind,
    /// What happened, to what, and what to do next.
    pub message: String,
}

/// What kind of failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ErrorKind {
    /// The request breaks a rule; it will never succeed as it is.
    Invalid,
    /// There is nothing with that name.
    NotFound,
    /// The agent could not do it now.
    Failed,
}
