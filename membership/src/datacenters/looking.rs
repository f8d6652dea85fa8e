//! Whether other datacenters are reached: gateways ask those that are silent, and vote.

use std::collections::VecDeque;
use std::time::Duration;

use rand::RngExt;

use super::Wan;
use super::facts::{Fact, WantedBeat};
use super::looks::SILENT_AFTER;
use super::seen::{Datacenters, GATEWAYS, Presence};
use crate::base::datacenter::DatacenterId;
use crate::base::identity::{Identity, NodeId};
use crate::base::mutants::{self as mutant, Mutant};
use crate::base::time::Time;
use crate::base::timers::Timer;
use crate::wire::{HomeVerdict, Message, ReachVote};

/// Time between two questions of a gateway to a silent datacenter.
const ASK_EVERY: Duration = Duration::from_millis(250);
/// Time between two votes of a gateway on a silent datacenter.
const VOTE_EVERY: Duration = Duration::from_millis(500);
/// A datacenter is out of reach after this silence.
pub(crate) const OUT_AFTER: Duration = Duration::from_millis(6_500);
/// Another gateway agrees after this silence. Beats reach the gateways at different times.
const AGREES_AFTER: Duration = Duration::from_millis(5_500);
/// A gateway has a vote after asking for this long.
const ASKED_FOR: Duration = Duration::from_secs(1);
/// A vote counts for this long.
const VOTE_LASTS: Duration = Duration::from_millis(1_500);
/// The word of a member that is no gateway counts for this long.
const HEARD_ELSEWHERE_LASTS: Duration = Duration::from_secs(4);
/// Outages within this time are one.
const TOGETHER: Duration = Duration::from_secs(2);
/// Gateways that must find a datacenter silent, if there are so many.
const QUORUM: usize = 2;
/// A datacenter is back after answering for this long. The time doubles with each return.
const BACK_AFTER: Duration = Duration::from_secs(2);
/// The longest such time.
const BACK_AFTER_MAX: Duration = Duration::from_secs(60);
/// Returns are forgotten after this time without one.
const RETURNS_FORGOTTEN_AFTER: Duration = Duration::from_secs(600);
/// A break in the answers of a datacenter that is coming back.
const BREAK: Duration = Duration::from_millis(1_500);

/// Datacenters that went out of reach lately, for the news that we are cut off.
#[derive(Debug, Default)]
pub(super) struct Outages {
    lately: VecDeque<(Time, DatacenterId)>,
    is_told: bool,
}

impl Wan {
    /// Looks at the other datacenters, if it is time and we are a gateway.
    pub(super) fn handle_look_deadline(&mut self, now: Time) {
        if !self.timers.is_expired(Timer::WanLook, now) {
            return;
        }
        self.timers.set(Timer::WanLook, now + ASK_EVERY);
        let others = self.spoken_with();
        for datacenter in others {
            self.look_at(datacenter, now);
        }
    }

    fn look_at(&mut self, datacenter: DatacenterId, now: Time) {
        let is_out = self.reaches.out_since(datacenter).is_some();
        let look = self.looks.at(datacenter, now);
        let silence = look.silence(now);
        if is_out && silence >= BREAK {
            look.answering_since = None;
        }
        if is_out && self.is_back(datacenter, now) {
            return self.change_reach(datacenter, now);
        }
        if !is_out && silence < SILENT_AFTER {
            return;
        }
        let look = self.looks.at(datacenter, now);
        if silence >= SILENT_AFTER {
            look.asking_since.get_or_insert(now);
        }
        let turn = look.turn;
        look.turn += 1;
        // Its gateways may be the ones that died, so three of four questions go to other members, and the first one.
        let to = if turn % 4 == 3 {
            self.table.candidate(datacenter, (turn / 4) % GATEWAYS)
        } else {
            self.any_beyond_gateways(datacenter)
        };
        let to = to.or_else(|| self.any_eligible(datacenter));
        if to.is_some() {
            self.out.counters.datacenters_asked += 1;
            self.out.tell(Fact::Beat(WantedBeat {
                datacenter,
                to,
                asks: true,
                updates: Vec::new(),
            }));
        }
        if !is_out {
            self.vote_if_due(datacenter, now);
            self.judge_reach(datacenter, now);
        }
    }

    /// A member of a datacenter that may be a gateway and is none, at random.
    fn any_beyond_gateways(&mut self, datacenter: DatacenterId) -> Option<Identity> {
        let ranks = GATEWAYS..self.table.eligible(datacenter, GATEWAYS);
        let rank = (!ranks.is_empty()).then(|| self.rng.random_range(ranks))?;
        self.table.candidate(datacenter, rank)
    }

