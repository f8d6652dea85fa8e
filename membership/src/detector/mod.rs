//! Failure detection: noticing a crash, and only a crash.
//!
//! Each member is watched by its predecessors on the ring that all share (its *monitors*). A question that is not
//! answered opens a *case*: the other monitors become *referees*, who look for a sign of life themselves. One sign
//! acquits; silence for long enough, said by a quorum, is a *verdict*. Suspicion is never gossiped, a verdict is.
//!
//! This is a machine without IO like all others here: it takes answers and questions, and gives orders.

mod case;
mod inquiry;
mod monitor;
mod pace;
mod pings;
mod series;
mod tidings;
mod verdict;

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use rand::rngs::Xoshiro256PlusPlus;
use rand::{Rng, RngExt, SeedableRng};

use crate::identity::{Epoch, Identity, NodeId};
use crate::limits::{MAX_CASES, MAX_CHECKS, MAX_INQUIRIES, MAX_REFEREES};
use crate::mutant::{self, Mutant};
use crate::swim::Swim;
use crate::time::Time;
use crate::wire::{Ask, Pong, Vote};

use case::{Case, Word};
use inquiry::Inquiry;
use monitor::{Monitor, Watch};
use pace::Pacemaker;
use pings::Pings;
use series::{Series, Step};

pub use pace::Pace;
pub(crate) use tidings::TidingsQueue;
pub use verdict::{Belief, Cause, Verdict};

/// Members that each member watches, and by which it is watched.
const MONITORS: usize = 5;
/// A loop that comes later than this may have missed what was said meanwhile.
const SLEPT: Duration = Duration::from_millis(100);
/// Who answered us more recently than this is not called down on somebody else's word alone.
const WITNESSED: Duration = Duration::from_millis(2_000);
/// Two comparisons of views that we begin are at least this far apart.
const COMPARE_GAP: Duration = Duration::from_secs(2);
/// A first question comes within this time.
const FIRST_PING_WITHIN: Duration = Duration::from_millis(500);

/// What the detector wants done.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Order {
    /// Ping a member.
    Ping(NodeId, [u8; 4]),
    /// The same by stream.
    Knock(NodeId, [u8; 4]),
    /// Ask a referee about a suspect.
    Ask(NodeId, NodeId, Epoch),
    /// Tell what we know of a suspect.
    Vote(NodeId, Vote),
    /// Somebody is down: our own verdict, or one that we have looked into.
    Decide(Verdict, NodeId),
    /// Others hold this member down, and it answers us: it has to know.
    Warn(NodeId),
    /// A member's view differs from ours and goes on doing so.
    Compare(NodeId),
}

/// Looking into what somebody else says.
#[derive(Debug)]
struct Check {
    series: Series,
    /// A verdict that we have reason to doubt, and who told it.
    doubted: Option<(Verdict, NodeId)>,
}

/// How often things happened, for the counters.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Tally {
    pub(crate) accusations: u64,
    pub(crate) acquittals: u64,
    pub(crate) refused: u64,
    pub(crate) stalls: u64,
}

#[derive(Debug)]
pub(crate) struct Detector {
    own: NodeId,
    rng: Xoshiro256PlusPlus,
    monitors: BTreeMap<NodeId, Monitor>,
    checks: BTreeMap<NodeId, Check>,
    inquiries: BTreeMap<NodeId, Inquiry>,
    cases: BTreeMap<NodeId, Case>,
    pings: Pings,
    /// When a member last answered us.
    heard: BTreeMap<NodeId, Time>,
    paces: BTreeMap<NodeId, Pace>,
    pacemaker: Pacemaker,
    /// The ring for which the monitors are assigned.
    assigned: Option<u64>,
    compare_not_before: Time,
    orders: VecDeque<Order>,
    tally: Tally,
}

impl Detector {
    pub(crate) fn new(own: NodeId, seed: u64, now: Time) -> Self {
        Self {
            own,
            rng: Xoshiro256PlusPlus::seed_from_u64(seed),
            monitors: BTreeMap::new(),
            checks: BTreeMap::new(),
            inquiries: BTreeMap::new(),
            cases: BTreeMap::new(),
            pings: Pings::default(),
            heard: BTreeMap::new(),
            paces: BTreeMap::new(),
            pacemaker: Pacemaker::new(now),
            assigned: None,
            compare_not_before: now,
            orders: VecDeque::new(),
            tally: Tally::default(),
        }
    }

