//! The status of a member or an instance, and the reasons for it.

use serde::{Deserialize, Serialize};

use super::{Instance, Member, NodeId, ServiceSettings, is_default};

/// The members and instances of one name, with what is known of each.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Explained {
    /// The revision of the agent's view that this answer shows.
    pub revision: u64,
    /// Whether the agent has lost touch with all other members.
    pub isolated: bool,
    /// Members with this name or node id.
    pub members: Vec<MemberExplained>,
    /// Instances with this id.
    pub instances: Vec<InstanceExplained>,
}

/// The status of a member, and why it has it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MemberExplained {
    /// The member.
    pub member: Member,
    /// Whether it is this agent.
    pub is_self: bool,
    /// Why it has its status, in one sentence.
    pub reason: String,
    /// Milliseconds since it went down or left; absent while it is active.
    pub down_ago_ms: Option<u64>,
    /// The verdict that holds it down, when it is known here.
    pub verdict: Option<VerdictExplained>,
    /// When it was last heard itself.
    pub heard: Option<HeardFrom>,
    /// How this agent watches it; absent when other agents do. Each member is watched by five others at most.
    #[serde(default, skip_serializing_if = "is_default")]
    pub watched: Option<WatchedExplained>,
    /// Its records here.
    pub records: Option<RecordsExplained>,
}

/// The verdict that a member is down.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VerdictExplained {
    /// Why: `silence`, `left`, `force_leave`, or `hearsay` (other members hold it down, and the verdict itself did not
    /// arrive).
    pub cause: String,
    /// The name of the node that passed it, else its id.
    pub by: String,
    /// The referees that agreed.
    pub agreed: Vec<String>,
    /// The name of the node that told this agent.
    pub told_by: String,
    /// Milliseconds since this agent was told.
    pub ago_ms: u64,
    /// Whether its process exited: connections that were held to it closed, or new ones were refused. The cause is `silence`
    /// then.
    #[serde(default, skip_serializing_if = "is_default")]
    pub exited: bool,
}

/// How an agent watches a member: by pings, and by a connection that it holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WatchedExplained {
    /// Milliseconds for which it has held a connection to the member, whose end tells at once that the process of the
    /// member exited; absent when it holds none.
    #[serde(default, skip_serializing_if = "is_default")]
    pub held_ms: Option<u64>,
}

/// When something was heard, from which node, and by which message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeardFrom {
    /// Milliseconds since it was heard.
    pub ago_ms: u64,
    /// The name of the node that it came from, else its id.
    pub from: String,
    /// The message: `ping`, `vote`, `members`, `rumor`, `digest`, `pull`, `session`.
    pub by: String,
}

/// The extent to which an agent knows the records of a member.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordsExplained {
    /// The life of the member that wrote them.
    pub epoch: u64,
    /// Nothing up to this version is missing.
    pub version: u64,
    /// Whether newer ones are known to exist and are on their way.
    pub behind: bool,
    /// The number of its instances.
    pub instances: usize,
    /// The number of its instances that are hidden, because its token does not allow their services, or its certificate does
    /// not count. There are none in a clear cluster.
    #[serde(default, skip_serializing_if = "is_default")]
    pub hidden: usize,
    /// The arrival of the latest of them; absent for records of this agent.
    pub news: Option<HeardFrom>,
}

