//! Instances as records.

use std::collections::HashSet;
use std::net::IpAddr;

use domain::base::Rtype;
use domain::rdata::Srv;

use super::answer::{Data, Record};
use super::directory::{Members, address_of};
use super::names::{self, OwnName};
use super::texts::text_record;
use super::zone::{Records, Zone};
use crate::config::DnsDomain;
use crate::queries::ordered::{InOrder, Ordered};
use crate::services::Entry;

/// All instances of an answer are as good.
const PRIORITY: u16 = 1;

/// The records of a type that instances have, in their order. For any type, those are their addresses (RFC 8482, section 4.1).
pub(super) fn instance_records(
    zone: &Zone,
    domain: &DnsDomain,
    ordered: &Ordered,
    rtype: Rtype,
) -> Records {
    let records = match rtype {
        Rtype::A | Rtype::AAAA | Rtype::ANY => addresses(ordered, rtype),
        Rtype::SRV => locations(zone, domain, ordered),
        Rtype::TXT => Records::of(ordered.instances.iter().filter_map(texts)),
        _ => return Records::default(),
    };
    Records { is_cut: ordered.is_cut, ..records }
}

/// The addresses of a type, each once.
pub(super) fn address_records(
    rtype: Rtype,
    addresses: impl IntoIterator<Item = IpAddr>,
) -> Records {
    let mut seen = HashSet::new();
    let is_asked = |address: &IpAddr| match rtype {
        Rtype::A => address.is_ipv4(),
        Rtype::AAAA => address.is_ipv6(),
        rtype => rtype == Rtype::ANY,
    };
    let addresses = addresses.into_iter().filter(is_asked).filter(|address| seen.insert(*address));
    Records::of(addresses.map(Data::from))
}

/// Addresses; where every instance is at a host by name, the name of the first one, which is the only one that a name may stand for.
fn addresses(ordered: &Ordered, rtype: Rtype) -> Records {
    let own = |one: &InOrder| one.entry.service.address.parse::<IpAddr>().ok();
    let known: Vec<IpAddr> = ordered.instances.iter().filter_map(own).collect();
    match ordered.instances.first() {
        Some(first) if known.is_empty() => {
            Records::of(names::host_name(&first.entry.service.address).map(Data::Cname))
        }
        _ => address_records(rtype, known),
    }
}

/// Where each instance is, with its port and its weight, and the addresses of those places.
fn locations(zone: &Zone, domain: &DnsDomain, ordered: &Ordered) -> Records {
    let members = zone.directory.members(&zone.registry);
    let mut seen = HashSet::new();
    let mut records = Records::default();
    for InOrder { entry, weight } in &ordered.instances {
        let address = entry.service.address.parse::<IpAddr>().ok();
        let target = match address {
            Some(address) => target(&members, domain, entry, address),
            None => names::host_name(&entry.service.address),
        };
        let Some(target) = target else { continue };
        if let Some(address) = address
            && seen.insert(target.clone())
        {
            records.additionals.push(Record { owner: Some(target.clone()), data: address.into() });
        }
        let weight = u16::try_from(*weight).unwrap_or(u16::MAX);
        let srv = Srv::new(PRIORITY, weight, entry.service.port, target);
        records.records.push(Record { owner: None, data: Data::Srv(srv) });
    }
    records
}

/// The name of the member that an instance is at, if that name leads to its address; else the name of the address.
fn target(
    members: &Members,
    domain: &DnsDomain,
    entry: &Entry,
    address: IpAddr,
) -> Option<OwnName> {
    let (node, datacenter) = (&entry.node.name, &entry.node.datacenter);
    let named = members.named(&node.to_ascii_lowercase()).iter();
    let mut named = named.filter(|known| known.member.datacenter.eq_ignore_ascii_case(datacenter));
    let leads_there = match (named.next(), named.next()) {
        (Some(known), None) => address_of(known) == Some(address),
        _ => false,
    };
    let node = leads_there.then(|| names::node_name(domain, node, datacenter)).flatten();
    node.or_else(|| names::address_name(domain, address, datacenter))
}

fn texts(InOrder { entry, .. }: &InOrder) -> Option<Data> {
    let service = &entry.service;
    let own = [("id", entry.id.as_str()), ("node", entry.node.name.as_str())];
    let tags = service.tags.iter().map(|tag| ("tag", tag.as_str()));
    let meta = service.meta.iter().map(|(key, value)| (key.as_str(), value.as_str()));
    text_record(own.into_iter().chain(tags).chain(meta))
}
