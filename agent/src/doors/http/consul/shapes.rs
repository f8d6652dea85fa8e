//! The objects of Consul's answers, with its names. They borrow from the view what they show: an answer is made for each request.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use hobnob_membership::record::{Meta, Tags, Text};
use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};

/// A node of the catalog.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Node<'a> {
    #[serde(rename = "ID")]
    pub(super) id: NodeUuid,
    pub(super) node: &'a str,
    pub(super) address: &'a str,
    pub(super) datacenter: &'a str,
    pub(super) tagged_addresses: OnNetworks<&'a str>,
    pub(super) meta: NodeMeta<'a>,
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
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct TaggedAddress<'a> {
    pub(super) address: &'a str,
    pub(super) port: u16,
}

/// A node id in the form of a UUID, which clients of Consul expect.
#[derive(Clone, Copy, Debug)]
pub(super) struct NodeUuid(pub(super) u64);

impl std::fmt::Display for NodeUuid {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "00000000-0000-0000-{:04x}-{:012x}", self.0 >> 48, self.0 & 0xffff_ffff_ffff)
    }
}

impl Serialize for NodeUuid {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// An address, which is the same on each network.
#[derive(Clone, Copy, Debug)]
pub(super) struct OnNetworks<T>(pub(super) T);

impl<T: Serialize> Serialize for OnNetworks<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(["lan", "wan"].map(|network| (network, &self.0)))
    }
}

/// The labels of a node: its zone, if it has one.
#[derive(Clone, Copy, Debug)]
pub(super) struct NodeMeta<'a> {
    pub(super) zone: &'a str,
}

impl Serialize for NodeMeta<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        if !self.zone.is_empty() {
            map.serialize_entry("zone", self.zone)?;
        }
        map.end()
    }
}

/// The labels of an instance without a value.
#[derive(Clone, Copy, Debug)]
pub(super) enum TagList<'a> {
    Record(&'a Tags),
    Shown(&'a BTreeSet<String>),
    None,
}

impl Serialize for TagList<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Record(tags) => serializer.collect_seq(tags.iter().map(Text::as_str)),
            Self::Shown(tags) => tags.serialize(serializer),
            Self::None => serializer.collect_seq([""; 0]),
        }
    }
}

/// The labels of an instance with a value.
#[derive(Clone, Copy, Debug)]
pub(super) enum MetaMap<'a> {
    Record(&'a Meta),
    Shown(&'a BTreeMap<String, String>),
}

impl Serialize for MetaMap<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Record(meta) => serializer
                .collect_map(meta.iter().map(|(key, value)| (key.as_str(), value.as_str()))),
            Self::Shown(meta) => meta.serialize(serializer),
        }
    }
}

/// An instance, as it stands beside its node or with its agent.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Service<'a> {
    pub(super) kind: &'static str,
    #[serde(rename = "ID")]
    pub(super) id: &'a str,
    pub(super) service: &'a str,
    pub(super) tags: TagList<'a>,
    pub(super) meta: MetaMap<'a>,
    pub(super) port: u16,
    pub(super) address: &'a str,
    pub(super) tagged_addresses: OnNetworks<TaggedAddress<'a>>,
    pub(super) weights: Weights,
    pub(super) enable_tag_override: bool,
    pub(super) datacenter: &'a str,
    pub(super) namespace: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) content_hash: Option<String>,
    pub(super) create_index: u64,
    pub(super) modify_index: u64,
}

/// An instance in the catalog, with its node in one object.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct CatalogService<'a> {
    #[serde(rename = "ID")]
    pub(super) id: NodeUuid,
    pub(super) node: &'a str,
    pub(super) address: &'a str,
    pub(super) datacenter: &'a str,
    pub(super) tagged_addresses: OnNetworks<&'a str>,
    pub(super) node_meta: NodeMeta<'a>,
    pub(super) service_kind: &'static str,
    #[serde(rename = "ServiceID")]
    pub(super) service_id: &'a str,
    pub(super) service_name: &'a str,
    pub(super) service_tags: TagList<'a>,
    pub(super) service_address: &'a str,
    pub(super) service_tagged_addresses: OnNetworks<TaggedAddress<'a>>,
    pub(super) service_weights: Weights,
    pub(super) service_meta: MetaMap<'a>,
    pub(super) service_port: u16,
    pub(super) service_enable_tag_override: bool,
    pub(super) namespace: &'a str,
    pub(super) create_index: u64,
    pub(super) modify_index: u64,
}

impl<'a> CatalogService<'a> {
    pub(super) fn new(node: &Node<'a>, service: &Service<'a>) -> Self {
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
pub(super) struct NodeServices<'a> {
    pub(super) node: Node<'a>,
    pub(super) services: BTreeMap<&'a str, Service<'a>>,
}

/// A check of a node or of an instance.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Check<'a> {
    pub(super) node: &'a str,
    #[serde(rename = "CheckID")]
    pub(super) check_id: Cow<'a, str>,
    pub(super) name: Cow<'a, str>,
    pub(super) status: &'static str,
    pub(super) notes: &'a str,
    pub(super) output: &'a str,
    #[serde(rename = "ServiceID")]
    pub(super) service_id: &'a str,
    pub(super) service_name: &'a str,
    pub(super) service_tags: TagList<'a>,
    #[serde(rename = "Type")]
    pub(super) kind: &'a str,
    pub(super) namespace: &'a str,
    pub(super) create_index: u64,
    pub(super) modify_index: u64,
}

/// An instance with its node and its checks.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ServiceEntry<'a> {
    pub(super) node: Node<'a>,
    pub(super) service: Service<'a>,
    pub(super) checks: [Check<'a>; 2],
}

/// An instance with the worst of its checks.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct AggregatedHealth<'a> {
    pub(super) aggregated_status: &'static str,
    pub(super) service: Service<'a>,
    pub(super) checks: Vec<Check<'a>>,
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
