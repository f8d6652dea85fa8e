//! Failure detection: noticing a crash, and only a crash.
//!
//! Each member is watched by its predecessors on the ring that all nodes share: its *monitors*. A monitor whose pings
//! are not answered opens a *suspicion*. The other monitors become *referees*, which probe the suspect themselves. One
//! sign of life acquits the suspect. The *verdict* that the suspect is down takes a quorum that heard nothing until the
//! suspicion timeout ended. Verdicts are gossiped, suspicions never.
//!
//! The detector does no IO. It takes messages and deadlines, and gives an `Order` for each action.

mod belief;
mod disputes;
mod distance;
mod electorate;
mod hearing;
mod indirect_probe;
mod local_health;
mod member_updates;
mod monitor;
mod pings;
mod round_trip;
mod series;
mod steps;
mod suspicion;
mod watch;

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use rand::rngs::Xoshiro256PlusPlus;
use rand::{Rng, SeedableRng};

use crate::base::identity::{Epoch, Identity, NodeId};
use crate::base::mutants::{self as mutant, Mutant};
use crate::base::time::Time;
use crate::liveness::swim::Swim;
use crate::wire::Vote;

use distance::Distance;
use indirect_probe::IndirectProbe;
use local_health::StallMeter;
use monitor::Monitor;
use pings::Pings;
use series::Series;
use suspicion::Suspicion;

pub use crate::wire::{Cause, LocalHealth, Verdict};
pub use belief::Belief;
pub(crate) use disputes::Disputes;
pub(crate) use member_updates::MemberUpdateQueue;

/// Number of members that each member watches, and number of monitors of each member.
pub(crate) const MONITORS: usize = 5;
/// After a stall of our own loop this long, answers may be waiting unread, so the detector's probes begin anew.
const STALLED_AFTER: Duration = Duration::from_millis(100);
/// A verdict of a peer on a member that answered us within this time is checked before we believe it.
const WITNESSED: Duration = Duration::from_millis(2_000);
/// Least time between two comparisons of views that this node begins, once it is no longer young.
const COMPARE_GAP: Duration = Duration::from_secs(2);
/// A node that began to watch others less than this ago is *young*. It pings and compares views more often, because it
/// may have missed some members while all joined.
const YOUNG_FOR: Duration = Duration::from_secs(5);
/// Factor by which a young node pings and compares views more often.
const EAGERNESS: u32 = 8;
/// A referee that does not vote within this time is silent, and gets a substitute.
const ANSWERS_WITHIN: Duration = Duration::from_millis(280);
/// While more probes and suspicions than this are under way, their steps are taken together, once in [`TICK`].
const MANY: usize = 64;
const TICK: Duration = Duration::from_millis(20);
/// A member is pinged within this time after we begin to watch it, because its former monitor may have crashed with it.
const FIRST_PING_WITHIN: Duration = Duration::from_millis(200);
/// A member that has not answered us for this long would be down if nobody else heard it.
const LINK_BROKEN_AFTER: Duration = Duration::from_secs(5);

/// An action that the detector asks for.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Order {
    /// Ping a member by datagram, with this nonce.
    Ping(NodeId, [u8; 4]),
    /// Ping a member by stream, with this nonce.
    StreamProbe(NodeId, [u8; 4]),
    /// Send a TCP probe to a member's gossip address; the nonce is that of the indirect probe.
    TcpProbe(NodeId, [u8; 4]),
    /// Ask the first node, a referee, for its vote on the second, the suspect, in this epoch.
    Ask(NodeId, NodeId, Epoch),
    /// Send our vote to the node that asked for it.
    Vote(NodeId, Vote),
    /// Believe a verdict that is our own, or that a peer told us and we checked. The node is the one that told us.
    Decide(Verdict, NodeId),
    /// Tell a member that others hold it down, so that it can refute it. The member has just answered us.
    Warn(NodeId),
    /// Believe that a disputed member is back under this identity. The member has just answered us.
    Revive(Identity),
    /// Compare views with a member whose view keeps differing from ours.
    Compare(NodeId),
    /// Tell the owner that our link to a member is broken.
    LinkBroken(NodeId),
    /// Tell the owner that a broken link to a member ended.
    LinkEnded(NodeId, LinkEnd),
}

/// How a broken link ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LinkEnd {
    /// The member answers again, after it was silent for this long.
    Answered(Duration),
    /// We watch the member no longer: it is down, it left, or others watch it now.
    Unwatched,
}

/// A check of what a peer says about a member: pings to that member.
#[derive(Debug)]
struct Check {
    series: Series,
    said: Said,
}

