//! The scope of an instance: how far its definition goes.

use crate::codec::{DecodeError, Field, Reader, Writer};

/// How far the definition of an instance goes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum InstanceScope {
    /// All datacenters.
    #[default]
    Global,
    /// The datacenter of its origin alone. Others hold a [withheld](super::RawValue::withheld) record in its place.
    Datacenter,
}

/// One byte. A scope of a later version is unknown, so its instance is shown nowhere.
impl Field for InstanceScope {
    fn put(&self, writer: &mut Writer) {
        writer.byte(match self {
            Self::Global => 0,
            Self::Datacenter => 1,
        });
    }

    fn take(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        match reader.byte()? {
            0 => Ok(Self::Global),
            1 => Ok(Self::Datacenter),
            scope => Err(DecodeError::Unknown(scope)),
        }
    }
}
