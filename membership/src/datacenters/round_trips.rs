//! Round trips to other datacenters: gateways measure them, and tell the members of their datacenter.

use std::collections::BTreeMap;
use std::time::Duration;

use xxhash_rust::xxh3::xxh3_64;

use super::Wan;
use super::facts::Fact;
use super::seen::GATEWAYS;
use crate::base::datacenter::DatacenterId;
use crate::base::identity::NodeId;
use crate::base::limits::{MAX_DATACENTERS, MAX_ROUND_TRIPS_OF_DATACENTER};
use crate::wire::{RoundTrip, Update};

/// A gateway tells a round trip again when it changed by more than a fifth.
const CHANGE_PERCENT: u32 = 20;
/// Changes of less than that are never told: between hosts of one room they mean nothing.
const LEAST_CHANGE: Duration = Duration::from_micros(500);
/// The highest number that is believed. At one change a second it lasts for centuries.
const MAX_NUMBER: u64 = 1 << 33;

/// The round trip to each datacenter, as each gateway of ours told it last.
#[derive(Debug, Default)]
pub(super) struct RoundTrips {
    of: BTreeMap<DatacenterId, BTreeMap<NodeId, RoundTrip>>,
}

impl RoundTrips {
    /// Takes what a gateway told. Returns whether it is news. Of one datacenter those with the highest numbers are kept, so members
    /// that were told the same keep the same.
    fn merge(&mut self, told: &RoundTrip) -> bool {
        let is_full = self.of.len() >= MAX_DATACENTERS && !self.of.contains_key(&told.target);
        if told.number == 0 || told.number > MAX_NUMBER || is_full {
            return false;
        }
        let all = self.of.entry(told.target).or_default();
        let place = |it: &RoundTrip| (it.number, it.by, it.micros);
        if all.get(&told.by).is_some_and(|known| place(known) >= place(told)) {
            return false;
        }
        all.insert(told.by, *told);
        if all.len() > MAX_ROUND_TRIPS_OF_DATACENTER
            && let Some(oldest) = all.values().min_by_key(|it| place(it)).map(|it| it.by)
        {
            all.remove(&oldest);
            return oldest != told.by;
        }
        true
    }

    /// The number of the next one of a datacenter.
    fn next_number(&self, target: DatacenterId) -> u64 {
        let all = self.of.get(&target).into_iter().flat_map(BTreeMap::values);
        all.map(|told| told.number).max().unwrap_or(0) + 1
    }

    fn get(&self, target: DatacenterId, by: NodeId) -> Option<Duration> {
        let told = self.of.get(&target)?.get(&by)?;
        Some(Duration::from_micros(u64::from(told.micros)))
    }

    /// The middle one of those that some nodes told of a datacenter; of two the shorter one.
    fn median(&self, target: DatacenterId, of: impl Fn(NodeId) -> bool) -> Option<Duration> {
        let all = self.of.get(&target)?.values().filter(|told| of(told.by));
        let mut micros: Vec<u32> = all.map(|told| told.micros).collect();
        micros.sort_unstable();
        let middle = micros.get(micros.len().checked_sub(1)? / 2)?;
        Some(Duration::from_micros(u64::from(*middle)))
    }

    /// All of them.
    pub(super) fn iter(&self) -> impl Iterator<Item = RoundTrip> {
        self.of.values().flat_map(BTreeMap::values).copied()
    }

    /// A hash of all of them.
    pub(super) fn hash(&self) -> u64 {
        self.iter().fold(0, |hash, told| {
            let mut bytes = [0; 29];
            bytes[..8].copy_from_slice(&told.target.0.to_le_bytes());
            bytes[8..16].copy_from_slice(&told.by.0.to_le_bytes());
            bytes[16..24].copy_from_slice(&told.number.to_le_bytes());
            bytes[24..28].copy_from_slice(&told.micros.to_le_bytes());
            bytes[28] = b't';
            hash ^ xxh3_64(&bytes)
        })
    }
}

