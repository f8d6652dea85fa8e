//! Instances as records.

use std::collections::HashSet;
use std::net::IpAddr;

use domain::base::Rtype;
use domain::rdata::Srv;

use super::answer::{Data, Record};
use super::directory::{Index, address_of};
use super::naming::{self, OwnName};
use super::records::Records;
use super::texts::text_record;
use crate::config::DnsDomain;
use crate::queries::ordered::{InOrder, Offered};
use crate::services::Entry;

/// All instances of an answer are as good.
const PRIORITY: u16 = 1;

/// The records of a type that instances have, in their order, up to a limit. For any type, those are their addresses (RFC 8482,
/// section 4.1). Instances that have no such record do not count.
pub(super) fn instance_records(
    index: &Index,
    domain: &DnsDomain,
    offered: Offered<'_>,
    rtype: Rtype,
    most: usize,
) -> Records {
    match rtype {
        Rtype::A | Rtype::AAAA | Rtype::ANY | Rtype::CNAME => addresses(offered, rtype, most),
        Rtype::SRV => locations(index, domain, offered, most),
        Rtype::TXT => Records::up_to(most, offered.in_order().filter_map(texts)),
        _ => Records::default(),
    }
}

/// The addresses of a type, each once.
pub(super) fn address_records(
    rtype: Rtype,
    addresses: impl IntoIterator<Item = IpAddr>,
    most: usize,
) -> Records {
    let mut seen = HashSet::new();
    let addresses = addresses.into_iter().filter(|address| is_of(rtype, *address));
    let each_once = addresses.filter(|address| seen.insert(*address));
    Records::up_to(most, each_once.map(Data::from))
}

fn is_of(rtype: Rtype, address: IpAddr) -> bool {
    match rtype {
        Rtype::A => address.is_ipv4(),
        Rtype::AAAA => address.is_ipv6(),
        rtype => rtype == Rtype::ANY,
    }
}

/// The address that an instance is registered with; `None` where that is the name of a host. An IPv4 address in the form of an
/// IPv6 one is an IPv4 address.
fn ip(entry: &Entry) -> Option<IpAddr> {
    entry.service.address.parse::<IpAddr>().ok().map(|address| address.to_canonical())
}

/// Addresses; where every instance is at a host by name, an alias of one of those names, since there may be no more than one.
fn addresses(mut offered: Offered<'_>, rtype: Rtype, most: usize) -> Records {
    if offered.entries().any(|entry| ip(entry).is_some()) {
        offered.retain(|entry| ip(entry).is_some_and(|address| is_of(rtype, address)));
        let known = offered.in_order().filter_map(|one| ip(one.entry));
        return address_records(rtype, known, most);
    }
    let host = |entry: &Entry| naming::host_name(&entry.service.address);
    offered.retain(|entry| host(entry).is_some());
    let first = offered.in_order().find_map(|one| host(one.entry));
    first.map(Records::alias).unwrap_or_default()
}

/// Where each instance is, with its port and its weight, and the addresses of those places.
fn locations(index: &Index, domain: &DnsDomain, mut offered: Offered<'_>, most: usize) -> Records {
    let is_somewhere =
        |entry: &Entry| ip(entry).is_some() || naming::host_name(&entry.service.address).is_some();
    offered.retain(is_somewhere);
    let mut seen = HashSet::new();
    let mut additionals = Vec::new();
    let located = offered.in_order().filter_map(|InOrder { entry, weight }| {
        let address = ip(entry);
        let target = match address {
            Some(address) => target(index, domain, entry, address)?,
            None => naming::host_name(&entry.service.address)?,
        };
        let weight = u16::try_from(weight).unwrap_or(u16::MAX);
        let srv = Srv::new(PRIORITY, weight, entry.service.port, target.clone());
        Some((srv, target, address))
    });
    // The address of a location that is left out is not wanted either.
    let mut located = located.fuse();
    let records = located.by_ref().take(most).map(|(srv, target, address)| {
        if let Some(address) = address
            && seen.insert(target.clone())
        {
            additionals.push(Record { owner: Some(target), data: address.into() });
        }
        Data::Srv(srv)
    });
    let records = Records::of(records);
    Records { additionals, is_cut: located.next().is_some(), ..records }
}

/// The name of the member that an instance is at, if that name leads to its address; else the name of the address.
fn target(index: &Index, domain: &DnsDomain, entry: &Entry, address: IpAddr) -> Option<OwnName> {
    let (node, datacenter) = (&entry.node.name, &entry.node.datacenter);
    let named = index.members.named(&node.to_ascii_lowercase(), Some(datacenter));
    let leads_there = match &named[..] {
        [known] => address_of(known) == Some(address),
        _ => false,
    };
    let node = leads_there.then(|| naming::node_name(domain, node, datacenter)).flatten();
    node.or_else(|| naming::address_name(domain, address, datacenter))
}

fn texts(InOrder { entry, .. }: InOrder<'_>) -> Option<Data> {
    let service = &entry.service;
    let own = [("id", entry.id.as_str()), ("node", entry.node.name.as_str())];
    let tags = service.tags.iter().map(|tag| ("tag", tag.as_str()));
    let meta = service.meta.iter().map(|(key, value)| (key.as_str(), value.as_str()));
    text_record(own.into_iter().chain(tags).chain(meta))
}
