//! Registrations as they are stored on disk.

mod check;
pub(super) mod upkeep;

use std::collections::{BTreeMap, BTreeSet};

use hobnob_api::{Balancing, DEFAULT_NAMESPACE, InstanceScope, NodeId, Registration};
use serde::{Deserialize, Serialize};

pub use check::StoredCheck;
pub use upkeep::{StoredActs, StoredDrain, StoredMaintenance, StoredUpkeep};

/// A registered instance.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredRegistration {
    /// The service that it belongs to.
    pub service: String,
    /// Its id, unique on this agent.
    pub id: String,
    /// The namespace of the service.
    #[serde(default = "default_namespace")]
    pub namespace: String,
    /// The address where it answers; the address of the agent when absent.
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
    /// Its capacity relative to that of other instances.
    #[serde(default = "default_weight")]
    pub weight: u32,
    /// Its health checks.
    #[serde(default)]
    pub checks: Vec<StoredCheck>,
    /// The balancing of calls to its service.
    #[serde(default)]
    pub balancing: StoredBalancing,
    /// How far it is known: `datacenter`, or a word of a later version; in all datacenters when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scope: Option<String>,
    /// The name of the file that defines it, in the directory of service definitions; absent for one over the socket.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// The ids by which clients of Consul's API name its checks, each with the name of the check. An id stays for as long as its
    /// check. Early versions kept none.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub check_ids: BTreeMap<String, String>,
}

/// The process that made a registration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredRegistrant {
    /// The id of its user.
    pub uid: u32,
    /// Its process id then, if this host can name it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pid: Option<u32>,
    /// Milliseconds since 1970 (UTC).
    pub at_ms: u64,
    /// The agent of another datacenter on whose host it ran; absent for a process of this host.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<NodeId>,
}

/// The balancing of calls to a service.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredBalancing {
    /// The name of the strategy of picks that name none.
    #[serde(default)]
    pub strategy: Option<String>,
    /// Failures without a success in between that open the circuit of an instance.
    #[serde(default)]
    pub failure_threshold: Option<u32>,
    /// Milliseconds until an open circuit lets one call through.
    #[serde(default)]
    pub recovery_timeout_ms: Option<u64>,
    /// Failures without a success in between that eject an instance.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outlier_failures: Option<u32>,
    /// Milliseconds from one comparison of success rates to the next.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outlier_interval_ms: Option<u64>,
    /// Milliseconds of an instance's first ejection.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ejection_time_ms: Option<u64>,
    /// The largest percentage of the instances that may be ejected at one time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_ejection_percent: Option<u32>,
    /// The percentage of instances below which circuits and ejections are ignored.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub panic_threshold_percent: Option<u32>,
    /// Milliseconds in which the weight of a new instance ramps up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slow_start_ms: Option<u64>,
    /// The largest number of calls in flight to an instance, in percent of its fair share.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub load_bound_percent: Option<u32>,
    /// The datacenters that the service fails over to, in this order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub failover: Vec<String>,
    /// Milliseconds of a call, retries included.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub call_timeout_ms: Option<u64>,
    /// Milliseconds of one try of a call that may be made twice.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub try_timeout_ms: Option<u64>,
    /// Milliseconds until a connection stands.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connect_timeout_ms: Option<u64>,
    /// Further tries of one call.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_retries: Option<u32>,
    /// The name of the protocol of calls.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub protocol: Option<String>,
}

impl From<&Registration> for StoredRegistration {
    fn from(registration: &Registration) -> Self {
        let id = registration.instance_id().to_owned();
        let Registration { service, namespace, address, port, tags, meta, weight, .. } =
            registration.clone();
        let checks = registration.checks.iter().map(StoredCheck::from).collect();
        let balancing = StoredBalancing::from(&registration.balancing);
        let scope = match registration.scope {
            InstanceScope::Global => None,
            scope => Some(scope.name().to_owned()),
        };
        Self {
            service,
            id,
            namespace,
            address,
            port,
            tags,
            meta,
            weight,
            checks,
            balancing,
            scope,
            source: None,
            check_ids: BTreeMap::new(),
        }
    }
}

impl From<&Balancing> for StoredBalancing {
    fn from(balancing: &Balancing) -> Self {
        Self {
            strategy: balancing.strategy.map(|strategy| strategy.name().to_owned()),
            failure_threshold: balancing.failure_threshold,
            recovery_timeout_ms: balancing.recovery_timeout_ms,
            outlier_failures: balancing.outlier_failures,
            outlier_interval_ms: balancing.outlier_interval_ms,
            ejection_time_ms: balancing.ejection_time_ms,
            max_ejection_percent: balancing.max_ejection_percent,
            panic_threshold_percent: balancing.panic_threshold_percent,
            slow_start_ms: balancing.slow_start_ms,
            load_bound_percent: balancing.load_bound_percent,
            failover: balancing.failover.clone(),
            call_timeout_ms: balancing.call_timeout_ms,
            try_timeout_ms: balancing.try_timeout_ms,
            connect_timeout_ms: balancing.connect_timeout_ms,
            max_retries: balancing.max_retries,
            protocol: balancing.protocol.map(|protocol| protocol.name().to_owned()),
        }
    }
}

fn default_namespace() -> String {
    DEFAULT_NAMESPACE.to_owned()
}

fn default_weight() -> u32 {
    1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_that_are_not_given_take_no_room_on_disk_and_the_order_of_datacenters_stays() {
        let balancing =
            Balancing { failover: vec!["us".into(), "eu".into()], ..Balancing::default() };
        let stored = serde_json::to_string(&StoredBalancing::from(&balancing)).expect("written");
        assert!(stored.ends_with(r#","failover":["us","eu"]}"#), "{stored}");
        let read: StoredBalancing = serde_json::from_str(&stored).expect("read");
        assert_eq!(read, StoredBalancing::from(&balancing));
        let none = serde_json::to_string(&StoredBalancing::default()).expect("written");
        assert!(!none.contains("failover"), "{none}");
    }

    #[test]
    fn a_scope_is_stored_unless_it_is_global() {
        let scope = InstanceScope::Datacenter;
        let kept = Registration { scope, ..Registration::new("web", 80) };
        let stored = serde_json::to_string(&StoredRegistration::from(&kept)).expect("written");
        assert!(stored.ends_with(r#","scope":"datacenter"}"#), "{stored}");
        let global = StoredRegistration::from(&Registration::new("web", 80));
        let stored = serde_json::to_string(&global).expect("written");
        assert!(!stored.contains("scope"), "{stored}");
        assert_eq!(serde_json::from_str::<StoredRegistration>(&stored).expect("read"), global);
    }

    #[test]
    fn the_file_that_defines_an_instance_is_stored_with_it() {
        let over_socket = StoredRegistration::from(&Registration::new("web", 80));
        let stored = serde_json::to_string(&over_socket).expect("written");
        assert!(!stored.contains("source"), "{stored}");
        let of_file = StoredRegistration { source: Some("web.toml".to_owned()), ..over_socket };
        let stored = serde_json::to_string(&of_file).expect("written");
        assert!(stored.ends_with(r#","source":"web.toml"}"#), "{stored}");
        assert_eq!(serde_json::from_str::<StoredRegistration>(&stored).expect("read"), of_file);
    }
}
