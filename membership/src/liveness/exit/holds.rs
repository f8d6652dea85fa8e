//! The connections that we hold to the members that we watch.

use std::collections::BTreeMap;
use std::time::Duration;

use rand::RngExt;
use rand::rngs::Xoshiro256PlusPlus;

use super::ExitOrder;
use crate::base::identity::{Identity, NodeId};
use crate::base::io::{HoldEnd, HoldId};
use crate::base::time::Time;

/// A member is connected to between these times after we begin to watch it. Members that come and go while all join are
/// not connected to.
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
    /// Both sides hold the connection, since this time.
    Held(Time),
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

impl Hold {
    fn is_held(&self) -> bool {
        matches!(self.state, State::Held(_))
    }
}

/// The connections, by member.
#[derive(Debug)]
pub(super) struct Holds {
    holds: BTreeMap<NodeId, Hold>,
    /// The last number that was used. The first one is random, so that what is told of the connections of an earlier life
    /// counts for none of this one.
    last: u64,
    /// When the next member is connected to.
    due: Option<Time>,
}

impl Holds {
    /// No connection. `seed` decides the first number.
    pub(super) fn new(seed: u64) -> Self {
        Self { holds: BTreeMap::new(), last: seed >> 1, due: None }
    }

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
            self.holds.entry(target.node_id).or_insert_with(|| {
                let (least, most) = FIRST_WITHIN;
                let at = now + least + (most - least).mul_f64(rng.random());
                Hold {
                    id: HoldId(0),
                    member: *target,
                    state: State::Waiting(at),
                    failures: 0,
                    goodbye: None,
                }
            });
        }
        self.find_due();
        orders
    }

    fn find_due(&mut self) {
        let waiting = self.holds.values().filter_map(|hold| match hold.state {
            State::Waiting(at) => Some(at),
            State::Connecting | State::Held(_) => None,
        });
        self.due = waiting.min();
    }

    /// The number of connections that are held.
    pub(super) fn held(&self) -> usize {
        self.holds.values().filter(|hold| hold.is_held()).count()
    }

    /// Since when the connection to a member is held; `None` if none is.
    pub(super) fn held_since(&self, node: NodeId) -> Option<Time> {
        match self.holds.get(&node)?.state {
            State::Held(since) => Some(since),
            State::Waiting(_) | State::Connecting => None,
        }
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
                self.last += 1;
                hold.id = HoldId(self.last);
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

    pub(super) fn note_held(&mut self, id: HoldId, now: Time) {
        if let Some((_, hold)) = self.find(id).filter(|(_, hold)| hold.state == State::Connecting) {
            hold.state = State::Held(now);
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
        let was_held = hold.is_held();
        let doubled = PAUSE * 2_u32.saturating_pow(hold.failures.min(6));
        hold.failures += 1;
        let mut pause = doubled.min(MAX_PAUSE);
        if end == HoldEnd::Goodbye {
            hold.goodbye = Some(now);
            pause = pause.max(GOODBYE_LASTS.mul_f64(1.25));
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

#[cfg(test)]
mod tests {
    use rand::SeedableRng;

    use super::*;
    use crate::base::identity::Epoch;

    const MS: fn(u64) -> Time = Time::from_millis;

    fn member(node: u64) -> Identity {
        let addr = ([10, 0, 0, 1], 7_946).into();
        Identity { node_id: NodeId(node), epoch: Epoch(1), addr, sync_port: 7_947 }
    }

    /// Connects to all members whose time has come, and returns the numbers of the connections.
    fn connected(holds: &mut Holds, now: Time) -> Vec<HoldId> {
        let orders = holds.connect(now).into_iter();
        let id = |order| match order {
            ExitOrder::Hold(id, ..) => id,
            order => panic!("{order:?}"),
        };
        orders.map(id).collect()
    }

    #[test]
    fn a_connection_that_is_not_made_is_tried_again_after_ever_longer_pauses() {
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(7);
        let mut holds = Holds::new(7);
        holds.watch(&[member(1)], &mut rng, Time::ZERO);
        let mut pauses = Vec::new();
        for _ in 0..9 {
            let now = holds.next_deadline().expect("it is tried again");
            let [id] = connected(&mut holds, now)[..] else { panic!("one member") };
            assert_eq!(holds.note_ended(id, HoldEnd::Failed, &mut rng, now), None);
            pauses.push(holds.next_deadline().expect("again").since(now).as_secs_f64());
        }
        let usual = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 60.0, 60.0, 60.0];
        for (pause, usual) in pauses.iter().zip(usual) {
            assert!((0.8 * usual..=1.2 * usual).contains(pause), "{pauses:?}");
        }
    }

    #[test]
    fn only_the_end_of_a_held_connection_without_a_goodbye_is_a_hint() {
        for (held, end, is_hint) in [
            (true, HoldEnd::Closed, true),
            (true, HoldEnd::Reset, true),
            (true, HoldEnd::Goodbye, false),
            (true, HoldEnd::Failed, false),
            (false, HoldEnd::Closed, false),
            (false, HoldEnd::Reset, false),
        ] {
            let mut rng = Xoshiro256PlusPlus::seed_from_u64(7);
            let mut holds = Holds::new(7);
            holds.watch(&[member(1)], &mut rng, Time::ZERO);
            let [id] = connected(&mut holds, MS(900))[..] else { panic!("one member") };
            if held {
                holds.note_held(id, MS(950));
                assert_eq!(holds.held(), 1);
            }
            assert_eq!(holds.held_since(NodeId(1)), held.then_some(MS(950)));
            let hint = holds.note_ended(id, end, &mut rng, MS(1_000));
            assert_eq!(hint, is_hint.then_some(NodeId(1)), "{held} {end:?}");
            assert_eq!(holds.held_since(NodeId(1)), None);
            assert_eq!(holds.said_goodbye(NodeId(1), MS(5_999)), end == HoldEnd::Goodbye);
            assert!(!holds.said_goodbye(NodeId(1), MS(6_000)));
        }
    }

    #[test]
    fn a_later_life_of_a_member_gets_a_connection_of_its_own() {
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(7);
        let mut holds = Holds::new(7);
        holds.watch(&[member(1), member(2)], &mut rng, Time::ZERO);
        let ids = connected(&mut holds, MS(900));
        ids.iter().for_each(|id| holds.note_held(*id, MS(950)));
        let later = Identity { epoch: Epoch(2), ..member(1) };
        let orders = holds.watch(&[later, member(2)], &mut rng, MS(1_000));
        assert_eq!(orders, [ExitOrder::Release(ids[0])]);
        assert_eq!(holds.note_ended(ids[0], HoldEnd::Closed, &mut rng, MS(1_100)), None);
        assert_eq!((holds.held(), connected(&mut holds, MS(1_900)).len()), (1, 1));
    }
}