    pub(crate) fn poll_order(&mut self) -> Option<Order> {
        self.orders.pop_front()
    }

    pub(crate) fn take_tally(&mut self) -> Tally {
        std::mem::take(&mut self.tally)
    }

    pub(crate) fn is_suspect(&self, node: NodeId) -> bool {
        self.cases.contains_key(&node)
    }

    /// How many cases and inquiries are open.
    pub(crate) fn open(&self) -> usize {
        self.cases.len() + self.inquiries.len()
    }

    /// What we say of ourselves.
    pub(crate) fn pace(&self, now: Time) -> Pace {
        self.pacemaker.pace(now)
    }

    /// When a member last answered us.
    pub(crate) fn last_heard(&self, node: NodeId) -> Option<Time> {
        self.heard.get(&node).copied()
    }

    pub(crate) fn next_deadline(&self) -> Option<Time> {
        let monitors = self.monitors.iter().filter(|(node, _)| !self.cases.contains_key(node));
        monitors
            .map(|(_, monitor)| monitor.next_deadline())
            .chain(self.checks.values().map(|check| check.series.next_deadline()))
            .chain(self.inquiries.values().map(Inquiry::next_deadline))
            .chain(self.cases.values().map(Case::next_deadline))
            .min()
    }

    /// Our loop comes `by` later than it should have. What was said to us meanwhile may wait to be read, so silence
    /// begins anew.
    pub(crate) fn late(&mut self, by: Duration, now: Time) {
        if by < SLEPT {
            return;
        }
        self.tally.stalls += 1;
        self.pacemaker.late(by, now);
        self.monitors.values_mut().for_each(|monitor| monitor.begin_anew(now));
        self.checks.clear();
        self.inquiries.values_mut().for_each(|inquiry| inquiry.begin_anew(now));
        self.cases.values_mut().for_each(|case| case.begin_anew(now));
    }

    /// Watches those whom the ring assigns to us, and drops what is about members that are gone.
    pub(crate) fn reassign(&mut self, swim: &Swim, now: Time) {
        if self.assigned == Some(swim.generation()) {
            return;
        }
        self.assigned = Some(swim.generation());
        let targets: Vec<NodeId> = swim.ring().successors(self.own).take(MONITORS).collect();
        self.monitors.retain(|node, _| targets.contains(node));
        for target in targets {
            if !self.monitors.contains_key(&target) {
                let first = now + FIRST_PING_WITHIN.mul_f64(self.rng.random());
                self.monitors.insert(target, Monitor::new(first));
            }
        }
        let active = |node: &NodeId| swim.active_peer(*node).is_some();
        self.checks.retain(|node, _| active(node));
        self.inquiries.retain(|node, _| active(node));
        self.cases.retain(|node, case| {
            swim.active_peer(*node).is_some_and(|identity| identity.epoch == case.suspect.epoch)
        });
        self.heard.retain(|node, _| active(node));
        self.paces.retain(|node, _| active(node));
    }

    /// Somebody answered. Returns who.
    pub(crate) fn pong(
        &mut self,
        pong: &Pong,
        members: [u8; 4],
        by_stream: bool,
        now: Time,
    ) -> Option<NodeId> {
        let node = self.pings.answered(pong.tag)?;
        self.paces.insert(node, pong.pace);
        self.hear(node, by_stream, now);
        if let Some(monitor) = self.monitors.get_mut(&node)
            && monitor.compare(members, pong.members, now)
            && self.compare_not_before <= now
            && !mutant::is(Mutant::IgnoreMemberDigest)
        {
            let jitter = 1.0 + self.rng.random::<f64>() / 2.0;
            self.compare_not_before = now + COMPARE_GAP.mul_f64(jitter);
            self.orders.push_back(Order::Compare(node));
        }
        Some(node)
    }

    fn hear(&mut self, node: NodeId, by_stream: bool, now: Time) {
        self.heard.insert(node, now);
        if let Some(monitor) = self.monitors.get_mut(&node) {
            monitor.heard(by_stream, now);
        }
        if self.checks.remove(&node).is_some() {
            self.orders.push_back(Order::Warn(node));
        }
        if mutant::is(Mutant::NeverAcquit) {
            return;
        }
        if let Some(inquiry) = self.inquiries.remove(&node) {
            let vote = self.vote_on(node, inquiry.since, now);
            self.orders.extend(inquiry.askers().map(|asker| Order::Vote(asker, vote)));
        }
        if self.cases.remove(&node).is_some() {
            self.tally.acquittals += 1;
        }
    }

