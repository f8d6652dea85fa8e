//! Records that stay in the datacenter of their origin.
//!
//! To another datacenter such a record leaves as a withheld one, with the same version and key. So heads, digests and gaps are the same
//! everywhere, and nobody asks for what is not meant for them. A node withholds all that it holds, whichever way it leaves:
//! of other datacenters it has only withheld records itself.

use super::super::Spread;
use super::super::peers::Peers;
use crate::base::identity::Identity;
use crate::base::mutants::{self as mutant, Mutant};
use crate::catalog::Delta;
use crate::wire::Frame;

impl Spread {
    /// Withholds in deltas that leave for another datacenter.
    pub(in crate::spread) fn withhold(&mut self, deltas: &mut [Delta]) {
        if mutant::is(Mutant::ScopeCrosses) {
            return;
        }
        let withheld: usize = deltas.iter_mut().map(Delta::withhold).sum();
        self.out.counters.records_withheld += withheld as u64;
    }

    /// Withholds in a frame that leaves for another datacenter.
    pub(in crate::spread) fn withhold_in_frame(&mut self, frame: &mut Frame) {
        if let Frame::Deltas { deltas, .. } = frame {
            self.withhold(deltas);
        }
    }

    /// Whether a delta has withheld records of an origin of our own datacenter, as far as we know. They say nothing here: the members of
    /// our pool have the records themselves.
    pub(in crate::spread) fn is_withheld_from_home(
        &self,
        delta: &Delta,
        peers: &dyn Peers,
    ) -> bool {
        delta.origin != self.own && delta.has_withheld() && self.is_of_home(delta, peers)
    }

    /// Whether an origin wrote the epoch of a delta in our own datacenter. After a move it writes a later one.
    fn is_of_home(&self, delta: &Delta, peers: &dyn Peers) -> bool {
        let Delta { origin, epoch, .. } = *delta;
        let served = self.catalog.origin(origin).and_then(|origin| origin.current());
        let is_served = served.is_some_and(|served| served.epoch() >= epoch);
        let is_member = peers.active(origin).is_some_and(|member| member.epoch >= epoch);
        is_member || (is_served && self.catalog.is_home(origin))
    }
}

/// Whether a peer is a member of another datacenter.
pub(in crate::spread) fn is_far(peer: &Identity, peers: &dyn Peers) -> bool {
    peers.remote(peer.node_id).is_some()
}