impl Wan {
    /// Tells our pool the round trip to a datacenter that we measured, if it is another one than what we told last.
    pub(super) fn tell_round_trip(&mut self, target: DatacenterId, measured: Duration) {
        let by = self.identity.node_id;
        let told = self.round_trips.get(target, by);
        let is_told = told.is_some_and(|told| {
            let change = told.abs_diff(measured);
            change <= LEAST_CHANGE || change <= told * CHANGE_PERCENT / 100
        });
        if self.gateway.is_none() || is_told {
            return;
        }
        self.out.counters.round_trips_told += 1;
        let micros = u32::try_from(measured.as_micros()).unwrap_or(u32::MAX);
        let number = self.round_trips.next_number(target);
        self.take_round_trip(&RoundTrip { by, target, number, micros });
    }

    /// Takes what a gateway of ours measured.
    pub(super) fn take_round_trip(&mut self, told: &RoundTrip) {
        if self.own.is_other(told.target) && self.round_trips.merge(told) {
            self.is_changed = true;
            self.out.tell(Fact::Tell(Update::RoundTrip(*told)));
        }
    }

    /// The round trip to a datacenter: the middle one of those that our gateways measured, or that others did before them.
    pub(crate) fn known_round_trip(&self, target: DatacenterId) -> Option<Duration> {
        let gateways = (0..GATEWAYS).filter_map(|rank| self.table.candidate(self.own, rank));
        let gateways: Vec<NodeId> = gateways.map(|gateway| gateway.node_id).collect();
        let of_gateways = self.round_trips.median(target, |by| gateways.contains(&by));
        of_gateways.or_else(|| self.round_trips.median(target, |_| true))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EU: DatacenterId = DatacenterId(1);
    const MS: fn(u64) -> Duration = Duration::from_millis;

    fn told(by: u64, number: u64, ms: u32) -> RoundTrip {
        RoundTrip { by: NodeId(by), target: EU, number, micros: ms * 1_000 }
    }

    #[test]
    fn the_newest_of_each_gateway_counts_and_the_middle_one_is_used() {
        let mut all = RoundTrips::default();
        assert_eq!(all.median(EU, |_| true), None);
        for (by, ms) in [(1, 90), (2, 80), (3, 400)] {
            assert!(all.merge(&told(by, by, ms)));
        }
        assert_eq!(all.median(EU, |_| true), Some(MS(90)));
        assert_eq!(all.next_number(EU), 4);
        assert!(all.merge(&told(1, 4, 70)) && !all.merge(&told(1, 3, 10)), "the past");
        assert_eq!(all.median(EU, |_| true), Some(MS(80)));
        assert_eq!(all.median(EU, |by| by == NodeId(3)), Some(MS(400)));
        assert_eq!(all.median(EU, |by| by.0 < 3), Some(MS(70)), "of two the shorter one");
        assert!(!all.merge(&told(1, u64::MAX, 70)));
    }

    #[test]
    fn members_that_were_told_the_same_in_another_order_keep_the_same() {
        let many: Vec<RoundTrip> = (1..40).map(|n| told(n % 13, n, n as u32)).collect();
        let (mut one, mut other) = (RoundTrips::default(), RoundTrips::default());
        for told in &many {
            one.merge(told);
        }
        for told in many.iter().rev() {
            other.merge(told);
        }
        assert_eq!(one.iter().collect::<Vec<_>>(), other.iter().collect::<Vec<_>>());
        assert_eq!((one.hash(), one.iter().count()), (other.hash(), MAX_ROUND_TRIPS_OF_DATACENTER));
        for target in 0..2 * MAX_DATACENTERS as u64 {
            one.merge(&RoundTrip { target: DatacenterId(target), ..told(1, 1, 1) });
        }
        assert_eq!(one.of.len(), MAX_DATACENTERS);
    }
}
