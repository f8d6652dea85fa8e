//! Whether members answer this agent, and it them: by datagram and by stream.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{NodeId, is_default};

/// How members answered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Echoes {
    /// Whether the agent has lost touch with all other members.
    pub isolated: bool,
    /// The number of other living members that could be asked.
    pub living: usize,
    /// The members that were asked, by name and node id.
    pub members: Vec<Echo>,
    /// The number of living members that run each version of the software, this agent included. Members whose record has not arrived are
    /// left out.
    pub versions: BTreeMap<String, usize>,
}

/// How one member answered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Echo {
    /// Its name; its node id while its record has not arrived.
    pub name: String,
    /// Its node id.
    pub node_id: NodeId,
    /// The address at which it takes gossip.
    pub gossip_address: String,
    /// Whether it answered a ping by datagram. A member of another datacenter is not asked.
    pub udp: Way,
    /// Microseconds until that answer.
    #[serde(default, skip_serializing_if = "is_default")]
    pub udp_us: Option<u64>,
    /// Whether it answered a request by stream.
    pub quic: Way,
    /// Microseconds until that answer, with the time in which the member tried the way back.
    #[serde(default, skip_serializing_if = "is_default")]
    pub quic_us: Option<u64>,
    /// Whether this agent answered a ping of the member by datagram.
    pub udp_back: Way,
    /// Whether this agent answered a request of the member by stream.
    pub quic_back: Way,
    /// The clock of the member minus that of this agent, in milliseconds. The time of its answer is part of the error.
    #[serde(default, skip_serializing_if = "is_default")]
    pub clock_offset_ms: Option<i64>,
}

/// Whether a question was answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Way {
    /// It was answered.
    Answered,
    /// No answer came in time.
    Silent,
    /// The host of the member refused it: nothing listens there.
    Refused,
    /// It was not asked: the member is older than this question, of another datacenter, or did not answer another question before. A
    /// word of a newer agent reads as this one.
    #[serde(other)]
    NotTried,
}
