//! A node's failure detection: what the detector orders is sent, what others say of members is believed or looked into.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use rand::RngExt;
use rand::seq::IteratorRandom;

use super::Node;
use crate::detector::{Belief, Cause, Detector, Order, TidingsQueue, Verdict};
use crate::identity::{Identity, NodeId};
use crate::io::{Output, StreamId};
use crate::limits::{MAX_KNOCKS, MAX_LISTING_DATAGRAMS};
use crate::mutant::{self, Mutant};
use crate::provenance::Sign;
use crate::swim::{Peer, bucket_of};
use crate::time::Time;
use crate::view::OriginStatus;
use crate::wire::{
    Ask, Compare, DatagramBuilder, Frame, Listing, Message, Ping, Pong, Tidings, Update, Vote,
    pong_tag,
};

/// Random members that news of members go to, beside the two ring neighbours.
const TIDINGS_FANOUT: usize = 2;
/// News in one message; a datagram takes several.
const UPDATES_PER_MESSAGE: usize = 8;
/// More new members than this at once came in a bulk, which others get as we did.
const FEW_ARRIVALS: usize = 16;
/// How often one of the lost is asked whether it is there, when there are as many as we are.
const ASK_LOST_EVERY: Duration = Duration::from_secs(1);
/// A stream on which nobody answers is dropped after this time.
const KNOCK_TIMEOUT: Duration = Duration::from_secs(6);
/// Members that are warned because of one part of a view.
const MAX_WARNINGS: usize = 64;

/// What a node needs for it beside the detector.
pub(super) struct Detection {
    pub(super) detector: Detector,
    tidings: TidingsQueue,
    /// Why members are down, as far as a verdict told.
    beliefs: BTreeMap<NodeId, Belief>,
    /// Streams on which we ask for a sign of life.
    knocks: BTreeMap<StreamId, Time>,
    ask_lost_at: Time,
    lost_turn: usize,
}

impl Detection {
    pub(super) fn new(own: NodeId, seed: u64, now: Time) -> Self {
        Self {
            detector: Detector::new(own, seed, now),
            tidings: TidingsQueue::default(),
            beliefs: BTreeMap::new(),
            knocks: BTreeMap::new(),
            ask_lost_at: now + ASK_LOST_EVERY,
            lost_turn: 0,
        }
    }

    pub(super) fn next_deadline(&self, leaving: bool) -> Option<Time> {
        let tidings = self.tidings.next_deadline();
        if leaving {
            return tidings;
        }
        let knocks = self.knocks.values().min().map(|opened| *opened + KNOCK_TIMEOUT);
        [self.detector.next_deadline(), tidings, knocks, Some(self.ask_lost_at)]
            .into_iter()
            .flatten()
            .min()
    }

    /// Queued news of members.
    pub(super) fn waiting(&self) -> usize {
        self.tidings.len()
    }

    pub(super) fn cause(&self, node: NodeId) -> Option<&Verdict> {
        self.beliefs.get(&node).map(|belief| &belief.verdict)
    }
}

impl Node {
    /// Why we believe that a member is down: who said so, when, and who agreed; `None` while it is not, or when the
    /// verdict itself did not reach us.
    #[must_use]
    pub fn belief(&self, node: NodeId) -> Option<&Belief> {
        let down = self.swim.peers().get(&node).is_some_and(|peer| !peer.is_active());
        self.detection.beliefs.get(&node).filter(|_| down)
    }

    /// When a member last answered a question of ours; `None` when we do not watch it.
    #[must_use]
    pub fn last_answer(&self, node: NodeId) -> Option<Time> {
        self.detection.detector.last_heard(node)
    }

    /// Says that a member is down, and tells everybody. If it lives, it contradicts.
    pub fn declare_down(&mut self, node: NodeId, now: Time) -> bool {
        let Some(identity) = self.swim.active_peer(node).copied() else { return false };
        let own = self.identity().node_id;
        let verdict = Verdict {
            node,
            epoch: identity.epoch,
            cause: Cause::Declared,
            accuser: own,
            referees: Vec::new(),
        };
        self.believe(verdict, own, now);
        self.settle(now);
        true
    }

    /// Our own loop may come late; called before anything else is looked at. While we slept nobody could be heard, so
    /// that time is no silence.
    pub(super) fn notice_lateness(&mut self, now: Time) {
        let due = self.detection.next_deadline(self.leaving.is_some());
        if let Some(due) = due {
            self.detection.detector.late(now.since(due), now);
            let heard = self.last_contact.unwrap_or(self.awake.silence_from);
            let slept = now.since(due.max(self.awake.handled));
            self.awake.silence_from = self.awake.silence_from.max(heard) + slept;
        }
        self.awake.handled = now;
    }

