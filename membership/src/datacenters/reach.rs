//! Which datacenters are out of reach of which others: a number for each pair, of which the higher one holds.

use std::collections::BTreeMap;

use xxhash_rust::xxh3::xxh3_64;

use crate::base::datacenter::DatacenterId;
use crate::base::limits::MAX_DATACENTERS;
use crate::base::time::Time;
use crate::wire::Reach;

/// The highest number of changes that is believed. At one change in two seconds it lasts for centuries.
const MAX_CHANGES: u64 = 1 << 33;

/// The numbers, and since when each target is out of reach of our own datacenter.
#[derive(Debug, Default)]
pub(crate) struct Reaches {
    changes: BTreeMap<(DatacenterId, DatacenterId), u64>,
    since: BTreeMap<DatacenterId, Time>,
}

impl Reaches {
    /// Takes a number. Returns whether it is news.
    pub(crate) fn merge(&mut self, own: DatacenterId, reach: &Reach, now: Time) -> bool {
        let pair = (reach.observer, reach.target);
        let is_full = self.changes.len() >= MAX_DATACENTERS * MAX_DATACENTERS;
        let known = self.changes.get(&pair).copied();
        if reach.changes <= known.unwrap_or(0)
            || reach.changes > MAX_CHANGES
            || (known.is_none() && is_full)
        {
            return false;
        }
        self.changes.insert(pair, reach.changes);
        if reach.observer == own {
            if reach.is_out() {
                self.since.entry(reach.target).or_insert(now);
            } else {
                self.since.remove(&reach.target);
            }
        }
        true
    }

    /// The number after the present one.
    pub(crate) fn next(&self, observer: DatacenterId, target: DatacenterId) -> Reach {
        let changes = self.changes.get(&(observer, target)).copied().unwrap_or(0) + 1;
        Reach { observer, target, changes }
    }

    /// Since when a datacenter is out of reach of ours.
    pub(crate) fn out_since(&self, target: DatacenterId) -> Option<Time> {
        self.since.get(&target).copied()
    }

    /// All numbers.
    pub(crate) fn iter(&self) -> impl Iterator<Item = Reach> {
        let all = self.changes.iter();
        all.map(|((observer, target), changes)| Reach {
            observer: *observer,
            target: *target,
            changes: *changes,
        })
    }

    /// A hash of all numbers of our own datacenter.
    pub(crate) fn hash(&self, own: DatacenterId) -> u64 {
        let ours = self.iter().filter(|reach| reach.observer == own);
        ours.fold(0, |hash, reach| {
            let mut bytes = [0; 16];
            bytes[..8].copy_from_slice(&reach.target.0.to_le_bytes());
            bytes[8..].copy_from_slice(&reach.changes.to_le_bytes());
            hash ^ xxh3_64(&bytes)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EU: DatacenterId = DatacenterId(1);
    const US: DatacenterId = DatacenterId(2);

    #[test]
    fn two_gateways_that_find_the_same_make_one_change() {
        let mut reaches = Reaches::default();
        let (one, other) = (reaches.next(EU, US), reaches.next(EU, US));
        assert!(reaches.merge(EU, &one, Time::from_millis(5)));
        assert!(!reaches.merge(EU, &other, Time::from_millis(6)));
        assert_eq!(reaches.out_since(US), Some(Time::from_millis(5)));
        let back = reaches.next(EU, US);
        assert!(reaches.merge(EU, &back, Time::from_millis(9)));
        assert_eq!(reaches.out_since(US), None);
        assert!(!reaches.merge(EU, &one, Time::from_millis(9)), "the past does not come back");
    }

    #[test]
    fn a_number_that_no_datacenter_reaches_is_refused() {
        let mut reaches = Reaches::default();
        let reach = Reach { observer: EU, target: US, changes: u64::MAX };
        assert!(!reaches.merge(EU, &reach, Time::ZERO));
        for target in 0..2 * (MAX_DATACENTERS * MAX_DATACENTERS) as u64 {
            let reach = Reach { observer: US, target: DatacenterId(target), changes: 1 };
            reaches.merge(EU, &reach, Time::ZERO);
        }
        assert_eq!(reaches.iter().count(), MAX_DATACENTERS * MAX_DATACENTERS);
    }
}