    fn vote_on(&self, suspect: NodeId, probing_since: Time, now: Time) -> Vote {
        let ms = |time: Duration| u16::try_from(time.as_millis()).unwrap_or(u16::MAX);
        Vote {
            sender: self.own,
            suspect,
            silence_ms: self.heard.get(&suspect).map_or(u16::MAX, |at| ms(now.since(*at))),
            probed_ms: ms(now.since(probing_since)),
            pace: self.paces.get(&suspect).copied(),
        }
    }

    /// Somebody asks about an active member: looks for signs of life, and tells what it knows.
    pub(crate) fn ask(&mut self, ask: &Ask, now: Time) {
        let Some(since) = self.inquire(ask.suspect, Some(ask.sender), now) else {
            self.tally.refused += 1;
            return;
        };
        let vote = self.vote_on(ask.suspect, since, now);
        self.orders.push_back(Order::Vote(ask.sender, vote));
    }

    /// Looks for signs of life; since when, unless there is no room for one more.
    fn inquire(&mut self, suspect: NodeId, by: Option<NodeId>, now: Time) -> Option<Time> {
        if !self.inquiries.contains_key(&suspect) {
            if self.inquiries.len() >= MAX_INQUIRIES {
                return None;
            }
            let nonce = self.nonce();
            self.inquiries.insert(suspect, Inquiry::new(nonce, now));
        }
        let inquiry = self.inquiries.get_mut(&suspect)?;
        inquiry.wanted(by, now);
        Some(inquiry.since)
    }

    /// Takes the vote of a referee.
    pub(crate) fn vote(&mut self, vote: &Vote, now: Time) {
        let Some(case) = self.cases.get_mut(&vote.suspect) else { return };
        match case.vote(vote, now) {
            Word::Alive => {
                self.cases.remove(&vote.suspect);
                self.tally.acquittals += 1;
            }
            Word::Noted => self.rule(vote.suspect, now),
        }
    }

    /// Somebody says that an active member is down, and it is not for us to believe it yet: asks the member. `doubted`
    /// is a verdict that holds if it does not answer.
    pub(crate) fn check(&mut self, node: NodeId, doubted: Option<(Verdict, NodeId)>, now: Time) {
        let known = self.checks.contains_key(&node) || self.cases.contains_key(&node);
        if known || self.checks.len() >= MAX_CHECKS {
            self.tally.refused += u64::from(!known);
            return;
        }
        let series = Series::new(self.nonce(), now);
        self.checks.insert(node, Check { series, doubted });
    }

    /// Whether a member answered us so lately that a verdict of others has to be looked into.
    pub(crate) fn is_witness_of(&self, node: NodeId, now: Time) -> bool {
        self.heard.get(&node).is_some_and(|at| now.since(*at) < WITNESSED)
    }

    pub(crate) fn handle_deadline(&mut self, swim: &Swim, now: Time) {
        self.step_monitors(swim, now);
        self.step_checks(swim, now);
        self.step_inquiries(now);
        self.step_cases(swim, now);
    }

    fn step_monitors(&mut self, swim: &Swim, now: Time) {
        let free = |target: &NodeId| !self.cases.contains_key(target);
        let targets: Vec<NodeId> = self.monitors.keys().copied().filter(free).collect();
        for target in targets {
            while let Some(watch) = self.monitors.get_mut(&target).and_then(|m| m.step(now)) {
                match watch {
                    Watch::Begin => {
                        let nonce = self.nonce();
                        if let Some(monitor) = self.monitors.get_mut(&target) {
                            monitor.begin(nonce, now);
                        }
                        self.pings.expect(target, nonce, now);
                    }
                    Watch::Ping { stream } => {
                        let series = self.monitors.get(&target).and_then(|m| m.series);
                        let Some(nonce) = series.map(|series| series.nonce) else { continue };
                        self.orders.push_back(Order::Ping(target, nonce));
                        if stream {
                            self.orders.push_back(Order::Knock(target, nonce));
                        }
                    }
                    Watch::Accuse(since) => {
                        self.accuse(swim, target, since, now);
                        break;
                    }
                }
            }
        }
    }

