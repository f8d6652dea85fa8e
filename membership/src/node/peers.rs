//! The members of the pool, and those of other datacenters, as the peers of the catalog plane.

use std::time::Duration;

use crate::base::datacenter::DatacenterId;
use crate::base::identity::{Epoch, Identity, NodeId};
use crate::base::time::Time;
use crate::catalog::Standing;
use crate::datacenters::Wan;
use crate::datacenters::seen::{Datacenters, Presence};
use crate::liveness::Liveness;
use crate::spread::peers::Peers;
use crate::wire::HomeVerdict;

/// Our own pool, and what is known of the others.
pub(in crate::node) struct Pools<'a> {
    pub(in crate::node) liveness: &'a mut Liveness,
    pub(in crate::node) wan: &'a mut Wan,
}

impl Peers for Pools<'_> {
    fn active(&self, node: NodeId) -> Option<Identity> {
        self.liveness.members().active(node).copied()
    }

    fn standing(&self, node: NodeId) -> Standing {
        if let Some(entry) = self.wan.remote(node) {
            return Standing::of_member(entry.verdict == HomeVerdict::Alive);
        }
        let peer = self.liveness.members().get(node);
        peer.map_or(Standing::Unvouched, |peer| Standing::of_member(peer.is_active()))
    }

    fn standings(&self) -> u64 {
        self.liveness.members().generation().rotate_left(32) ^ self.wan.table().hash()
    }

    fn must_prove(&self, node: NodeId) -> bool {
        self.liveness.must_prove(node)
    }

    fn ask_for_proof(&mut self, node: NodeId) {
        self.liveness.ask_for_proof(node);
    }

    fn rumor_targets(&mut self, seed: u64, random: usize) -> Vec<Identity> {
        self.liveness.swim_mut().rumor_targets(seed, random)
    }

    fn at_offsets(&self, seed: u64, count: usize) -> Vec<Identity> {
        self.liveness.swim().offset_peers(seed, count)
    }

    fn random(&mut self) -> Option<Identity> {
        self.liveness.swim_mut().random_peers(1).pop()
    }

    fn is_connected(&self) -> bool {
        self.liveness.is_connected()
    }

    fn are_datagrams_blocked(&self) -> bool {
        self.liveness.are_datagrams_blocked()
    }

    fn identity(&self) -> Identity {
        *self.liveness.identity()
    }

    fn digest(&self) -> u64 {
        self.liveness.swim().digest()
    }

    fn roster(&self) -> Vec<Identity> {
        self.liveness.swim().roster()
    }

    fn pass_epoch(&mut self, remembered: Epoch, now: Time) -> Option<Epoch> {
        self.liveness.pass_epoch(remembered, now)
    }
}

impl Datacenters for Pools<'_> {
    fn own(&self) -> DatacenterId {
        self.wan.own()
    }

    fn others(&self) -> Vec<DatacenterId> {
        self.wan.others()
    }

    fn of(&self, node: NodeId) -> Option<DatacenterId> {
        self.wan.of(node)
    }

    fn candidate(&self, datacenter: DatacenterId, rank: usize) -> Option<Identity> {
        self.wan.candidate(datacenter, rank)
    }

    fn any_eligible(&mut self, datacenter: DatacenterId) -> Option<Identity> {
        self.wan.any_eligible(datacenter)
    }

    fn is_isolated(&self, datacenter: DatacenterId) -> bool {
        self.wan.is_isolated(datacenter)
    }

    fn is_out_of_reach(&self, datacenter: DatacenterId) -> bool {
        self.wan.is_out_of_reach(datacenter)
    }

    fn is_silent_here(&self, datacenter: DatacenterId, now: Time) -> bool {
        self.wan.is_silent_here(datacenter, now)
    }

    fn heard(&mut self, datacenter: DatacenterId, now: Time) {
        self.wan.heard(datacenter, now);
    }

    fn remote(&self, node: NodeId) -> Option<Identity> {
        Datacenters::remote(&*self.wan, node)
    }

    fn living(&self, datacenter: DatacenterId) -> Vec<Identity> {
        Datacenters::living(&*self.wan, datacenter)
    }

    fn round_trip(&self, datacenter: DatacenterId) -> Option<Duration> {
        Datacenters::round_trip(&*self.wan, datacenter)
    }

    fn present(&mut self, to: DatacenterId, peer: NodeId, now: Time) -> Presence {
        self.wan.present(to, peer, now)
    }

    fn sent(&mut self, datacenter: DatacenterId, bytes: usize, now: Time) {
        self.wan.sent(datacenter, bytes, now);
    }
}
