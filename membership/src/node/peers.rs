//! The members of the pool as the peers of the catalog plane.

use crate::base::identity::{Epoch, Identity, NodeId};
use crate::base::time::Time;
use crate::catalog::Standing;
use crate::liveness::Liveness;
use crate::spread::peers::Peers;

impl Peers for Liveness {
    fn active(&self, node: NodeId) -> Option<Identity> {
        self.members().active(node).copied()
    }

    fn standing(&self, node: NodeId) -> Standing {
        let peer = self.members().get(node);
        peer.map_or(Standing::Unvouched, |peer| Standing::of_member(peer.is_active()))
    }

    fn must_prove(&self, node: NodeId) -> bool {
        self.must_prove(node)
    }

    fn ask_for_proof(&mut self, node: NodeId) {
        self.ask_for_proof(node);
    }

    fn rumor_targets(&mut self, random: usize) -> Vec<Identity> {
        self.swim_mut().rumor_targets(random)
    }

    fn at_offsets(&self, seed: u64, count: usize) -> Vec<Identity> {
        self.swim().offset_peers(seed, count)
    }

    fn random(&mut self) -> Option<Identity> {
        self.swim_mut().random_peers(1).pop()
    }

    fn is_connected(&self) -> bool {
        self.is_connected()
    }

    fn are_datagrams_blocked(&self) -> bool {
        self.are_datagrams_blocked()
    }

    fn identity(&self) -> Identity {
        *self.identity()
    }

    fn digest(&self) -> u64 {
        self.swim().digest()
    }

    fn roster(&self) -> Vec<Identity> {
        self.swim().roster()
    }

    fn pass_epoch(&mut self, remembered: Epoch, now: Time) -> Option<Epoch> {
        self.pass_epoch(remembered, now)
    }
}
