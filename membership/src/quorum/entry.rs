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

/// The service that an instance is in, and its definition there.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Elsewhere {
    /// The service, as a [`Place`] names it.
    pub service: SmolStr,
    /// The definition.
    pub value: Arc<[u8]>,
}
block!(Elsewhere { service, value });

/// One write of one instance, as the register of one service has it. It tells all of the write, so that whoever takes it knows in which
/// service the instance is, and not only that it is not in this one.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Entry {
    /// The register.
    pub place: Place,
    /// The write.
    pub stamp: Stamp,
    /// The definition, if the instance is in this service.
    pub value: Option<Arc<[u8]>>,
    /// Where the instance is, if it is in another service; `None` when it was deregistered.
    pub elsewhere: Option<Elsewhere>,
}
block!(Entry { place, stamp, value } later { elsewhere: None });

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