/// A health check of an instance, as its own agent knows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckExplained {
    /// Its name.
    pub name: String,
    /// Its kind: `http`, `tcp`, `udp`, `grpc`, `script`, `ttl` or `alias`. An earlier agent does not tell.
    #[serde(default, skip_serializing_if = "is_default")]
    pub kind: String,
    /// Its status: `passing`, `warning`, `critical` or `unknown`. An earlier agent does not tell.
    #[serde(default, skip_serializing_if = "is_default")]
    pub status: String,
    /// What it examines: the URL or the address that is probed, the program, or what is followed.
    pub target: String,
    /// Milliseconds from one probe to the next; 0 for a check without probes.
    pub interval_ms: u64,
    /// The output of the probe that last changed its verdict, or the latest note of the service; absent before the first
    /// verdict.
    pub output: Option<String>,
    /// Milliseconds since that verdict.
    pub changed_ago_ms: Option<u64>,
    /// The output of the latest probe, or the latest note of the service; absent before the first since the agent started.
    #[serde(default, skip_serializing_if = "is_default")]
    pub latest_output: Option<String>,
    /// Milliseconds since that probe ended, or that note came.
    #[serde(default, skip_serializing_if = "is_default")]
    pub latest_ago_ms: Option<u64>,
    /// The sign that decided that verdict: `listener_gone`, `refused` or `listener_back`; absent when a number of equal
    /// results in a row did.
    #[serde(default, skip_serializing_if = "is_default")]
    pub signal: Option<String>,
}

/// The process that registered an instance last. Only the agent that the instance is registered with knows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RegisteredBy {
    /// The id of its user.
    pub uid: u32,
    /// Its process id then; absent when it ran in a process namespace that the agent does not see.
    #[serde(default, skip_serializing_if = "is_default")]
    pub pid: Option<u32>,
    /// The time of the registration, in milliseconds since 1970 (UTC), by the clock of the agent.
    pub at_ms: u64,
    /// The agent of another datacenter on whose host it ran; absent for a process of the agent's own host.
    #[serde(default, skip_serializing_if = "is_default")]
    pub agent: Option<NodeId>,
    /// The name of the file that defines the instance, in the directory of service definitions; absent for one that came over the
    /// socket. The process is then the agent itself.
    #[serde(default, skip_serializing_if = "is_default")]
    pub file: Option<String>,
}

/// Whether an instance is offered, and why.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct InstanceExplained {
    /// The instance.
    pub instance: Instance,
    /// Whether a pick on this agent may choose it now, circuits included.
    pub offered: bool,
    /// Why, in one sentence.
    pub reason: String,
    /// Whether it has a health check.
    pub checked: bool,
    /// The verdict of its checks, the worst: `passing`, `warning`, `critical` or `unknown`; `passing` without a check. That of
    /// an instance in maintenance, or drained, is that of its checks where its own agent is asked.
    pub health: String,
    /// Its checks, when its agent is this one; else empty.
    pub checks: Vec<CheckExplained>,
    /// The process that registered it in its present form, when its agent is this one and knows it; else absent.
    #[serde(default, skip_serializing_if = "is_default")]
    pub registered_by: Option<RegisteredBy>,
    /// What calls taught this agent of it; absent when picks may not choose it, and from an earlier version.
    #[serde(default, skip_serializing_if = "is_default")]
    pub standing: Option<StandingExplained>,
    /// The settings of its service; absent when no instance sets any, and from an earlier version.
    #[serde(default, skip_serializing_if = "is_default")]
    pub settings: Option<ServiceSettings>,
    /// The version of its definition.
    pub version: u64,
    /// The version of its health; absent when none was ever written.
    pub health_version: Option<u64>,
    /// The member that it is registered with.
    pub origin: MemberExplained,
}

/// What calls taught an agent of an instance. Picks over its sockets follow it. Each program that calls has its own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StandingExplained {
    /// The state of its circuit: `closed`, `open` or `half-open`.
    pub circuit: String,
    /// Milliseconds until the trial of an open circuit, or until that of a half-open one counts as lost; absent when it is
    /// closed.
    #[serde(default, skip_serializing_if = "is_default")]
    pub circuit_for_ms: Option<u64>,
    /// Milliseconds for which it is still ejected as an outlier; absent when it is not.
    #[serde(default, skip_serializing_if = "is_default")]
    pub ejected_for_ms: Option<u64>,
    /// The picks of it that were reported as failures.
    pub failed_picks: u64,
    /// The calls of it that clients picked for by themselves, and told this agent of.
    pub calls: u64,
    /// Those of them that failed.
    pub failed_calls: u64,
}
