//! The newest known write of each key of one origin, looked up by key and listed by version.

use super::Version;
use crate::base::limits::RECORD_OVERHEAD_BYTES;
use crate::catalog::record::{Key, RawValue, Value};

/// The newest known write of one key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Slot {
    key: Key,
    version: Version,
    value: Option<RawValue>,
}

impl Slot {
    /// The key.
    #[must_use]
    pub fn key(&self) -> &Key {
        &self.key
    }

    /// The version of the write.
    #[must_use]
    pub fn version(&self) -> Version {
        self.version
    }

    /// The record as its origin wrote it; `None` for a tombstone.
    #[must_use]
    pub fn raw(&self) -> Option<&RawValue> {
        self.value.as_ref()
    }

    /// The content of the record; `None` for a tombstone, or for a record that this version does not understand.
    #[must_use]
    pub fn value(&self) -> Option<&Value> {
        self.value.as_ref()?.content()
    }

    /// Whether the record was deleted.
    #[must_use]
    pub fn is_tombstone(&self) -> bool {
        self.value.is_none()
    }

    /// Whether this slot holds a record that this version does not understand.
    #[must_use]
    pub fn is_unknown(&self) -> bool {
        self.value.as_ref().is_some_and(|value| value.is_unknown_of(&self.key))
    }

    /// Whether the slot gives way to another write of its key: a newer one, or the record itself in place of a withheld one. So of
    /// both forms of a record the full one holds, in whatever order they arrive.
    pub(super) fn gives_way_to(&self, version: Version, value: Option<&RawValue>) -> bool {
        let is_withheld = self.value.as_ref().is_some_and(RawValue::is_withheld);
        let is_full = value.is_some_and(|value| !value.is_withheld());
        self.version < version || (self.version == version && is_withheld && is_full)
    }
}

/// Bytes that a write of this key and value takes, overhead included.
pub(super) fn held_bytes(key: &Key, value: Option<&RawValue>) -> usize {
    RECORD_OVERHEAD_BYTES + key.len() + value.map_or(0, |value| value.bytes().len())
}

/// Slots, one for each key.
///
/// Kept in vectors and not in trees: a node holds one `Slots` for each origin, and most origins have a handful of keys,
/// while the smallest node of a tree has room for eleven. Of the largest origins, with 65,000 keys, a new key moves
/// indices only: 256 kB at most for each order.
#[derive(Clone, Debug, Default, Eq)]
pub(super) struct Slots {
    /// In no order.
    slots: Vec<Slot>,
    /// Indices into `slots`, ordered by key.
    by_key: Vec<u32>,
    /// Indices into `slots`, the oldest version first.
    by_version: Vec<u32>,
    tombstones: usize,
    unknown: usize,
    /// The definitions of instances that were not deleted.
    instances: usize,
    /// Bytes of all keys and values, overhead included.
    bytes: usize,
}

/// Slots are equal when they hold the same writes, in whatever order those arrived.
impl PartialEq for Slots {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl Slots {
    /// Up to this many slots, the capacity grows by one slot at a time.
    const FEW: usize = 8;

    pub(super) fn get(&self, key: &Key) -> Option<&Slot> {
        Some(self.slot(self.by_key[self.find(key).ok()?]))
    }

    /// All slots, ordered by key.
    pub(super) fn iter(&self) -> impl ExactSizeIterator<Item = &Slot> {
        self.by_key.iter().map(|place| self.slot(*place))
    }

    /// The slots beyond a key, ordered by key.
    pub(super) fn beyond(&self, key: &Key) -> impl Iterator<Item = &Slot> + use<'_> {
        let from = self.find(key).map_or_else(|rank| rank, |rank| rank + 1);
        self.by_key[from..].iter().map(|place| self.slot(*place))
    }

    /// The slots with a version after `version`, ordered by version.
    pub(super) fn after(&self, version: Version) -> impl Iterator<Item = &Slot> {
        let from = self.rank(version.saturating_add(1));
        self.by_version[from..].iter().map(|place| self.slot(*place))
    }

