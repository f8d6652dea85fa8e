//! The members as the catalog plane sees them: whom to send to, and how we introduce ourselves.

use crate::base::identity::{Epoch, Identity, NodeId};
use crate::base::time::Time;
use crate::catalog::Standing;
use crate::datacenters::seen::Datacenters;

/// The peers that the catalog is spread to: the members of a pool, and through [`Datacenters`] those of others.
pub(crate) trait Peers: Datacenters {
    /// An active peer.
    fn active(&self, node: NodeId) -> Option<Identity>;

    /// What is known of a node.
    fn standing(&self, node: NodeId) -> Standing;

    /// A hash that changes whenever a node begins or ceases to be an active member, of our pool or of another.
    fn standings(&self) -> u64;

    /// Whether an active peer has yet to answer at its address. Anybody may have told us of it.
    fn must_prove(&self, node: NodeId) -> bool;

    /// Asks a peer to prove its address.
    fn ask_for_proof(&mut self, node: NodeId);

    /// `random` peers, as `seed` decides, and the two neighbours on the ring, without repetition. The random ones come first: they
    /// spread news fastest, while the neighbours leave nobody out. Of nodes with the same seed and the same peers, each SHOULD choose
    /// others.
    fn rumor_targets(&mut self, seed: u64, random: usize) -> Vec<Identity>;

    /// `count` peers at distances along the ring that `seed` decides. Nodes with the same seed and the same peers MUST
    /// choose different peers.
    fn at_offsets(&self, seed: u64, count: usize) -> Vec<Identity>;

    /// A peer at random; `None` when there is none.
    fn random(&mut self) -> Option<Identity>;

    /// Whether we hear any peer. A node that hears nobody cannot tell which origins are dead.
    fn is_connected(&self) -> bool;

    /// Whether no datagram passes between us and any peer that we watch, while streams do.
    fn are_datagrams_blocked(&self) -> bool;

    /// Our own identity.
    fn identity(&self) -> Identity;

    /// One hash of all peers and ourselves: equal on two nodes that know the same members.
    fn digest(&self) -> u64;

    /// All peers and ourselves.
    fn roster(&self) -> Vec<Identity>;

    /// Takes an epoch beyond one that a peer remembers and we forgot, and returns the new one. `None` when it is too
    /// soon for another epoch. The caller MUST begin the new epoch of our records at once.
    fn pass_epoch(&mut self, remembered: Epoch, now: Time) -> Option<Epoch>;
}