/// A peer's word about a member that we check before we act on it.
#[derive(Debug)]
pub(crate) enum Said {
    /// A verdict on an active member that answered us lately, and the node that told us. We believe it if the member
    /// does not answer.
    Down(Verdict, NodeId),
    /// The peer does not hold the member active. We accuse the member if it does not answer.
    NotActive,
    /// A member that we hold down is back under this identity. We believe it if the member answers.
    Back(Identity),
    /// An active member is at the address of one that is down. Its answer tells that it is there.
    Successor,
}

/// Events since the last [`Detector::take_tally`], for the counters.
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
    /// Referees that have not answered since they were first asked for a vote, and when that was.
    unanswered: BTreeMap<NodeId, Time>,
    pings: Pings,
    /// When each active member last answered us.
    heard: BTreeMap<NodeId, Time>,
    /// The same of members that are down, and that we watched when they went down.
    last_answers: BTreeMap<NodeId, Time>,
    healths: BTreeMap<NodeId, LocalHealth>,
    stall_meter: StallMeter,
    /// Generation of the ring for which the monitors are assigned.
    assigned: Option<u64>,
    /// Number of times that the monitors were assigned.
    assignments: u64,
    /// Whether suspicions have begun or ended since the monitors were assigned.
    is_watch_outdated: bool,
    /// When the last deadline was handled.
    stepped: Time,
    compare_not_before: Time,
    distance: Distance,
    /// When this node first had a member to watch.
    began: Option<Time>,
    orders: VecDeque<Order>,
    tally: Tally,
    deadline: Option<Time>,
    /// Whether `deadline` is out of date.
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
            unanswered: BTreeMap::new(),
            pings: Pings::default(),
            heard: BTreeMap::new(),
            last_answers: BTreeMap::new(),
            healths: BTreeMap::new(),
            stall_meter: StallMeter::new(now),
            assigned: None,
            assignments: 0,
            is_watch_outdated: false,
            stepped: now,
            compare_not_before: now,
            distance: Distance::default(),
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

    /// Whether a suspect is stalled: its host answered a TCP probe.
    pub(crate) fn is_stalled(&self, node: NodeId) -> bool {
        self.suspicions.get(&node).is_some_and(Suspicion::is_stalled)
    }

    /// When the suspicion timeout of a suspect ends.
    pub(crate) fn suspect_until(&self, node: NodeId) -> Option<Time> {
        self.suspicions.get(&node).map(Suspicion::due)
    }

    /// Whether a member that we watch answered by stream lately, and not by datagram.
    pub(crate) fn is_heard_by_stream_alone(&self, node: NodeId, now: Time) -> bool {
        self.monitors.get(&node).is_some_and(|monitor| monitor.is_heard_by_stream_alone(now))
    }

    /// The round trip of our pings to a member that we watch.
    pub(crate) fn round_trip(&self, node: NodeId) -> Option<Duration> {
        self.monitors.get(&node)?.round_trip.get()
    }

    /// Whether all members that we watch answered by stream lately, and none by datagram. False if we watch nobody.
    pub(crate) fn hears_by_stream_alone(&self, now: Time) -> bool {
        let mut monitors = self.monitors.values();
        !self.monitors.is_empty() && monitors.all(|monitor| monitor.is_heard_by_stream_alone(now))
    }

    /// The time for which a member that we watch has not answered us, once it is [`LINK_BROKEN_AFTER`].
    pub(crate) fn unanswered_for(&self, node: NodeId, now: Time) -> Option<Duration> {
        self.monitors.get(&node)?.unanswered_for(now)
    }

    /// The members that we watch and that have not answered for long.
    pub(crate) fn unanswered(&self, now: Time) -> impl Iterator<Item = NodeId> {
        let monitors = self.monitors.iter();
        let silent = monitors.filter(move |(_, monitor)| monitor.unanswered_for(now).is_some());
        silent.map(|(node, _)| *node)
    }

    /// The time since a member that we watch last answered us, if our link to it is broken.
    pub(crate) fn link_broken_for(&self, node: NodeId, now: Time) -> Option<Duration> {
        self.monitors.get(&node)?.link.broken_for(now)
    }

    /// The members that we watch and our links to which are broken.
    pub(crate) fn broken_links(&self) -> impl Iterator<Item = NodeId> {
        let broken = self.monitors.iter().filter(|(_, monitor)| monitor.link.is_broken());
        broken.map(|(node, _)| *node)
    }

    /// The members that the ring assigns to us.
    pub(crate) fn watched(&self) -> impl Iterator<Item = NodeId> + '_ {
        let assigned = self.monitors.iter().filter(|(_, monitor)| !monitor.is_beyond);
        assigned.map(|(node, _)| *node)
    }

    /// Grows whenever the members that we watch may be others.
    pub(crate) fn assignments(&self) -> u64 {
        self.assignments
    }

    /// Expects a pong to a ping that another part of liveness sends.
    pub(crate) fn expect_pong(&mut self, node: NodeId, nonce: [u8; 4], now: Time) {
        self.pings.expect(node, nonce, now);
    }

    /// Number of suspicions and indirect probes under way.
    pub(crate) fn open(&self) -> usize {
        self.suspicions.len() + self.indirect_probes.len()
    }

    /// Our own local health, as our pongs tell it.
    pub(crate) fn local_health(&self, now: Time) -> LocalHealth {
        self.stall_meter.local_health(now)
    }

    /// When an active member last answered us.
    pub(crate) fn last_heard(&self, node: NodeId) -> Option<Time> {
        self.heard.get(&node).copied()
    }

    /// The last answer of a member that we watch, or that we watched when it went down.
    pub(crate) fn last_watched(&self, node: NodeId) -> Option<Time> {
        let watched = self.heard.get(&node).filter(|_| self.monitors.contains_key(&node));
        watched.or_else(|| self.last_answers.get(&node)).copied()
    }

    /// When [`Detector::handle_deadline`] is due.
    pub(crate) fn next_deadline(&mut self) -> Option<Time> {
        if std::mem::take(&mut self.is_changed) {
            self.deadline = self.find_deadline();
        }
        self.deadline
    }

    fn find_deadline(&self) -> Option<Time> {
        let first = self.find_first_deadline()?;
        Some(if self.open() > MANY { first.max(self.stepped + TICK) } else { first })
    }

    fn find_first_deadline(&self) -> Option<Time> {
        let monitors = self.monitors.iter().filter(|(node, _)| !self.suspicions.contains_key(node));
        monitors
            .map(|(_, monitor)| monitor.next_deadline())
            .chain(self.checks.values().map(|check| check.series.next_deadline()))
            .chain(self.indirect_probes.values().map(IndirectProbe::next_deadline))
            .chain(self.suspicions.values().map(Suspicion::next_deadline))
            .min()
    }

    /// Notes that our own loop comes `by` too late. After a stall answers may be waiting unread, so all series, checks,
    /// indirect probes and suspicions begin anew or are dropped.
    pub(crate) fn late(&mut self, by: Duration, now: Time) {
        if by < STALLED_AFTER {
            return;
        }
        self.is_changed = true;
        self.tally.stalls += 1;
        self.stall_meter.late(by, now);
        self.monitors.values_mut().for_each(|monitor| monitor.begin_anew(now));
        self.checks.clear();
        self.indirect_probes.values_mut().for_each(|indirect_probe| indirect_probe.begin_anew(now));
        self.suspicions.values_mut().for_each(|suspicion| suspicion.begin_anew(now));
        self.unanswered.clear();
    }

    /// Watches the members that the ring assigns to us, and drops the state of members that are gone.
    pub(crate) fn reassign(&mut self, swim: &Swim, now: Time) {
        if self.assigned == Some(swim.generation()) {
            if std::mem::take(&mut self.is_watch_outdated) {
                self.is_changed = true;
                self.assign_monitors(swim, now);
            }
            return;
        }
        self.assigned = Some(swim.generation());
        self.is_watch_outdated = false;
        self.is_changed = true;
        if swim.active_count() > 0 {
            self.began.get_or_insert(now);
        }
        self.forget_inactive(swim);
        self.assign_monitors(swim, now);
    }

    /// Drops the state of members that are no longer active under the same identity.
    fn forget_inactive(&mut self, swim: &Swim) {
        let active = |node: &NodeId| swim.active_peer(*node).is_some();
        let held_down = |node: &NodeId| swim.members().get(*node).is_some() && !active(node);
        self.checks.retain(|node, check| match check.said {
            Said::Back(_) => held_down(node),
            Said::Down(..) | Said::NotActive | Said::Successor => active(node),
        });
        self.indirect_probes
            .retain(|node, indirect_probe| swim.held_alive(*node) == Some(&indirect_probe.suspect));
        self.unanswered.retain(|node, _| active(node));
        self.suspicions.retain(|node, suspicion| {
            swim.active_peer(*node)
                .is_some_and(|identity| identity.epoch == suspicion.suspect.epoch)
        });
        let silenced = self.heard.extract_if(.., |node, _| !active(node));
        self.last_answers.extend(silenced.filter(|(node, _)| self.monitors.contains_key(node)));
        self.last_answers.retain(|node, _| held_down(node));
        self.healths.retain(|node, _| active(node));
    }

    /// The `usual` time between two actions, or a shorter one while this node is young.
    fn pause(&self, usual: Duration, now: Time) -> Duration {
        let young = self.began.is_some_and(|began| now.since(began) < YOUNG_FOR);
        let eager = young && !mutant::is(Mutant::YoungAsOld);
        if eager { usual / EAGERNESS } else { usual }
    }

    fn nonce(&mut self) -> [u8; 4] {
        self.rng.next_u32().to_le_bytes()
    }
}