    /// Whether some key has this version.
    pub(super) fn holds(&self, version: Version) -> bool {
        self.after(version.saturating_sub(1)).next().is_some_and(|slot| slot.version == version)
    }

    pub(super) fn newest(&self) -> Version {
        self.by_version.last().map_or(0, |place| self.slot(*place).version)
    }

    pub(super) fn len(&self) -> usize {
        self.slots.len()
    }

    pub(super) fn tombstones(&self) -> usize {
        self.tombstones
    }

    /// The number of records that this version does not understand.
    pub(super) fn unknown(&self) -> usize {
        self.unknown
    }

    /// The number of definitions of instances, without those that were deleted.
    pub(super) fn instances(&self) -> usize {
        self.instances
    }

    /// Bytes of all keys and values, overhead included.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Puts a write in place of the one that was known of its key.
    pub(super) fn insert(&mut self, key: Key, version: Version, value: Option<RawValue>) {
        let slot = Slot { key, version, value };
        self.count(&slot, 1);
        let place = match self.find(&slot.key) {
            Ok(rank) => {
                let place = self.by_key[rank];
                self.forget_version(place);
                let old = std::mem::replace(&mut self.slots[place as usize], slot);
                self.count(&old, -1);
                place
            }
            Err(rank) => {
                if self.slots.len() < Self::FEW {
                    self.slots.reserve_exact(1);
                    self.by_key.reserve_exact(1);
                    self.by_version.reserve_exact(1);
                }
                let place = self.slots.len() as u32;
                self.slots.push(slot);
                self.by_key.insert(rank, place);
                place
            }
        };
        let rank = self.rank(version);
        self.by_version.insert(rank, place);
    }

    /// Drops the tombstones with versions up to `up_to`.
    pub(super) fn drop_tombstones(&mut self, up_to: Version) {
        if self.tombstones == 0 {
            return;
        }
        let keep = |slot: &Slot| !slot.is_tombstone() || slot.version > up_to;
        let mut kept = 0;
        let mut place_of = |slot: &Slot| {
            let place = keep(slot).then_some(kept);
            kept += u32::from(place.is_some());
            place
        };
        let places: Vec<Option<u32>> = self.slots.iter().map(&mut place_of).collect();
        let in_order = |order: &[u32]| order.iter().filter_map(|at| places[*at as usize]).collect();
        self.by_key = in_order(&self.by_key);
        self.by_version = in_order(&self.by_version);
        let dropped: Vec<Slot> = self.slots.extract_if(.., |slot| !keep(slot)).collect();
        dropped.iter().for_each(|slot| self.count(slot, -1));
    }

    /// Adds a slot to the counts, or takes it away.
    fn count(&mut self, slot: &Slot, by: isize) {
        let counted = |count: usize, is: bool| count.saturating_add_signed(if is { by } else { 0 });
        let is_here = slot.value.as_ref().is_some_and(|value| !value.is_withheld());
        let is_instance = matches!(slot.key, Key::Service(_)) && is_here;
        self.tombstones = counted(self.tombstones, slot.is_tombstone());
        self.unknown = counted(self.unknown, slot.is_unknown());
        self.instances = counted(self.instances, is_instance);
        let bytes = held_bytes(&slot.key, slot.value.as_ref());
        self.bytes = if by < 0 { self.bytes.saturating_sub(bytes) } else { self.bytes + bytes };
    }

    fn slot(&self, place: u32) -> &Slot {
        &self.slots[place as usize]
    }

    /// The rank of a key in `by_key`.
    fn find(&self, key: &Key) -> Result<usize, usize> {
        self.by_key.binary_search_by(|place| self.slot(*place).key.cmp(key))
    }

    /// The number of slots with an older version.
    fn rank(&self, version: Version) -> usize {
        self.by_version.partition_point(|place| self.slot(*place).version < version)
    }

