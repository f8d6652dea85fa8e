//! The values of records: the bytes that only the origin writes, and their content as far as this version understands
//! it.

use std::sync::Arc;

use super::key::{HEALTH, NODE, SERVICE};
use super::rules::RecordError;
use super::{Health, InstanceScope, Key, NodeRecord, ServiceRecord};
use crate::codec::{Block, DecodeError, Reader, Writer};

/// A value of a known kind. Large contents are shared, so readers need no copy of the catalog's record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// See [`Key::Node`].
    Node(Arc<NodeRecord>),
    /// See [`Key::Service`].
    Service(Arc<ServiceRecord>),
    /// See [`Key::Health`].
    Health(Health),
}

impl Value {
    /// Checks every limit, and that the value is of the kind that belongs to `key`.
    ///
    /// # Errors
    /// The first rule that it breaks.
    pub fn validate(&self, key: &Key) -> Result<(), RecordError> {
        key.validate()?;
        match (key, self) {
            (Key::Node, Self::Node(node)) => node.validate(),
            (Key::Service(_), Self::Service(service)) => service.validate(),
            (Key::Health(_), Self::Health(_)) => Ok(()),
            _ => Err(RecordError::KindMismatch),
        }
    }

    fn kind(&self) -> u8 {
        match self {
            Self::Node(_) => NODE,
            Self::Service(_) => SERVICE,
            Self::Health(_) => HEALTH,
        }
    }

    fn put_fields(&self, writer: &mut Writer) {
        match self {
            Self::Node(node) => node.put_fields(writer),
            Self::Service(service) => service.put_fields(writer),
            Self::Health(health) => health.put_fields(writer),
        }
    }

    fn take_fields(kind: u8, reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        match kind {
            NODE => NodeRecord::take_fields(reader).map(|node| Self::Node(node.into())),
            SERVICE => {
                ServiceRecord::take_fields(reader).map(|service| Self::Service(service.into()))
            }
            HEALTH => Health::take_fields(reader).map(Self::Health),
            kind => Err(DecodeError::Unknown(kind)),
        }
    }
}

/// A value as it travels: the bytes that its origin wrote, and the content that this version understands.
///
/// A node keeps the bytes as it received them, and passes them on unchanged. So the fields of a later version reach all
/// nodes through nodes that do not understand them, and hashes or signatures of the bytes stay valid. The content is
/// read once. A value of an unknown kind, or with a content that this version does not understand, has no content: it
/// is kept, counted and passed on, and shown nowhere.
#[derive(Clone)]
pub struct RawValue {
    kind: u8,
    bytes: Bytes,
    content: Option<Value>,
}

/// The bytes of a value. The smallest values are the most frequent, so a value of one byte needs no allocation.
#[derive(Clone, Debug)]
enum Bytes {
    One([u8; 1]),
    Many(Arc<[u8]>),
}

impl Bytes {
    fn new(bytes: &[u8]) -> Self {
        match bytes {
            [byte] => Self::One([*byte]),
            bytes => Self::Many(bytes.into()),
        }
    }
}

impl RawValue {
    /// The kind that stands for "no value", a tombstone.
    pub(crate) const NO_VALUE: u8 = 0;
    /// The kind that stands for a value that is withheld.
    const WITHHELD: u8 = 255;

    /// The record in place of one that does not leave the datacenter of its origin. It has the version and the key of that record,
    /// so a node that holds it lacks nothing, and no content.
    #[must_use]
    pub fn withheld() -> Self {
        Self { kind: Self::WITHHELD, bytes: Bytes::new(&[]), content: None }
    }

    /// Whether this is a withheld record.
    #[must_use]
    pub fn is_withheld(&self) -> bool {
        self.kind == Self::WITHHELD
    }

    /// Whether this record stays in the datacenter of its origin.
    #[must_use]
    pub fn stays_home(&self) -> bool {
        matches!(&self.content, Some(Value::Service(service)) if service.scope == InstanceScope::Datacenter)
    }

    /// A value for `key`, as it was received.
    pub(crate) fn received(key: &Key, kind: u8, bytes: &[u8]) -> Self {
        let content = Value::take_fields(kind, &mut Reader::new(bytes)).ok();
        let content = content.filter(|content| content.validate(key).is_ok());
        Self { kind, bytes: Bytes::new(bytes), content }
    }

    /// Whether this version does not understand the record. A withheld record has nothing to understand.
    pub(crate) fn is_unknown_of(&self, key: &Key) -> bool {
        !key.is_known() || (self.content.is_none() && !self.is_withheld())
    }

    /// The kind of the value.
    #[must_use]
    pub fn kind(&self) -> u8 {
        self.kind
    }

    /// The value as its origin wrote it.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        match &self.bytes {
            Bytes::One(byte) => byte,
            Bytes::Many(bytes) => bytes,
        }
    }

    /// The content; `None` when this version does not understand it.
    #[must_use]
    pub fn content(&self) -> Option<&Value> {
        self.content.as_ref()
    }
}

impl From<Value> for RawValue {
    fn from(value: Value) -> Self {
        let mut writer = Writer::default();
        value.put_fields(&mut writer);
        let bytes = Bytes::new(&writer.into_bytes());
        Self { kind: value.kind(), bytes, content: Some(value) }
    }
}

/// Values are equal when their kinds and bytes are equal.
impl PartialEq for RawValue {
    fn eq(&self, other: &Self) -> bool {
        (self.kind, self.bytes()) == (other.kind, other.bytes())
    }
}

impl Eq for RawValue {}

impl std::fmt::Debug for RawValue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.content {
            Some(content) => content.fmt(f),
            None => write!(f, "Unknown({}, {} bytes)", self.kind, self.bytes().len()),
        }
    }
}
