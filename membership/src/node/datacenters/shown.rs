//! Questions of the owner about datacenters.

use std::net::SocketAddr;
use std::time::Duration;

use crate::base::datacenter::DatacenterId;
use crate::base::identity::{Identity, NodeId};
use crate::base::time::Time;
use crate::catalog::record::Text;
use crate::datacenters::looking::OUT_AFTER;
use crate::datacenters::seen::{Datacenters, GATEWAYS};
use crate::gateways::links::HeldBack;
use crate::node::Node;

/// A datacenter, as this node sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Datacenter {
    /// The datacenter.
    pub id: DatacenterId,
    /// Its name.
    pub name: Text,
    /// Whether it is the datacenter of this node.
    pub is_own: bool,
    /// Members that are alive, as far as is known.
    pub alive: usize,
    /// Members that are down, and members that left a short time ago.
    pub down: usize,
    /// The members that speak for it.
    pub gateways: Vec<Identity>,
    /// The time in which it answers our own datacenter: the middle one of what the gateways of ours measured. `None` until one has.
    pub round_trip: Option<Duration>,
    /// The time since this node heard it last; `None` if this node is no gateway, or never heard it.
    pub lag: Option<Duration>,
    /// Since when an operator has isolated it from our own datacenter, as far as this node knows.
    pub isolated_since: Option<Time>,
    /// Since when it is out of reach of our own datacenter, or isolated.
    pub out_of_reach_since: Option<Time>,
    /// What the breakers of this node, as a gateway, held back on its way there.
    pub held_back: HeldBack,
    /// Bytes of datagrams that this node sent there.
    pub bytes_sent: u64,
    /// Bytes of all datagrams that this node received from there.
    pub bytes_received: u64,
}

impl Node {
    /// All datacenters that are known, our own first, then by name.
    #[must_use]
    pub fn datacenters(&self, now: Time) -> Vec<Datacenter> {
        let table = self.wan.table();
        let all = table.homes().map(|(id, home)| {
            let look = self.wan.look(id);
            Datacenter {
                id,
                name: home.name.clone(),
                is_own: id == self.wan.own(),
                alive: home.living,
                down: home.down,
                gateways: (0..GATEWAYS).filter_map(|rank| table.candidate(id, rank)).collect(),
                round_trip: self.wan.known_round_trip(id),
                lag: look.and_then(|look| look.heard).map(|heard| now.since(heard)),
                isolated_since: self.wan.isolated_since(id),
                out_of_reach_since: self.wan.out_since(id),
                held_back: self.spread.held_back(id),
                bytes_sent: look.map_or(0, |look| look.bytes.0),
                bytes_received: look.map_or(0, |look| look.bytes.1),
            }
        });
        let mut all: Vec<Datacenter> = all.collect();
        all.sort_by(|one, other| (!one.is_own, &one.name).cmp(&(!other.is_own, &other.name)));
        all
    }

    /// The datacenter of a node, alive or down, as far as it is known.
    #[must_use]
    pub fn datacenter_of(&self, node: NodeId) -> Option<DatacenterId> {
        self.wan.of(node)
    }

    /// The name of that datacenter.
    #[must_use]
    pub fn datacenter_name_of(&self, node: NodeId) -> Option<&str> {
        let home = self.wan.of(node)?;
        Some(self.wan.table().home(home)?.name.as_str())
    }

    /// Whether a node belongs to another datacenter.
    #[must_use]
    pub fn is_elsewhere(&self, node: NodeId) -> bool {
        self.wan.remote(node).is_some()
    }

    /// Whether an operator isolated a datacenter from ours.
    #[must_use]
    pub fn is_isolated(&self, datacenter: DatacenterId) -> bool {
        self.wan.is_isolated(datacenter)
    }

    /// Whether a datacenter is out of reach of ours, or isolated.
    #[must_use]
    pub fn is_out_of_reach(&self, datacenter: DatacenterId) -> bool {
        self.wan.out_since(datacenter).is_some()
    }

    /// The datacenters that an operator had forgotten, each with the number of the last order about it.
    pub fn forgotten(&self) -> impl Iterator<Item = (DatacenterId, u64)> + '_ {
        self.wan.forgotten()
    }

    /// The number of the last order about the isolation of a datacenter, which a signed order follows: odd while it is isolated, 0
    /// before the first one.
    #[must_use]
    pub fn isolation_orders(&self, datacenter: DatacenterId) -> u64 {
        self.wan.isolation_orders(datacenter)
    }

    /// The datacenter of this node.
    #[must_use]
    pub fn own_datacenter(&self) -> DatacenterId {
        self.wan.own()
    }

    /// The gossip addresses of some living members of each other datacenter, its gateways first, to be remembered for the next start.
    pub fn remote_addresses(&self) -> impl Iterator<Item = SocketAddr> + '_ {
        let table = self.wan.table();
        let others = table.others().filter(|datacenter| !self.wan.is_isolated(*datacenter));
        others.flat_map(move |datacenter| {
            let ranks = 0..2 * GATEWAYS;
            ranks.filter_map(move |rank| table.candidate(datacenter, rank)).map(|peer| peer.addr)
        })
    }

    /// Whether a node belongs to another datacenter, which is out of reach, and since when.
    #[must_use]
    pub fn unreachable_since(&self, node: NodeId) -> Option<Time> {
        let entry = self.wan.remote(node)?;
        self.wan.out_since(entry.home)
    }

    /// The latest time at which a member of another datacenter was alive, as far as we can tell: its home would have told of its
    /// death while it is in reach.
    pub(in crate::node) fn remote_last_alive(&self, node: NodeId, now: Time) -> Option<Time> {
        let entry = self.wan.remote(node)?;
        let down = self.wan.table().down(node).map(|down| down.since);
        let silent = |since: Time| Time::from(since.since(Time::ZERO).saturating_sub(OUT_AFTER));
        let out = self.wan.out_since(entry.home).map(silent);
        Some(down.into_iter().chain(out).min().unwrap_or(now))
    }

    /// Of a member of another datacenter that is down: when this node learned of it, and the member that passed the verdict.
    #[must_use]
    pub fn home_verdict(&self, node: NodeId) -> Option<(Time, Option<NodeId>)> {
        self.wan.remote(node)?;
        self.wan.table().down(node).map(|down| (down.since, down.accuser))
    }
}
