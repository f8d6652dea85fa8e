//! The units that replicas exchange: how far they know an origin (heads, wants) and what the other lacks (deltas).

use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::base::identity::{Epoch, NodeId};
use crate::base::limits::{MAX_KEYS_PER_ORIGIN, MAX_RECORD_BYTES, MAX_VERSION};
use crate::catalog::record::{Key, RawValue, RecordError, Value};
use crate::codec::{Block, DecodeError, Field, Reader, Writer, block, encoded_len};

/// The number of a write of one origin within one epoch, from 1 without gaps. 0 means "before the first write".
pub type Version = u64;

/// A node's knowledge of an origin: everything up to `known_to`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Head {
    /// The origin.
    pub origin: NodeId,
    /// The epoch that is known.
    pub epoch: Epoch,
    /// The version up to which nothing is missing.
    pub known_to: Version,
}
block!(Head { origin, epoch, known_to });

impl Head {
    /// The hash by which catalogs compare this head. `beyond` is the hash of the ranges that are known beyond it; 0
    /// when there are none.
    #[must_use]
    pub fn hash_over(&self, beyond: u64) -> u64 {
        let mut bytes = [0; 24];
        bytes[..8].copy_from_slice(&self.origin.0.to_le_bytes());
        bytes[8..16].copy_from_slice(&self.epoch.0.to_le_bytes());
        bytes[16..].copy_from_slice(&self.known_to.to_le_bytes());
        xxh3_64_with_seed(&bytes, beyond)
    }
}

/// A request for everything of an origin after a version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Want {
    /// The origin.
    pub origin: NodeId,
    /// The epoch that is known.
    pub epoch: Epoch,
    /// Everything up to this version is known.
    pub after: Version,
    /// The floor of the asker's replica: it has no tombstones up to here. An asker with `after` below the answerer's
    /// floor needs the whole state, unless both floors are equal.
    pub gc_floor: Version,
}
block!(Want { origin, epoch, after, gc_floor });

/// One record, or its tombstone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The version of the write.
    pub version: Version,
    /// The key.
    pub key: Key,
    /// The record; `None` is a tombstone.
    pub value: Option<RawValue>,
}

/// Written as a version, a key, and a value: the kind of the value, the length of its bytes, and the bytes. A tombstone
/// is a value of kind 0 without bytes.
impl Block for Entry {
    fn put_fields(&self, writer: &mut Writer) {
        self.version.put(writer);
        self.key.put(writer);
        let value = self.value.as_ref();
        writer.byte(value.map_or(RawValue::NO_VALUE, RawValue::kind));
        writer.prefixed(value.map_or(&[], RawValue::bytes));
    }

    fn take_fields(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let (version, key) = (Version::take(reader)?, Key::take(reader)?);
        let (kind, bytes) = (reader.byte()?, reader.prefixed()?);
        let value = (kind != RawValue::NO_VALUE).then(|| RawValue::received(&key, kind, bytes));
        Ok(Self { version, key, value })
    }
}

/// A range of an origin's writes: all writes with versions after `after` up to `to` that still hold. A version in the
/// range that is not listed was overwritten since, or is a tombstone up to the floor.
///
/// A delta with `after` 0 begins the whole state, which replaces the state of a replica below `gc_floor`. A whole state
/// without entries whose `to` and `gc_floor` equal its head is an origin tombstone: everything up to its end was
/// dropped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delta {
    /// The origin.
    pub origin: NodeId,
    /// The epoch of all its entries.
    pub epoch: Epoch,
    /// The version before the first one of the range.
    pub after: Version,
    /// The last version of the range.
    pub to: Version,
    /// Every write that the range leaves out was overwritten up to this version. It is as far as the sender knows the
    /// origin, or knows that others do.
    pub head: Version,
    /// The version up to which the delta tells no tombstones.
    pub gc_floor: Version,
    /// The entries, ordered by version.
    pub entries: Vec<Entry>,
}
block!(Delta { origin, epoch, after, to, head, gc_floor, entries });

