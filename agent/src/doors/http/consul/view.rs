//! The agent's view in Consul's objects.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use hobnob_api::{Basis, Grade, Member, MemberStatus};
use hobnob_membership::NodeId;
use hobnob_membership::record::{Health, Meta, Tags, Text};

use super::shapes::{Check, Node, Service, ServiceEntry, TaggedAddress, TaggedAddresses, Weights};
use crate::doors::unix::handler::Handler;
use crate::info::AgentInfo;
use crate::services::{Entry, KnownMembers, Registry, ServiceKey};

/// The name of the check that says whether a node lives. Clients of Consul look for it.
const NODE_CHECK: &str = "serfHealth";

/// The view at one moment, for one datacenter.
pub(super) struct View<'a> {
    pub(super) registry: &'a Registry,
    pub(super) own: &'a AgentInfo,
    pub(super) datacenter: &'a str,
    members: KnownMembers,
}

impl<'a> View<'a> {
    pub(super) fn new(handler: &'a Handler, datacenter: &'a str) -> Self {
        let registry = &*handler.registry;
        Self { registry, own: &handler.info, datacenter, members: registry.members().0 }
    }

    /// The instances of a service in the datacenter.
    pub(super) fn instances(&self, key: &ServiceKey) -> Vec<Arc<Entry>> {
        let Some(service) = self.registry.service(key) else { return Vec::new() };
        let instances = service.instances();
        let here = instances.values().filter(|entry| self.is_here(entry));
        here.cloned().collect()
    }

    /// The services of a namespace, with their instances in the datacenter. A service that has none there is left out.
    pub(super) fn services(&self, namespace: &str) -> Vec<(ServiceKey, Vec<Arc<Entry>>)> {
        let services = self.registry.services();
        let keys = services.keys().filter(|key| key.namespace == namespace);
        let found = keys.map(|key| (key.clone(), self.instances(key)));
        found.filter(|(_, instances)| !instances.is_empty()).collect()
    }

    pub(super) fn is_here(&self, entry: &Entry) -> bool {
        *entry.node.datacenter == *self.datacenter
    }

    /// The members of the datacenter, by name and node id.
    pub(super) fn members(&self) -> Vec<&Member> {
        let mut here: Vec<_> = self.all_members().collect();
        here.retain(|member| member.datacenter == self.datacenter);
        here.sort_by(|a, b| (&a.name, a.node_id).cmp(&(&b.name, b.node_id)));
        here
    }

    /// The members of all datacenters.
    pub(super) fn all_members(&self) -> impl Iterator<Item = &Member> {
        self.members.values().map(|known| &known.member)
    }

    /// The member of the datacenter with this name or id. Of several with one name, a living one.
    pub(super) fn member(&self, name: &str) -> Option<&Member> {
        let is_meant =
            |member: &&&Member| member.name == name || node_uuid(member.node_id.0) == name;
        let here = self.members();
        let found = here.iter().filter(is_meant).min_by_key(|member| !is_alive(member.status));
        found.copied()
    }

    /// A member as a node of the catalog.
    pub(super) fn node_of(&self, member: &Member) -> Node {
        let (address, _) = address_of(&member.gossip_address);
        let index = self.registry.members().1;
        node(member.node_id.0, &member.name, address, &member.datacenter, &member.zone, index)
    }

    /// The node of an instance.
    pub(super) fn node(&self, entry: &Entry, index: u64) -> Node {
        let address = match self.members.get(&entry.origin) {
            Some(known) => address_of(&known.member.gossip_address).0,
            None if entry.origin == self.own.node_id => self.own.gossip_addr.ip().to_string(),
            // Only its records are left: nobody knows its address any more.
            None => String::new(),
        };
        let record = &entry.node;
        node(entry.origin.0, &record.name, address, &record.datacenter, &record.zone, index)
    }

    pub(super) fn service(&self, entry: &Entry, index: u64) -> Service {
        let record = &entry.service;
        Service {
            kind: "",
            id: entry.id.to_string(),
            service: record.service.to_string(),
            tags: tags(&record.tags),
            meta: meta(&record.meta),
            port: record.port,
            address: record.address.to_string(),
            tagged_addresses: tagged(&record.address, record.port),
            weights: Weights { passing: record.weight, warning: record.weight },
            enable_tag_override: false,
            datacenter: entry.node.datacenter.to_string(),
            namespace: record.namespace.to_string(),
            content_hash: None,
            create_index: index,
            modify_index: index,
        }
    }

