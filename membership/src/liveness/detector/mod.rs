//! Failure detection: noticing a crash, and only a crash.
//!
//! Each member is watched by its predecessors on the ring that all share (its *monitors*). A question that is not
//! answered opens a *case*: the other monitors become *referees*, who look for a sign of life themselves. One sign
//! acquits; silence for long enough, said by a quorum, is a *verdict*. Suspicion is never gossiped, a verdict is.
//!
//! This is a machine without IO like all others here: it takes answers and questions, and gives orders.

mod belief;
mod disputes;
mod hearing;
mod indirect_probe;
mod local_health;
mod member_updates;
mod monitor;
mod pings;
mod series;
mod steps;
mod suspicion;

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use rand::rngs::Xoshiro256PlusPlus;
use rand::{Rng, RngExt, SeedableRng};

use crate::base::identity::{Epoch, Identity, NodeId};
use crate::base::mutants::{self as mutant, Mutant};
use crate::base::time::Time;
use crate::liveness::swim::Swim;
use crate::wire::Vote;

use indirect_probe::IndirectProbe;
use local_health::StallMeter;
use monitor::Monitor;
use pings::Pings;
use series::Series;
use suspicion::Suspicion;

pub use crate::wire::{Cause, LocalHealth, Verdict};
pub use belief::Belief;
pub(crate) use disputes::Disputes;
pub(crate) use local_health::MAX_SUSPICION_TIMEOUT;
pub(crate) use member_updates::MemberUpdateQueue;

/// Members that each member watches, and by which it is watched.
const MONITORS: usize = 5;
/// A loop that comes later than this may have missed what was said meanwhile.
const SLEPT: Duration = Duration::from_millis(100);
/// Who answered us more recently than this is not called down on somebody else's word alone.
const WITNESSED: Duration = Duration::from_millis(2_000);
/// Two comparisons of views that we begin are at least this far apart.
const COMPARE_GAP: Duration = Duration::from_secs(2);
/// Who began to watch others less than this ago is *young*: it asks more often, and soon compares its view, of which it
/// may have missed a part while all joined.
const YOUNG_FOR: Duration = Duration::from_secs(5);
/// How much more often.
const EAGERNESS: u32 = 8;
/// A first question comes within this time: whoever watched that member before may have crashed with it.
const FIRST_PING_WITHIN: Duration = Duration::from_millis(200);

/// What the detector wants done.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Order {
    /// Ping a member.
    Ping(NodeId, [u8; 4]),
    /// The same by stream.
    StreamProbe(NodeId, [u8; 4]),
    /// Ask a member's host whether it answers for it.
    TcpProbe(NodeId, [u8; 4]),
    /// Ask a referee about a suspect.
    Ask(NodeId, NodeId, Epoch),
    /// Tell what we know of a suspect.
    Vote(NodeId, Vote),
    /// Somebody is down: our own verdict, or one that we have looked into.
    Decide(Verdict, NodeId),
    /// Others hold this member down, and it answers us: it has to know.
    Warn(NodeId),
    /// A member that is disputed answered us: it is back, in this life.
    Revive(Identity),
    /// A member's view differs from ours and goes on doing so.
    Compare(NodeId),
}

/// Looking into what somebody else says.
#[derive(Debug)]
struct Check {
    series: Series,
    said: Said,
}

/// What somebody says of a member, and that we look into.
#[derive(Debug)]
pub(crate) enum Said {
    /// A verdict on an active member that just answered us, and who told it: it holds if the member is silent now.
    Down(Verdict, NodeId),
    /// That it is not among the active: it is accused if it is silent.
    NotActive,
    /// That a member which we hold down is back, in this life.
    Back(Identity),
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
    indirect_probes: BTreeMap<NodeId, IndirectProbe>,
    suspicions: BTreeMap<NodeId, Suspicion>,
    pings: Pings,
    /// When a member last answered us.
    heard: BTreeMap<NodeId, Time>,
    healths: BTreeMap<NodeId, LocalHealth>,
    stall_meter: StallMeter,
    /// The ring for which the monitors are assigned.
    assigned: Option<u64>,
    compare_not_before: Time,
    /// When we first had somebody to watch.
    began: Option<Time>,
    orders: VecDeque<Order>,
    tally: Tally,
    deadline: Option<Time>,
    /// Whether the deadline has to be found anew.
    is_changed: bool,
}

impl Detector {
    pub(crate) fn new(own: NodeId, seed: u64, now: Time) -> Self {
        Self {
            own,
            rng: Xoshiro256PlusPlus::seed_from_u64(seed),
            monitors: BTreeMap::new(),
            checks: BTreeMap::new(),
            indirect_probes: BTreeMap::new(),
            suspicions: BTreeMap::new(),
            pings: Pings::default(),
            heard: BTreeMap::new(),
            healths: BTreeMap::new(),
            stall_meter: StallMeter::new(now),
            assigned: None,
            compare_not_before: now,
            began: None,
            orders: VecDeque::new(),
            tally: Tally::default(),
            deadline: None,
            is_changed: false,
        }
    }

    pub(crate) fn poll_order(&mut self) -> Option<Order> {
        self.orders.pop_front()
    }

