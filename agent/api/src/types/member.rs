//! Members of the cluster, and this agent among them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Maintenance, NodeId, OwnVoter, is_default};

/// The members of the cluster.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Members {
    /// The revision of the agent's view of services at the time of this answer.
    pub revision: u64,
    /// Whether the agent has lost touch with all other members.
    pub isolated: bool,
    /// The members, by name and node id.
    pub members: Vec<Member>,
    /// The mass losses of members that are not over, the oldest first.
    #[serde(default, skip_serializing_if = "is_default")]
    pub mass_losses: Vec<MassLoss>,
}

/// A large part of the members that was lost at once: probably a cut. It is over when three quarters of them are back, or
/// gone for good.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MassLoss {
    /// Milliseconds since the first of them was lost.
    pub ago_ms: u64,
    /// The number of members that were lost.
    pub lost: usize,
    /// The number of members before, the agent included.
    pub of: usize,
    /// The number of them that are back.
    pub back: usize,
    /// The number of them that are still lost. The others are back, or gone for good.
    pub missing: usize,
    /// The number of them whose processes are known to have exited. A cut ends no process.
    #[serde(default, skip_serializing_if = "is_default")]
    pub exited: usize,
}

/// The likely cause of a loss of many, when so many of the lost members are known to have exited.
#[must_use]
pub fn likely_cause(lost: usize, exited: usize) -> String {
    match exited {
        0 => "probably a cut".to_owned(),
        all if all >= lost => "their processes exited".to_owned(),
        some => format!("probably a cut; the processes of {some} exited"),
    }
}

/// One member of the cluster.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Member {
    /// Its name; its node id while its record has not arrived.
    pub name: String,
    /// Its node id.
    pub node_id: NodeId,
    /// The address at which it takes gossip; empty when only its records are left.
    pub gossip_address: String,
    /// Whether it is believed to live.
    pub status: MemberStatus,
    /// Its datacenter; empty while its record has not arrived.
    pub datacenter: String,
    /// Its zone; empty when it has none.
    pub zone: String,
    /// The number of its life: a higher epoch is a later life.
    pub epoch: u64,
    /// Milliseconds since it went down or left; absent while it is active.
    #[serde(default, skip_serializing_if = "is_default")]
    pub down_ago_ms: Option<u64>,
    /// Whether another living member has its name.
    #[serde(default, skip_serializing_if = "is_default")]
    pub name_conflict: bool,
    /// Milliseconds since it last answered the agent, while the agent's own link to it is broken: others hear it, so it
    /// lives by their word. Absent while the link is not broken, and where other agents watch it.
    #[serde(default, skip_serializing_if = "is_default")]
    pub link_silent_ms: Option<u64>,
}

/// Whether a member is believed to live.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MemberStatus {
    /// It answers.
    Alive,
    /// It did not answer a probe, and has a moment to refute.
    Suspect,
    /// It stopped answering, and did not say that it leaves.
    Down,
    /// Its datacenter is out of reach. It was alive when that was last heard.
    Unreachable,
    /// It left on purpose.
    Left,
    /// An operator forced it to leave, after it had gone down.
    ForceLeft,
    /// It is down, and another node answers at its address.
    Replaced,
    /// A status of a newer agent.
    #[serde(other)]
    Unknown,
}

