//! Who may speak in a sealed cluster, and the keys that its datagrams are sealed with.
//!
//! A node of a clear cluster has nothing of this room.

pub(crate) mod keyring;
pub(crate) mod sealer;
pub(crate) mod sealing;
pub(crate) mod windows;

use hobnob_keys::{Generation, Revocations, Trust};

use crate::base::counters::Counters;
use crate::base::identity::{Epoch, NodeId};
use crate::base::time::Time;

use keyring::Offered;
use sealer::Sealer;
use sealing::Sealing;

/// The guard of a node in a sealed cluster: it closes and opens datagrams, and judges who is a member.
#[derive(Debug)]
pub(crate) struct Guard {
    trust: Trust,
    revocations: Revocations,
    pub(crate) sealer: Sealer,
    counters: Counters,
}

impl Guard {
    /// The guard of a node in the life that begins at this epoch. What the disk kept and does not count is dropped, and
    /// counted.
    pub(crate) fn new(sealing: Sealing, epoch: Epoch, now: Time) -> Self {
        let own = sealing.node_id();
        let Sealing { trust, generations, revocations, .. } = sealing;
        let mut this = Self {
            trust,
            revocations: Revocations::default(),
            sealer: Sealer::new(own, epoch),
            counters: Counters::default(),
        };
        for command in revocations {
            let merged = this.revocations.merge(&this.trust, [command]);
            this.counters.revocations_refused += u64::from(merged.is_err());
        }
        for (generation, in_use) in generations {
            this.offer(generation, in_use, now);
        }
        this
    }

    /// Takes a generation, if it counts.
    pub(crate) fn offer(&mut self, generation: Generation, in_use: bool, now: Time) -> Offered {
        if generation.verify(&self.trust, &self.revocations).is_err() {
            self.counters.generations_refused += 1;
            return Offered::Refused;
        }
        self.sealer.keyring.offer(generation, in_use, self.trust.suite(), now)
    }

    /// The counters of this room.
    pub(crate) fn counters(&self) -> Counters {
        Counters {
            generations_given_up: self.sealer.keyring.given_up(),
            replay_windows_given_up: self.sealer.windows.given_up(),
            ..self.counters.clone()
        }
    }
}

/// The id of the node with this key.
pub(crate) fn node_of(key: &hobnob_keys::PublicKey) -> NodeId {
    sealer::from_keys(key.node_id())
}
