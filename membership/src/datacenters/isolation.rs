//! Datacenters that an operator isolated from ours: a number for each, of which the higher one holds.

use std::collections::BTreeMap;

use xxhash_rust::xxh3::xxh3_64;

use super::Wan;
use super::facts::Fact;
use super::seen::Datacenters;
use crate::base::datacenter::DatacenterId;
use crate::base::limits::MAX_DATACENTERS;
use crate::base::time::Time;
use crate::wire::{Isolation, Message, Update};

/// The highest number of orders that is believed.
const MAX_ORDERS: u64 = 1 << 33;

/// The newest order about each datacenter, and since when those that are isolated are so.
#[derive(Debug, Default)]
pub(super) struct Isolations {
    orders: BTreeMap<DatacenterId, Isolation>,
    since: BTreeMap<DatacenterId, Time>,
}

impl Isolations {
    /// Takes an order. Returns whether it is news.
    fn merge(&mut self, order: &Isolation, now: Time) -> bool {
        let known = self.orders.get(&order.target).map(|known| known.orders);
        if order.orders <= known.unwrap_or(0)
            || order.orders > MAX_ORDERS
            || (known.is_none() && self.orders.len() >= MAX_DATACENTERS)
        {
            return false;
        }
        self.orders.insert(order.target, *order);
        if order.is_isolated() {
            self.since.entry(order.target).or_insert(now);
        } else {
            self.since.remove(&order.target);
        }
        true
    }

    fn is_forgotten(&self, datacenter: DatacenterId) -> bool {
        self.orders.get(&datacenter).is_some_and(Isolation::is_forgotten)
    }

    /// All orders.
    pub(super) fn iter(&self) -> impl Iterator<Item = Isolation> {
        self.orders.values().copied()
    }

    /// A hash of all numbers.
    pub(super) fn hash(&self) -> u64 {
        self.orders.values().fold(0, |hash, order| {
            let mut bytes = [0; 18];
            bytes[..8].copy_from_slice(&order.target.0.to_le_bytes());
            bytes[8..16].copy_from_slice(&order.orders.to_le_bytes());
            bytes[16] = b'i';
            bytes[17] = u8::from(order.is_forgotten());
            hash ^ xxh3_64(&bytes)
        })
    }
}

impl Wan {
    /// Isolates a datacenter from ours, and forgets it if it is gone for good, or ends that, and tells our pool. Returns whether that
    /// changes anything.
    pub(crate) fn isolate(
        &mut self,
        target: DatacenterId,
        is_isolated: bool,
        forgets: bool,
        now: Time,
    ) -> bool {
        let forgets = is_isolated && forgets;
        let is_known = self.is_isolated(target) == is_isolated
            && (!forgets || self.isolations.is_forgotten(target));
        if !self.own.is_other(target) || is_known {
            return false;
        }
        let last = self.isolation_orders(target);
        let orders = last + if self.is_isolated(target) == is_isolated { 2 } else { 1 };
        let order = Isolation { target, orders, by: self.identity.node_id, forgets };
        self.take_isolation(&order, now)
    }

    /// Takes an order of our own pool. Returns whether it is news.
    pub(super) fn take_isolation(&mut self, order: &Isolation, now: Time) -> bool {
        let was_isolated = self.is_isolated(order.target);
        if !self.own.is_other(order.target) || !self.isolations.merge(order, now) {
            return false;
        }
        self.is_changed = true;
        self.out.tell(Fact::Tell(Update::Isolation(*order)));
        if self.is_isolated(order.target) != was_isolated {
            self.drop_exchanges_with(order.target);
            self.out.tell(Fact::Isolation { datacenter: order.target, by: order.by });
        }
        if order.is_forgotten() {
            for node in self.table.forget(order.target) {
                self.unlisted.remove(&node);
                self.out.tell(Fact::Forgotten(node));
            }
        }
        true
    }

    /// The datacenters that are isolated from ours and forgotten, each with the number of the last order.
    pub(crate) fn forgotten(&self) -> impl Iterator<Item = (DatacenterId, u64)> + '_ {
        let forgotten = self.isolations.iter().filter(Isolation::is_forgotten);
        forgotten.map(|order| (order.target, order.orders))
    }

    /// Whether a datacenter is isolated from ours and forgotten, since it is gone for good.
    pub(super) fn is_forgotten(&self, datacenter: DatacenterId) -> bool {
        self.isolations.is_forgotten(datacenter)
    }

    /// The number of the last order about a datacenter, odd while it is isolated; 0 before the first one.
    pub(crate) fn isolation_orders(&self, datacenter: DatacenterId) -> u64 {
        self.isolations.orders.get(&datacenter).map_or(0, |order| order.orders)
    }

    /// Whether a datacenter is isolated from ours.
    pub(crate) fn is_isolated(&self, datacenter: DatacenterId) -> bool {
        self.isolations.since.contains_key(&datacenter)
    }

    /// Since when a datacenter is isolated from ours, as far as we know.
    pub(crate) fn isolated_since(&self, datacenter: DatacenterId) -> Option<Time> {
        self.isolations.since.get(&datacenter).copied()
    }

    /// The other datacenters that are spoken with: those in which a member lives, without the isolated ones.
    pub(super) fn spoken_with(&self) -> Vec<DatacenterId> {
        self.table.others().filter(|datacenter| !self.is_isolated(*datacenter)).collect()
    }

    /// Whether a message comes from an isolated datacenter: it says so, or the table does. Such a message is ignored.
    pub(crate) fn is_shut_out(&self, message: &Message) -> bool {
        if self.isolations.since.is_empty() {
            return false;
        }
        let said = match message {
            Message::Hello(hello) | Message::Welcome(hello) => Some(hello.datacenter),
            Message::Referral(referral) => Some(referral.datacenter),
            Message::MemberUpdates(updates) => Some(updates.datacenter),
            Message::Beat(beat) => Some(beat.datacenter),
            _ => None,
        };
        let home = || message.sender().and_then(|sender| self.of(sender));
        said.filter(|home| self.own.is_other(*home))
            .or_else(home)
            .is_some_and(|home| self.is_isolated(home))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::identity::NodeId;

    const EU: DatacenterId = DatacenterId(1);

    #[test]
    fn the_newest_order_holds_and_two_of_one_number_are_one() {
        let order = |orders, by| Isolation { target: EU, orders, by: NodeId(by), forgets: false };
        let mut isolations = Isolations::default();
        assert!(isolations.merge(&order(1, 1), Time::from_millis(5)));
        let hash = isolations.hash();
        assert!(!isolations.merge(&order(1, 2), Time::from_millis(6)));
        assert_eq!(isolations.since.get(&EU), Some(&Time::from_millis(5)));
        assert!(isolations.merge(&order(2, 2), Time::from_millis(7)));
        assert_eq!(isolations.since.get(&EU), None);
        assert!(
            !isolations.merge(&order(1, 1), Time::from_millis(8)),
            "the past does not come back"
        );
        assert!(!isolations.merge(&order(u64::MAX, 1), Time::from_millis(8)));
        assert_ne!(isolations.hash(), hash);
    }

    #[test]
    fn there_are_no_more_orders_than_datacenters() {
        let mut isolations = Isolations::default();
        for target in 0..2 * MAX_DATACENTERS as u64 {
            let order = Isolation {
                target: DatacenterId(target),
                orders: 1,
                by: NodeId(1),
                forgets: false,
            };
            isolations.merge(&order, Time::ZERO);
        }
        assert_eq!(isolations.iter().count(), MAX_DATACENTERS);
    }
}
