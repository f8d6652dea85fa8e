//! Pulls of what other datacenters have and we lack.

use std::collections::BTreeMap;

use super::super::Spread;
use super::super::peers::Peers;
use super::super::repair::WANTS_PER_PULL;
use super::UNMEASURED;
use crate::base::datacenter::DatacenterId;
use crate::base::identity::{Identity, NodeId};
use crate::base::mutants::{self as mutant, Mutant};
use crate::base::time::Time;
use crate::base::timers::Timer;
use crate::catalog::{Head, Want};
use crate::gateways::gaps::MAX_PULLED;

impl Spread {
    /// Notes a gap that a member of another datacenter showed. Returns whether it is pulled.
    pub(super) fn note_far_gap(
        &mut self,
        head: Head,
        home: DatacenterId,
        source: NodeId,
        due: Time,
    ) -> bool {
        let missing = self.missing(head);
        if head.origin == self.own
            || !(1..=MAX_PULLED).contains(&missing)
            || mutant::is(Mutant::NeverRepair)
        {
            return false;
        }
        let is_noted = self.gateways.gaps.note(head, home, source, due);
        self.out.counters.far_gaps_dropped += u64::from(!is_noted);
        is_noted
    }

    /// Sends the pulls that are due.
    pub(super) fn handle_far_pull_deadline(&mut self, peers: &mut dyn Peers, now: Time) {
        if !self.timers.is_expired(Timer::FarPull, now) {
            return;
        }
        let round_trip = |home| peers.round_trip(home).unwrap_or(UNMEASURED);
        let (due, given_up) = self.gateways.gaps.take_due(round_trip, now);
        // The next beat shows what is left, and the primary opens a session.
        self.out.counters.far_gaps_given_up += given_up.len() as u64;
        let mut pulls: BTreeMap<NodeId, (Identity, DatacenterId, Vec<Want>)> = BTreeMap::new();
        for pull in due {
            let peer = match pull.rank {
                None => peers.remote(pull.source),
                Some(rank) => peers.candidate(pull.home, rank),
            };
            let peer = peer.or_else(|| peers.any_eligible(pull.home));
            let Some(peer) = peer else { continue };
            let (.., wants) =
                pulls.entry(peer.node_id).or_insert_with(|| (peer, pull.home, Vec::new()));
            wants.extend(self.catalog.wants(pull.origin));
        }
        for (peer, home, wants) in pulls.into_values() {
            self.out.counters.far_pulls_sent += 1;
            for wants in wants.chunks(WANTS_PER_PULL) {
                let sent = self.send_pull(&peer, wants.to_vec(), now);
                peers.sent(home, sent, now);
            }
        }
    }
}