    /// Tells the gateways of our datacenter that another one asked us, who are none of them: they may not be reached from there.
    pub(super) fn tell_asked(&mut self, datacenter: DatacenterId, now: Time) {
        let look = self.looks.at(datacenter, now);
        if self.gateway.is_some() || now < look.vote_due {
            return;
        }
        look.vote_due = now + VOTE_EVERY;
        for peer in self.other_gateways() {
            self.vote(&peer, datacenter, false, now);
        }
    }

    /// Whether a datacenter that is out of reach has answered for long enough.
    fn is_back(&mut self, datacenter: DatacenterId, now: Time) -> bool {
        let look = self.looks.at(datacenter, now);
        let back_after = (BACK_AFTER * 2_u32.pow(look.returns.min(5))).min(BACK_AFTER_MAX);
        look.answering_since.is_some_and(|since| now.since(since) >= back_after)
    }

    fn vote_if_due(&mut self, datacenter: DatacenterId, now: Time) {
        let look = self.looks.at(datacenter, now);
        if now < look.vote_due || look.silence(now) < AGREES_AFTER - VOTE_LASTS {
            return;
        }
        look.vote_due = now + VOTE_EVERY;
        for peer in self.other_gateways() {
            self.vote(&peer, datacenter, true, now);
        }
    }

    fn vote(&mut self, peer: &Identity, target: DatacenterId, wanted: bool, now: Time) {
        let look = self.looks.at(target, now);
        let ms = |time: Duration| u16::try_from(time.as_millis()).unwrap_or(u16::MAX);
        let (silence_ms, looked_ms) = (ms(look.silence(now)), ms(look.asked(now)));
        let sender = self.identity.node_id;
        self.out.counters.reach_votes_sent += 1;
        let vote = ReachVote { sender, target, silence_ms, looked_ms, wanted };
        self.out.send_to(peer.addr, peer.node_id, &Message::ReachVote(vote));
    }

    fn other_gateways(&self) -> Vec<Identity> {
        let gateways = (0..GATEWAYS).filter_map(|rank| self.table.candidate(self.own, rank));
        gateways.filter(|peer| peer.node_id != self.identity.node_id).collect()
    }

    /// Takes the vote of another gateway of our datacenter, and votes in return if it asks.
    pub(crate) fn handle_vote(&mut self, vote: &ReachVote, now: Time) {
        let entry = self.table.get(vote.sender).copied();
        let is_mate = |home, verdict| home == self.own && verdict == HomeVerdict::Alive;
        let mate = entry.filter(|entry| is_mate(entry.home, entry.verdict));
        let is_known = self.own.is_other(vote.target)
            && self.table.home(vote.target).is_some()
            && !self.is_isolated(vote.target);
        let Some(mate) = mate.filter(|_| is_known && self.gateway.is_some()) else {
            self.out.counters.strangers_ignored += 1;
            return;
        };
        let ms = |ms: u16| Duration::from_millis(u64::from(ms));
        let is_gateway = self.other_gateways().iter().any(|peer| peer.node_id == vote.sender);
        if !is_gateway && ms(vote.silence_ms) < SILENT_AFTER {
            self.looks.at(vote.target, now).heard_elsewhere = Some(now);
            return;
        }
        let votes = &mut self.looks.at(vote.target, now).votes;
        // No more vote than there are gateways, now and then another one.
        votes.retain(|_, (at, ..)| now.since(*at) < VOTE_LASTS);
        if votes.len() < 2 * GATEWAYS {
            votes.insert(vote.sender, (now, ms(vote.silence_ms), ms(vote.looked_ms)));
        }
        if vote.wanted {
            self.vote(&mate.identity, vote.target, false, now);
        }
    }

    /// Finds a datacenter out of reach if nobody has answered us for long, another gateway finds the same, and none hears it.
    fn judge_reach(&mut self, datacenter: DatacenterId, now: Time) {
        let others: Vec<NodeId> = self.other_gateways().iter().map(|peer| peer.node_id).collect();
        let look = self.looks.at(datacenter, now);
        if look.silence(now) < OUT_AFTER || look.asked(now) < ASKED_FOR {
            return;
        }
        let is_fresh = |at: Time| now.since(at) < VOTE_LASTS;
        let votes =
            look.votes.iter().filter(|(node, (at, ..))| others.contains(node) && is_fresh(*at));
        let votes: Vec<(Duration, Duration)> =
            votes.map(|(_, (_, silence, asked))| (*silence, *asked)).collect();
        let hears = votes.iter().any(|(silence, _)| *silence < SILENT_AFTER)
            || look.heard_elsewhere.is_some_and(|at| now.since(at) < HEARD_ELSEWHERE_LASTS);
        let agrees = |(silence, asked): &&(Duration, Duration)| {
            *silence >= AGREES_AFTER && *asked >= ASKED_FOR
        };
        let agreed = 1 + votes.iter().filter(agrees).count();
        let decides = !hears && agreed >= QUORUM.min(1 + others.len());
        if decides || mutant::is(Mutant::OneGatewayDecides) {
            self.change_reach(datacenter, now);
        }
    }

