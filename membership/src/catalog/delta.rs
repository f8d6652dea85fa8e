//! What replicas tell each other: how far they know an origin, and what the other lacks.

use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::base::identity::{Epoch, NodeId};
use crate::base::limits::{MAX_KEYS_PER_ORIGIN, MAX_RECORD_BYTES};
use crate::catalog::record::{Key, RawValue, RecordError, Value};
use crate::codec::{Block, DecodeError, Field, Reader, Writer, block, encoded_len};

/// The number of a write of one origin within one epoch, from 1 without gaps. 0 stands before the first.
pub type Version = u64;

/// How far somebody knows an origin: everything up to `known_to`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Head {
    /// The origin.
    pub origin: NodeId,
    /// The epoch that is known.
    pub epoch: Epoch,
    /// Nothing up to this version is missing.
    pub known_to: Version,
}
block!(Head { origin, epoch, known_to });

impl Head {
    /// The hash by which it is compared with others, over that of what is known beyond it; 0 when nothing is.
    #[must_use]
    pub fn hash_over(&self, beyond: u64) -> u64 {
        let mut bytes = [0; 24];
        bytes[..8].copy_from_slice(&self.origin.0.to_le_bytes());
        bytes[8..16].copy_from_slice(&self.epoch.0.to_le_bytes());
        bytes[16..].copy_from_slice(&self.known_to.to_le_bytes());
        xxh3_64_with_seed(&bytes, beyond)
    }
}

/// What somebody lacks: everything of an origin after a version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Want {
    /// The origin.
    pub origin: NodeId,
    /// The epoch that is known.
    pub epoch: Epoch,
    /// Everything up to this version is known.
    pub after: Version,
    /// The floor under which tombstones were already gone in what is known. Below the answerer's own floor, a
    /// suffix is not enough.
    pub gc_floor: Version,
}
block!(Want { origin, epoch, after, gc_floor });

/// One record, or its tombstone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The version of the write.
    pub version: Version,
    /// What it is about.
    pub key: Key,
    /// The record; `None` is a tombstone.
    pub value: Option<RawValue>,
}

/// A version, a key, and a value: its kind and its bytes behind their length. A tombstone is the value of no kind.
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

/// A range of an origin's writes: all that still holds of the versions after `after` up to `to`. A version in the range
/// that is not listed was overwritten since, or is a tombstone under the floor.
///
/// With `after` 0 it is the beginning of the whole state, which replaces what a replica below `gc_floor` had. A whole
/// state without anything in it is an origin tombstone: everything up to its end was dropped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delta {
    /// The origin.
    pub origin: NodeId,
    /// The epoch of all its entries.
    pub epoch: Epoch,
    /// Where the range begins, itself not included.
    pub after: Version,
    /// Where the range ends, itself included.
    pub to: Version,
    /// What the range leaves out was overwritten up to this version at the latest: how far the sender knows the origin,
    /// or knows that others do.
    pub head: Version,
    /// The sender has no tombstone up to this version.
    pub gc_floor: Version,
    /// The entries, by version.
    pub entries: Vec<Entry>,
}
block!(Delta { origin, epoch, after, to, head, gc_floor, entries });

impl Delta {
    /// Checks what no honest peer would send: an empty or inverted range, entries outside it or out of order, records
    /// over their limits.
    ///
    /// # Errors
    /// The first rule that it breaks.
    pub fn validate(&self) -> Result<(), DecodeError> {
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

    /// How many bytes it takes on the wire.
    #[must_use]
    pub fn encoded_len(&self) -> usize {
        encoded_len(self)
    }

    /// How many of its entries this version does not understand.
    pub(crate) fn unknown(&self) -> usize {
        self.entries.iter().filter(|entry| entry.is_unknown()).count()
    }

    /// Tells that an origin is dead, and that its records up to a version were dropped.
    #[must_use]
    pub fn origin_tombstone(head: Head) -> Self {
        let Head { origin, epoch, known_to } = head;
        let (to, gc_floor) = (known_to, known_to);
        Self { origin, epoch, after: 0, to, head: known_to, gc_floor, entries: Vec::new() }
    }

    /// Whether it tells of an origin tombstone. A state that holds something has its newest write above the floor.
    #[must_use]
    pub fn is_origin_tombstone(&self) -> bool {
        self.is_whole() && self.entries.is_empty() && [self.to, self.gc_floor] == [self.head; 2]
    }

    /// Whether it begins the whole state of its origin.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.after == 0
    }
}

impl Entry {
    /// A record that this version may write, or its tombstone.
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

    /// How many bytes it takes on the wire.
    #[must_use]
    pub fn encoded_len(&self) -> usize {
        encoded_len(self)
    }

    /// Whether a later version understands more of it than this one.
    pub(crate) fn is_unknown(&self) -> bool {
        self.value.as_ref().is_some_and(|value| !self.key.is_known() || value.content().is_none())
    }

    /// Checks the limits of the key and of the size, which hold whatever the record says.
    ///
    /// # Errors
    /// The first rule that it breaks.
    fn check_limits(&self) -> Result<(), RecordError> {
        self.key.validate()?;
        let len = self.encoded_len();
        if len > MAX_RECORD_BYTES { Err(RecordError::TooLarge { len }) } else { Ok(()) }
    }
}
