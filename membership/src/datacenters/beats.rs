//! Beats between gateways: signs of life, a hash of the members, and what changed of them.

use std::net::SocketAddr;
use std::time::Duration;

use rand::Rng;

use super::Wan;
use super::seen::{Datacenters, GATEWAYS};
use super::table::Entry;
use crate::base::datacenter::DatacenterId;
use crate::base::identity::{Identity, NodeId};
use crate::base::time::Time;
use crate::base::timers::Timer;
use crate::wire::{HomeVerdict, MembersBeat, Message, RemoteMember};

/// Time between two beats of a gateway to one datacenter.
pub(super) const BEAT_EVERY: Duration = Duration::from_millis(500);
/// Hashes that differ for this long are followed by an exchange of tables. News are under way until then.
const DIFFERS_FOR: Duration = Duration::from_millis(900);
/// Least time between two exchanges with one datacenter.
const EXCHANGE_EVERY: Duration = Duration::from_secs(2);

/// Members in one beat. The longest names of datacenters fill a datagram with fewer.
const UPDATES_PER_BEAT: usize = 6;
/// Changes that came together and are told one by one. More come in bulk, and the other datacenters learn of them by the hash.
const MAX_CHANGES_TOLD: usize = 48;

impl Wan {
    /// Sends beats to the gateways of other datacenters, if it is time and we are a gateway.
    pub(super) fn handle_beat_deadline(&mut self, now: Time) {
        if !self.timers.is_expired(Timer::WanBeat, now) {
            return;
        }
        self.timers.set(Timer::WanBeat, now + BEAT_EVERY);
        let others = self.spoken_with();
        for datacenter in others {
            if let Some(peer) = self.counterpart(datacenter) {
                self.beat(&peer, datacenter, true, Vec::new(), now);
            }
        }
    }

    /// The gateway of another datacenter in our own place.
    pub(super) fn counterpart(&self, datacenter: DatacenterId) -> Option<Identity> {
        let (rank, _) = self.gateway?;
        let count = (0..GATEWAYS).take_while(|n| self.table.candidate(datacenter, *n).is_some());
        self.table.candidate(datacenter, rank % count.count().max(1))
    }

    /// Sends a beat.
    pub(super) fn beat(
        &mut self,
        peer: &Identity,
        datacenter: DatacenterId,
        is_question: bool,
        updates: Vec<RemoteMember>,
        now: Time,
    ) {
        let nonce = is_question.then(|| self.rng.next_u32());
        let beat = MembersBeat { nonce, updates, ..self.present() };
        self.out.counters.members_beats_sent += 1;
        let sent = self.out.send_to(peer.addr, peer.node_id, &Message::MembersBeat(beat));
        self.sent(datacenter, sent, now);
        if let Some(nonce) = nonce {
            self.looks.at(datacenter, now).question = Some((nonce, now));
        }
    }

    /// A beat that tells our hashes, and nothing else.
    fn present(&self) -> MembersBeat {
        MembersBeat {
            sender: self.identity.node_id,
            datacenter: self.own,
            members: self.members_hash(self.own),
            datacenters: self.table.datacenters_hash(),
            nonce: None,
            echo: None,
            updates: Vec::new(),
        }
    }

    /// Tells the other datacenters of the members of ours that changed, if we are a gateway.
    pub(super) fn tell_changes(&mut self, now: Time) {
        let changed: Vec<NodeId> = std::mem::take(&mut self.changed).into_iter().collect();
        if self.gateway.is_none() || self.leaving || changed.len() > MAX_CHANGES_TOLD {
            return;
        }
        let others = self.spoken_with();
        for datacenter in others {
            let Some(peer) = self.counterpart(datacenter) else { continue };
            for changed in changed.chunks(UPDATES_PER_BEAT) {
                let updates = self.table_updates(changed);
                if !updates.is_empty() {
                    self.beat(&peer, datacenter, false, updates, now);
                }
            }
        }
    }

    /// Takes a beat of another datacenter, and answers it if it asks.
    pub(crate) fn handle_beat(&mut self, from: SocketAddr, beat: &MembersBeat, now: Time) {
        let home = beat.datacenter;
        if !self.own.is_other(home) || self.leaving {
            self.out.counters.strangers_ignored += 1;
            return;
        }
        let entry = self.table.remote(beat.sender).filter(|entry| entry.home == home).copied();
        if let Some(nonce) = beat.nonce {
            self.answer(entry.map_or(from, |entry| entry.identity.addr), beat, nonce, now);
        }
        let Some(entry) = entry else {
            self.out.counters.strangers_ignored += 1;
            return self.hello_to_stranger(from, now);
        };
        self.heard(home, now);
        let look = self.looks.at(home, now);
        if let Some((nonce, at)) = look.question.filter(|(nonce, _)| beat.echo == Some(*nonce)) {
            let measured = now.since(at);
            let smoothed = look.round_trip.map_or(measured, |rtt| (rtt * 7 + measured) / 8);
            (look.question, look.round_trip) = (None, Some(smoothed));
            self.out.counters.members_beats_answered += u64::from(nonce != 0);
        }
        self.merge_told(&beat.updates, home, now);
        let is_equal = beat.members == self.members_hash(home)
            && beat.datacenters == self.table.datacenters_hash();
        self.compare_hash(&entry, is_equal, now);
    }

    /// Notes the bytes of a datagram, if its sender belongs to another datacenter.
    pub(crate) fn note_received(&mut self, sender: NodeId, bytes: usize) {
        let home = self.table.remote(sender).map(|entry| entry.home);
        if let Some(look) = home.and_then(|home| self.looks.get_mut(home)) {
            look.bytes.1 += bytes as u64;
        }
    }

    fn answer(&mut self, to: SocketAddr, beat: &MembersBeat, nonce: u32, now: Time) {
        let answer = MembersBeat { echo: Some(nonce), ..self.present() };
        let sent = self.out.send_to(to, beat.sender, &Message::MembersBeat(answer));
        self.sent(beat.datacenter, sent, now);
    }

    /// Exchanges tables with a datacenter if the hash that a member of it tells of its members, or of the datacenters that it knows, goes
    /// on to differ from ours.
    fn compare_hash(&mut self, entry: &Entry, is_equal: bool, now: Time) {
        let look = self.looks.at(entry.home, now);
        look.note_hashes(entry.identity.node_id, is_equal, now);
        if now < look.exchange_not_before {
            return;
        }
        let Some(differing) = look.take_differing(DIFFERS_FOR, now) else { return };
        look.exchange_not_before = now + EXCHANGE_EVERY;
        let differing = self.table.get(differing).filter(|it| it.verdict != HomeVerdict::Left);
        let peer = differing.map(|entry| entry.identity).or(self.counterpart(entry.home));
        if let Some(peer) = peer {
            self.open_exchange(peer, true, None, now);
        }
    }
}
