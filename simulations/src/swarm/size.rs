//! The size of a run of the swarm.

/// The size of a run of the swarm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    /// Hosts.
    pub nodes: usize,
    /// Seconds under faults.
    pub seconds: u64,
}

impl Default for Size {
    fn default() -> Self {
        Self { nodes: 50, seconds: 120 }
    }
}
