//! The sealed part of a world: the keys of its hosts, the CA of the cluster, and what its operator ordered.
//!
//! All keys follow from the seed of the run. Hosts of another cluster, as the fault `other-cluster` makes them, have a CA of
//! their own.

mod authority;
mod liar;
mod outsider;
mod suite;

use std::collections::BTreeSet;

use clap::ValueEnum;
use hobnob_keys::{
    Certificate, Command, Generation, GenerationId, NodeKey, PublicKey, SignedCommand, Trust,
};
use hobnob_membership::{ClusterId, Epoch, Input, NodeId, Sealing, Time};
use serde::{Deserialize, Serialize};

use super::{Host, World};
use authority::{Authority, Which, bytes_of};
use outsider::Outsider;

/// How the cluster of a world is sealed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Seal {
    /// Not at all.
    #[default]
    None,
    /// With a cryptography that is fast and has the byte counts of the real one.
    Fake,
    /// With the real cryptography.
    Real,
}

impl Seal {
    pub(crate) fn is_none(&self) -> bool {
        *self == Self::None
    }
}

/// The keys of the cluster in a data directory.
#[derive(Clone, Debug, Default)]
pub(super) struct Keys {
    generations: Vec<(Generation, bool)>,
    revocations: Vec<SignedCommand>,
    members: Vec<Certificate>,
    /// The trusted CA keys; `None` while they are those of the token.
    trust: Option<Trust>,
}

/// The node key in a data directory: whose it was first, and how often that host had lost its disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Keyed {
    pub(super) host: usize,
    pub(super) generation: u64,
}

/// A generation that an operator ordered.
#[derive(Clone, Debug)]
pub struct Ordered {
    /// The generation.
    pub generation: GenerationId,
    /// When it was ordered.
    pub at: Time,
}

/// The keys of a sealed world.
pub(super) struct Sealed {
    seed: u64,
    home: Authority,
    abroad: Authority,
    ordered: Vec<Ordered>,
    generations: Vec<Generation>,
    revoked: BTreeSet<NodeId>,
    restricted: BTreeSet<NodeId>,
    /// When an operator handed in the succession of the CA key.
    succeeded_at: Option<Time>,
    outsider: Outsider,
}

impl Sealed {
    pub(super) fn new(seed: u64, seal: Seal) -> Option<Self> {
        if seal.is_none() {
            return None;
        }
        let home = Authority::new("home", seed, seal);
        let first = home.first.clone();
        Some(Self {
            seed,
            abroad: Authority::new("another", seed, seal),
            ordered: vec![Ordered { generation: first.id(), at: Time::ZERO }],
            generations: vec![first],
            revoked: BTreeSet::new(),
            restricted: BTreeSet::new(),
            succeeded_at: None,
            outsider: Outsider::new(seed),
            home,
        })
    }

    fn node_key(&self, keyed: Keyed) -> NodeKey {
        let number = (keyed.generation << 32) | keyed.host as u64;
        NodeKey::from_seed(&bytes_of(self.seed, "node", number))
    }

    pub(super) fn public_key(&self, keyed: Keyed) -> PublicKey {
        self.node_key(keyed).public_key()
    }

    /// Bytes that both ends of a stream share, and no other stream has.
    pub(super) fn binding(&self, stream: u64) -> [u8; 32] {
        bytes_of(self.seed, "binding", stream)
    }

    /// The operator's order to force one life of a node to leave.
    pub(super) fn force_leave(&self, node: NodeId, epoch: Epoch) -> SignedCommand {
        let node_id = hobnob_keys::NodeId(node.0);
        let command = Command::ForceLeave { node_id, epoch: epoch.0 };
        self.home.operator.sign(&command).expect("an operator may")
    }

    fn authority(&self, cluster: ClusterId) -> &Authority {
        if cluster == ClusterId::default() { &self.home } else { &self.abroad }
    }

    /// The knowledge of a host at its start. A founder makes the first generation if its disk holds none.
    pub(super) fn sealing(
        &self,
        host: &Host,
        name: &str,
        datacenter: &str,
        founds: bool,
    ) -> Sealing {
        let authority = self.authority(host.cluster);
        let key = self.public_key(host.keyed);
        let which = match () {
            () if host.is_of_successor => Which::OfSuccessor,
            () if host.is_restricted => Which::Restricted,
            () => Which::Ordinary,
        };
        let certificate = authority.certificate(key, name, datacenter, which);
        let keys = &host.disk.keys;
        let trust = keys.trust.clone().unwrap_or_else(|| authority.trust(which));
        let mut sealing = Sealing::new(trust, certificate).expect("the token certified it");
        if keys.generations.is_empty() && founds {
            sealing = sealing.with_generation(authority.first.clone(), true);
        }
        for (generation, in_use) in &keys.generations {
            sealing = sealing.with_generation(generation.clone(), *in_use);
        }
        sealing.with_revocations(keys.revocations.clone()).with_members(keys.members.clone())
    }
}

impl World {
    /// Seals the cluster. The world must have no host yet.
    pub fn seal(&mut self, seal: Seal) {
        assert!(self.hosts.is_empty(), "a world is sealed before it has hosts");
        self.sealed = Sealed::new(self.seed, seal);
        self.fabric.is_sealed = self.sealed.is_some();
    }