    pub(super) fn service_check(&self, entry: &Entry, index: u64) -> Check {
        let (status, output) = service_status(entry);
        let record = &entry.service;
        Check {
            node: entry.node.name.to_string(),
            check_id: format!("service:{}", entry.id),
            name: format!("Service '{}' check", record.service),
            status,
            notes: String::new(),
            output: output.to_owned(),
            service_id: entry.id.to_string(),
            service_name: record.service.to_string(),
            service_tags: tags(&record.tags),
            kind: String::new(),
            namespace: record.namespace.to_string(),
            create_index: index,
            modify_index: index,
        }
    }

    /// The check of a member.
    pub(super) fn check_of(&self, member: &Member, index: u64) -> Check {
        node_check(&member.name, NodeVerdict::of(is_alive(member.status)), index)
    }

    /// An instance with its checks: whether its node lives, and what its own checks say together. `offered` is the
    /// [grade](offered) of those that it stands among.
    pub(super) fn entry(&self, entry: &Entry, offered: Option<Grade>, index: u64) -> ServiceEntry {
        let of_node = node_check(&entry.node.name, verdict(entry, offered), index);
        ServiceEntry {
            node: self.node(entry, index),
            service: self.service(entry, index),
            checks: vec![of_node, self.service_check(entry, index)],
        }
    }

    /// Sorts instances: those of a node first, then those of its zone, then the others. `_agent` stands for this agent.
    /// Returns whether the node is known.
    pub(super) fn sort_near(&self, near: &str, instances: &mut [Arc<Entry>]) -> bool {
        let (node, zone) = match near {
            "_agent" => (self.own.node_id, self.own.zone.clone()),
            name => match self.all_members().find(|member| member.name == name) {
                Some(member) => (NodeId(member.node_id.0), member.zone.clone()),
                None => return false,
            },
        };
        let rank =
            |entry: &Entry| (entry.origin != node, zone.is_empty() || *entry.node.zone != *zone);
        instances.sort_by_key(|entry| rank(entry));
        true
    }
}

/// Whether a member takes part.
pub(super) fn is_alive(status: MemberStatus) -> bool {
    matches!(status, MemberStatus::Alive | MemberStatus::Suspect)
}

/// The grade of the instances that are offered among these, as for every other question.
pub(super) fn offered<'a>(entries: impl IntoIterator<Item = &'a Arc<Entry>>) -> Option<Grade> {
    Grade::offered(entries.into_iter().map(|entry| entry.grade()), false)
}

/// Whether all checks of an instance pass, among instances of which this grade is offered.
pub(super) fn is_passing(entry: &Entry, offered: Option<Grade>) -> bool {
    verdict(entry, offered).is_passing() && service_status(entry).0 == "passing"
}

/// Whether a node takes part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum NodeVerdict {
    Alive,
    Down,
    /// It is down. Its instance passed when it was heard last, and is offered because nothing better is left.
    LastKnown,
}

impl NodeVerdict {
    fn of(is_alive: bool) -> Self {
        if is_alive { Self::Alive } else { Self::Down }
    }

    fn is_passing(self) -> bool {
        self != Self::Down
    }
}

fn verdict(entry: &Entry, offered: Option<Grade>) -> NodeVerdict {
    let is_last_known = entry.grade() == Some(Grade::LastKnown);
    if is_last_known && entry.is_offered(offered) {
        return NodeVerdict::LastKnown;
    }
    NodeVerdict::of(entry.down_since.is_none())
}

/// The status of an instance by its own checks, and why.
fn service_status(entry: &Entry) -> (&'static str, &'static str) {
    match (entry.basis(), entry.health) {
        (Basis::Maintenance, _) => ("critical", "in maintenance"),
        (Basis::Drained, _) => ("critical", "drained"),
        (_, Health::Passing) => ("passing", ""),
        (_, Health::Warning) => ("warning", ""),
        (_, Health::Failing) => ("critical", ""),
        (_, Health::Unknown) => ("critical", "not checked yet"),
    }
}

