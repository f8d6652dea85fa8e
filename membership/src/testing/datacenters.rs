//! Networks of several datacenters.

use std::time::Duration;

use super::network::{Link, Network};
use super::samples::{config, identity, record};
use crate::record::NodeRecord;
use crate::view::MemberStatus;
use crate::{Config, DatacenterId, Event, Gateway, Input, Node, NodeId, Time};

/// The names of the datacenters, in order.
pub const NAMES: [&str; 6] = ["eu", "us", "ap", "sa", "af", "oc"];

/// The `n`th node in a datacenter.
///
/// # Panics
/// Never: its records are legal.
#[must_use]
pub fn node_in(n: usize, datacenter: &str, gateway: Gateway) -> Node {
    let node = NodeRecord { datacenter: datacenter.into(), gateway, ..record(n) };
    Node::new(Config { node, ..config(n) }, Time::ZERO).expect("legal records")
}

impl Network {
    /// Nodes in several datacenters, so many in each. Each datacenter has joined through its first node, and they know nothing of each
    /// other. Between them, everything takes 40 ms.
    #[must_use]
    pub fn apart(sizes: &[usize]) -> Self {
        let groups: Vec<usize> =
            sizes.iter().enumerate().flat_map(|(dc, size)| vec![dc; *size]).collect();
        let nodes = groups.iter().enumerate().map(|(n, dc)| node_in(n, NAMES[*dc], Gateway::Yes));
        let mut network = Self::new(nodes.collect(), Link::default(), Time::ZERO);
        network.groups = groups;
        network.wan_latency = Duration::from_millis(40);
        for n in 0..network.nodes.len() {
            let first = network.first_of(network.groups[n]);
            if n != first {
                network.handle(n, Input::Join(vec![identity(first).addr]));
            }
        }
        network.run_for(Duration::from_secs(5));
        network
    }

    /// The same, and the first node of each datacenter but the first was told of the first node of all.
    #[must_use]
    pub fn of_datacenters(sizes: &[usize]) -> Self {
        let mut network = Self::apart(sizes);
        for dc in 1..sizes.len() {
            let first = network.first_of(dc);
            network.handle(first, Input::JoinWan(vec![identity(0).addr]));
        }
        network.run_for(Duration::from_secs(15));
        network
    }

    /// The first node of a datacenter.
    ///
    /// # Panics
    /// When there is none.
    #[must_use]
    pub fn first_of(&self, dc: usize) -> usize {
        self.groups.iter().position(|group| *group == dc).expect("a datacenter")
    }

    /// The nodes of a datacenter.
    #[must_use]
    pub fn nodes_of(&self, dc: usize) -> Vec<usize> {
        (0..self.nodes.len()).filter(|n| self.groups[*n] == dc).collect()
    }

    /// Cuts the links between two datacenters.
    pub fn cut_between(&mut self, one: usize, other: usize) {
        for a in self.nodes_of(one) {
            self.cut.extend(self.nodes_of(other).into_iter().map(|b| (a.min(b), a.max(b))));
        }
    }

    /// Cuts a datacenter off from all others.
    pub fn cut_off(&mut self, dc: usize) {
        let others: Vec<usize> = self.groups.iter().copied().filter(|group| *group != dc).collect();
        others.into_iter().for_each(|other| self.cut_between(dc, other));
    }

    /// The members of a datacenter that a node sees alive.
    #[must_use]
    pub fn seen_alive(&self, n: usize, dc: usize) -> usize {
        let home = DatacenterId::named(NAMES[dc]);
        let members = self.nodes[n].members().into_iter();
        let alive = members.filter(|member| member.status == MemberStatus::Alive);
        alive.filter(|it| self.nodes[n].datacenter_of(it.identity.node_id) == Some(home)).count()
    }

    /// Events of a node that a filter takes.
    pub fn count_events(&self, n: usize, is_counted: impl Fn(&Event) -> bool) -> usize {
        self.events[n].iter().filter(|event| is_counted(event)).count()
    }

    /// Whether every node sees all members of all datacenters alive, and no pool has a member of another one.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        let dcs = self.groups.iter().max().map_or(0, |last| last + 1);
        (0..self.nodes.len()).all(|n| {
            let own = self.nodes_of(self.groups[n]).len();
            let sees = |dc| self.seen_alive(n, dc) == self.nodes_of(dc).len();
            self.nodes[n].active_members() == own && (0..dcs).all(sees)
        })
    }

    /// The id of a node.
    #[must_use]
    pub fn id(&self, n: usize) -> NodeId {
        self.nodes[n].identity().node_id
    }
}