/// This agent.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Info {
    /// The version of the API that the agent speaks.
    pub api: u32,
    /// The revision of its view of services.
    pub revision: u64,
    /// Whether it has lost touch with all other members.
    pub isolated: bool,
    /// Its name.
    pub name: String,
    /// The cluster that it belongs to.
    pub cluster: String,
    /// Its node id.
    pub node_id: NodeId,
    /// The number of its life: a higher epoch is a later life.
    pub epoch: u64,
    /// The version of its software.
    pub version: String,
    /// Its datacenter.
    pub datacenter: String,
    /// Its zone; empty when it has none.
    pub zone: String,
    /// The address at which others send gossip to it.
    pub gossip_address: String,
    /// The address at which others open sync streams to it.
    pub sync_address: String,
    /// The address that it takes gossip on; absent when it is `gossip_address`.
    #[serde(default, skip_serializing_if = "is_default")]
    pub gossip_bound: Option<String>,
    /// The address that it takes sync streams on; absent when it is `sync_address`.
    #[serde(default, skip_serializing_if = "is_default")]
    pub sync_bound: Option<String>,
    /// Its process id.
    pub pid: u32,
    /// Milliseconds since it started.
    pub uptime_ms: u64,
    /// Milliseconds since it last heard another member; absent when it never did.
    pub last_contact_ago_ms: Option<u64>,
    /// Another agent that runs under the same node id, while it is there.
    pub duplicate: Option<Duplicate>,
    /// The other living members with its name.
    #[serde(default, skip_serializing_if = "is_default")]
    pub name_conflicts: Vec<Namesake>,
    /// Whether it listens by TCP on its gossip port, so that others can tell a stall from a crash.
    pub takes_tcp_probes: bool,
    /// Whether the members that it monitors answer by QUIC alone, so that news come later.
    pub udp_blocked: bool,
    /// The mass losses of members that are not over, the oldest first.
    #[serde(default, skip_serializing_if = "is_default")]
    pub mass_losses: Vec<MassLoss>,
    /// Living members to which its own link is broken, by name.
    #[serde(default, skip_serializing_if = "is_default")]
    pub broken_links: Vec<String>,
    /// Members that are alive or suspect, itself included.
    pub active_members: usize,
    /// Instances in its catalog.
    pub instances: usize,
    /// A digest of its catalog: equal on two agents when they hold the same records.
    pub catalog_digest: String,
    /// Every counter since its start, by name.
    pub counters: BTreeMap<String, u64>,
    /// The parameters of the protocol in use, by name; durations as in `500ms`.
    pub protocol: BTreeMap<String, String>,
    /// The maintenance that all of it is in.
    #[serde(default, skip_serializing_if = "is_default")]
    pub maintenance: Option<Maintenance>,
    /// The ids of its instances that are in maintenance or drain themselves, 100 at most.
    #[serde(default, skip_serializing_if = "is_default")]
    pub out_of_service: Vec<String>,
    /// What was wrong with its files when they were read last, 100 problems at most. What they define is as it was before that.
    #[serde(default, skip_serializing_if = "is_default")]
    pub file_problems: Vec<String>,
    /// What it is among the voters; absent when it is no voter.
    #[serde(default, skip_serializing_if = "is_default")]
    pub voter: Option<OwnVoter>,
    /// Its place in a sealed cluster; absent in a clear one.
    #[serde(default, skip_serializing_if = "is_default")]
    pub sealed: Option<Sealed>,
}

/// The place of an agent in its sealed cluster. Nothing of it is secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sealed {
    /// The fingerprint of its key.
    pub key: String,
    /// The fingerprint of the token that its certificate is from.
    pub token: String,
    /// The number of the generation of the shared secret that it uses; absent while no member has let it in.
    pub generation: Option<u64>,
    /// Whether an operator revoked it. It takes no part in the cluster then, and answers from memory.
    pub revoked: bool,
    /// The reason for which a member did not let it in, while none does.
    #[serde(default, skip_serializing_if = "is_default")]
    pub refusal: Option<String>,
}

/// Another agent under the node id of this one: one of the two gives way and is silent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Duplicate {
    /// The address at which the other takes gossip.
    pub gossip_address: String,
    /// Whether this agent is the one that gave way: it says nothing to the cluster, and answers from memory.
    pub silent: bool,
    /// Whether both run on copies of one data directory, as opposed to two that hold the same node id.
    pub same_key: bool,
    /// Milliseconds since this agent noticed.
    pub noticed_ago_ms: u64,
    /// Milliseconds since the other last proved that it runs.
    pub proven_ago_ms: u64,
}

/// Another member with the name of this agent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Namesake {
    /// Its node id.
    pub node_id: NodeId,
    /// The address at which it takes gossip.
    pub gossip_address: String,
}

/// A member that was forced to leave.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ForceLeft {
    /// Its name, else its node id.
    pub name: String,
    /// Its node id.
    pub node_id: NodeId,
    /// The number of instances that went with it.
    pub instances: usize,
    /// Milliseconds since it left on purpose, and its instances with it; absent when it died.
    pub left_ago_ms: Option<u64>,
}

/// The members that an agent dropped from its memory.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Pruned {
    /// Each as it was last shown, by name and node id.
    pub members: Vec<Member>,
    /// The number of those that match and were kept: there is no room to remember that they were dropped, or the agent
    /// hears no other member and cannot tell which are down.
    pub kept: usize,
}
