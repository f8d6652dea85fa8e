//! Beats to the gateways of other datacenters, and what the beats of others show.

use std::time::Duration;

use super::super::Spread;
use super::super::peers::Peers;
use crate::base::datacenter::DatacenterId;
use crate::base::identity::Identity;
use crate::base::limits::MAX_BEAT_DATACENTERS;
use crate::base::mutants::{self as mutant, Mutant};
use crate::base::time::Time;
use crate::base::timers::Timer;
use crate::catalog::Scope;
use crate::gateways::beats::Role;
use crate::gateways::gaps::MAX_PULLED;
use crate::gateways::parts::{PARTS, repairer};
use crate::gateways::repair::Shown;
use crate::wire::{Beat, Message, PartDigest};

/// After so long without a beat, the next one is the first sign of life. A gateway that repairs gets one each second.
const SILENT_AFTER: Duration = Duration::from_millis(2_200);
/// Time in which a gap that a beat shows may close by itself.
const PULL_AFTER: Duration = Duration::from_millis(3);

impl Spread {
    /// Sends the beats that are due.
    pub(super) fn handle_beat_deadline(&mut self, peers: &mut dyn Peers, now: Time) {
        if !self.timers.is_expired(Timer::Beat, now) {
            return;
        }
        let is_silent = |to| peers.is_silent_here(to, now);
        let due = self.gateways.beats.take_due(|to| role(to, peers), is_silent, now);
        for (to, turn) in due {
            let is_silent = peers.is_silent_here(to, now);
            if let Some(peer) = beaten(to, turn, is_silent, peers) {
                self.send_beat(&peer, to, is_silent, peers, now);
            }
        }
    }

    fn send_beat(
        &mut self,
        peer: &Identity,
        to: DatacenterId,
        asks: bool,
        peers: &mut dyn Peers,
        now: Time,
    ) {
        let own = peers.own();
        let catalog = &self.catalog;
        // What a breaker holds back is not pulled either.
        let links = &self.gateways.links;
        let is_named =
            |origin| catalog.datacenter_of(origin) == Some(own) && !links.holds(to, origin, now);
        let recent = self.recent.settled(now, is_named).filter_map(|origin| catalog.head(origin));
        let recent = recent.collect();
        let mut lacks: Vec<DatacenterId> =
            peers.others().into_iter().filter(|other| peers.is_out_of_reach(*other)).collect();
        lacks.truncate(MAX_BEAT_DATACENTERS);
        let mut wanted = self.gateways.beats.lacks(to).to_vec();
        wanted.extend(lacks.iter().copied());
        wanted.sort_unstable();
        wanted.dedup();
        wanted.retain(|part| *part != to && *part != own);
        wanted.truncate(MAX_BEAT_DATACENTERS);
        let digest = |part: DatacenterId| catalog.digest_of(Scope::Datacenter(part));
        let others = wanted.into_iter();
        let others = others.map(|part| PartDigest { datacenter: part, digest: digest(part) });
        let beat = Beat {
            sender: self.own,
            home: digest(own),
            recent,
            lacks,
            others: others.collect(),
            asks,
        };
        self.out.counters.beats_sent += 1;
        let sent = self.out.send_to(peer.addr, peer.node_id, &Message::Beat(beat));
        self.budget.spend(sent, now);
        peers.sent(to, sent, now);
    }

    /// Takes the beat of a gateway of another datacenter, and repairs what it shows.
    pub(crate) fn handle_beat(
        &mut self,
        peer: &Identity,
        home: DatacenterId,
        beat: &Beat,
        peers: &mut dyn Peers,
        now: Time,
    ) {
        let own = peers.own();
        if self.gateways.beats.is_idle() {
            self.review_datacenters(peers, now);
        }
        peers.heard(home, now);
        let before = self.gateways.beaten.insert(home, now);
        let is_first = before.is_none_or(|at| now.since(at) > SILENT_AFTER);
        let mut lacks = beat.lacks.clone();
        lacks.truncate(MAX_BEAT_DATACENTERS);
        self.gateways.beats.note_lacks(home, lacks);
        if beat.asks {
            self.send_beat(peer, home, false, peers, now);
        }
        let ours = self.catalog.digest_of(Scope::Datacenter(home));
        let is_equal = ours == beat.home;
        *if is_equal {
            &mut self.out.counters.beats_equal
        } else {
            &mut self.out.counters.beats_different
        } += 1;
        if mutant::is(Mutant::NeverRepair) {
            return;
        }
        let mut is_explained = false;
        for head in beat.recent.iter().filter(|_| !is_equal) {
            self.compare_epoch(head.origin, head.epoch, peers, now);
            let missing = self.missing(*head);
            if (1..=MAX_PULLED).contains(&missing) {
                is_explained |= self.note_far_gap(*head, home, peer.node_id, now + PULL_AFTER);
            }
        }
        let rank = match role(home, peers) {
            Role::Primary => Some(0),
            // Our gateways do not reach the sender, and it is not a cut: another member has to do.
            _ if beat.asks && !peers.is_out_of_reach(home) => Some(0),
            Role::Second => Some(1),
            Role::None => beat.asks.then_some(1),
        };
        let shown = Shown { ours, theirs: beat.home, rank, is_explained, is_first };
        if self.gateways.repair.judge(home, shown, now) {
            self.open_far_session(peer, home, home, (ours, beat.home), peers, now);
        }
        for PartDigest { datacenter: part, digest: theirs } in &beat.others {
            // The records of a third datacenter come from its own gateways, as long as we reach them.
            // Those of an isolated one are not wanted at all.
            let is_lost = peers.is_out_of_reach(*part)
                && !peers.is_isolated(*part)
                && peers.is_silent_here(*part, now);
            if *part == own || *part == home || !is_lost {
                continue;
            }
            let ours = self.catalog.digest_of(Scope::Datacenter(*part));
            let shown = Shown { ours, theirs: *theirs, rank, is_explained: false, is_first: false };
            if self.gateways.repair.judge(*part, shown, now) {
                self.open_far_session(peer, home, *part, (ours, *theirs), peers, now);
            }
        }
    }
}

/// Our role in the pair of our own datacenter and another one.
fn role(other: DatacenterId, peers: &dyn Peers) -> Role {
    let own = peers.own();
    let ours = peers.identity().node_id;
    let is_ours =
        |place| repairer(peers, own, other, place).is_some_and(|repairer| repairer.node_id == ours);
    match () {
        () if is_ours(0) => Role::Primary,
        () if is_ours(1) => Role::Second,
        () => Role::None,
    }
}

/// The member that a beat goes to: the primary of the other side, in every second turn another gateway. When the other side is
/// silent, its gateways may be the ones that died, so three of four beats go to any member.
fn beaten(
    to: DatacenterId,
    turn: usize,
    is_silent: bool,
    peers: &mut dyn Peers,
) -> Option<Identity> {
    if is_silent && !turn.is_multiple_of(4) {
        return peers.any_eligible(to);
    }
    if turn.is_multiple_of(2) {
        return repairer(peers, to, peers.own(), 0);
    }
    let other = repairer(peers, to, peers.own(), 1 + turn / 2 % (PARTS - 1));
    other.or_else(|| peers.candidate(to, 0))
}
