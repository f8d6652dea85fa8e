//! Comparing the views of two members, part by part of the ring.

use rand::seq::IteratorRandom;

use super::orders::short;
use crate::base::identity::{Identity, NodeId};
use crate::base::limits::MAX_LISTING_DATAGRAMS;
use crate::base::time::Time;
use crate::liveness::Liveness;
use crate::liveness::detector::Said;
use crate::liveness::heard::Sign;
use crate::liveness::members::bucket_of;
use crate::wire::{Compare, Listing, Message};

/// Members that are told because of one listing that we hold them down.
const MAX_WARNINGS: usize = 64;

impl Liveness {
    pub(crate) fn handle_compare(&mut self, compare: &Compare, now: Time) {
        let Some(peer) = self.hear(compare.sender, Sign::Members, now) else { return };
        let ours = self.short_digests();
        let pairs = ours.iter().zip(&compare.buckets).enumerate();
        let differing: Vec<usize> =
            pairs.filter(|(_, (own, theirs))| own != theirs).map(|(bucket, _)| bucket).collect();
        let chosen = differing.into_iter().sample(&mut self.rng, MAX_LISTING_DATAGRAMS * 4);
        self.send_listings(&peer, &chosen, true);
    }

    fn send_listings(&mut self, to: &Identity, buckets: &[usize], wanted: bool) {
        let sender = self.identity().node_id;
        let listings = buckets.iter().map(|bucket| {
            let members = self.swim.bucket(*bucket);
            let bucket = u8::try_from(*bucket).unwrap_or(u8::MAX);
            Message::Listing(Listing { sender, bucket, wanted, members })
        });
        let listings = listings.collect();
        let listings = self.out.pack(listings);
        for packed in listings.into_iter().take(MAX_LISTING_DATAGRAMS) {
            self.out.send_packed(to.addr, packed);
        }
    }

    /// Takes a peer's list of the active members on one part of the ring. Members that the peer lists and we hold down
    /// are told so, to let them refute it. Members that we hold active and the peer does not list are checked.
    pub(crate) fn handle_listing(&mut self, listing: &Listing, now: Time) {
        let Some(peer) = self.hear(listing.sender, Sign::Members, now) else { return };
        let own = self.identity().node_id;
        let bucket = usize::from(listing.bucket);
        let ours = self.swim.bucket(bucket);
        if listing.wanted && self.must_prove(listing.sender) {
            // The members of the part may be many. The comparison is repeated.
            self.ask_for_proof(listing.sender);
        } else if listing.wanted {
            self.send_listings(&peer, &[bucket], false);
        }
        let mut warnings = 0;
        for identity in &listing.members {
            let node = identity.node_id;
            if node == own || bucket_of(node) != bucket {
                continue;
            }
            match self.swim.members().get(node) {
                Some(peer) if !peer.is_active() && peer.identity.epoch >= identity.epoch => {
                    warnings += 1;
                    if warnings <= MAX_WARNINGS {
                        self.warn_at(node, identity.addr, now);
                    }
                }
                _ => self.take_alive(*identity, now),
            }
        }
        let listed = |node: NodeId| listing.members.iter().any(|other| other.node_id == node);
        for identity in ours.iter().filter(|identity| !listed(identity.node_id)) {
            if identity.node_id != own {
                self.detector.check(identity.node_id, Said::NotActive, now);
            }
        }
    }

    pub(super) fn short_digests(&self) -> Vec<[u8; 4]> {
        self.swim.bucket_digests().into_iter().map(short).collect()
    }
}
