//! The cluster that a node belongs to, and the addresses of other clusters that it heard.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use xxhash_rust::xxh3::xxh3_64;

use crate::base::limits::MAX_FOREIGN_ADDRESSES;
use crate::codec::{DecodeError, Field, Reader, Writer};

/// The name of a cluster that was given no name.
pub const DEFAULT_CLUSTER: &str = "default";

/// The cluster that a node belongs to: a hash of its name. Nodes of different clusters ignore each other's messages.
///
/// The id keeps clusters from mixing by mistake. It is no secret, and protects against no attacker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClusterId(pub u64);

impl ClusterId {
    /// The cluster of this name.
    #[must_use]
    pub fn named(name: &str) -> Self {
        Self(xxh3_64(name.as_bytes()))
    }

    /// The two bytes that each datagram carries in the clear. They are enough to tell another cluster from noise.
    #[must_use]
    pub fn tag(self) -> [u8; 2] {
        let [a, b, ..] = self.0.to_le_bytes();
        [a, b]
    }

    /// The four bytes with which each side of a session begins.
    #[must_use]
    pub fn mark(self) -> ClusterMark {
        let [_, _, _, _, mark @ ..] = self.0.to_le_bytes();
        ClusterMark(mark)
    }
}

impl Default for ClusterId {
    fn default() -> Self {
        Self::named(DEFAULT_CLUSTER)
    }
}

/// Four bytes of a [`ClusterId`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClusterMark([u8; 4]);

impl Field for ClusterMark {
    fn put(&self, writer: &mut Writer) {
        self.0.put(writer);
    }

    fn take(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        reader.array().map(Self)
    }
}

/// Addresses from which datagrams of other clusters came, or of clear ones to a sealed cluster and the other way round. The owner is
/// told of each address once.
#[derive(Debug, Default)]
pub(crate) struct ForeignAddresses {
    /// Number of datagrams from each address.
    heard: BTreeMap<SocketAddr, u32>,
}

impl ForeignAddresses {
    /// The owner is told of an address after this many datagrams. A single one may be a damaged datagram of our own
    /// cluster.
    const TOLD_AFTER: u32 = 3;

    /// Notes a datagram, and returns whether the owner is to be told of its address.
    pub(crate) fn heard(&mut self, from: SocketAddr) -> bool {
        if !self.heard.contains_key(&from) && self.heard.len() >= MAX_FOREIGN_ADDRESSES {
            return false;
        }
        let count = self.heard.entry(from).or_default();
        *count = count.saturating_add(1);
        *count == Self::TOLD_AFTER
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clusters_with_different_names_have_different_tags_and_marks() {
        assert_eq!(ClusterId::default(), ClusterId::named("default"));
        let (blue, green) = (ClusterId::named("blue"), ClusterId::named("green"));
        assert_ne!(blue.tag(), green.tag());
        assert_ne!(blue.mark(), green.mark());
    }

    #[test]
    fn an_address_is_told_of_once_and_the_number_remembered_is_limited() {
        let mut foreigners = ForeignAddresses::default();
        let from = |port| SocketAddr::from(([10, 0, 0, 1], port));
        let told: Vec<bool> = (0..5).map(|_| foreigners.heard(from(1))).collect();
        assert_eq!(told, [false, false, true, false, false]);
        for port in 0..=u16::MAX {
            foreigners.heard(from(port));
        }
        assert_eq!(foreigners.heard.len(), MAX_FOREIGN_ADDRESSES);
    }
}
