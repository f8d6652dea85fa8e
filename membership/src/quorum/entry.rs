//! Entries: the registers that voters hold, and the stamps that order the writes of each.

use std::sync::Arc;

use smol_str::SmolStr;

use crate::base::identity::{Epoch, NodeId};
use crate::codec::{DecodeError, Field, Reader, Writer, block};

/// Bytes of one value.
pub const MAX_VALUE_BYTES: usize = 8 * 1024;

/// The order of the writes of one origin: a later life comes after an earlier one, and a higher version after a lower one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Stamp {
    /// The life of the origin that wrote.
    pub epoch: Epoch,
    /// The version of the write within that life.
    pub version: u64,
}
block!(Stamp { epoch, version });

/// The name of a register. An instance that moves to another service is removed from one register and written to another.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    /// The service, with its namespace, as the owner of the node names it.
    pub service: SmolStr,
    /// The only node that writes the register.
    pub origin: NodeId,
    /// The instance.
    pub id: SmolStr,
}
block!(Place { service, origin, id });

/// One write of one register.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Entry {
    /// The register.
    pub place: Place,
    /// The write.
    pub stamp: Stamp,
    /// What was written; `None` when the instance was deregistered.
    pub value: Option<Arc<[u8]>>,
}
block!(Entry { place, stamp, value });

/// The end of an origin, by an operator's word: all of its writes up to this stamp are over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OriginEnd {
    /// The origin.
    pub origin: NodeId,
    /// The last write that is over.
    pub stamp: Stamp,
}
block!(OriginEnd { origin, stamp });

/// The life of an origin that a write belongs to. Voters refuse writes of earlier lives, and of another key under the same node id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fence {
    /// The origin.
    pub origin: NodeId,
    /// Its life.
    pub epoch: Epoch,
    /// A hash of its key; 0 in a cluster without keys.
    pub key: u64,
}
block!(Fence { origin, epoch, key as Fixed });

impl Field for Arc<[u8]> {
    fn put(&self, writer: &mut Writer) {
        writer.prefixed(self);
    }

    fn take(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let bytes = reader.prefixed()?;
        if bytes.len() > MAX_VALUE_BYTES {
            return Err(DecodeError::Invalid("a value is too long"));
        }
        Ok(bytes.into())
    }
}

impl Field for u128 {
    fn put(&self, writer: &mut Writer) {
        writer.raw(&self.to_le_bytes());
    }

    fn take(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        reader.array().map(Self::from_le_bytes)
    }
}