    /// Removes a slot from the order by version. A lying origin may give one version to two keys, so the rank of the
    /// version alone does not find the slot.
    fn forget_version(&mut self, place: u32) {
        let from = self.rank(self.slot(place).version);
        let rank = self.by_version[from..].iter().position(|other| *other == place);
        if let Some(rank) = rank {
            self.by_version.remove(from + rank);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::record::Health;

    fn key(n: u8) -> Key {
        Key::Health(format!("k{n}").into())
    }

    fn versions(slots: &Slots) -> Vec<Version> {
        slots.after(0).map(Slot::version).collect()
    }

    #[test]
    fn both_orders_hold_whatever_is_inserted_and_dropped() {
        let mut slots = Slots::default();
        let value = Some(Value::Health(Health::Passing).into());
        for (n, version) in [(5, 3), (1, 9), (3, 4), (5, 7), (2, 5), (1, 2)] {
            slots.insert(key(n), version, value.clone());
        }
        assert_eq!(versions(&slots), [2, 4, 5, 7]);
        assert_eq!(slots.after(4).map(Slot::version).collect::<Vec<_>>(), [5, 7]);
        slots.insert(key(3), 8, None);
        slots.insert(key(5), 11, None);
        assert_eq!((slots.tombstones(), slots.newest()), (2, 11));
        slots.drop_tombstones(10);
        assert_eq!(versions(&slots), [2, 5, 11]);
        let keys: Vec<_> = slots.iter().map(|slot| slot.key().clone()).collect();
        assert_eq!(keys, [key(1), key(2), key(5)]);
        slots.drop_tombstones(11);
        assert_eq!((versions(&slots), slots.tombstones()), (vec![2, 5], 0));
    }

    #[test]
    fn the_order_of_arrival_makes_no_difference() {
        let writes = [(5, 3), (1, 9), (3, 4), (2, 5)];
        let value = Some(Value::Health(Health::Passing).into());
        let slots = |order: &mut dyn Iterator<Item = &(u8, Version)>| {
            let mut slots = Slots::default();
            order.for_each(|(n, version)| slots.insert(key(*n), *version, value.clone()));
            slots
        };
        let (forth, back) = (slots(&mut writes.iter()), slots(&mut writes.iter().rev()));
        assert_eq!(forth, back);
        assert_ne!(forth, slots(&mut writes[1..].iter()));
    }

    #[test]
    fn only_definitions_that_were_not_deleted_are_instances() {
        let mut slots = Slots::default();
        let defined = || Some(Value::Health(Health::Passing).into());
        slots.insert(key(1), 1, defined());
        slots.insert(Key::Service("a".into()), 2, defined());
        slots.insert(Key::Service("b".into()), 3, defined());
        assert_eq!(slots.instances(), 2);
        slots.insert(Key::Service("a".into()), 4, None);
        slots.insert(Key::Service("b".into()), 5, defined());
        assert_eq!(slots.instances(), 1);
        slots.drop_tombstones(5);
        assert_eq!((slots.instances(), slots.len()), (1, 2));
    }

    #[test]
    fn the_bytes_are_those_of_the_slots_that_are_left() {
        let mut slots = Slots::default();
        let value = |len| Some(RawValue::received(&key(1), 200, &vec![7; len]));
        slots.insert(key(1), 1, value(1_000));
        slots.insert(key(2), 2, value(10));
        assert_eq!(slots.bytes(), 2 * (RECORD_OVERHEAD_BYTES + 2) + 1_010);
        slots.insert(key(1), 3, value(30));
        slots.insert(key(2), 4, None);
        assert_eq!(slots.bytes(), 2 * (RECORD_OVERHEAD_BYTES + 2) + 30);
        slots.drop_tombstones(4);
        assert_eq!(slots.bytes(), RECORD_OVERHEAD_BYTES + 2 + 30);
    }

    #[test]
    fn one_version_for_two_keys_breaks_no_order() {
        let mut slots = Slots::default();
        slots.insert(key(2), 1, None);
        slots.insert(key(1), 1, None);
        slots.insert(key(2), 2, None);
        assert_eq!(versions(&slots), [1, 2]);
        slots.insert(key(1), 3, None);
        assert_eq!(versions(&slots), [2, 3]);
    }
}