    /// Whether the cluster is sealed.
    #[must_use]
    pub fn is_sealed(&self) -> bool {
        self.sealed.is_some()
    }

    /// All generations that an operator ordered, in the order of time.
    #[must_use]
    pub fn ordered(&self) -> &[Ordered] {
        self.sealed.as_ref().map_or(&[], |sealed| &sealed.ordered)
    }

    /// The generation that replaces all others that were ordered.
    #[must_use]
    pub fn newest(&self) -> Option<&Ordered> {
        let ordered = self.ordered().iter();
        ordered.reduce(|a, b| if b.generation.replaces(&a.generation) { b } else { a })
    }

    /// The generations that the node on a host holds and has a use for.
    #[must_use]
    pub fn held_by(&self, number: usize) -> Vec<GenerationId> {
        let host = &self.hosts[number];
        let Some(node) = host.node() else { return Vec::new() };
        let held = node.generations(host.clock.local(self.now));
        held.iter().map(|(generation, _)| generation.id()).collect()
    }

    /// Derives the id of a host from its key, or from its number in a clear cluster.
    pub(super) fn identify(&mut self, number: usize) {
        let host = &mut self.hosts[number];
        host.keyed = Keyed { host: number, generation: host.generation };
        host.public_key = self.sealed.as_ref().map(|sealed| sealed.public_key(host.keyed));
        host.id = match host.public_key {
            Some(key) => NodeId(key.node_id().0),
            None => super::ids::clear_id(number, host.generation),
        };
        self.ids.note(host.id, number, host.generation);
        if let Some(sealed) = self.sealed.as_mut().filter(|_| host.is_restricted) {
            sealed.restricted.insert(host.id);
        }
    }

    /// Makes the operator order a generation at a host, as `keys rotate` does: it follows the newest that the node holds.
    pub fn rotate(&mut self, number: usize) {
        let Some(last) = self.held_by(number).iter().map(|held| held.number).max() else { return };
        let Some(sealed) = &mut self.sealed else { return };
        let secret = bytes_of(sealed.seed, "generation", 2 + sealed.generations.len() as u64);
        let generation = Generation::order(last + 1, secret, &sealed.home.operator);
        let generation = generation.expect("an operator may");
        sealed.ordered.push(Ordered { generation: generation.id(), at: self.now });
        sealed.generations.push(generation.clone());
        self.act(number, Input::Rotate(generation));
    }

    /// Makes the operator revoke the node of a host at another host, and rotate at once.
    pub fn revoke(&mut self, number: usize, revoked: usize) {
        let Some(sealed) = &mut self.sealed else { return };
        let Some(key) = self.hosts[revoked].public_key else { return };
        let command = sealed.home.revoke(key);
        sealed.revoked.insert(self.hosts[revoked].id);
        self.act(number, Input::Revoke(command));
        self.rotate(number);
    }

    /// Makes the operator hand in the succession of the CA key at a host, as `keys trust` does.
    pub fn succeed(&mut self, number: usize) {
        let now = self.now;
        let Some(sealed) = &mut self.sealed else { return };
        sealed.succeeded_at.get_or_insert(now);
        let succession = sealed.home.succession().clone();
        self.act(number, Input::Succeed(succession));
    }

    /// When the operator first handed in the succession of the CA key.
    #[must_use]
    pub fn succeeded_at(&self) -> Option<Time> {
        self.sealed.as_ref().and_then(|sealed| sealed.succeeded_at)
    }

    /// The number of CA keys that the node on a host trusts; 0 without a node, or in a clear cluster.
    #[must_use]
    pub fn authorities_of(&self, number: usize) -> usize {
        let trust = self.hosts[number].node().and_then(|node| node.trust());
        trust.map_or(0, |trust| trust.authorities().count())
    }

    /// Whether the node with this id was revoked by the operator.
    #[must_use]
    pub fn is_revoked(&self, id: NodeId) -> bool {
        self.sealed.as_ref().is_some_and(|sealed| sealed.revoked.contains(&id))
    }

    /// Whether the token of the node with this id allows none of the services that clients register.
    #[must_use]
    pub fn is_restricted(&self, id: NodeId) -> bool {
        self.sealed.as_ref().is_some_and(|sealed| sealed.restricted.contains(&id))
    }

    /// Notes which generation a node uses, and since when.
    pub(super) fn note_in_use(host: &mut Host, now: Time) {
        let local = host.clock.local(now);
        let Some(process) = host.process.as_mut() else { return };
        let held = process.node.generations(local);
        let in_use = held.iter().find(|(_, in_use)| *in_use).map(|(held, _)| held.id());
        if process.in_use.map(|(id, _)| id) != in_use {
            process.in_use = in_use.map(|id| (id, now));
        }
    }

    /// Stores the keys that the node on a host holds, if they changed since the last time. The disk then holds what it would if
    /// it had taken every change at once.
    pub(super) fn store_keys(&mut self, number: usize) {
        let now = self.now;
        let host = &mut self.hosts[number];
        let Some(process) = host.process.as_mut() else { return };
        if !std::mem::take(&mut process.keys_changed) {
            return;
        }
        host.disk.keys = Keys {
            generations: process.node.generations(host.clock.local(now)),
            revocations: process.node.revocations(),
            members: process.node.certificates(),
            trust: process.node.trust().cloned(),
        };
    }
}
