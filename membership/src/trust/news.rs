//! News of generations and revocations, which spread by streams. What streams do not bring in time, every later stream repairs:
//! all begin with credentials.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use hobnob_keys::{Generation, GenerationId};
use xxhash_rust::xxh3::xxh3_64;

use super::streams::DOOR_TIMEOUT;
use super::{Act, Guard, node_of};
use crate::base::identity::{Identity, NodeId};
use crate::base::io::StreamId;
use crate::base::limits::{MAX_ERRANDS, MAX_SEEDS};
use crate::base::time::Time;

/// Members that are told of news in each round.
pub(crate) const NEWS_FANOUT: usize = 3;
/// Rounds of telling.
const NEWS_ROUNDS: u32 = 5;
/// The time between two rounds.
const NEWS_ROUND_GAP: Duration = Duration::from_millis(200);
/// The least time between two questions because of datagrams that do not open.
const ASK_GAP: Duration = Duration::from_secs(1);
/// The first wait between two tries of a newcomer. It doubles up to the second one. Each is shortened by up to a half, so that those
/// who start together do not try together for ever.
const ENTER_RETRY: Duration = Duration::from_millis(100);
const ENTER_RETRY_MAX: Duration = Duration::from_secs(2);
/// Seeds that a newcomer tries at once.
const ENTER_FANOUT: usize = 2;
/// A try at a seed is under way for so long before another one begins there. A member at which many newcomers try needs the time.
const ENTER_PATIENCE: Duration = Duration::from_millis(500);
/// A member that is told to join elsewhere seeks there for so long, since another part of the cluster may have been founded there. That is
/// longer than a generation waits for its use.
const SEEK_FOR: Duration = Duration::from_secs(20);
/// Tries at one seed that are under way at once.
const MAX_TRIES_AT_SEED: usize = 2;

/// The rest to tell and to ask.
#[derive(Debug, Default)]
pub(crate) struct News {
    rounds_left: u32,
    next_round: Time,
    asked_at: Option<Time>,
    /// The gossip addresses at which a newcomer tries to enter, the next one first.
    seeds: Vec<SocketAddr>,
    /// When agents answered last at seeds. An agent that shows that it waits outside itself is none of them.
    answered: BTreeMap<SocketAddr, Time>,
    next_try: Time,
    tries: u32,
    wait: Duration,
    /// Whether the node hears other members.
    is_connected: bool,
    /// Until when it tries to enter although it is inside and hears members.
    seeks_until: Time,
    /// The generation that was in use at the last look.
    present: Option<GenerationId>,
}

impl News {
    /// Begins to tell of news.
    pub(crate) fn spread(&mut self, now: Time) {
        (self.rounds_left, self.next_round) = (NEWS_ROUNDS, now);
    }
}

impl Guard {
    /// Notes gossip addresses at which this node may enter while it holds no generation, or hears no member: it may have missed
    /// all that the members hold now. A member that is told of them later tries for a while, too.
    pub(crate) fn enter_at(&mut self, addresses: &[SocketAddr], now: Time) {
        for address in addresses {
            if !self.news.seeds.contains(address) && self.news.seeds.len() < MAX_SEEDS {
                self.news.seeds.push(*address);
            }
        }
        (self.news.next_try, self.news.wait) = (now, ENTER_RETRY);
        if self.news.is_connected && !self.is_newcomer(now) {
            self.news.seeks_until = now + SEEK_FOR;
        }
    }

    /// Asks the agent at an address for its keys, by a stream. It opened none of our datagrams, so it may belong to a part of the cluster
    /// that was founded apart, with a generation that we lack. Returns false when enough such streams are under way.
    pub(crate) fn ask_at(&mut self, seed: SocketAddr, now: Time) -> bool {
        if self.doors.errands() >= MAX_ERRANDS || self.is_trying(seed, now) {
            return false;
        }
        let stream = self.streams.take();
        self.counters.key_streams_opened += 1;
        self.doors.enter(stream, seed, now);
        self.acts.push_back(Act::OpenAt(stream, seed));
        true
    }

    /// Notes whether the node hears other members.
    pub(crate) fn note_connected(&mut self, is_connected: bool, now: Time) {
        self.news.is_connected = is_connected;
        (self.news.next_try, self.news.wait) = (now + ENTER_RETRY, 2 * ENTER_RETRY);
    }

    /// Tries to enter, if it is time.
    pub(crate) fn try_to_enter(&mut self, own: SocketAddr, now: Time) {
        if self.enter_deadline(now).is_none_or(|due| due > now) {
            return;
        }
        self.news.tries = self.news.tries.wrapping_add(1);
        let chance = chance(node_of(&self.own.public_key()), self.news.tries);
        self.news.next_try = now + self.news.wait.mul_f64(1.0 - chance / 2.0);
        let mut has_tried = false;
        for _ in 0..ENTER_FANOUT.min(self.news.seeds.len()) {
            self.news.seeds.rotate_left(1);
            let Some(seed) = self.news.seeds.last().copied() else { continue };
            has_tried |= seed != own && self.ask_at(seed, now);
        }
        if has_tried {
            self.news.wait = (2 * self.news.wait).min(ENTER_RETRY_MAX);
        }
    }

