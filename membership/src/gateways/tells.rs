//! Tells: how an origin makes sure that gateways have its news.
//!
//! A gateway that does not answer is told once more, then a substitute is told: it may have crashed, and nobody knows for
//! two seconds.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use super::parts::{PARTS, Parts, holder};
use crate::base::datacenter::DatacenterId;
use crate::base::identity::{Identity, NodeId};
use crate::base::limits::{MAX_DATACENTERS, MAX_TELLS_UNANSWERED};
use crate::base::time::Time;
use crate::catalog::Delta;
use crate::datacenters::seen::Datacenters;

/// A gateway answers within this time, plus twice the time of our own backlog.
const ANSWER_WITHIN: Duration = Duration::from_millis(5);
/// Times that one member is told.
const TRIES: u32 = 2;
/// Members that are told for one part, one after the other.
const MAX_ATTEMPTS: usize = 6;
/// Datacenters that one tell names.
pub(crate) const MAX_NAMED: usize = 6;

/// News to be told to a member, or to be forwarded by ourselves.
#[derive(Clone, Debug)]
pub(crate) struct Order {
    /// The number; `None` when we forward ourselves.
    pub(crate) number: Option<u32>,
    pub(crate) to: Identity,
    pub(crate) parts: Parts,
    /// The datacenters to forward to; empty for all.
    pub(crate) only: Vec<DatacenterId>,
    pub(crate) news: Arc<Delta>,
    /// The number of members that were told before for the same parts.
    pub(crate) attempt: usize,
}

#[derive(Clone, Debug)]
struct Unanswered {
    gateway: NodeId,
    parts: Parts,
    only: Vec<DatacenterId>,
    news: Arc<Delta>,
    attempt: usize,
    tries: u32,
    due: Time,
}

/// The outcome of a step: what is to be told, and what was given up.
#[derive(Debug, Default)]
pub(crate) struct Orders {
    pub(crate) orders: Vec<Order>,
    /// The number of tells that go to a substitute.
    pub(crate) substituted: u64,
    /// The number of tells that nobody answered, or for which there is no gateway or no room. Digests bring the news.
    pub(crate) given_up: u64,
}

/// The tells that are not answered yet.
#[derive(Debug)]
pub(crate) struct Tells {
    own: NodeId,
    next_number: u32,
    unanswered: BTreeMap<u32, Unanswered>,
    by_due: BTreeSet<(Time, u32)>,
}

impl Tells {
    /// No tells. The numbers begin at a random one, so that those of an earlier life are not taken for ours.
    pub(crate) fn new(own: NodeId, first_number: u32) -> Self {
        let (unanswered, by_due) = (BTreeMap::new(), BTreeSet::new());
        Self { own, next_number: first_number, unanswered, by_due }
    }

    /// The number of tells that are not answered.
    pub(crate) fn len(&self) -> usize {
        self.unanswered.len()
    }

    pub(crate) fn next_deadline(&self) -> Option<Time> {
        self.by_due.first().map(|(due, _)| *due)
    }

    /// Tells the gateways of all parts.
    pub(crate) fn tell(
        &mut self,
        news: &Arc<Delta>,
        backlog: Duration,
        far: &dyn Datacenters,
        now: Time,
    ) -> Orders {
        let mut orders = Orders::default();
        let parts = (0..PARTS).map(Parts::one).fold(Parts::default(), Parts::and);
        self.give(parts, &[], news, 0, now + ANSWER_WITHIN + 2 * backlog, far, &mut orders);
        orders
    }

    /// Takes an answer, and gives the share of datacenters that the gateway does not hear to a substitute.
    pub(crate) fn answered(
        &mut self,
        sender: NodeId,
        number: u32,
        unheard: &[DatacenterId],
        backlog: Duration,
        far: &dyn Datacenters,
        now: Time,
    ) -> Orders {
        let is_its = |tell: &Unanswered| tell.gateway == sender;
        if !self.unanswered.get(&number).is_some_and(is_its) {
            return Orders::default();
        }
        let Some(tell) = self.remove(number) else { return Orders::default() };
        let Unanswered { parts, news, attempt, .. } = tell;
        self.hand_over(parts, &news, attempt, unheard, backlog, far, now)
    }

