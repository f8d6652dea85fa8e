//! The datacenters that an agent knows, and how it reaches them.

use serde::{Deserialize, Serialize};

use super::is_default;

/// The datacenters that the agent knows.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DatacenterList {
    /// The revision of the agent's view of services at the time of this answer.
    pub revision: u64,
    /// Whether the agent hears no other member of its own datacenter.
    pub isolated: bool,
    /// The agent's own datacenter, then the others by name.
    pub datacenters: Vec<Datacenter>,
    /// The datacenters that are forgotten. Their names are not known any more.
    #[serde(default, skip_serializing_if = "is_default")]
    pub forgotten: Vec<ForgottenDatacenter>,
}

/// A datacenter that an operator had forgotten.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ForgottenDatacenter {
    /// The id of the datacenter, a hash of its name: 16 hexadecimal digits.
    pub id: String,
    /// The number of the last order about it, which a signed order follows.
    pub isolation_orders: u64,
}

/// One datacenter, as the agent knows it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Datacenter {
    /// Its name.
    pub name: String,
    /// Whether it can be reached.
    pub status: DatacenterStatus,
    /// Its living members, by the last word of their own datacenter.
    pub alive: usize,
    /// Its members that are down.
    pub down: usize,
    /// The instances that its agents registered.
    pub instances: usize,
    /// The names of the members through which changes leave it at present, by their rank.
    #[serde(default, skip_serializing_if = "is_default")]
    pub gateways: Vec<String>,
    /// The round trip to its gateways in milliseconds, as the gateways of the agent's own datacenter measured it. Absent for the own datacenter, and until one was measured.
    #[serde(default, skip_serializing_if = "is_default")]
    pub round_trip_ms: Option<f64>,
    /// Milliseconds since this agent last heard it, as a gateway. Absent for the own datacenter.
    #[serde(default, skip_serializing_if = "is_default")]
    pub heard_ago_ms: Option<u64>,
    /// Milliseconds since an operator has isolated it from the agent's datacenter; absent while it is not.
    #[serde(default, skip_serializing_if = "is_default")]
    pub isolated_ago_ms: Option<u64>,
    /// Milliseconds since it is out of reach; absent while it is within reach or isolated.
    #[serde(default, skip_serializing_if = "is_default")]
    pub out_of_reach_ago_ms: Option<u64>,
    /// What the rate breakers of this agent, as a gateway of its own datacenter, held back on its way there; absent if nothing since its
    /// start.
    #[serde(default, skip_serializing_if = "is_default")]
    pub held_back: Option<HeldBack>,
    /// Bytes a second of datagrams that this agent itself sent to it lately, as a gateway of its own datacenter.
    #[serde(default, skip_serializing_if = "is_default")]
    pub sent_bytes_per_second: u64,
    /// Bytes a second of datagrams that this agent itself received from it lately.
    #[serde(default, skip_serializing_if = "is_default")]
    pub received_bytes_per_second: u64,
    /// The number of the last order about its isolation, odd while it is isolated. A signed order has the next one.
    #[serde(default, skip_serializing_if = "is_default")]
    pub isolation_orders: u64,
}

/// Changes that crossed no sooner than their rate allows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeldBack {
    /// Changes that were held back since the start of the agent. Of those of one record the last one crosses.
    pub changes: u64,
    /// Members whose changes wait at present.
    pub waiting: usize,
    /// The name of the member whose changes were held back last.
    pub last: String,
    /// Milliseconds since then.
    pub last_ago_ms: u64,
}

/// Whether a datacenter can be reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DatacenterStatus {
    /// The datacenter of the agent that answers.
    Own,
    /// It answers.
    Reachable,
    /// The gateways of the agent's datacenter hear nobody there.
    OutOfReach,
    /// An operator isolated it from the agent's datacenter.
    Isolated,
    /// A status of a newer agent.
    #[serde(other)]
    Unknown,
}

/// The effect of an order to isolate a datacenter, or to end that.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Isolation {
    /// The name of the other datacenter.
    pub datacenter: String,
    /// Whether it is isolated from the agent's datacenter now.
    pub isolated: bool,
    /// Whether the order changed that.
    pub changed: bool,
}
