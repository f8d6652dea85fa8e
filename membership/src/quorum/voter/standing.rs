//! How a node stands as a voter: whether it votes, what is known of its image, and what it refused.

/// Whether a node votes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It is no voter of a configuration that counts.
    NoSeat,
    /// It votes.
    Votes,
    /// Its image may be an old one. It does not vote before it has recovered. Others may recover from it.
    Doubtful,
    /// It has lost what it acknowledged. It does not vote before it has recovered, and others do not recover from it.
    Lost,
}

/// What is known of the image that a node found on its disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Provenance {
    /// The node id was drawn just now, so there was no image before.
    New,
    /// The image is the last one that this node wrote.
    Proven,
    /// There may have been a later image.
    Unproven,
}

/// What the voter refused or left out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct QuorumCounters {
    /// Messages with questions that found no room, or that came after a write to disk had failed.
    pub questions_dropped: u64,
    /// Writes that were refused, because there is no room for their registers or origins.
    pub writes_full: u64,
    /// What reads brought that a voter took beyond its limits.
    pub writes_beyond: u64,
    /// Numbers of configurations, rounds and recoveries that were too far ahead.
    pub numbers_refused: u64,
    /// Parts of images that hold what this version does not know.
    pub pages_unknown: u64,
}
