//! A node's failure detection: what the detector orders is sent, what others say of members is believed or looked into.

mod signs;
mod stream_probes;
mod telling;
mod verdicts;
mod views;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use rand::RngExt;

use super::Node;
use crate::base::identity::NodeId;
use crate::base::io::{Event, Output, StreamId, TcpProbeId};
use crate::base::time::Time;
use crate::liveness::detector::{Belief, Detector, Disputes, MemberUpdateQueue, Order, Verdict};
use crate::wire::{Ask, Compare, Message, Ping};

/// How often one of the lost is asked whether it is there, when there are as many as we are.
const ASK_LOST_EVERY: Duration = Duration::from_secs(1);
/// Datagrams that were lost for less than this were lost by chance.
const BLOCKED_AFTER: Duration = Duration::from_secs(5);
/// A stream on which nobody answers is dropped after this time.
const STREAM_PROBE_TIMEOUT: Duration = Duration::from_secs(6);

/// What a node needs for it beside the detector.
pub(in crate::node) struct Detection {
    pub(in crate::node) detector: Detector,
    member_updates: MemberUpdateQueue,
    disputes: Disputes,
    /// Why members are down, as far as a verdict told.
    beliefs: BTreeMap<NodeId, Belief>,
    /// Streams on which we ask for a sign of life.
    stream_probes: BTreeMap<StreamId, Time>,
    ask_lost_at: Time,
    lost_turn: usize,
    /// When somebody was last told that it is elsewhere, too.
    duplicates_told_at: Option<Time>,
    /// Since when all whom we watch answer by stream alone.
    by_stream_since: Option<Time>,
    datagrams_blocked: bool,
}

impl Detection {
    pub(in crate::node) fn new(own: NodeId, seed: u64, now: Time) -> Self {
        Self {
            detector: Detector::new(own, seed, now),
            member_updates: MemberUpdateQueue::default(),
            disputes: Disputes::default(),
            beliefs: BTreeMap::new(),
            stream_probes: BTreeMap::new(),
            ask_lost_at: now + ASK_LOST_EVERY,
            lost_turn: 0,
            duplicates_told_at: None,
            by_stream_since: None,
            datagrams_blocked: false,
        }
    }

    pub(in crate::node) fn next_deadline(&self, leaving: bool) -> Option<Time> {
        let member_updates = self.member_updates.next_deadline();
        if leaving {
            return member_updates;
        }
        let stream_probes =
            self.stream_probes.values().min().map(|opened| *opened + STREAM_PROBE_TIMEOUT);
        [self.detector.next_deadline(), member_updates, stream_probes, Some(self.ask_lost_at)]
            .into_iter()
            .flatten()
            .min()
    }

    /// Queued news of members.
    pub(in crate::node) fn waiting(&self) -> usize {
        self.member_updates.len()
    }

    pub(in crate::node) fn cause(&self, node: NodeId) -> Option<&Verdict> {
        self.beliefs.get(&node).map(|belief| &belief.verdict)
    }
}
impl Node {
    /// Why we believe that a member is down: who said so, when, and who agreed; `None` while it is not, or when the
    /// verdict itself did not reach us.
    #[must_use]
    pub fn belief(&self, node: NodeId) -> Option<&Belief> {
        let down = self.swim.members().get(node).is_some_and(|peer| !peer.is_active());
        self.detection.beliefs.get(&node).filter(|_| down)
    }

    /// Whether a suspect stands still: somebody who looks into its silence was answered by its host.
    #[must_use]
    pub fn is_stalled(&self, node: NodeId) -> bool {
        self.detection.detector.is_stalled(node)
    }

    /// When a suspect is called down, unless somebody hears it until then; `None` when we do not suspect it.
    #[must_use]
    pub fn suspect_until(&self, node: NodeId) -> Option<Time> {
        self.detection.detector.suspect_until(node)
    }

    /// Whether a member that we watch answers by stream, and not by datagram.
    #[must_use]
    pub fn is_heard_by_stream_alone(&self, node: NodeId, now: Time) -> bool {
        self.detection.detector.is_heard_by_stream_alone(node, now)
    }

    /// Whether all whom we watch answer by stream alone, and have done so for some time.
    #[must_use]
    pub fn are_datagrams_blocked(&self) -> bool {
        self.detection.datagrams_blocked
    }

    /// When a member last answered a question of ours; `None` when we do not watch it.
    #[must_use]
    pub fn last_answer(&self, node: NodeId) -> Option<Time> {
        self.detection.detector.last_heard(node)
    }