impl Delta {
    /// Refuses what no honest peer sends: a version beyond the limit, an empty or inverted range, entries outside it or
    /// out of order, records over their limits.
    ///
    /// # Errors
    /// The first rule that it breaks.
    pub fn validate(&self) -> Result<(), DecodeError> {
        if self.head > MAX_VERSION {
            return Err(DecodeError::Invalid("a version is beyond the limit"));
        }
        if self.after >= self.to || self.to > self.head || self.gc_floor > self.head {
            return Err(DecodeError::Invalid("a delta's versions are out of order"));
        }
        if self.entries.len() > MAX_KEYS_PER_ORIGIN {
            return Err(DecodeError::Invalid(
                "a delta has more entries than an origin may have keys",
            ));
        }
        let mut previous = self.after;
        for entry in &self.entries {
            if entry.version <= previous || entry.version > self.to {
                return Err(DecodeError::Invalid("a delta's entries are out of order"));
            }
            previous = entry.version;
            entry.check_limits().map_err(|_| DecodeError::Invalid("a record breaks its limits"))?;
        }
        Ok(())
    }

    /// Its size in bytes on the wire.
    #[must_use]
    pub fn encoded_len(&self) -> usize {
        encoded_len(self)
    }

    /// The number of entries that this version does not understand.
    pub(crate) fn unknown(&self) -> usize {
        self.entries.iter().filter(|entry| entry.is_unknown()).count()
    }

    /// Puts withheld records in place of those that stay in the datacenter of their origin. Returns their number.
    pub(crate) fn withhold(&mut self) -> usize {
        let values = self.entries.iter_mut().filter_map(|entry| entry.value.as_mut());
        let home = values.filter(|value| value.stays_home());
        home.map(|value| *value = RawValue::withheld()).count()
    }

    /// Whether it has a withheld record.
    pub(crate) fn has_withheld(&self) -> bool {
        self.entries.iter().any(|entry| entry.value.as_ref().is_some_and(RawValue::is_withheld))
    }

    /// The delta for an origin tombstone: the origin is dead, and its records up to this head were dropped.
    #[must_use]
    pub fn origin_tombstone(head: Head) -> Self {
        let Head { origin, epoch, known_to } = head;
        let (to, gc_floor) = (known_to, known_to);
        Self { origin, epoch, after: 0, to, head: known_to, gc_floor, entries: Vec::new() }
    }

    /// Whether this is the delta of an origin tombstone. A state of a living origin has its newest write above the
    /// floor.
    #[must_use]
    pub fn is_origin_tombstone(&self) -> bool {
        self.is_whole() && self.entries.is_empty() && [self.to, self.gc_floor] == [self.head; 2]
    }

    /// Whether this delta begins the whole state of its origin.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.after == 0
    }
}

impl Entry {
    /// An entry that this version may write: a record or a tombstone.
    ///
    /// # Errors
    /// The first rule that it breaks.
    pub(crate) fn own(
        version: Version,
        key: Key,
        value: Option<Value>,
    ) -> Result<Self, RecordError> {
        match &value {
            Some(value) => value.validate(&key)?,
            None => key.validate()?,
        }
        let entry = Self { version, key, value: value.map(RawValue::from) };
        entry.check_limits()?;
        Ok(entry)
    }

    /// Its size in bytes on the wire.
    #[must_use]
    pub fn encoded_len(&self) -> usize {
        encoded_len(self)
    }

    /// Whether this is a record that this version does not understand.
    pub(crate) fn is_unknown(&self) -> bool {
        self.value.as_ref().is_some_and(|value| value.is_unknown_of(&self.key))
    }

    /// Checks the limits of the key and of the size. They hold for records that this version does not understand, too.
    ///
    /// # Errors
    /// The first rule that it breaks.
    fn check_limits(&self) -> Result<(), RecordError> {
        self.key.validate()?;
        let len = self.encoded_len();
        if len > MAX_RECORD_BYTES { Err(RecordError::TooLarge { len }) } else { Ok(()) }
    }
}
