//! Beats between gateways, as far as they are about members: what changed of ours, hashes of theirs, and the round trip.

use std::net::SocketAddr;
use std::time::Duration;

use super::Wan;
use super::facts::{Fact, WantedBeat};
use super::seen::{Datacenters, GATEWAYS, Presence};
use super::table::Entry;
use crate::base::datacenter::DatacenterId;
use crate::base::identity::NodeId;
use crate::base::time::Time;
use crate::wire::{Beat, Echo, HomeVerdict};

/// Hashes that differ for this long are followed by an exchange of tables. News are under way until then.
const DIFFERS_FOR: Duration = Duration::from_millis(900);
/// Least time between two exchanges with one datacenter.
const EXCHANGE_EVERY: Duration = Duration::from_secs(2);
/// Members in one beat. The longest names of datacenters fill a datagram with fewer.
const UPDATES_PER_BEAT: usize = 6;
/// Changes that came together and are told one by one. More come in bulk, and the other datacenters learn of them by the hash.
const MAX_CHANGES_TOLD: usize = 48;
/// Beats sent to a datacenter that are remembered to measure the round trip.
const MAX_BEATS_REMEMBERED: usize = 8;
/// The unit of the time for which a beat was held.
const TENTH_OF_MS: Duration = Duration::from_micros(100);

impl Wan {
    /// Our part of the next beat to a member of a datacenter.
    pub(super) fn next_beat(&mut self, to: DatacenterId, peer: NodeId, now: Time) -> Presence {
        let members = self.members_hash(self.own);
        let datacenters = self.table.datacenters_hash();
        let look = self.looks.at(to, now);
        look.number = look.number.wrapping_add(1);
        look.sent.push_back((look.number, peer, now));
        if look.sent.len() > MAX_BEATS_REMEMBERED {
            look.sent.pop_front();
        }
        let came = look.came.filter(|(sender, ..)| *sender == peer);
        let echo = came.and_then(|(_, number, at)| {
            let held = now.since(at).as_micros() / TENTH_OF_MS.as_micros();
            Some(Echo { number, held: u16::try_from(held).ok()? })
        });
        Presence { number: look.number, echo, members, datacenters }
    }

    /// Tells the other datacenters of the members of ours that changed, if we are a gateway.
    pub(super) fn tell_changes(&mut self) {
        let changed: Vec<NodeId> = std::mem::take(&mut self.changed).into_iter().collect();
        if self.gateway.is_none() || self.leaving || changed.len() > MAX_CHANGES_TOLD {
            return;
        }
        // When we leave, we have no place any more by the time that the beat is sent.
        let is_placed = self.table.rank(self.identity.node_id, GATEWAYS).is_some();
        for datacenter in self.spoken_with() {
            let to = if is_placed { None } else { self.table.candidate(datacenter, 0) };
            for changed in changed.chunks(UPDATES_PER_BEAT) {
                let updates = self.table_updates(changed);
                if !updates.is_empty() {
                    let beat = WantedBeat { datacenter, to, asks: false, updates };
                    self.out.tell(Fact::Beat(beat));
                }
            }
        }
    }

    /// Takes a beat of another datacenter. Returns whether its sender is known.
    pub(crate) fn handle_beat(&mut self, from: SocketAddr, beat: &Beat, now: Time) -> bool {
        let home = beat.datacenter;
        if !self.own.is_other(home) || self.leaving {
            self.out.counters.strangers_ignored += 1;
            return false;
        }
        let entry = self.table.remote(beat.sender).filter(|entry| entry.home == home).copied();
        let Some(entry) = entry else {
            self.out.counters.strangers_ignored += 1;
            self.hello_to_stranger(from, now);
            return false;
        };
        self.heard(home, now);
        self.looks.at(home, now).came = Some((beat.sender, beat.number, now));
        if let Some(echo) = beat.echo {
            self.measure(home, beat.sender, echo, now);
        }
        if beat.asks {
            self.tell_asked(home, now);
        }
        self.merge_told(&beat.updates, home, now);
        if let Some(summary) = &beat.summary {
            let is_equal = summary.members == self.members_hash(home)
                && summary.datacenters == self.table.datacenters_hash();
            self.compare_hash(&entry, is_equal, now);
        }
        true
    }

    /// Measures the round trip by a beat of ours that a member has, and for how long it had it.
    fn measure(&mut self, home: DatacenterId, peer: NodeId, echo: Echo, now: Time) {
        let look = self.looks.at(home, now);
        let is_echoed =
            |(number, to, _): &&(u8, NodeId, Time)| (*number, *to) == (echo.number, peer);
        let Some((_, _, at)) = look.sent.iter().find(is_echoed) else { return };
        let measured = now.since(*at).saturating_sub(TENTH_OF_MS * u32::from(echo.held));
        let smoothed = look.round_trip.map_or(measured, |rtt| (rtt * 7 + measured) / 8);
        look.round_trip = Some(smoothed);
        self.tell_round_trip(home, smoothed);
        self.out.counters.round_trips_measured += 1;
    }

    /// Notes the bytes of a datagram, if its sender belongs to another datacenter.
    pub(crate) fn note_received(&mut self, sender: NodeId, bytes: usize) {
        let home = self.table.remote(sender).map(|entry| entry.home);
        if let Some(look) = home.and_then(|home| self.looks.get_mut(home)) {
            look.bytes.1 += bytes as u64;
        }
    }

    /// Exchanges tables with a datacenter if the hash that a member of it tells of its members, or of the datacenters that it knows, goes
    /// on to differ from ours: with that member, then with one gateway after the other, in turn.
    fn compare_hash(&mut self, entry: &Entry, is_equal: bool, now: Time) {
        let look = self.looks.at(entry.home, now);
        look.note_hashes(entry.identity.node_id, is_equal, now);
        if now < look.exchange_not_before {
            return;
        }
        let Some(differing) = look.take_differing(DIFFERS_FOR, now) else { return };
        look.exchange_not_before = now + EXCHANGE_EVERY;
        look.exchanged += 1;
        let exchanged = look.exchanged;
        let differing = self.table.get(differing).filter(|it| it.verdict != HomeVerdict::Left);
        let differing = differing.filter(|_| exchanged % 2 == 1).map(|entry| entry.identity);
        let gateway = || self.table.candidate(entry.home, exchanged / 2 % GATEWAYS);
        let peer = differing.or_else(gateway).unwrap_or(entry.identity);
        self.open_exchange(peer, true, None, now);
    }
}
