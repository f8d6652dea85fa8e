//! The agent's view in Consul's objects.

use std::borrow::Cow;
use std::net::SocketAddr;
use std::sync::Arc;

use hobnob_api::{Basis, Grade, Member, MemberStatus};
use hobnob_membership::NodeId;
use hobnob_membership::record::Health;

use super::shapes::{
    Check, MetaMap, Node, NodeMeta, NodeUuid, OnNetworks, Service, ServiceEntry, TagList,
    TaggedAddress, Weights,
};
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
    own_address: String,
}

impl<'a> View<'a> {
    pub(super) fn new(handler: &'a Handler, datacenter: &'a str) -> Self {
        let registry = &*handler.registry;
        let own = &handler.info;
        let own_address = own.gossip_addr.ip().to_string();
        Self { registry, own, datacenter, members: registry.members().0, own_address }
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
        let is_meant = |member: &&&Member| {
            member.name == name || NodeUuid(member.node_id.0).to_string() == name
        };
        let here = self.members();
        let found = here.iter().filter(is_meant).min_by_key(|member| !is_alive(member.status));
        found.copied()
    }

    /// A member as a node of the catalog.
    pub(super) fn node_of<'b>(&self, member: &'b Member) -> Node<'b> {
        let (id, index) = (member.node_id.0, self.registry.members().1);
        let address = ip_of(&member.gossip_address);
        node(id, &member.name, address, &member.datacenter, &member.zone, index)
    }

    /// The node of an instance.
    pub(super) fn node<'b>(&'b self, entry: &'b Entry, index: u64) -> Node<'b> {
        let address = match self.members.get(&entry.origin) {
            Some(known) => ip_of(&known.member.gossip_address),
            None if entry.origin == self.own.node_id => &self.own_address,
            // Only its records are left: nobody knows its address any more.
            None => "",
        };
        let record = &entry.node;
        node(entry.origin.0, &record.name, address, &record.datacenter, &record.zone, index)
    }

    pub(super) fn service<'b>(&self, entry: &'b Entry, index: u64) -> Service<'b> {
        let record = &entry.service;
        Service {
            kind: "",
            id: &entry.id,
            service: &record.service,
            tags: TagList::Record(&record.tags),
            meta: MetaMap::Record(&record.meta),
            port: record.port,
            address: &record.address,
            tagged_addresses: tagged(&record.address, record.port),
            weights: Weights { passing: record.weight, warning: record.weight },
            enable_tag_override: false,
            datacenter: &entry.node.datacenter,
            namespace: &record.namespace,
            content_hash: None,
            create_index: index,
            modify_index: index,
        }
    }

    pub(super) fn service_check<'b>(&self, entry: &'b Entry, index: u64) -> Check<'b> {
        let (status, output) = service_status(entry);
        let record = &entry.service;
        Check {
            node: &entry.node.name,
            check_id: format!("service:{}", entry.id).into(),
            name: format!("Service '{}' check", record.service).into(),
            status,
            notes: "",
            output,
            service_id: &entry.id,
            service_name: &record.service,
            service_tags: TagList::Record(&record.tags),
            kind: "",
            namespace: &record.namespace,
            create_index: index,
            modify_index: index,
        }
    }

    /// The check of a member.
    pub(super) fn check_of<'b>(&self, member: &'b Member, index: u64) -> Check<'b> {
        node_check(&member.name, NodeVerdict::of(is_alive(member.status)), index)
    }

    /// An instance with its checks: whether its node lives, and what its own checks say together. `offered` is the
    /// [grade](offered) of those that it stands among.
    pub(super) fn entry<'b>(
        &'b self,
        entry: &'b Entry,
        offered: Option<Grade>,
        index: u64,
    ) -> ServiceEntry<'b> {
        let of_node = node_check(&entry.node.name, verdict(entry, offered), index);
        ServiceEntry {
            node: self.node(entry, index),
            service: self.service(entry, index),
            checks: [of_node, self.service_check(entry, index)],
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

fn node_check(name: &str, verdict: NodeVerdict, index: u64) -> Check<'_> {
    let status = if verdict.is_passing() { "passing" } else { "critical" };
    let output = match verdict {
        NodeVerdict::Alive => "Agent alive and reachable",
        NodeVerdict::Down => "Agent not live or unreachable",
        NodeVerdict::LastKnown => "Agent unreachable; last known, and nothing better is left",
    };
    Check {
        node: name,
        check_id: Cow::Borrowed(NODE_CHECK),
        name: Cow::Borrowed("Serf Health Status"),
        status,
        notes: "",
        output,
        service_id: "",
        service_name: "",
        service_tags: TagList::None,
        kind: "",
        namespace: "",
        create_index: index,
        modify_index: index,
    }
}

fn node<'a>(
    id: u64,
    name: &'a str,
    address: &'a str,
    datacenter: &'a str,
    zone: &'a str,
    index: u64,
) -> Node<'a> {
    Node {
        id: NodeUuid(id),
        node: name,
        tagged_addresses: OnNetworks(address),
        address,
        datacenter,
        meta: NodeMeta { zone },
        create_index: index,
        modify_index: index,
    }
}

/// The IP address and the port of a gossip address.
pub(super) fn address_of(gossip_address: &str) -> (String, u16) {
    match gossip_address.parse::<SocketAddr>() {
        Ok(at) => (at.ip().to_string(), at.port()),
        // A member of which only records are left has none.
        Err(_) => (String::new(), 0),
    }
}

/// The IP address of a gossip address. A member of which only records are left has none.
fn ip_of(gossip_address: &str) -> &str {
    let host = gossip_address.rsplit_once(':').map_or("", |(host, _)| host);
    host.trim_start_matches('[').trim_end_matches(']')
}

pub(super) fn tagged(address: &str, port: u16) -> OnNetworks<TaggedAddress<'_>> {
    OnNetworks(TaggedAddress { address, port })
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
        assert_eq!(NodeUuid(id).to_string(), "00000000-0000-0000-0123-456789abcdef");
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
        for (address, ip) in [("10.0.0.1:7946", "10.0.0.1"), ("[::1]:7946", "::1"), ("", "")] {
            assert_eq!(ip_of(address), ip);
        }
    }
}
