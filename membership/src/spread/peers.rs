//! The members as the catalog plane sees them: whom to send to, and how we introduce ourselves.

use crate::base::identity::{Epoch, Identity, NodeId};
use crate::base::time::Time;

/// The peers that the catalog is spread to. The members of a pool are such peers, and so may be a part of them.
pub(crate) trait Peers {
    /// An active peer.
    fn active(&self, node: NodeId) -> Option<Identity>;

    /// `random` peers and the two neighbours on the ring, without repetition. The random ones come first: they spread
    /// news fastest, while the neighbours leave nobody out.
    fn rumor_targets(&mut self, random: usize) -> Vec<Identity>;

    /// `count` peers at distances along the ring that `seed` decides. Of nodes with the same seed and peers no two may
    /// choose the same peer at once.
    fn at_offsets(&self, seed: u64, count: usize) -> Vec<Identity>;

    /// A peer at random; `None` when there is none.
    fn random(&mut self) -> Option<Identity>;

    /// Whether we hear anybody. Alone, nobody can tell which origins are dead.
    fn is_connected(&self) -> bool;

    /// Whether datagrams are lost on the way to all peers that we watch.
    fn are_datagrams_blocked(&self) -> bool;

    /// How we introduce ourselves.
    fn identity(&self) -> Identity;

    /// One hash of all peers and ourselves: equal on two nodes that know the same.
    fn digest(&self) -> u64;

    /// All peers and ourselves.
    fn roster(&self) -> Vec<Identity>;

    /// Somebody remembers an epoch of ours that we forgot: takes one beyond it, and returns that. `None` when it is too
    /// soon for another one. Our records MUST begin the new epoch at once.
    fn pass_epoch(&mut self, remembered: Epoch, now: Time) -> Option<Epoch>;
}
