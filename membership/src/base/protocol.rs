//! The parameters of the protocol, with their defaults.

use std::time::Duration;

use serde::Serialize;

/// The protocol's parameters. All nodes of a cluster should agree on them; nothing breaks when they do not.
#[derive(Clone, Debug, Serialize)]
pub struct Protocol {
    /// Who has heard nobody for this long takes itself to be cut off. Longer than a crash takes to be noticed.
    pub isolated_after: Duration,
    /// Rumors wait for company this long, unless the line was idle before.
    pub coalesce: Duration,
    /// Bytes that rumors, digests, pulls with their answers and sessions for repair may take in any second. Who joins has
    /// to learn everything before it is of use, and members must be heard whatever else there is to say.
    pub bytes_per_second: u64,
    /// Random peers that a rumor goes to, beside the two ring neighbours.
    pub rumor_fanout: usize,
    /// Random peers that the origin of a rumor sends it to, beside the two ring neighbours.
    pub origin_fanout: usize,
    /// When digests follow news, each counted from the one before.
    pub digest_after_news: [Duration; 4],
    /// How many peers each of these goes to.
    pub digest_fanout: usize,
    /// How often one peer is sent a digest while all is quiet.
    pub digest_period: Duration,
    /// How long a gap may close by itself before it is pulled.
    pub pull_after: Duration,
    /// How long an unanswered pull waits before it is repeated, beside twice the time of our own backlog; doubles from the
    /// third on.
    pub pull_retry: Duration,
    /// Pulls of one gap before a sync session takes over.
    pub pull_tries: u32,
    /// How often a whole sync is made with a random peer.
    pub sync_period: Duration,
    /// The least time between two sessions that this node opens for repair.
    pub sync_min_gap: Duration,
    /// A session in which nothing happens for this long is dropped.
    pub session_timeout: Duration,
    /// The first wait between two hellos at the seeds; doubles up to `join_retry_max`.
    pub join_retry: Duration,
    /// The longest wait between two hellos at the seeds.
    pub join_retry_max: Duration,
    /// How long the records of an origin that is no active member are kept.
    pub retention: Duration,
    /// How often a node that is not alone says hello at one address of those that it has lost.
    pub reunion_period: Duration,
}

impl Default for Protocol {
    fn default() -> Self {
        let ms = Duration::from_millis;
        Self {
            isolated_after: ms(5_000),
            coalesce: ms(1),
            bytes_per_second: 1_250_000,
            rumor_fanout: 2,
            origin_fanout: 4,
            digest_after_news: [ms(20), ms(40), ms(80), ms(200)],
            digest_fanout: 2,
            digest_period: ms(500),
            pull_after: ms(10),
            pull_retry: ms(10),
            pull_tries: 12,
            sync_period: ms(30_000),
            sync_min_gap: ms(200),
            session_timeout: ms(10_000),
            join_retry: ms(100),
            join_retry_max: ms(10_000),
            retention: Duration::from_secs(24 * 60 * 60),
            reunion_period: ms(10_000),
        }
    }
}