    pub(crate) fn take_tally(&mut self) -> Tally {
        std::mem::take(&mut self.tally)
    }

    pub(crate) fn is_suspect(&self, node: NodeId) -> bool {
        self.suspicions.contains_key(&node)
    }

    /// Whether a suspect's host answers for it.
    pub(crate) fn is_stalled(&self, node: NodeId) -> bool {
        self.suspicions.get(&node).is_some_and(Suspicion::is_stalled)
    }

    /// When a suspect will have been silent for long enough.
    pub(crate) fn suspect_until(&self, node: NodeId) -> Option<Time> {
        self.suspicions.get(&node).map(Suspicion::due)
    }

    /// Whether a member that we watch answers by stream, and not by datagram.
    pub(crate) fn is_heard_by_stream_alone(&self, node: NodeId, now: Time) -> bool {
        self.monitors.get(&node).is_some_and(|monitor| monitor.is_heard_by_stream_alone(now))
    }

    /// Whether all whom we watch do so.
    pub(crate) fn hears_by_stream_alone(&self, now: Time) -> bool {
        let mut monitors = self.monitors.values();
        !self.monitors.is_empty() && monitors.all(|monitor| monitor.is_heard_by_stream_alone(now))
    }

    /// How many cases and indirect_probes are open.
    pub(crate) fn open(&self) -> usize {
        self.suspicions.len() + self.indirect_probes.len()
    }

    /// What we say of ourselves.
    pub(crate) fn local_health(&self, now: Time) -> LocalHealth {
        self.stall_meter.local_health(now)
    }

    /// When a member last answered us.
    pub(crate) fn last_heard(&self, node: NodeId) -> Option<Time> {
        self.heard.get(&node).copied()
    }

    /// When [`Detector::handle_deadline`] is due.
    pub(crate) fn next_deadline(&mut self) -> Option<Time> {
        if std::mem::take(&mut self.is_changed) {
            self.deadline = self.find_deadline();
        }
        self.deadline
    }

    fn find_deadline(&self) -> Option<Time> {
        let monitors = self.monitors.iter().filter(|(node, _)| !self.suspicions.contains_key(node));
        monitors
            .map(|(_, monitor)| monitor.next_deadline())
            .chain(self.checks.values().map(|check| check.series.next_deadline()))
            .chain(self.indirect_probes.values().map(IndirectProbe::next_deadline))
            .chain(self.suspicions.values().map(Suspicion::next_deadline))
            .min()
    }

    /// Our loop comes `by` later than it should have. What was said to us meanwhile may wait to be read, so silence
    /// begins anew.
    pub(crate) fn late(&mut self, by: Duration, now: Time) {
        if by < SLEPT {
            return;
        }
        self.is_changed = true;
        self.tally.stalls += 1;
        self.stall_meter.late(by, now);
        self.monitors.values_mut().for_each(|monitor| monitor.begin_anew(now));
        self.checks.clear();
        self.indirect_probes.values_mut().for_each(|indirect_probe| indirect_probe.begin_anew(now));
        self.suspicions.values_mut().for_each(|suspicion| suspicion.begin_anew(now));
    }

    /// Watches those whom the ring assigns to us, and drops what is about members that are gone.
    pub(crate) fn reassign(&mut self, swim: &Swim, now: Time) {
        if self.assigned == Some(swim.generation()) {
            return;
        }
        self.assigned = Some(swim.generation());
        self.is_changed = true;
        let targets: Vec<NodeId> = swim.ring().successors(self.own).take(MONITORS).collect();
        if !targets.is_empty() {
            self.began.get_or_insert(now);
        }
        self.monitors.retain(|node, _| targets.contains(node));
        for target in targets {
            if !self.monitors.contains_key(&target) {
                let first = now + FIRST_PING_WITHIN.mul_f64(self.rng.random());
                self.monitors.insert(target, Monitor::new(first));
            }
        }
        let active = |node: &NodeId| swim.active_peer(*node).is_some();
        let held_down = |node: &NodeId| swim.members().get(*node).is_some() && !active(node);
        self.checks.retain(|node, check| match check.said {
            Said::Back(_) => held_down(node),
            Said::Down(..) | Said::NotActive => active(node),
        });
        self.indirect_probes.retain(|node, indirect_probe| {
            swim.active_peer(*node) == Some(&indirect_probe.suspect)
        });
        self.suspicions.retain(|node, suspicion| {
            swim.active_peer(*node)
                .is_some_and(|identity| identity.epoch == suspicion.suspect.epoch)
        });
        self.heard.retain(|node, _| active(node));
        self.healths.retain(|node, _| active(node));
    }

    /// A time between things that the young do more often.
    fn pause(&self, usual: Duration, now: Time) -> Duration {
        let young = self.began.is_some_and(|began| now.since(began) < YOUNG_FOR);
        let eager = young && !mutant::is(Mutant::YoungAsOld);
        if eager { usual / EAGERNESS } else { usual }
    }

    fn nonce(&mut self) -> [u8; 4] {
        self.rng.next_u32().to_le_bytes()
    }
}
