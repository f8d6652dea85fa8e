//! The keys of records.

use super::Text;
use super::rules::{RecordError, name};
use crate::base::limits::MAX_NAME_BYTES;
use crate::codec::{DecodeError, Field, Reader, Writer};

pub(super) const NODE: u8 = 1;
pub(super) const SERVICE: u8 = 2;
pub(super) const HEALTH: u8 = 3;

/// The key of a record within its origin.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Key {
    /// The origin itself.
    Node,
    /// The definition of the instance with this id.
    Service(Text),
    /// The health of the instance with this id. It is a record of its own, so that a change of health costs some 40
    /// bytes.
    Health(Text),
    /// A key of a later version.
    Unknown(UnknownKey),
}

/// A key of a kind that this version does not know, as it was received.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UnknownKey {
    kind: u8,
    bytes: Box<[u8]>,
}

impl Key {
    /// The instance that the record is about, if it is about one.
    #[must_use]
    pub fn instance(&self) -> Option<&Text> {
        match self {
            Self::Service(id) | Self::Health(id) => Some(id),
            Self::Node | Self::Unknown(_) => None,
        }
    }

    /// Bytes of the key, its kind not counted.
    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Node => 0,
            Self::Service(id) | Self::Health(id) => id.len(),
            Self::Unknown(UnknownKey { bytes, .. }) => bytes.len(),
        }
    }

    /// Whether this version knows the kind of the key.
    #[must_use]
    pub fn is_known(&self) -> bool {
        !matches!(self, Self::Unknown(_))
    }

    /// Checks the limits of the key itself.
    ///
    /// # Errors
    /// The first rule that it breaks.
    pub fn validate(&self) -> Result<(), RecordError> {
        match self {
            Self::Node => Ok(()),
            Self::Service(id) | Self::Health(id) => name("id", id),
            Self::Unknown(UnknownKey { bytes, .. }) if bytes.len() > MAX_NAME_BYTES => {
                let len = bytes.len();
                Err(RecordError::TooLong { field: "an unknown key", len, limit: MAX_NAME_BYTES })
            }
            Self::Unknown(_) => Ok(()),
        }
    }
}

/// Written as a kind, the length of the bytes, and the bytes. Known keys never grow: another form of a key is another
/// kind.
impl Field for Key {
    fn put(&self, writer: &mut Writer) {
        let (kind, bytes) = match self {
            Self::Node => (NODE, [].as_slice()),
            Self::Service(id) => (SERVICE, id.as_bytes()),
            Self::Health(id) => (HEALTH, id.as_bytes()),
            Self::Unknown(UnknownKey { kind, bytes }) => (*kind, &**bytes),
        };
        writer.byte(kind);
        writer.prefixed(bytes);
    }

    fn take(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        match reader.byte()? {
            0 => Err(DecodeError::Invalid("the kind of a key is 0")),
            NODE if reader.prefixed()?.is_empty() => Ok(Self::Node),
            NODE => Err(DecodeError::Invalid("the key of a node record is not empty")),
            SERVICE => reader.text().map(|id| Self::Service(id.into())),
            HEALTH => reader.text().map(|id| Self::Health(id.into())),
            kind => {
                let bytes = reader.prefixed()?.into();
                Ok(Self::Unknown(UnknownKey { kind, bytes }))
            }
        }
    }
}
