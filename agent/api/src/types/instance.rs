//! Instances of services: found, picked and changed.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::{CheckStatus, Consistency, InstanceScope, NodeId, ServiceSettings, is_default};

/// Instances of a service.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Instances<I = Instance> {
    /// The revision of the agent's view that this answer shows.
    pub revision: u64,
    /// Whether the agent has lost touch with all other members, so that its view of them may be old.
    pub isolated: bool,
    /// The consistency of this answer. A strong one tells what is registered; whether an instance works is what this agent believes.
    #[serde(default, skip_serializing_if = "is_default")]
    pub consistency: Consistency,
    /// The settings of the service; absent when no instance sets any, in a watch of all services, and from an earlier version.
    #[serde(default, skip_serializing_if = "is_default")]
    pub settings: Option<ServiceSettings>,
    /// The instances, by id and node.
    pub instances: Vec<I>,
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
    /// Its address.
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
    /// Whether it works.
    pub status: InstanceStatus,
    /// Whether a pick may choose it, circuits aside: among the instances that the question is about, and in a watch or an
    /// explanation among all of the service. [`Grade`](super::Grade) has the rule.
    pub offered: bool,
    /// The basis of its status.
    pub basis: Basis,
    /// The age of what its status rests on: milliseconds since its node was last known to be alive. Of a node that this agent neither monitors nor holds
    /// down, it is at most the time of a verdict more than the time since any member was heard.
    pub age_ms: u64,
    /// How far it is known. An agent of another datacenter has only those that are known in all.
    #[serde(
        default,
        skip_serializing_if = "is_default",
        deserialize_with = "super::scope::read_leniently"
    )]
    pub scope: InstanceScope,
    /// `warning` when one of its checks warns and none fails; else absent.
    #[serde(default, skip_serializing_if = "is_default")]
    pub check: Option<CheckStatus>,
    /// Whether an operator drains it, or has drained it: its weight stays as it was registered, and its share of the calls falls
    /// to nothing.
    #[serde(default, skip_serializing_if = "is_default")]
    pub draining: bool,
}

/// Whether an instance works.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum InstanceStatus {
    /// Its checks pass, with a warning or without, and its node lives.
    Healthy,
    /// One of its checks fails, or failed when it was last known.
    Unhealthy,
    /// It was deregistered or its node left. Seen in a watch only.
    Gone,
    /// Its checks have not run, or they passed and its node is down. A status of a newer agent reads as this one.
    #[serde(other)]
    Unknown,
}

/// The basis of an instance's status.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Basis {
    /// Its node lives, and its checks, if it has any, have run.
    Current,
    /// As [`Current`](Self::Current), but its node lives by the word of other members: it has not answered the agent itself
    /// for 5 s. A client that does not know this word reads [`Nothing`](Self::Nothing), and the status is healthy all the same.
    Unanswered,
    /// It passed before its node was lost.
    LastKnown,
    /// Its checks have not run yet, or are overdue.
    NotYetChecked,
    /// An operator put it in maintenance. A client that does not know this word reads [`Nothing`](Self::Nothing).
    Maintenance,
    /// An operator drained it. A client that does not know this word reads [`Nothing`](Self::Nothing).
    Drained,
    /// Nothing that speaks for it: its checks failed before its node was lost. A basis of a newer agent reads as this one.
    #[serde(other)]
    Nothing,
}

/// Instances that were picked.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Picked<I = Instance> {
    /// The revision of the agent's view, at least, that the picks were made from.
    pub revision: u64,
    /// Whether the agent has lost touch with all other members.
    pub isolated: bool,
    /// The consistency of this answer.
    #[serde(default, skip_serializing_if = "is_default")]
    pub consistency: Consistency,
    /// One for each pick; empty when no instance can be offered.
    pub picks: Vec<Pick<I>>,
}

/// One pick.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Pick<I = Instance> {
    /// Names the call in its report, when one was promised; else 0. Without a report the calls of `least-connections`
    /// and `bounded-hash` count as in flight until the connection ends, and those of the other strategies not at all.
    pub token: u64,
    /// The instance for the call.
    pub instance: I,
}

/// Changes of a watched service.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Changes<I = Instance> {
    /// The revision after these changes.
    pub revision: u64,
    /// Whether the agent has lost touch with all other members.
    pub isolated: bool,
    /// The settings of the service, where they changed with this event, and in the first event of a watch that resumes; without an
    /// instance in them, none is set any more. Absent where they are as before.
    #[serde(default, skip_serializing_if = "is_default")]
    pub settings: Option<ServiceSettings>,
    /// The changed instances as they are now.
    pub instances: Vec<I>,
}

/// The services that have an instance.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Services {
    /// The revision of the agent's view that this answer shows.
    pub revision: u64,
    /// Whether the agent has lost touch with all other members.
    pub isolated: bool,
    /// The services, by namespace and name.
    pub services: Vec<ServiceSummary>,
}

/// One service in a list.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ServiceSummary {
    /// Its name.
    pub service: String,
    /// Its namespace.
    pub namespace: String,
    /// The number of its instances.
    pub instances: usize,
    /// The number of them that are healthy.
    pub healthy: usize,
    /// All tags of its instances.
    pub tags: BTreeSet<String>,
    /// The fewest picks over the most picks that any of its healthy instances got from this agent: 1 is even. Absent
    /// before the first pick.
    pub efficiency: Option<f64>,
    /// The same for picks over weight: 1 is fair.
    pub fairness: Option<f64>,
}
