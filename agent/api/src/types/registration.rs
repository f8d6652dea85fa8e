//! Registrations: an instance, its health check, and the balancing of its service.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::{
    Ack, Balancing, Check, Consistency, DEFAULT_NAMESPACE, InstanceScope, default_namespace,
    default_one, is_default, is_default_namespace, is_one,
};

/// A service instance to be registered.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Registration {
    /// The service that it belongs to.
    pub service: String,
    /// The id of the instance, unique on this agent. Defaults to `service`.
    #[serde(default, skip_serializing_if = "is_default")]
    pub id: Option<String>,
    /// The namespace of the service.
    #[serde(default = "default_namespace", skip_serializing_if = "is_default_namespace")]
    pub namespace: String,
    /// Its address: an IP address or a host name. Defaults to the agent's own address.
    #[serde(default, skip_serializing_if = "is_default")]
    pub address: Option<String>,
    /// The port where it answers.
    pub port: u16,
    /// Labels without a value.
    #[serde(default, skip_serializing_if = "is_default")]
    pub tags: BTreeSet<String>,
    /// Labels with a value.
    #[serde(default, skip_serializing_if = "is_default")]
    pub meta: BTreeMap<String, String>,
    /// Its capacity relative to others', from 1 to 65535.
    #[serde(default = "default_one", skip_serializing_if = "is_one")]
    pub weight: u32,
    /// Its health checks. The worst decides. Without a check it is healthy while its agent lives.
    #[serde(default, skip_serializing_if = "is_default")]
    pub checks: Vec<Check>,
    /// How calls to its service are balanced and made, on every agent and by every program.
    #[serde(default, skip_serializing_if = "is_default")]
    pub balancing: Balancing,
    /// Whether other agents are to have applied it before the answer.
    #[serde(default, skip_serializing_if = "is_default")]
    pub ack: Option<Ack>,
    /// The datacenter with one of whose agents it is registered; that of the agent that is asked when absent.
    #[serde(default, skip_serializing_if = "is_default")]
    pub datacenter: Option<String>,
    /// How far it is known.
    #[serde(default, skip_serializing_if = "is_default")]
    pub scope: InstanceScope,
    /// The consistency of the registration.
    #[serde(default, skip_serializing_if = "is_default")]
    pub consistency: Consistency,
    /// The longest wait for voters when it is strong, in milliseconds: 1 to 60,000, and 2,000 when absent.
    #[serde(default, skip_serializing_if = "is_default")]
    pub consistency_timeout_ms: Option<u64>,
}

impl Registration {
    /// An instance at the agent's own address, without labels and checks, in the default namespace.
    #[must_use]
    pub fn new(service: impl Into<String>, port: u16) -> Self {
        Self {
            service: service.into(),
            id: None,
            namespace: DEFAULT_NAMESPACE.to_owned(),
            address: None,
            port,
            tags: BTreeSet::new(),
            meta: BTreeMap::new(),
            weight: 1,
            checks: Vec::new(),
            balancing: Balancing::default(),
            ack: None,
            datacenter: None,
            scope: InstanceScope::Global,
            consistency: Consistency::Eventual,
            consistency_timeout_ms: None,
        }
    }

    /// The id under which the instance is known: the given one, else the name of its service.
    #[must_use]
    pub fn instance_id(&self) -> &str {
        self.id.as_deref().unwrap_or(&self.service)
    }
}

/// What a registration lost that was replaced: its service, or checks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dropped {
    /// The service that it belonged to; absent when it belongs to that service still.
    #[serde(default, skip_serializing_if = "is_default")]
    pub service: Option<String>,
    /// The namespace of that service.
    #[serde(default = "default_namespace", skip_serializing_if = "is_default_namespace")]
    pub namespace: String,
    /// The names of its checks that are gone.
    #[serde(default, skip_serializing_if = "is_default")]
    pub checks: Vec<String>,
}

/// The effect of a registration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RegisterOutcome {
    /// There is one more instance.
    Added,
    /// It took the place of an instance with its id.
    Replaced,
    /// Nothing: it was registered in just this way. An outcome of a newer agent reads as this one.
    #[serde(other)]
    Unchanged,
}
