//! What is answered: instances, picks, services, members, changes, the agent itself.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::NodeId;

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
    /// Milliseconds since its node was last known to be alive: since it was last heard here or, while it is neither
    /// watched here nor called down, at most what a verdict takes more than since anybody was heard.
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
    /// `least-connections` and `bounded-hash` count as in flight until the connection ends, and
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
    /// The cluster that it belongs to.
    pub cluster: String,
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
    /// Another agent that runs under the same node id, while it is there.
    pub duplicate: Option<Duplicate>,
    /// Whether it listens by TCP on its gossip port, so that others can tell when it only stands still.
    pub takes_tcp_probes: bool,
    /// Whether those that it watches answer by QUIC alone, so that news come later.
    pub udp_blocked: bool,
    /// Members believed alive or suspect, itself included.
    pub members_alive: usize,
    /// Instances in its catalog.
    pub instances: usize,
    /// A digest of its catalog: equal on two agents when they hold the same records.
    pub catalog_digest: String,
    /// What it counted since its start, by name.
    pub counters: BTreeMap<String, u64>,
    /// The parameters of the protocol in use, by name; durations as in `500ms`.
    pub protocol: BTreeMap<String, String>,
}

/// Another agent under the node id of this one: one of the two gives way and is silent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Duplicate {
    /// Where the other takes gossip.
    pub address: String,
    /// Whether this agent is the one that gave way: it says nothing to the cluster, and answers from memory.
    pub silent: bool,
    /// Whether both run on copies of one data directory, as opposed to two that hold the same node id.
    pub same_key: bool,
    /// Milliseconds since this agent noticed.
    pub since_ms: u64,
    /// Milliseconds since the other last proved that it runs.
    pub proven_ms: u64,
}

/// A member that was declared gone for good.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ForceLeft {
    /// Its name, else its node id.
    pub name: String,
    /// Its node id.
    pub node_id: NodeId,
    /// How many instances went with it.
    pub instances: usize,
    /// Milliseconds since it left on purpose, which took its instances away then; absent when it died.
    pub left_ms: Option<u64>,
}
