//! The objects of Consul's answers, with its names.

use std::collections::BTreeMap;

use serde::Serialize;

/// A node of the catalog.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Node {
    #[serde(rename = "ID")]
    pub(super) id: String,
    pub(super) node: String,
    pub(super) address: String,
    pub(super) datacenter: String,
    pub(super) tagged_addresses: BTreeMap<&'static str, String>,
    pub(super) meta: BTreeMap<&'static str, String>,
    pub(super) create_index: u64,
    pub(super) modify_index: u64,
}

/// The weights of an instance.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Weights {
    pub(super) passing: u32,
    pub(super) warning: u32,
}

/// An address and a port.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct TaggedAddress {
    pub(super) address: String,
    pub(super) port: u16,
}

/// The addresses of an instance by network. There is one for each.
pub(super) type TaggedAddresses = BTreeMap<&'static str, TaggedAddress>;

/// An instance, as it stands beside its node or with its agent.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Service {
    pub(super) kind: &'static str,
    #[serde(rename = "ID")]
    pub(super) id: String,
    pub(super) service: String,
    pub(super) tags: Vec<String>,
    pub(super) meta: BTreeMap<String, String>,
    pub(super) port: u16,
    pub(super) address: String,
    pub(super) tagged_addresses: TaggedAddresses,
    pub(super) weights: Weights,
    pub(super) enable_tag_override: bool,
    pub(super) datacenter: String,
    pub(super) namespace: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) content_hash: Option<String>,
    pub(super) create_index: u64,
    pub(super) modify_index: u64,
}

/// An instance in the catalog, with its node in one object.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct CatalogService {
    #[serde(rename = "ID")]
    pub(super) id: String,
    pub(super) node: String,
    pub(super) address: String,
    pub(super) datacenter: String,
    pub(super) tagged_addresses: BTreeMap<&'static str, String>,
    pub(super) node_meta: BTreeMap<&'static str, String>,
    pub(super) service_kind: &'static str,
    #[serde(rename = "ServiceID")]
    pub(super) service_id: String,
    pub(super) service_name: String,
    pub(super) service_tags: Vec<String>,
    pub(super) service_address: String,
    pub(super) service_tagged_addresses: TaggedAddresses,
    pub(super) service_weights: Weights,
    pub(super) service_meta: BTreeMap<String, String>,
    pub(super) service_port: u16,
    pub(super) service_enable_tag_override: bool,
    pub(super) namespace: String,
    pub(super) create_index: u64,
    pub(super) modify_index: u64,
}

impl CatalogService {
    pub(super) fn new(node: Node, service: Service) -> Self {
        Self {
            id: node.id,
            node: node.node,
            address: node.address,
            datacenter: node.datacenter,
            tagged_addresses: node.tagged_addresses,
            node_meta: node.meta,
            service_kind: service.kind,
            service_id: service.id,
            service_name: service.service,
            service_tags: service.tags,
            service_address: service.address,
            service_tagged_addresses: service.tagged_addresses,
            service_weights: service.weights,
            service_meta: service.meta,
            service_port: service.port,
            service_enable_tag_override: service.enable_tag_override,
            namespace: service.namespace,
            create_index: service.create_index,
            modify_index: service.modify_index,
        }
    }
}

/// A node with its instances.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct NodeServices {
    pub(super) node: Node,
    pub(super) services: BTreeMap<String, Service>,
}

/// A check of a node or of an instance.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Check {
    pub(super) node: String,
    #[serde(rename = "CheckID")]
    pub(super) check_id: String,
    pub(super) name: String,
    pub(super) status: &'static str,
    pub(super) notes: String,
    pub(super) output: String,
    #[serde(rename = "ServiceID")]
    pub(super) service_id: String,
    pub(super) service_name: String,
    pub(super) service_tags: Vec<String>,
    #[serde(rename = "Type")]
    pub(super) kind: String,
    pub(super) namespace: String,
    pub(super) create_index: u64,
    pub(super) modify_index: u64,
}

/// An instance with its node and its checks.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ServiceEntry {
    pub(super) node: Node,
    pub(super) service: Service,
    pub(super) checks: Vec<Check>,
}

/// An instance with the worst of its checks.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct AggregatedHealth {
    pub(super) aggregated_status: &'static str,
    pub(super) service: Service,
    pub(super) checks: Vec<Check>,
}

/// A member.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Member {
    pub(super) name: String,
    pub(super) addr: String,
    pub(super) port: u16,
    pub(super) tags: BTreeMap<&'static str, String>,
    /// As Serf has it: 1 alive, 4 failed.
    pub(super) status: u8,
    pub(super) protocol_min: u8,
    pub(super) protocol_max: u8,
    pub(super) protocol_cur: u8,
    pub(super) delegate_min: u8,
    pub(super) delegate_max: u8,
    pub(super) delegate_cur: u8,
}