    pub(in crate::node) fn handle_detection_deadlines(&mut self, now: Time) {
        if self.leaving.is_some() || self.is_silent() {
            return;
        }
        self.detection.detector.handle_deadline(&self.swim, now);
        self.drop_stalled_stream_probes(now);
        self.note_blocked_datagrams(now);
        if self.detection.ask_lost_at <= now {
            let jitter = 0.9 + self.liveness_rng.random::<f64>() / 5.0;
            self.detection.ask_lost_at = now + ASK_LOST_EVERY.mul_f64(jitter);
            self.ask_the_lost();
            self.detection.disputes.forget_old(now);
        }
    }

    /// Where datagrams are dropped all goes on by streams, and the owner may want to know why it does so slowly.
    fn note_blocked_datagrams(&mut self, now: Time) {
        let since = self.detection.detector.hears_by_stream_alone(now);
        let since = since.then(|| self.detection.by_stream_since.unwrap_or(now));
        self.detection.by_stream_since = since;
        let blocked = since.is_some_and(|since| now.since(since) >= BLOCKED_AFTER);
        match (std::mem::replace(&mut self.detection.datagrams_blocked, blocked), blocked) {
            (false, true) => {
                self.emit(Event::DatagramsBlocked);
                self.hurry_sync(now);
            }
            (true, false) => self.emit(Event::DatagramsPass),
            _ => {}
        }
    }

    /// Carries out what the detector wants, and tells what is to be told of members.
    pub(in crate::node) fn follow_detector(&mut self, now: Time) {
        self.detection.detector.reassign(&self.swim, now);
        while let Some(order) = self.detection.detector.poll_order() {
            self.carry_out(order, now);
            self.pass_on_swim_events(now);
            self.detection.detector.reassign(&self.swim, now);
        }
        let tally = self.detection.detector.take_tally();
        self.counters.accusations += tally.accusations;
        self.counters.acquittals += tally.acquittals;
        self.counters.indirect_probes_refused += tally.refused;
        self.counters.stalls += tally.stalls;
        self.flush_member_updates(now);
    }

    fn carry_out(&mut self, order: Order, now: Time) {
        let own = self.identity().node_id;
        match order {
            Order::Ping(node, nonce) => {
                if let Some(addr) = self.address_of(node) {
                    self.counters.pings_sent += 1;
                    self.send(addr, &Message::Ping(Ping { sender: own, nonce }));
                }
            }
            Order::StreamProbe(node, nonce) => self.stream_probe(node, nonce, now),
            Order::TcpProbe(node, nonce) => {
                if let Some(to) = self.address_of(node).filter(|to| !self.has_successor(node, *to))
                {
                    self.counters.tcp_probes_sent += 1;
                    let tcp_probe = TcpProbeId { node, nonce };
                    self.outputs.push_back(Output::TcpProbe { to, tcp_probe });
                }
            }
            Order::Ask(referee, suspect, epoch) => {
                if let Some(addr) = self.address_of(referee) {
                    self.send(addr, &Message::Ask(Ask { sender: own, suspect, epoch }));
                }
            }
            Order::Vote(asker, vote) => {
                if let Some(addr) = self.address_of(asker) {
                    self.send(addr, &Message::Vote(vote));
                }
            }
            Order::Decide(verdict, told_by) => {
                if verdict.accuser == own {
                    self.counters.verdicts_passed += 1;
                }
                self.believe(verdict, told_by, now);
            }
            // Those who hold a disputed member down ask it themselves, if they reach it.
            Order::Warn(node) if self.detection.disputes.is_disputed(node, now) => {}
            Order::Warn(node) => self.warn(node),
            Order::Revive(identity) => self.believe_alive(identity, now),
            Order::Compare(node) => {
                if let Some(addr) = self.address_of(node) {
                    self.counters.views_compared += 1;
                    let buckets = self.short_digests();
                    self.send(addr, &Message::Compare(Compare { sender: own, buckets }));
                }
            }
        }
    }

    /// Whether somebody else lives at the address of a suspect, and would answer for it: its disk was lost, most likely.
    fn has_successor(&self, node: NodeId, addr: SocketAddr) -> bool {
        let mut living = self.swim.members().iter_active();
        addr == self.identity().addr || living.any(|peer| peer.node_id != node && peer.addr == addr)
    }

    fn address_of(&self, node: NodeId) -> Option<SocketAddr> {
        self.swim.members().get(node).map(|peer| peer.identity.addr)
    }

    /// A member is no longer down, or not known any more.
    pub(in crate::node) fn forget_belief(&mut self, node: NodeId) {
        self.detection.beliefs.remove(&node);
    }
}

/// The low half of a digest.
fn short(digest: u64) -> [u8; 4] {
    let [short @ .., _, _, _, _] = digest.to_le_bytes();
    short
}