fn node_check(name: &str, verdict: NodeVerdict, index: u64) -> Check {
    let status = if verdict.is_passing() { "passing" } else { "critical" };
    let output = match verdict {
        NodeVerdict::Alive => "Agent alive and reachable",
        NodeVerdict::Down => "Agent not live or unreachable",
        NodeVerdict::LastKnown => "Agent unreachable; last known, and nothing better is left",
    };
    Check {
        node: name.to_owned(),
        check_id: NODE_CHECK.to_owned(),
        name: "Serf Health Status".to_owned(),
        status,
        notes: String::new(),
        output: output.to_owned(),
        service_id: String::new(),
        service_name: String::new(),
        service_tags: Vec::new(),
        kind: String::new(),
        namespace: String::new(),
        create_index: index,
        modify_index: index,
    }
}

fn node(id: u64, name: &str, address: String, datacenter: &str, zone: &str, index: u64) -> Node {
    let tagged = ["lan", "wan"].map(|network| (network, address.clone()));
    let zone = Some(("zone", zone.to_owned())).filter(|(_, zone)| !zone.is_empty());
    Node {
        id: node_uuid(id),
        node: name.to_owned(),
        tagged_addresses: tagged.into(),
        address,
        datacenter: datacenter.to_owned(),
        meta: zone.into_iter().collect(),
        create_index: index,
        modify_index: index,
    }
}

/// A node id in the form of a UUID, which clients of Consul expect.
pub(super) fn node_uuid(id: u64) -> String {
    format!("00000000-0000-0000-{:04x}-{:012x}", id >> 48, id & 0xffff_ffff_ffff)
}

/// The IP address and the port of a gossip address.
pub(super) fn address_of(gossip_address: &str) -> (String, u16) {
    match gossip_address.parse::<SocketAddr>() {
        Ok(at) => (at.ip().to_string(), at.port()),
        // A member of which only records are left has none.
        Err(_) => (String::new(), 0),
    }
}

pub(super) fn tagged(address: &str, port: u16) -> TaggedAddresses {
    let one = |network| (network, TaggedAddress { address: address.to_owned(), port });
    BTreeMap::from(["lan", "wan"].map(one))
}

fn tags(tags: &Tags) -> Vec<String> {
    tags.iter().map(Text::to_string).collect()
}

fn meta(meta: &Meta) -> BTreeMap<String, String> {
    meta.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect()
}

#[cfg(test)]
mod tests {
    use hobnob_membership::Time;
    use hobnob_membership::view::{Instance, InstanceStatus};

    use super::*;
    use crate::services::testing::{OTHER, instance};

    #[test]
    fn a_node_id_looks_like_a_uuid() {
        let id = 0x0123_4567_89ab_cdef;
        assert_eq!(node_uuid(id), "00000000-0000-0000-0123-456789abcdef");
    }

    #[test]
    fn a_node_that_is_down_passes_only_while_its_instance_stands_in() {
        let entry = |health, is_down: bool| {
            let change = instance(OTHER, "a", InstanceStatus::of(health, is_down));
            let down_since = is_down.then_some(Time::ZERO);
            Arc::new(Entry::new(
                Arc::new(Instance { health, down_since, ..(*change.instance).clone() }),
                false,
            ))
        };
        let (alive, down) = (entry(Health::Passing, false), entry(Health::Passing, true));
        let (warning, failing) = (entry(Health::Warning, false), entry(Health::Failing, true));
        let passing = |entries: &[&Arc<Entry>]| {
            let offered = offered(entries.iter().copied());
            entries.iter().map(|entry| is_passing(entry, offered)).collect::<Vec<_>>()
        };
        assert_eq!(passing(&[&alive, &down, &failing]), [true, false, false]);
        assert_eq!(passing(&[&down, &failing]), [true, false], "nothing better is left");
        assert_eq!(
            passing(&[&warning, &down]),
            [false, false],
            "a warning is offered, and Consul has it for no pass"
        );
        assert_eq!(
            passing(&[&entry(Health::Unknown, false), &entry(Health::Unknown, true)]),
            [false, false]
        );
    }

    #[test]
    fn an_address_of_both_families_is_split() {
        assert_eq!(address_of("10.0.0.1:7946"), ("10.0.0.1".to_owned(), 7946));
        assert_eq!(address_of("[::1]:7946"), ("::1".to_owned(), 7946));
        assert_eq!(address_of(""), (String::new(), 0));
    }
}
