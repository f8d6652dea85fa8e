//! Heads of one origin that are few versions apart: a node that knows one of them finds the other by its hash.

use std::collections::BTreeSet;

use crate::base::identity::NodeId;
use crate::catalog::{Catalog, Head, Replica, Version, Want};
use crate::wire::Lag;

/// The largest distance in versions at which the other head is found. Each distance is tried, so it costs processor
/// time.
const NEAR: Version = 16;

/// Our position relative to a head that the peer has of the same origin.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Near {
    /// The peer has more.
    Behind(Lag),
    /// We have more, and this is the want of the peer.
    Ahead(Want),
}

impl Near {
    /// Looks for the head of an origin among the hashes of heads that only the peer has, and removes it from them.
    pub(super) fn find(
        origin: NodeId,
        theirs: &mut BTreeSet<u64>,
        catalog: &Catalog,
    ) -> Option<Self> {
        let behind = catalog.wants(origin).find_map(|want| {
            (1..=NEAR).find_map(|versions| {
                let known_to = want.after.checked_add(versions)?;
                let hash = take(theirs, Head { origin, epoch: want.epoch, known_to })?;
                let versions = u8::try_from(versions).ok()?;
                Some(Self::Behind(Lag { head: prefix(hash), versions, gc_floor: want.gc_floor }))
            })
        });
        behind.or_else(|| {
            let head = catalog.head(origin)?;
            let replica = catalog.origin(origin).and_then(|origin| origin.current());
            // A peer below our floor may be receiving a whole state, and has to tell us how much of it has arrived.
            let least = replica.map_or(0, Replica::gc_floor).max(1);
            (0..=NEAR).find_map(|versions| {
                let after = head.known_to.checked_sub(versions).filter(|after| *after >= least)?;
                take(theirs, Head { known_to: after, ..head })?;
                Some(Self::Ahead(Want { origin, epoch: head.epoch, after, gc_floor: 0 }))
            })
        })
    }
}

/// Removes the hash of a head, with nothing known beyond it, from a set. Returns the hash if it was there.
fn take(hashes: &mut BTreeSet<u64>, head: Head) -> Option<u64> {
    let hash = head.hash_over(0);
    hashes.remove(&hash).then_some(hash)
}

/// The prefix that stands for a hash on the wire.
pub(super) fn prefix(hash: u64) -> [u8; 4] {
    let [a, b, c, d, ..] = hash.to_be_bytes();
    [a, b, c, d]
}

/// The heads whose hash begins with a prefix, in a list that is sorted by hash. There is more than one only by rare
/// accident.
pub(super) fn beginning(prefix: [u8; 4], heads: &[(u64, Head)]) -> impl Iterator<Item = &Head> {
    let low = u64::from(u32::from_be_bytes(prefix)) << 32;
    let from = heads.partition_point(|(hash, _)| *hash < low);
    let heads = heads.get(from..).unwrap_or_default().iter();
    heads.take_while(move |(hash, _)| *hash - low <= u64::from(u32::MAX)).map(|(_, head)| head)
}
