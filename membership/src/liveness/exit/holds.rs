//! The connections that we hold to the members that we watch.

use std::collections::BTreeMap;
use std::time::Duration;

use rand::RngExt;
use rand::rngs::Xoshiro256PlusPlus;

use super::ExitOrder;
use crate::base::identity::{Identity, NodeId};
use crate::base::io::{HoldEnd, HoldId};
use crate::base::time::Time;

/// A member is connected to within this time after we begin to watch it. Members that come and go while all join are not
/// connected to.
const FIRST_WITHIN: (Duration, Duration) = (Duration::from_millis(300), Duration::from_millis(900));
/// The first pause after a connection that was not made, or that ended. Each further one is twice as long.
const PAUSE: Duration = Duration::from_secs(1);
/// The longest of these pauses. A member of an earlier version holds no connections.
const MAX_PAUSE: Duration = Duration::from_secs(60);
/// For so long after a goodbye, no vote about the member is taken, and it is not connected to.
const GOODBYE_LASTS: Duration = Duration::from_secs(5);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// It is connected to at this time.
    Waiting(Time),
    /// The transport connects.
    Connecting,
    /// Both sides hold the connection.
    Held,
}

#[derive(Debug)]
struct Hold {
    id: HoldId,
    /// The member, in the epoch for which it was connected to: a later life has other connections.
    member: Identity,
    state: State,
    /// Attempts in a row that were not held.
    failures: u32,
    goodbye: Option<Time>,
}

/// The connections, by member.
#[derive(Debug, Default)]
pub(super) struct Holds {
    holds: BTreeMap<NodeId, Hold>,
    next: u64,
    /// When the next member is connected to.
    due: Option<Time>,
}

impl Holds {
    /// Watches these members and no others.
    pub(super) fn watch(
        &mut self,
        targets: &[Identity],
        rng: &mut Xoshiro256PlusPlus,
        now: Time,
    ) -> Vec<ExitOrder> {
        let released = self.holds.extract_if(.., |_, hold| !targets.contains(&hold.member));
        let released = released.filter(|(_, hold)| !matches!(hold.state, State::Waiting(_)));
        let orders = released.map(|(_, hold)| ExitOrder::Release(hold.id)).collect();
        for target in targets {
            if !self.holds.contains_key(&target.node_id) {
                let (least, most) = FIRST_WITHIN;
                let at = now + least + (most - least).mul_f64(rng.random());
                let hold = Hold {
                    id: HoldId(0),
                    member: *target,
                    state: State::Waiting(at),
                    failures: 0,
                    goodbye: None,
                };
                self.holds.insert(target.node_id, hold);
            }
        }
        self.find_due();
        orders
    }

    fn find_due(&mut self) {
        let waiting = self.holds.values().filter_map(|hold| match hold.state {
            State::Waiting(at) => Some(at),
            State::Connecting | State::Held => None,
        });
        self.due = waiting.min();
    }

    /// The number of connections that are held.
    pub(super) fn held(&self) -> usize {
        self.holds.values().filter(|hold| hold.state == State::Held).count()
    }

    pub(super) fn next_deadline(&self) -> Option<Time> {
        self.due
    }

    /// Connects to the members whose time has come.
    pub(super) fn connect(&mut self, now: Time) -> Vec<ExitOrder> {
        if self.due.is_none_or(|due| due > now) {
            return Vec::new();
        }
        let mut orders = Vec::new();
        for (node, hold) in &mut self.holds {
            if matches!(hold.state, State::Waiting(at) if at <= now) {
                // A number of its own, so that what the transport still tells of the last connection counts for none.
                self.next += 1;
                hold.id = HoldId(self.next);
                hold.state = State::Connecting;
                orders.push(ExitOrder::Hold(hold.id, hold.member.addr, *node));
            }
        }
        self.find_due();
        orders
    }

    fn find(&mut self, id: HoldId) -> Option<(NodeId, &mut Hold)> {
        let found = self.holds.iter_mut().find(|(_, hold)| hold.id == id)?;
        Some((*found.0, found.1))
    }

    pub(super) fn note_held(&mut self, id: HoldId) {
        if let Some((_, hold)) = self.find(id).filter(|(_, hold)| hold.state == State::Connecting) {
            hold.state = State::Held;
            hold.failures = 0;
        }
    }

    /// Notes that a connection is over. Returns the member, if that is a hint that its process exited.
    pub(super) fn note_ended(
        &mut self,
        id: HoldId,
        end: HoldEnd,
        rng: &mut Xoshiro256PlusPlus,
        now: Time,
    ) -> Option<NodeId> {
        let (node, hold) = self.find(id)?;
        let was_held = hold.state == State::Held;
        let doubled = PAUSE * 2_u32.saturating_pow(hold.failures.min(6));
        hold.failures += 1;
        let mut pause = doubled.min(MAX_PAUSE);
        if end == HoldEnd::Goodbye {
            hold.goodbye = Some(now);
            pause = pause.max(GOODBYE_LASTS);
        }
        hold.state = State::Waiting(now + pause.mul_f64(0.8 + 0.4 * rng.random::<f64>()));
        self.find_due();
        let is_hint = was_held && matches!(end, HoldEnd::Closed | HoldEnd::Reset);
        is_hint.then_some(node)
    }

    /// Whether a member said goodbye a short time ago.
    pub(super) fn said_goodbye(&self, node: NodeId, now: Time) -> bool {
        let goodbye = self.holds.get(&node).and_then(|hold| hold.goodbye);
        goodbye.is_some_and(|at| now.since(at) < GOODBYE_LASTS)
    }
}
