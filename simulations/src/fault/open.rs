//! A fault in force, and how to end it.

use crate::network::Partition;
use crate::world::DataDirectory;

/// A fault in force.
pub(super) struct OpenFault {
    pub(super) kind: usize,
    pub(super) hosts: Vec<usize>,
    pub(super) undo: Undo,
}

/// The action that ends a fault.
pub(super) enum Undo {
    Nothing,
    Mend(Partition),
    /// A flapping link, and whether it is cut at the moment.
    Flap(Partition, bool),
    /// Hosts whose interfaces are down.
    Online(Partition, Vec<usize>),
    /// Links from the first hosts to the second.
    Links(Vec<usize>, Vec<usize>),
    Restart,
    Slowness,
    Clocks,
    Disks,
    HomeCluster,
    /// Hosts that move back to these datacenters.
    MoveBack(Vec<String>),
    /// Hosts that were revoked and start with new keys.
    NewKeys,
    /// Hosts that start with an ordinary token.
    OtherToken,
    /// The outsider hears nothing any more.
    Deafen,
    /// The data directory to which a host returns.
    OwnDisk(Box<DataDirectory>),
}
