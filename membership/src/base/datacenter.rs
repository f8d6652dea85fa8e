//! Datacenters by the hash of their names, and whether a member may be one of their gateways.

use std::fmt;

use xxhash_rust::xxh3::xxh3_64;

use crate::codec::{DecodeError, Field, Fixed, Reader, Writer};

/// A datacenter: a hash of its name. Members of one datacenter are one pool; members of others are in a table.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DatacenterId(pub u64);

impl DatacenterId {
    /// The datacenter of a message of an earlier version, which names none.
    pub const UNKNOWN: Self = Self(0);

    /// The datacenter of this name.
    #[must_use]
    pub fn named(name: &str) -> Self {
        Self(xxh3_64(name.as_bytes()).max(1))
    }

    /// Whether a message that names `other` comes from another datacenter. One that names none does not.
    #[must_use]
    pub fn is_other(self, other: Self) -> bool {
        other != Self::UNKNOWN && other != self
    }
}

impl fmt::Debug for DatacenterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "dc-{:016x}", self.0)
    }
}

/// Eight bytes, little endian.
impl Field for DatacenterId {
    fn put(&self, writer: &mut Writer) {
        Fixed(self.0).put(writer);
    }

    fn take(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Fixed::take(reader).map(|id| Self(id.0))
    }
}

/// Whether a member may be a gateway: one that speaks for its datacenter to others. The gateways are computed among the members that
/// may.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Gateway {
    /// The member is never a gateway, since members of other datacenters do not reach it.
    Never,
    /// The member is a gateway only while fewer than three others may be.
    OnlyIfNeeded,
    /// The member may be a gateway.
    #[default]
    Yes,
}

/// One byte. A word of a later version reads as [`Gateway::Never`], so that nobody relies on the member.
impl Field for Gateway {
    fn put(&self, writer: &mut Writer) {
        writer.byte(match self {
            Self::Never => 0,
            Self::OnlyIfNeeded => 1,
            Self::Yes => 2,
        });
    }

    fn take(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(match reader.byte()? {
            1 => Self::OnlyIfNeeded,
            2 => Self::Yes,
            _ => Self::Never,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::{decode, encode};

    #[test]
    fn a_message_without_a_datacenter_is_of_our_own() {
        let (eu, us) = (DatacenterId::named("eu"), DatacenterId::named("us"));
        assert!(eu.is_other(us) && !eu.is_other(eu) && !eu.is_other(DatacenterId::UNKNOWN));
        assert_eq!(decode::<DatacenterId>(&encode(&eu)), Ok(eu));
    }

    #[test]
    fn an_unknown_word_for_a_gateway_is_never() {
        for gateway in [Gateway::Never, Gateway::OnlyIfNeeded, Gateway::Yes] {
            assert_eq!(decode::<Gateway>(&encode(&gateway)), Ok(gateway));
        }
        assert_eq!(decode::<Gateway>(&[9]), Ok(Gateway::Never));
    }
}