    fn step_checks(&mut self, swim: &Swim, now: Time) {
        let nodes: Vec<NodeId> = self.checks.keys().copied().collect();
        for node in nodes {
            while let Some(check) = self.checks.get_mut(&node)
                && let Some(step) = check.series.step(now)
            {
                let nonce = check.series.nonce;
                match step {
                    Step::Ping(n) => {
                        if n == 1 {
                            self.pings.expect(node, nonce, now);
                        }
                        self.orders.push_back(Order::Ping(node, nonce));
                    }
                    Step::Failed => {
                        let started = check.series.started;
                        let doubted = self.checks.remove(&node).and_then(|check| check.doubted);
                        match doubted {
                            Some((verdict, by)) => {
                                self.orders.push_back(Order::Decide(verdict, by));
                            }
                            None => self.accuse(swim, node, started, now),
                        }
                    }
                }
            }
        }
    }

    fn step_inquiries(&mut self, now: Time) {
        let suspects: Vec<NodeId> = self.inquiries.keys().copied().collect();
        for suspect in suspects {
            if self.cases.contains_key(&suspect) {
                self.inquire(suspect, None, now);
            }
            while let Some(inquiry) = self.inquiries.get_mut(&suspect)
                && let Some(step) = inquiry.step(now)
            {
                let nonce = inquiry.nonce;
                match step {
                    inquiry::Step::Ping => {
                        self.pings.expect(suspect, nonce, now);
                        self.orders.push_back(Order::Ping(suspect, nonce));
                    }
                    inquiry::Step::Stream => {
                        self.orders.push_back(Order::Knock(suspect, nonce));
                    }
                    inquiry::Step::Over => drop(self.inquiries.remove(&suspect)),
                }
            }
        }
    }

    fn step_cases(&mut self, swim: &Swim, now: Time) {
        let suspects: Vec<NodeId> = self.cases.keys().copied().collect();
        for suspect in suspects {
            self.rule(suspect, now);
            if let Some(case) = self.cases.get_mut(&suspect) {
                let epoch = case.suspect.epoch;
                let asked = case.step(swim.ring().predecessors(suspect), now);
                let asked = asked.into_iter().map(|referee| Order::Ask(referee, suspect, epoch));
                self.orders.extend(asked);
            }
        }
    }

    /// Passes a verdict if there is enough for one.
    fn rule(&mut self, suspect: NodeId, now: Time) {
        let Some(since) = self.inquire(suspect, None, now) else { return };
        let Some(case) = self.cases.get(&suspect) else { return };
        let Some(mut referees) = case.verdict(since, now) else { return };
        let epoch = case.suspect.epoch;
        self.cases.remove(&suspect);
        self.inquiries.remove(&suspect);
        referees.truncate(MAX_REFEREES);
        let cause = Cause::Silence;
        let verdict = Verdict { node: suspect, epoch, cause, accuser: self.own, referees };
        self.orders.push_back(Order::Decide(verdict, self.own));
    }

    fn accuse(&mut self, swim: &Swim, node: NodeId, since: Time, now: Time) {
        let Some(identity) = swim.active_peer(node).copied() else { return };
        if self.cases.contains_key(&node) {
            return;
        }
        if self.cases.len() >= MAX_CASES || self.inquire(node, None, now).is_none() {
            self.tally.refused += 1;
            return;
        }
        self.tally.accusations += 1;
        let case = self.open_case(swim, identity, since, now);
        self.cases.insert(node, case);
    }

    fn open_case(&self, swim: &Swim, suspect: Identity, since: Time, now: Time) -> Case {
        let node = suspect.node_id;
        // Everybody but the suspect, at most as many as watch it; one of them is us.
        let watching = MONITORS.min(swim.ring().len());
        let watching = if mutant::is(Mutant::NoReferees) { 1 } else { watching };
        let referees = swim.ring().predecessors(node).take(watching.saturating_sub(1));
        let (heard, pace) = (self.heard.get(&node).copied(), self.paces.get(&node).copied());
        Case::new(suspect, since, heard, pace, referees.collect(), now)
    }

    fn nonce(&mut self) -> [u8; 4] {
        self.rng.next_u32().to_le_bytes()
    }
}
