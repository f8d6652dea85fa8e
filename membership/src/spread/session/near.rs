//! Heads of one origin that are close to each other: who knows one finds the other by its hash.

use std::collections::BTreeSet;

use crate::base::identity::NodeId;
use crate::catalog::{Catalog, Head, Replica, Version, Want};
use crate::wire::Lag;

/// How many versions apart two heads of one origin are found. Each is tried, so it is a matter of processor time.
const NEAR: Version = 16;

/// How we stand to a head that the peer has of the same origin.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Near {
    /// It has more.
    Behind(Lag),
    /// We have more, and this is what it wants.
    Ahead(Want),
}

impl Near {
    /// Looks among the hashes of heads that only the peer has for the one of an origin, and takes it out.
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
            // Who is below our floor may be receiving a whole state, and has to say how much of it is there.
            let least = replica.map_or(0, Replica::gc_floor).max(1);
            (0..=NEAR).find_map(|versions| {
                let after = head.known_to.checked_sub(versions).filter(|after| *after >= least)?;
                take(theirs, Head { known_to: after, ..head })?;
                Some(Self::Ahead(Want { origin, epoch: head.epoch, after, gc_floor: 0 }))
            })
        })
    }
}

/// Takes a head beyond which nothing is known out of a set of hashes.
fn take(hashes: &mut BTreeSet<u64>, head: Head) -> Option<u64> {
    let hash = head.hash_over(0);
    hashes.remove(&hash).then_some(hash)
}

/// What stands for a hash on the wire.
pub(super) fn prefix(hash: u64) -> [u8; 4] {
    let [a, b, c, d, ..] = hash.to_be_bytes();
    [a, b, c, d]
}

/// The heads with a hash that begins like this, of a list that is sorted by hash: one, but for rare accidents.
pub(super) fn beginning(prefix: [u8; 4], heads: &[(u64, Head)]) -> impl Iterator<Item = &Head> {
    let low = u64::from(u32::from_be_bytes(prefix)) << 32;
    let from = heads.partition_point(|(hash, _)| *hash < low);
    let heads = heads.get(from..).unwrap_or_default().iter();
    heads.take_while(move |(hash, _)| *hash - low <= u64::from(u32::MAX)).map(|(_, head)| head)
}
