//! Three datacenters of five nodes, and what passes between them.

use std::collections::BTreeMap;
use std::time::Duration;

use hobnob_membership::catalog::{Replica, Version};
use hobnob_membership::record::NodeRecord;
use hobnob_membership::testing::{
    Arrival, Link, NAMES, Network, config, identity, instance, record,
};
use hobnob_membership::wire::{Envelope, Message, decode_datagram};
use hobnob_membership::{ClusterId, Config, Input, Node, NodeId, Protocol, Time};

pub(crate) const MS: Duration = Duration::from_millis(1);
/// The time that a datagram takes to another datacenter.
pub(crate) const ONE_WAY: Duration = Duration::from_millis(41);

/// Three datacenters of five nodes that know each other.
pub(crate) fn three_by_five() -> Network {
    three_by_five_with(|_| ())
}

/// The same with other parameters.
pub(crate) fn three_by_five_with(set: impl Fn(&mut Protocol)) -> Network {
    let node = |n: usize| {
        let node = NodeRecord { datacenter: NAMES[n / 5].into(), ..record(n) };
        let mut config = Config { node, ..config(n) };
        set(&mut config.protocol);
        Node::new(config, Time::ZERO).expect("legal records")
    };
    let mut network = Network::new((0..15).map(node).collect(), Link::default(), Time::ZERO);
    network.groups = (0..15).map(|n| n / 5).collect();
    network.wan_latency = ONE_WAY - MS;
    for n in (0..15).filter(|n| n % 5 > 0) {
        network.handle(n, Input::Join(vec![identity(n - n % 5).addr]));
    }
    network.run_for(MS * 5_000);
    for (n, at) in [(5, 0), (10, 0), (10, 5)] {
        network.handle(n, Input::JoinWan(vec![identity(at).addr]));
    }
    network.run_for(MS * 15_000);
    assert!(network.is_whole(), "they do not know each other");
    network
}

/// A write of an origin.
pub(crate) type Write = (NodeId, Version);

/// Makes a node write a record.
pub(crate) fn write(net: &mut Network, n: usize, id: &str) -> Write {
    net.write(n, instance(id));
    (net.id(n), known(net, n, net.id(n)))
}

/// The version up to which a node knows an origin.
pub(crate) fn known(net: &Network, n: usize, origin: NodeId) -> Version {
    let origin = net.nodes[n].catalog().origin(origin);
    origin.and_then(|origin| origin.current()).map_or(0, Replica::known_to)
}

/// Whether these nodes know a write.
pub(crate) fn know(net: &Network, nodes: &[usize], (origin, version): Write) -> bool {
    nodes.iter().all(|n| known(net, *n, origin) >= version)
}

/// All nodes.
pub(crate) fn all(net: &Network) -> Vec<usize> {
    (0..net.nodes.len()).collect()
}

/// Lets time pass until a condition holds, and returns the time; panics after `limit`.
pub(crate) fn time_until(
    net: &mut Network,
    limit: Duration,
    is_so: impl Fn(&Network) -> bool,
) -> Duration {
    let begin = net.now;
    while !is_so(net) {
        let passed = net.now.since(begin);
        assert!(passed < limit, "not within {limit:?}: {:#?}", totals(net));
        net.run_for(MS);
    }
    net.now.since(begin)
}

/// Stops a node: nothing passes to it or from it.
pub(crate) fn kill(net: &mut Network, n: usize) {
    net.blocked.insert(n);
    for other in all(net).into_iter().filter(|other| *other != n) {
        net.cut.insert((n.min(other), n.max(other)));
    }
}

/// A counter of all nodes together.
pub(crate) fn total(net: &Network, name: &str) -> u64 {
    let of = |n: &usize| net.nodes[*n].counters();
    let named = |n| of(&n).iter().filter(|(other, _)| *other == name).map(|it| it.1).sum::<u64>();
    all(net).into_iter().map(named).sum()
}

/// The counters that tell of traffic between datacenters.
fn totals(net: &Network) -> Vec<(&'static str, u64)> {
    let names = net.nodes[0].counters();
    let names = names.iter().map(|(name, _)| name);
    let is_ours = |name: &&str| {
        ["tells", "wan", "beats", "far", "bulk", "pulls", "sessions"]
            .iter()
            .any(|part| name.starts_with(part))
    };
    names.filter(is_ours).map(|name| (name, total(net, name))).filter(|it| it.1 > 0).collect()
}

/// The copies of each write that arrived over each link, by rumor, since an arrival.
pub(crate) fn copies(net: &Network, since: usize) -> BTreeMap<(Write, usize, usize), usize> {
    let mut copies = BTreeMap::new();
    for (_, to, arrival) in &net.arrivals[since..] {
        let Arrival::Datagram(from, bytes) = arrival else { continue };
        let from = all(net).into_iter().find(|n| identity(*n).addr == *from).expect("a node");
        let link = (net.groups[from], net.groups[*to]);
        if link.0 == link.1 {
            continue;
        }
        let messages = decode_datagram(bytes, &Envelope::clear(ClusterId::default()));
        for message in messages.expect("ours") {
            let Ok(Message::Rumors(_, deltas, _)) = message else { continue };
            for delta in deltas {
                for version in delta.after + 1..=delta.to {
                    *copies.entry(((delta.origin, version), link.0, link.1)).or_default() += 1;
                }
            }
        }
    }
    copies
}