    fn change_reach(&mut self, target: DatacenterId, now: Time) {
        let reach = self.reaches.next(self.own, target);
        self.take_reach(&reach, now);
    }

    /// Notes that a datacenter went out of reach, or is back.
    pub(super) fn note_reach(&mut self, target: DatacenterId, is_out: bool, now: Time) {
        let others = self.table.others().count();
        let look = self.looks.at(target, now);
        if is_out {
            self.out.counters.datacenters_lost += 1;
            if look.returned_at.is_some_and(|at| now.since(at) >= RETURNS_FORGOTTEN_AFTER) {
                look.returns = 0;
            }
            look.answering_since = None;
        } else {
            look.returns = look.returns.saturating_add(1);
            look.returned_at = Some(now);
            look.votes.clear();
            look.from = now;
            self.outages.is_told = false;
            self.outages.lately.retain(|(_, lost)| *lost != target);
            return;
        }
        let lately = &mut self.outages.lately;
        lately.retain(|(at, lost)| now.since(*at) < TOGETHER && *lost != target);
        lately.push_back((now, target));
        let (lost, of) = (lately.len(), others + 1);
        if lost * 2 > of && !std::mem::replace(&mut self.outages.is_told, true) {
            let lost = self.outages.lately.iter().map(|(_, lost)| *lost).collect();
            self.out.tell(Fact::CutOff { lost, of });
        }
    }
}

impl Datacenters for Wan {
    fn own(&self) -> DatacenterId {
        self.own
    }

    fn others(&self) -> Vec<DatacenterId> {
        self.spoken_with()
    }

    fn of(&self, node: NodeId) -> Option<DatacenterId> {
        self.table.get(node).map(|entry| entry.home)
    }

    fn candidate(&self, datacenter: DatacenterId, rank: usize) -> Option<Identity> {
        if self.is_isolated(datacenter) {
            return None;
        }
        self.table.candidate(datacenter, rank)
    }

    fn any_eligible(&mut self, datacenter: DatacenterId) -> Option<Identity> {
        let is_isolated = self.is_isolated(datacenter);
        let count = if is_isolated { 0 } else { self.table.eligible(datacenter, GATEWAYS) };
        let rank = (count > 0).then(|| self.rng.random_range(0..count))?;
        self.table.candidate(datacenter, rank)
    }

    fn is_isolated(&self, datacenter: DatacenterId) -> bool {
        Self::is_isolated(self, datacenter)
    }

    fn is_out_of_reach(&self, datacenter: DatacenterId) -> bool {
        self.out_since(datacenter).is_some()
    }

    fn is_silent_here(&self, datacenter: DatacenterId, now: Time) -> bool {
        let is_told = self.gateway.is_some_and(|since| now.since(since) >= SILENT_AFTER);
        let silence = self.looks.get(datacenter).map(|look| look.silence(now));
        is_told && silence.is_some_and(|silence| silence >= SILENT_AFTER)
    }

    fn heard(&mut self, datacenter: DatacenterId, now: Time) {
        let is_known = self.own.is_other(datacenter) && self.table.home(datacenter).is_some();
        if is_known && !self.is_isolated(datacenter) {
            self.looks.heard(datacenter, now);
        }
    }

    fn remote(&self, node: NodeId) -> Option<Identity> {
        let entry = self.table.remote(node).filter(|entry| !self.is_isolated(entry.home));
        entry.map(|entry| entry.identity)
    }

    fn living(&self, datacenter: DatacenterId) -> Vec<Identity> {
        let is_isolated = self.is_isolated(datacenter);
        let members = self.table.iter_remote();
        let members = members.filter(|entry| entry.home == datacenter && !is_isolated);
        let alive = members.filter(|entry| entry.verdict == HomeVerdict::Alive);
        alive.map(|entry| entry.identity).collect()
    }

    fn round_trip(&self, datacenter: DatacenterId) -> Option<Duration> {
        let measured = self.looks.get(datacenter).and_then(|look| look.round_trip);
        measured.or_else(|| self.known_round_trip(datacenter))
    }

    fn present(&mut self, to: DatacenterId, peer: NodeId, now: Time) -> Presence {
        self.next_beat(to, peer, now)
    }

    fn sent(&mut self, datacenter: DatacenterId, bytes: usize, now: Time) {
        if self.table.home(datacenter).is_some() && !self.is_isolated(datacenter) {
            self.looks.at(datacenter, now).bytes.0 += bytes as u64;
        }
    }
}
