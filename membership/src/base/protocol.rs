//! The parameters of the protocol, with their defaults.

use std::time::Duration;

use serde::Serialize;

/// The parameters of the protocol. All nodes of a cluster should have the same ones, but nothing breaks if they differ.
#[derive(Clone, Debug, Serialize)]
pub struct Protocol {
    /// A node that has heard no other member for this long is isolated. Longer than it takes to detect a crash.
    pub isolated_after: Duration,
    /// A rumor waits this long for others to share a datagram with, unless the line was idle before.
    pub coalesce: Duration,
    /// Bytes that rumors, digests, pulls, their answers and repair sessions may take together in any second. Sessions
    /// of newcomers are not limited, because a newcomer has to learn everything before it is of use. Messages about
    /// members are not limited, because members must be heard however much else there is to send.
    pub bytes_per_second: u64,
    /// Bytes that may go from this datacenter to another one in any second, for each other one. Each gateway has its share.
    pub wan_bytes_per_second: u64,
    /// Changes of one origin that a gateway forwards to another datacenter in a second, for each other one, after a burst of
    /// 40 seconds' worth. Of what is beyond that the newest version of each key waits.
    pub wan_changes_per_second_of_origin: u64,
    /// The same for all origins of this datacenter together, after a burst of ten seconds' worth.
    pub wan_changes_per_second: u64,
    /// Random peers that a rumor goes to, besides the two ring neighbours.
    pub rumor_fanout: usize,
    /// Random peers that the origin of a rumor sends it to, besides the two ring neighbours.
    pub origin_fanout: usize,
    /// When digests follow a change of the catalog, each counted from the one before.
    pub digest_after_news: [Duration; 4],
    /// Number of peers that each digest after a change goes to.
    pub digest_fanout: usize,
    /// Time between two digests, each to one peer, while nothing changes.
    pub digest_period: Duration,
    /// The time in which a gap may close by itself before it is pulled.
    pub pull_after: Duration,
    /// Time before an unanswered pull is repeated, in addition to twice the time of our own backlog. It doubles with
    /// each pull from the tenth on.
    pub pull_retry: Duration,
    /// Pulls of one gap before a sync session takes over.
    pub pull_tries: u32,
    /// Time between two sync sessions with a random peer that no difference asked for.
    pub sync_period: Duration,
    /// The least time between two sessions that this node opens for repair.
    pub sync_min_gap: Duration,
    /// A session in which nothing happens for this long is dropped.
    pub session_timeout: Duration,
    /// The first wait between two hellos at the seeds. It doubles up to `join_retry_max`.
    pub join_retry: Duration,
    /// The longest wait between two hellos at the seeds.
    pub join_retry_max: Duration,
    /// The time for which the records of an origin that is no active member are kept.
    pub retention: Duration,
    /// Time between two hellos of a node that is not alone at one address of a lost member.
    pub reunion_period: Duration,
}

impl Default for Protocol {
    fn default() -> Self {
        let ms = Duration::from_millis;
        Self {
            isolated_after: ms(5_000),
            coalesce: ms(1),
            bytes_per_second: 1_250_000,
            wan_bytes_per_second: 1_250_000,
            wan_changes_per_second_of_origin: 100,
            wan_changes_per_second: 2_000,
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
