//! A fault in force, and what ends it.

use hobnob_membership::NodeId;

use crate::network::Partition;
use crate::world::Disk;

/// A fault in force.
pub(super) struct OpenFault {
    pub(super) kind: usize,
    pub(super) hosts: Vec<usize>,
    pub(super) undo: Undo,
}

/// How to end a fault.
pub(super) enum Undo {
    Nothing,
    Mend(Partition),
    /// A flapping link, and whether it is cut now.
    Flap(Partition, bool),
    Links(Vec<(usize, usize)>),
    Restart,
    Slowness,
    Clocks,
    Disks,
    HomeCluster,
    /// A host goes back to its own data directory.
    OwnDisk(Box<(NodeId, u64, Disk)>),
}
