//! The node record.

use hobnob_keys::MAX_CERTIFICATE_BYTES;

use super::Text;
use super::rules::{RecordError, name, text};
use crate::base::datacenter::Gateway;
use crate::base::identity::Epoch;
use crate::base::limits;
use crate::codec::block;

/// The record in which a node describes itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeRecord {
    /// The agent's name, for people.
    pub name: Text,
    /// The datacenter that it runs in.
    pub datacenter: Text,
    /// The failure domain within the datacenter; empty when none was given.
    pub zone: Text,
    /// The version of its software.
    pub software: Text,
    /// A hash of its instance key: two live nodes with one id and different hashes run on copies of one data directory.
    pub instance_key_hash: u64,
    /// The epoch of the identity that left on purpose; `None` until it leaves.
    pub left: Option<Epoch>,
    /// The versions and features that the node can read.
    pub support: Support,
    /// The membership certificate of the node in a sealed cluster, as it was issued; empty in a clear one.
    pub certificate: Vec<u8>,
    /// Whether the node may be a gateway of its datacenter.
    pub gateway: Gateway,
}
block!(NodeRecord { name, datacenter, zone, software, instance_key_hash, left, support } later { certificate: Vec::new(), gateway: Gateway::Yes });

/// The versions and features that a node can read. A form that came after the first version, or a later field that must
/// not be lost, is sent only when every live member supports it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Support {
    /// The versions of the wire format: bit `n` stands for version `n`.
    pub versions: u64,
    /// The features beyond the first form of those versions, one bit for each. No bit has a meaning yet.
    pub features: u64,
}
block!(Support { versions, features });

impl Support {
    /// The support of this version of the software.
    pub const OURS: Self = Self { versions: 1 << limits::WIRE_VERSION, features: 0 };
    /// No support: assumed of a member whose record has not arrived.
    pub const NONE: Self = Self { versions: 0, features: 0 };

    /// The versions and features that both support.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self { versions: self.versions & other.versions, features: self.features & other.features }
    }

    /// Whether every version and feature of `other` is supported.
    #[must_use]
    pub fn includes(self, other: Self) -> bool {
        self.and(other) == other
    }
}

impl NodeRecord {
    /// Checks every limit.
    ///
    /// # Errors
    /// The first rule that it breaks.
    pub fn validate(&self) -> Result<(), RecordError> {
        name("name", &self.name)?;
        name("datacenter", &self.datacenter)?;
        text("zone", &self.zone, limits::MAX_NAME_BYTES)?;
        text("software", &self.software, limits::MAX_NAME_BYTES)?;
        let (len, limit) = (self.certificate.len(), MAX_CERTIFICATE_BYTES);
        if len > limit {
            return Err(RecordError::TooLong { field: "the certificate", len, limit });
        }
        Ok(())
    }
}
