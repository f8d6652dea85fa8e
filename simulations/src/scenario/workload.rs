//! The work of clients in a scenario.

use serde::{Deserialize, Serialize};

use super::Span;

/// The work of clients.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct WorkloadSpec {
    /// Instances that each node registers when its id first appears.
    pub instances: usize,
    /// Writes a second in the whole cluster: registrations, health changes and deregistrations.
    pub writes_per_second: f64,
    /// Reads a second in the whole cluster: queries and picks.
    pub reads_per_second: f64,
    /// The number of hosts with a watching client.
    pub watchers: usize,
    /// The share of registrations too large for a datagram.
    pub large: f64,
    /// The share of registrations that stay in the datacenter of their agent.
    #[serde(skip_serializing_if = "is_none_of_them")]
    pub scoped: f64,
    /// When one host registers and deregisters `storm` short-lived instances, more than it keeps tombstones for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub storm_at: Option<Span>,
    /// The number of instances in the storm.
    pub storm: usize,
}

impl Default for WorkloadSpec {
    fn default() -> Self {
        Self {
            instances: 2,
            writes_per_second: 5.0,
            reads_per_second: 10.0,
            watchers: 5,
            large: 0.02,
            scoped: 0.0,
            storm_at: None,
            storm: 400,
        }
    }
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_none_of_them(share: &f64) -> bool {
    *share == 0.0
}