    /// Gives the share of datacenters that the member of an order does not hear to a substitute.
    #[allow(clippy::too_many_arguments, reason = "the parts of an order")]
    pub(crate) fn hand_over(
        &mut self,
        parts: Parts,
        news: &Arc<Delta>,
        attempt: usize,
        unheard: &[DatacenterId],
        backlog: Duration,
        far: &dyn Datacenters,
        now: Time,
    ) -> Orders {
        let mut orders = Orders::default();
        let due = now + ANSWER_WITHIN + 2 * backlog;
        for unheard in unheard.chunks(MAX_NAMED).take(MAX_DATACENTERS) {
            orders.substituted += 1;
            self.give(parts, unheard, news, attempt + 1, due, far, &mut orders);
        }
        orders
    }

    /// Tells again what was not answered in time.
    pub(crate) fn take_due(
        &mut self,
        backlog: Duration,
        far: &dyn Datacenters,
        now: Time,
    ) -> Orders {
        let mut orders = Orders::default();
        while let Some((due, number)) = self.by_due.first().copied()
            && due <= now
        {
            let Some(mut tell) = self.remove(number) else { break };
            let due = now + ANSWER_WITHIN + 2 * backlog;
            let own = far.own();
            let same = (0..PARTS * MAX_ATTEMPTS)
                .map_while(|rank| far.candidate(own, rank))
                .find(|peer| peer.node_id == tell.gateway);
            if let Some(to) = same.filter(|_| tell.tries < TRIES) {
                tell.tries += 1;
                tell.due = due;
                orders.orders.push(tell.order(number, to));
                self.insert(number, tell);
            } else if tell.attempt + 1 < MAX_ATTEMPTS {
                orders.substituted += 1;
                let Unanswered { parts, only, news, attempt, .. } = tell;
                self.give(parts, &only, &news, attempt + 1, due, far, &mut orders);
            } else {
                orders.given_up += 1;
            }
        }
        orders
    }

    /// Gives parts to their holders at an attempt. A holder of several parts is told once.
    #[allow(clippy::too_many_arguments, reason = "one place where a tell begins")]
    fn give(
        &mut self,
        parts: Parts,
        only: &[DatacenterId],
        news: &Arc<Delta>,
        attempt: usize,
        due: Time,
        far: &dyn Datacenters,
        orders: &mut Orders,
    ) {
        let mut holders: Vec<(Identity, Parts)> = Vec::new();
        for part in parts.iter() {
            let Some(to) = holder(far, far.own(), part, attempt) else {
                orders.given_up += 1;
                continue;
            };
            match holders.iter_mut().find(|(held_by, _)| *held_by == to) {
                Some((_, parts)) => *parts = parts.and(Parts::one(part)),
                None => holders.push((to, Parts::one(part))),
            }
        }
        for (to, parts) in holders {
            if to.node_id == self.own {
                let (only, news) = (only.to_vec(), news.clone());
                orders.orders.push(Order { number: None, to, parts, only, news, attempt });
                continue;
            }
            if self.unanswered.len() >= MAX_TELLS_UNANSWERED {
                orders.given_up += 1;
                continue;
            }
            let number = self.next_number;
            self.next_number = number.wrapping_add(1);
            let (gateway, only, news) = (to.node_id, only.to_vec(), news.clone());
            let tell = Unanswered { gateway, parts, only, news, attempt, tries: 1, due };
            orders.orders.push(tell.order(number, to));
            self.insert(number, tell);
        }
    }

    fn insert(&mut self, number: u32, tell: Unanswered) {
        self.by_due.insert((tell.due, number));
        self.unanswered.insert(number, tell);
    }

    fn remove(&mut self, number: u32) -> Option<Unanswered> {
        let tell = self.unanswered.remove(&number)?;
        self.by_due.remove(&(tell.due, number));
        Some(tell)
    }
}

impl Unanswered {
    fn order(&self, number: u32, to: Identity) -> Order {
        let (only, news) = (self.only.clone(), self.news.clone());
        Order { number: Some(number), to, parts: self.parts, only, news, attempt: self.attempt }
    }
}
