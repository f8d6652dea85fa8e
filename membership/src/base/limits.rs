//! Every limit of the protocol, by name. Both sides check them: who encodes refuses to pass one, who decodes drops
//! and counts what does.

/// The version of the wire format that this software writes.
pub const WIRE_VERSION: u8 = 2;
/// Bytes of a datagram's payload. Fits the 1,500 bytes of Ethernet with IPv6, UDP and a later seal around it.
pub const MAX_DATAGRAM_BYTES: usize = 1_400;
/// Bytes of one frame on a stream, its length prefix not counted.
pub const MAX_FRAME_BYTES: usize = 64 * 1024;
/// Bytes of one record, key and value, on the wire. Larger than a datagram: such a record travels by stream only.
pub const MAX_RECORD_BYTES: usize = 4 * 1024;
/// Bytes of a name: of a service, an instance id, a namespace, a tag, a metadata key, a node, a datacenter, a zone.
pub const MAX_NAME_BYTES: usize = 128;
/// Tags of one instance.
pub const MAX_TAGS: usize = 64;
/// Metadata keys of one instance.
pub const MAX_META_KEYS: usize = 64;
/// Bytes of one metadata value.
pub const MAX_META_VALUE_BYTES: usize = 512;
/// The largest weight of an instance.
pub const MAX_WEIGHT: u32 = 65_535;
/// Keys of one origin, tombstones included: some 4,000 instances behind one agent.
pub const MAX_KEYS_PER_ORIGIN: usize = 8_192;
/// Tombstones that an origin keeps before it raises its `gc_floor`.
pub const MAX_TOMBSTONES: usize = 256;
/// Origins in a catalog, and members in a view.
pub const MAX_ORIGINS: usize = 16_384;
/// Origins that are dead and whose records were dropped. Beyond it the oldest lives are forgotten.
pub const MAX_ORIGIN_TOMBSTONES: usize = 8_192;
/// Version spans that a replica holds beyond the first gap of one origin.
pub const MAX_SPANS_PER_ORIGIN: usize = 64;
/// Rumors waiting to be sent for the first time, or again. Beyond it those that were sent most are dropped and left to
/// repair. What we write ourselves waits in the catalog, not here.
pub const MAX_RUMOR_QUEUE: usize = 1_000;
/// Datagrams of rumors that answer pulls and wait to be sent. Beyond it pulls are not answered.
pub const MAX_ANSWERS_WAITING: usize = 48;
/// Moves of heads that are remembered, to be named in digests.
pub const MAX_RECENT_HEADS: usize = 1_000;
/// Origins with a known gap that are pulled by datagram; the rest is left to streams.
pub const MAX_PENDING_PULLS: usize = 1_024;
/// Versions missing at one peer beyond which a session is opened instead of a pull sent: some 16 kB.
pub const MAX_PULLED_VERSIONS: u64 = 160;
/// Datagrams that answer one pull.
pub const MAX_PULL_REPLY_DATAGRAMS: usize = 12;
/// Sync sessions that a node serves at once.
pub const MAX_SESSIONS_SERVED: usize = 16;
/// Of those, sessions with members that we know already; the other places are for those who join.
pub const MAX_REPAIRS_SERVED: usize = 2;
/// Sync sessions that a node opens at once.
pub const MAX_SESSIONS_OPENED: usize = 2;
/// Of those, sessions for repair; the other place is for joining.
pub const MAX_REPAIRS_OPENED: usize = 1;
/// Coded symbols in one frame.
pub const MAX_SYMBOLS_PER_FRAME: usize = 4_096;
/// A session that brings less than this on average, beyond its first `session_timeout`, is dropped.
pub const MIN_SESSION_BYTES_PER_SECOND: u64 = 8 * 1024;
/// Frames that a node takes, and sends, in one session. What is left comes in the next one.
pub const MAX_FRAMES_PER_SESSION: usize = 4_096;
/// Frames of one session handed to the transport and not yet written.
pub const MAX_FRAMES_IN_FLIGHT: usize = 4;
/// Addresses from which other clusters were heard, so that each is told of once.
pub const MAX_FOREIGN_ADDRESSES: usize = 64;
/// Referees that a verdict names.
pub const MAX_REFEREES: usize = 16;
/// Members that a node accuses at once. Further ones wait until their next question goes unanswered.
pub const MAX_CASES: usize = 64;
/// Suspects in which a node looks for signs of life at once. Questions about further ones are not answered.
pub const MAX_INDIRECT_PROBES: usize = 256;
/// Members that a node looks into at once because others see them differently; the rest is for the next comparison.
pub const MAX_CHECKS: usize = 32;
/// Pings that may still be answered. Beyond it the oldest are forgotten.
pub const MAX_PENDING_PINGS: usize = 4_096;
/// Streams on which a node looks for a sign of life at once. Beyond it there are only datagrams.
pub const MAX_STREAM_PROBES: usize = 64;
/// News of members waiting to be told. Beyond it comparing views brings them.
pub const MAX_MEMBER_UPDATES: usize = 4_096;
/// Parts of the ring that two views are compared by.
pub const MAX_MEMBER_BUCKETS: usize = 256;
/// Datagrams that answer one comparison of views.
pub const MAX_LISTING_DATAGRAMS: usize = 8;
/// Referrals to other members that a node follows in one round of knocking.
pub const MAX_REFERRALS: u32 = 8;
/// Seed addresses and addresses of former peers that an isolated node knocks at.
pub const MAX_SEEDS: usize = 256;