    /// An agent answered at the gossip address of a stream.
    pub(crate) fn stream_answered(&mut self, stream: StreamId, now: Time) {
        if let Some(seed) = self.doors.get(stream).and_then(|door| door.entering_at) {
            self.news.answered.retain(|_, at| now.since(*at) < DOOR_TIMEOUT);
            self.news.answered.insert(seed, now);
        }
    }

    /// Notes that the agent at a seed holds no generation either.
    pub(super) fn note_outside(&mut self, seed: SocketAddr) {
        self.news.answered.remove(&seed);
    }

    /// Whether an agent that may be a member answered at a seed lately.
    pub(crate) fn may_be_let_in(&self, now: Time) -> bool {
        self.news.answered.values().any(|at| now.since(*at) < DOOR_TIMEOUT)
    }

    /// Whether the tries under way at a seed are enough.
    fn is_trying(&self, seed: SocketAddr, now: Time) -> bool {
        let is_young = |since| now.since(since) < ENTER_PATIENCE;
        self.doors.entering_at(seed).any(is_young)
            || self.doors.entering_at(seed).count() >= MAX_TRIES_AT_SEED
    }

    /// Notes that this node and a member hold the same keys. So it has missed nothing, and need not try to enter for a while.
    pub(super) fn note_equal(&mut self, now: Time) {
        let news = &mut self.news;
        (news.next_try, news.wait) = (news.next_try.max(now + ENTER_RETRY_MAX), ENTER_RETRY_MAX);
    }

    fn enter_deadline(&self, now: Time) -> Option<Time> {
        let news = &self.news;
        let seeks = self.is_newcomer(now) || !news.is_connected || now < news.seeks_until;
        (seeks && !self.news.seeds.is_empty()).then_some(self.news.next_try)
    }

    /// Notes that another generation came into use, which the disk should know.
    pub(crate) fn note_switch(&mut self, now: Time) {
        let present = self.sealer.keyring.present(now).map(Generation::id);
        if std::mem::replace(&mut self.news.present, present) != present {
            self.acts.push_back(Act::Changed);
        }
    }

    /// Whether members are to be told of news now. Takes the round.
    pub(crate) fn takes_round(&mut self, now: Time) -> bool {
        let is_due = self.news.rounds_left > 0 && self.news.next_round <= now;
        if is_due {
            self.news.rounds_left -= 1;
            self.news.next_round = now + NEWS_ROUND_GAP;
        }
        is_due
    }

    /// Whether a member may be asked now what its datagrams are sealed with. Takes the turn.
    pub(crate) fn may_ask(&mut self, now: Time) -> bool {
        let may = self.news.asked_at.is_none_or(|at| now.since(at) >= ASK_GAP);
        if may {
            self.news.asked_at = Some(now);
        }
        may
    }

    /// Begins a stream that carries credentials and news alone, unless there are too many or one to this member.
    pub(crate) fn begin_errand(&mut self, peer: &Identity, now: Time) -> Option<StreamId> {
        let node = peer.node_id;
        if self.doors.errands() >= MAX_ERRANDS
            || self.doors.has_errand_to(node)
            || self.is_revoked(node)
        {
            self.counters.key_streams_refused += 1;
            return None;
        }
        let stream = self.streams.take();
        self.counters.key_streams_opened += 1;
        self.doors.open(stream, Some(node), true, now);
        Some(stream)
    }

    /// The members that a survey asks now.
    pub(crate) fn take_survey_step(&mut self, now: Time) -> Vec<NodeId> {
        if !self.survey.is_due(now) {
            return Vec::new();
        }
        let (ours, under_way) = (self.ours(), self.doors.errands());
        self.survey.step(ours, under_way, now)
    }

    /// When something of this room is due.
    pub(crate) fn next_deadline(&self, now: Time) -> Option<Time> {
        let round = (self.news.rounds_left > 0).then_some(self.news.next_round);
        let stalled = self.stall_deadline();
        let switch = self.sealer.keyring.next_switch(now);
        let (survey, rights) = (self.survey.deadline(), self.rights.deadline());
        let enter = self.enter_deadline(now);
        [round, stalled, switch, survey, rights, enter].into_iter().flatten().min()
    }
}

/// A number from 0 to 1 that differs from node to node and from try to try.
fn chance(node: NodeId, tries: u32) -> f64 {
    let [a, b, c, d, e, f, g, h] = node.0.to_le_bytes();
    let [i, j, k, l] = tries.to_le_bytes();
    let hash = xxh3_64(&[a, b, c, d, e, f, g, h, i, j, k, l]);
    (hash >> 32) as f64 / f64::from(u32::MAX)
}