    pub(super) fn handle_detection_deadlines(&mut self, now: Time) {
        if self.leaving.is_some() || self.is_silent() {
            return;
        }
        self.detection.detector.handle_deadline(&self.swim, now);
        self.drop_stalled_knocks(now);
        if self.detection.ask_lost_at <= now {
            let jitter = 0.9 + self.rng.random::<f64>() / 5.0;
            self.detection.ask_lost_at = now + ASK_LOST_EVERY.mul_f64(jitter);
            self.ask_the_lost();
        }
    }

    /// Carries out what the detector wants, and tells what is to be told of members.
    pub(super) fn follow_detector(&mut self, now: Time) {
        self.detection.detector.reassign(&self.swim, now);
        while let Some(order) = self.detection.detector.poll_order() {
            self.carry_out(order, now);
            self.pass_on_swim_events(now);
            self.detection.detector.reassign(&self.swim, now);
        }
        let tally = self.detection.detector.take_tally();
        self.counters.accusations += tally.accusations;
        self.counters.acquittals += tally.acquittals;
        self.counters.inquiries_refused += tally.refused;
        self.counters.stalls += tally.stalls;
        self.flush_tidings(now);
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
            Order::Knock(node, nonce) => self.knock(node, nonce, now),
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
            Order::Warn(node) => self.warn(node),
            Order::Compare(node) => {
                if let Some(addr) = self.address_of(node) {
                    self.counters.views_compared += 1;
                    let buckets = self.short_digests();
                    self.send(addr, &Message::Compare(Compare { sender: own, buckets }));
                }
            }
        }
    }

    fn address_of(&self, node: NodeId) -> Option<SocketAddr> {
        self.swim.peers().get(&node).map(|peer| peer.identity.addr)
    }

    fn short_digests(&self) -> Vec<[u8; 4]> {
        self.swim.bucket_digests().into_iter().map(short).collect()
    }

    /// Whoever asks is answered where it asks from, known or not: the answer is the shorter one.
    pub(super) fn handle_ping(&mut self, from: SocketAddr, ping: &Ping, now: Time) {
        if self.leaving.is_some() || ping.sender == self.identity().node_id {
            return;
        }
        self.counters.pings_answered += 1;
        let pong = self.pong(ping, now);
        self.send(from, &Message::Pong(pong));
        match self.swim.peers().get(&ping.sender) {
            Some(peer) if peer.is_active() => {
                self.last_contact = Some(now);
                self.note_heard(ping.sender, Sign::Ping, now);
            }
            // It lives, and does not know that we think otherwise.
            Some(_) => self.warn(ping.sender),
            // We may be a new life of somebody whom it knows; it hears the answers, and takes the old one to go on.
            None if !self.connected => self.knock_back(from),
            None => {}
        }
    }

    fn pong(&self, ping: &Ping, now: Time) -> Pong {
        Pong {
            tag: pong_tag(self.identity().node_id, ping.nonce),
            members: short(self.swim.digest()),
            pace: self.detection.detector.pace(now),
        }
    }

    pub(super) fn handle_pong(&mut self, pong: &Pong, by_stream: bool, now: Time) {
        let members = short(self.swim.digest());
        let answered = self.detection.detector.pong(pong, members, by_stream, now);
        if let Some(node) = answered {
            self.note_heard(node, Sign::Ping, now);
            self.last_contact = Some(now);
        }
    }

    pub(super) fn handle_ask(&mut self, ask: &Ask, now: Time) {
        let Some(asker) = self.hear(ask.sender, Sign::Vote, now) else { return };
        let own = self.identity().node_id;
        if ask.suspect == own || self.leaving.is_some() {
            return;
        }
        let Some(Peer { identity, .. }) = self.swim.peers().get(&ask.suspect).copied() else {
            return;
        };
        let active = self.swim.active_peer(ask.suspect).is_some();
        let update = match (active, identity.epoch.cmp(&ask.epoch)) {
            (true, std::cmp::Ordering::Greater) => Update::Alive(identity),
            // Whoever still asks missed the verdict.
            (false, std::cmp::Ordering::Equal | std::cmp::Ordering::Greater) => {
                Update::Down(self.verdict_on(&identity))
            }
            (true, _) => return self.detection.detector.ask(ask, now),
            (false, std::cmp::Ordering::Less) => return,
        };
        self.send(asker.addr, &Message::Tidings(Tidings { sender: own, updates: vec![update] }));
    }

    pub(super) fn handle_vote(&mut self, vote: &Vote, now: Time) {
        if self.hear(vote.sender, Sign::Vote, now).is_some() {
            self.detection.detector.vote(vote, now);
        }
    }

    /// Members are believed what they say of others, and everybody what it says of itself; that we are down we want to
    /// hear from whoever thinks so.
    pub(super) fn handle_tidings(&mut self, from: SocketAddr, tidings: &Tidings, now: Time) {
        if self.leaving.is_some() {
            return;
        }
        let own = self.identity().node_id;
        let member = self.swim.active_peer(tidings.sender).is_some();
        if member {
            self.last_contact = Some(now);
        }
        for update in &tidings.updates {
            match update {
                Update::Alive(identity) if identity.node_id == own => {
                    if identity.epoch >= self.identity().epoch {
                        self.meet_double(identity, now);
                    }
                }
                Update::Alive(identity) if member || identity.node_id == tidings.sender => {
                    self.believe_alive(*identity, now);
                }
                Update::Down(verdict) if verdict.node == own => {
                    self.contradict_verdict(verdict, tidings.sender, from, now);
                }
                Update::Down(verdict) if member => self.judge(verdict, tidings.sender, now),
                _ => self.counters.strangers_ignored += 1,
            }
            self.pass_on_swim_events(now);
        }
    }

    fn believe_alive(&mut self, identity: Identity, now: Time) {
        let known = self.swim.peers().get(&identity.node_id).map(|peer| peer.identity.epoch);
        if known.is_none_or(|epoch| epoch < identity.epoch)
            && self.swim.apply_alive(identity, now).is_err()
        {
            self.counters.swim_refused += 1;
        }
    }

    /// Takes a higher epoch if that is needed, and says that we live to whoever thinks otherwise.
    fn contradict_verdict(
        &mut self,
        verdict: &Verdict,
        sender: NodeId,
        from: SocketAddr,
        now: Time,
    ) {
        let own = *self.identity();
        if verdict.epoch >= own.epoch && !mutant::is(Mutant::NeverRefute) {
            self.counters.verdicts_contradicted += 1;
            if verdict.epoch > own.epoch {
                self.contradict(verdict.epoch, now);
            } else if self.swim.raise_epoch(own.epoch.next(), now).is_err() {
                self.counters.swim_refused += 1;
            }
            let alive = Update::Alive(*self.identity());
            self.tell(alive, now);
        }
        let mut updates = vec![Update::Alive(*self.identity())];
        // It answers in the same way, and both know each other again.
        if let Some(peer) = self.swim.peers().get(&sender).copied().filter(|peer| !peer.is_active())
        {
            updates.push(Update::Down(self.verdict_on(&peer.identity)));
        }
        let tidings = Tidings { sender: own.node_id, updates };
        self.send(from, &Message::Tidings(tidings));
        if !self.connected {
            let hello = Message::Hello(self.hello(self.seeds.token()));
            self.counters.hellos_sent += 1;
            self.send(from, &hello);
        }
    }

    /// What somebody says of a third is believed, unless it is only hearsay, or we know better.
    fn judge(&mut self, verdict: &Verdict, sender: NodeId, now: Time) {
        let node = verdict.node;
        let Some(identity) = self.swim.active_peer(node).copied() else { return };
        if identity.epoch > verdict.epoch {
            return;
        }
        match verdict.cause {
            Cause::Silence if self.detection.detector.is_witness_of(node, now) => {
                self.counters.verdicts_doubted += 1;
                let doubted = Some((verdict.clone(), sender));
                self.detection.detector.check(node, doubted, now);
            }
            Cause::Silence | Cause::Left | Cause::Declared => {
                self.believe(verdict.clone(), sender, now);
            }
            Cause::Hearsay | Cause::Isolation => self.detection.detector.check(node, None, now),
        }
    }

    /// Takes a verdict for true, and passes it on.
    fn believe(&mut self, verdict: Verdict, told_by: NodeId, now: Time) {
        let node = verdict.node;
        let Some(identity) = self.swim.active_peer(node).copied() else { return };
        if identity.epoch > verdict.epoch {
            return;
        }
        let own = self.identity().node_id;
        self.counters.verdicts_believed += u64::from(told_by != own);
        let belief = Belief { verdict: verdict.clone(), told_by, since: now };
        self.detection.beliefs.insert(node, belief);
        let spread = !mutant::is(Mutant::VerdictNotSpread);
        if self.swim.apply_down(node, spread, now).is_err() {
            self.counters.swim_refused += 1;
        }
        if !spread {
            return;
        }
        if verdict.accuser == own {
            self.warn(node);
        }
        self.tell(Update::Down(verdict), now);
    }

    /// Tells a member that we hold it down, so that it can contradict.
    fn warn(&mut self, node: NodeId) {
        let Some(peer) = self.swim.peers().get(&node).copied() else { return };
        let verdict = self.verdict_on(&peer.identity);
        let sender = self.identity().node_id;
        let tidings = Tidings { sender, updates: vec![Update::Down(verdict)] };
        self.send(peer.identity.addr, &Message::Tidings(tidings));
    }

    /// The verdict on a member that is down, as far as we know it.
    fn verdict_on(&self, identity: &Identity) -> Verdict {
        let known = self.detection.beliefs.get(&identity.node_id).map(|belief| &belief.verdict);
        match known.filter(|verdict| verdict.epoch >= identity.epoch) {
            Some(verdict) => Verdict { epoch: identity.epoch, ..verdict.clone() },
            None => Verdict {
                node: identity.node_id,
                epoch: identity.epoch,
                cause: Cause::Hearsay,
                accuser: self.identity().node_id,
                referees: Vec::new(),
            },
        }
    }

    /// Tells all members that we leave.
    pub(super) fn tell_leaving(&mut self, now: Time) {
        let own = *self.identity();
        let verdict = Verdict {
            node: own.node_id,
            epoch: own.epoch,
            cause: Cause::Left,
            accuser: own.node_id,
            referees: Vec::new(),
        };
        self.tell(Update::Down(verdict), now);
    }

    fn tell(&mut self, update: Update, now: Time) {
        if !self.detection.tidings.push(update, now) {
            self.counters.tidings_dropped += 1;
        }
    }

    /// New members are worth telling, unless they came in a bulk.
    pub(super) fn tell_arrivals(&mut self, arrivals: &[NodeId], now: Time) {
        if arrivals.len() > FEW_ARRIVALS {
            return;
        }
        for node in arrivals {
            if let Some(identity) = self.swim.active_peer(*node).copied() {
                self.tell(Update::Alive(identity), now);
            }
        }
    }

    fn flush_tidings(&mut self, now: Time) {
        let updates = self.detection.tidings.take_due(now);
        if updates.is_empty() {
            return;
        }
        let targets = self.swim.rumor_targets(TIDINGS_FANOUT);
        for datagram in self.pack_tidings(&updates) {
            for target in &targets {
                self.counters.tidings_sent += 1;
                self.send_datagram(target.addr, datagram.clone());
            }
        }
    }

    fn pack_tidings(&mut self, updates: &[Update]) -> Vec<Vec<u8>> {
        let sender = self.identity().node_id;
        let messages = updates.chunks(UPDATES_PER_MESSAGE).map(|updates| {
            let updates = updates.to_vec();
            Message::Tidings(Tidings { sender, updates })
        });
        self.pack(messages.collect())
    }

    /// As few datagrams as hold these messages.
    fn pack(&mut self, messages: Vec<Message<'_>>) -> Vec<Vec<u8>> {
        let mut datagrams = Vec::new();
        let mut datagram = DatagramBuilder::default();
        for message in messages {
            if datagram.push(&message).is_err() {
                datagrams.push(std::mem::take(&mut datagram).finish(self.cluster));
                if datagram.push(&message).is_err() {
                    self.counters.encoding_errors += 1;
                }
            }
        }
        if !datagram.is_empty() {
            datagrams.push(datagram.finish(self.cluster));
        }
        datagrams
    }

    /// Asks one of the members that we lost whether it is there. All who share a view share the work: each turn, each
    /// asks another one, at a rate that does not depend on how many we are, and when few are lost, seldom.
    fn ask_the_lost(&mut self) {
        let lost: Vec<NodeId> = self
            .swim
            .peers()
            .iter()
            .filter(|(_, peer)| !peer.is_active())
            .map(|(node, _)| *node)
            .filter(|node| matches!(self.origin_status(*node), OriginStatus::Down { .. }))
            .collect();
        let share = lost.len() as f64 / self.active_members() as f64;
        if lost.is_empty() || !self.connected || !self.rng.random_bool(share.min(1.0)) {
            return;
        }
        let own = self.identity().node_id;
        self.detection.lost_turn += 1;
        let place = self.swim.ring().rank(own) + self.detection.lost_turn;
        self.counters.lost_asked += 1;
        self.warn(lost[place % lost.len()]);
    }

    pub(super) fn handle_compare(&mut self, compare: &Compare, now: Time) {
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
        let datagrams = self.pack(listings);
        for datagram in datagrams.into_iter().take(MAX_LISTING_DATAGRAMS) {
            self.send_datagram(to.addr, datagram);
        }
    }

    /// Whom the sender lists and we hold down has to contradict; whom we know and it does not is looked into.
    pub(super) fn handle_listing(&mut self, listing: &Listing, now: Time) {
        let Some(peer) = self.hear(listing.sender, Sign::Members, now) else { return };
        let own = self.identity().node_id;
        let bucket = usize::from(listing.bucket);
        let ours = self.swim.bucket(bucket);
        if listing.wanted {
            self.send_listings(&peer, &[bucket], false);
        }
        let mut warnings = 0;
        for identity in &listing.members {
            let node = identity.node_id;
            if node == own || bucket_of(node) != bucket {
                continue;
            }
            match self.swim.peers().get(&node) {
                Some(peer) if !peer.is_active() && peer.identity.epoch >= identity.epoch => {
                    warnings += 1;
                    if warnings <= MAX_WARNINGS {
                        self.warn(node);
                    }
                }
                _ => self.believe_alive(*identity, now),
            }
        }
        let listed = |node: NodeId| listing.members.iter().any(|other| other.node_id == node);
        for identity in ours.iter().filter(|identity| !listed(identity.node_id)) {
            if identity.node_id != own {
                self.detection.detector.check(identity.node_id, None, now);
            }
        }
    }

    fn knock(&mut self, node: NodeId, nonce: [u8; 4], now: Time) {
        let Some(peer) = self.swim.active_peer(node).copied() else { return };
        if self.detection.knocks.len() >= MAX_KNOCKS {
            self.counters.inquiries_refused += 1;
            return;
        }
        let sender = self.identity().node_id;
        let stream = self.next_stream();
        self.counters.knocks_sent += 1;
        self.detection.knocks.insert(stream, now);
        let to = peer.sync_addr();
        self.outputs.push_back(Output::OpenStream { stream, to, peer: node });
        self.send_frame(stream, &Frame::Ping(self.cluster.mark(), Ping { sender, nonce }));
    }

    /// Takes a frame if it belongs to a question for a sign of life; returns whether it did.
    pub(super) fn take_knock_frame(&mut self, stream: StreamId, bytes: &[u8], now: Time) -> bool {
        let asked = self.detection.knocks.contains_key(&stream);
        if !asked && !Frame::is_sign_of_life(bytes) {
            return false;
        }
        match Frame::decode(bytes) {
            Ok(Frame::Pong(pong)) if asked => {
                self.detection.knocks.remove(&stream);
                self.outputs.push_back(Output::FinishStream { stream });
                self.handle_pong(&pong, true, now);
                true
            }
            Ok(Frame::Ping(cluster, ping)) if !asked && self.leaving.is_none() => {
                let fresh = |session: &crate::session::Session| session.peer().is_none();
                if !self.sessions.get(&stream).is_some_and(fresh) || cluster != self.cluster.mark()
                {
                    return false;
                }
                self.sessions.remove(&stream);
                self.counters.sessions_completed += 1;
                self.counters.knocks_answered += 1;
                self.last_contact = Some(now);
                let pong = self.pong(&ping, now);
                self.send_frame(stream, &Frame::Pong(pong));
                self.outputs.push_back(Output::FinishStream { stream });
                true
            }
            _ if asked => {
                self.counters.messages_invalid += 1;
                self.detection.knocks.remove(&stream);
                self.outputs.push_back(Output::ResetStream { stream });
                true
            }
            _ => false,
        }
    }

    pub(super) fn knock_closed(&mut self, stream: StreamId) {
        self.detection.knocks.remove(&stream);
    }

    fn send_frame(&mut self, stream: StreamId, frame: &Frame) {
        match frame.encode() {
            Ok(bytes) => {
                self.counters.frame_bytes_sent += bytes.len() as u64;
                self.outputs.push_back(Output::StreamFrame { stream, bytes });
            }
            Err(_) => self.counters.encoding_errors += 1,
        }
    }

    fn drop_stalled_knocks(&mut self, now: Time) {
        let stalled = self.detection.knocks.iter();
        let stalled: Vec<StreamId> = stalled
            .filter(|(_, opened)| now.since(**opened) >= KNOCK_TIMEOUT)
            .map(|(stream, _)| *stream)
            .collect();
        for stream in stalled {
            self.detection.knocks.remove(&stream);
            self.outputs.push_back(Output::ResetStream { stream });
        }
    }

    /// A member is no longer down, or not known any more.
    pub(super) fn forget_belief(&mut self, node: NodeId) {
        self.detection.beliefs.remove(&node);
    }
}

/// The low half of a digest.
fn short(digest: u64) -> [u8; 4] {
    let [short @ .., _, _, _, _] = digest.to_le_bytes();
    short
}
