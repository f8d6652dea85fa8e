//! The limits of the protocol, by name. Both sides check them: an encoder refuses what exceeds a limit, and a decoder
//! drops and counts it.

use std::time::Duration;

/// The version of the wire format that this software writes.
pub const WIRE_VERSION: u8 = 2;
/// Bytes of a datagram's payload. With IPv6, UDP and a later seal around it, it fits the 1,500 bytes of Ethernet.
pub const MAX_DATAGRAM_BYTES: usize = 1_400;
/// Bytes of one frame on a stream, its length prefix not counted.
pub const MAX_FRAME_BYTES: usize = 64 * 1024;
/// Datacenters that a node knows, its own among them. Further ones are refused, and counted.
pub const MAX_DATACENTERS: usize = 64;
/// Members of other datacenters that a node holds in its table, those that are down among them. Further ones are refused, and counted.
pub const MAX_REMOTE_MEMBERS: usize = 16_384;
/// Members of one other datacenter among them.
pub const MAX_MEMBERS_OF_DATACENTER: usize = 8_192;
/// Round trips to another datacenter that a node holds, each measured by one gateway of ours. Those told last stay.
pub const MAX_ROUND_TRIPS_OF_DATACENTER: usize = 8;
/// Addresses at which a node looks for other datacenters.
pub const MAX_WAN_SEEDS: usize = 256;
/// Streams on which a node exchanges tables at once, opened and served alike. Further ones are refused.
pub const MAX_TABLE_STREAMS: usize = 16;
/// Frames of tables that a node takes over one stream.
pub const MAX_TABLE_FRAMES: usize = 256;
/// Withdrawn verdicts that a node notes before it tells their homes, and members of its own pool that it asks to refute one in two
/// seconds.
pub const MAX_WITHDRAWN: usize = 256;
/// Bytes of a request to another member, and of the answer, as their owners write them.
pub const MAX_REQUEST_BYTES: usize = 48 * 1024;
/// The longest time for which a node waits for the answer to a request.
pub const MAX_REQUEST_TIME: Duration = Duration::from_secs(90);
/// Requests of a node that are under way at once. Further ones are refused.
pub const MAX_REQUESTS_ASKED: usize = 16;
/// Requests of others that a node is answering at once. Further ones are turned away.
pub const MAX_REQUESTS_SERVED: usize = 32;
/// Those of one member among them.
pub const MAX_REQUESTS_OF_MEMBER: usize = 8;
/// Questions of a node to voters that are under way at once. Further ones are refused.
pub const MAX_QUESTIONS_ASKED: usize = 64;
/// Questions of others that a node is answering at once. Further ones are turned away.
pub const MAX_QUESTIONS_SERVED: usize = 256;
/// Streams of questions that a node keeps open to others. The one that was used longest ago gives way.
pub const MAX_LINES_OPENED: usize = 16;
/// Streams of questions that others keep open to a node. The one that was used longest ago gives way.
pub const MAX_LINES_SERVED: usize = 32;
/// Bytes of one record, key and value, on the wire. A record that is larger than a datagram travels by stream only.
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
/// Registrations of one agent: instances of one origin. A registrar for hosts without agents of their own has that many.
pub const MAX_REGISTRATIONS: usize = 32_768;
/// Records that an agent may write: for each registration a definition and a health, and its own node record. The room
/// of all three is reserved, so that a registration that was acknowledged can be checked, and restored.
pub const MAX_OWN_RECORDS: usize = 2 * MAX_REGISTRATIONS + 1;
/// Tombstones that an origin keeps before it raises its `gc_floor`.
pub const MAX_TOMBSTONES: usize = 256;
/// Keys of one origin, tombstones included.
pub const MAX_KEYS_PER_ORIGIN: usize = MAX_OWN_RECORDS + MAX_TOMBSTONES;
/// The highest version of an origin. No honest origin comes near it, and no addition to a version overflows.
pub const MAX_VERSION: u64 = u64::MAX / 2;
/// Origins in a catalog, and members in a view. Beyond the limit origins that are no members give way to members, then
/// those that have been dead for longest to active ones.
pub const MAX_ORIGINS: usize = 16_384;
/// Origins in a catalog that are no members. Further ones are refused. They are the first to give way.
pub const MAX_UNVOUCHED_ORIGINS: usize = 4_096;
/// Bytes that a record counts for beside its key and its value.
pub const RECORD_OVERHEAD_BYTES: usize = 128;
/// Bytes that the records of one state of an origin may take, overhead included. An origin with the most registrations,
/// each with the largest record and a health, stays below.
pub const MAX_ORIGIN_BYTES: usize = MAX_REGISTRATIONS * (MAX_RECORD_BYTES + 512);
/// Bytes that the records of all other origins may take, overhead included. Beyond the limit origins that are no members
/// give way to members, then members that are down to active ones; then records are refused.
pub const MAX_CATALOG_BYTES: usize = 256 * 1024 * 1024;
/// Bytes among them that the records of origins may take that are no members.
pub const MAX_UNVOUCHED_BYTES: usize = 32 * 1024 * 1024;
/// Notes of members that were down at some time and are to be forgotten a day later. Beyond the limit the oldest are
/// forgotten at once, if they are still down.
pub const MAX_MEMBERS_TO_FORGET: usize = 2 * MAX_ORIGINS;
/// Origin tombstones: dead origins whose records were dropped. Beyond the limit the oldest lives are forgotten.
pub const MAX_ORIGIN_TOMBSTONES: usize = 8_192;
/// Version spans that a replica holds beyond the first gap of one origin.
pub const MAX_SPANS_PER_ORIGIN: usize = 64;
/// Rumors waiting to be sent for the first time, or again. Beyond the limit the rumors that were sent most are dropped
/// and left to repair. A node's own records wait in its catalog, not in this queue.
pub const MAX_RUMOR_QUEUE: usize = 1_000;
/// Datagrams that answer pulls and wait to be sent. Beyond the limit pulls are not answered.
pub const MAX_ANSWERS_WAITING: usize = 48;
/// Tells of a node that its gateways have not answered. Further news are left to digests.
pub const MAX_TELLS_UNANSWERED: usize = 1_024;
/// Tells of others that a gateway remembers, to forward each once.
pub const MAX_TELLS_REMEMBERED: usize = 16_384;
/// Origins whose changes the breaker of a link holds back. The changes of further ones are left to repair.
pub const MAX_HELD_ORIGINS: usize = 1_024;
/// Sessions with other datacenters that a node opens at once.
pub const MAX_FAR_SESSIONS_OPENED: usize = 4;
/// Sessions of other datacenters that a node serves at once.
pub const MAX_FAR_SESSIONS_SERVED: usize = 8;
/// Heads that a beat between datacenters names, and datacenters that it names beside its own.
pub const MAX_BEAT_DATACENTERS: usize = 16;
/// Datacenters that the record of an instance names for its service to fail over to.
pub const MAX_FAILOVER: usize = 16;
/// Confirmations of its own writes that a node has under way at once. Further ones are refused.
pub const MAX_CONFIRMATIONS: usize = 64;
/// The longest time that a confirmation may take.
pub const MAX_CONFIRMATION_TIME: Duration = Duration::from_secs(60);
/// Questions of other members for a confirmation that wait with a node. Further ones are not kept; their members ask again.
pub const MAX_CONFIRMS_WAITING: usize = 1_024;
/// Recent moves of heads that a node remembers, to name the heads in digests.
pub const MAX_RECENT_HEADS: usize = 1_000;
/// Origins with a known gap that is pulled by datagram. Further gaps are left to sessions.
pub const MAX_PENDING_PULLS: usize = 1_024;
/// Versions in one pull, some 16 kB. When more are missing, a session is opened instead.
pub const MAX_PULLED_VERSIONS: u64 = 160;
/// Datagrams that answer one pull.
pub const MAX_PULL_REPLY_DATAGRAMS: usize = 12;
/// Sync sessions that a node serves at once.
pub const MAX_SESSIONS_SERVED: usize = 16;
/// Served sessions with members that the node knows already. The rest of [`MAX_SESSIONS_SERVED`] is kept for newcomers.
pub const MAX_REPAIRS_SERVED: usize = 2;
/// Sync sessions that a node opens at once.
pub const MAX_SESSIONS_OPENED: usize = 2;
/// Repair sessions that a node opens at once. The rest of [`MAX_SESSIONS_OPENED`] is kept for joining.
pub const MAX_REPAIRS_OPENED: usize = 1;
/// Coded symbols in one frame.
pub const MAX_SYMBOLS_PER_FRAME: usize = 4_096;
/// Least average rate of a session after its first `session_timeout`. A slower session is dropped.
pub const MIN_SESSION_BYTES_PER_SECOND: u64 = 8 * 1024;
/// Frames that a node takes, and frames that it sends, in one session. The next session brings the rest.
pub const MAX_FRAMES_PER_SESSION: usize = 4_096;
/// Frames of one session that the transport has and has not written yet.
pub const MAX_FRAMES_IN_FLIGHT: usize = 4;
/// Generations of the secret of a sealed cluster that a node holds. Beyond the limit the one that all others replace is dropped.
/// Operators would have to rotate that often within 40 seconds.
pub const MAX_GENERATIONS: usize = 8;
/// Streams that peers opened, and that have not passed the door of a sealed cluster. Further ones are dropped.
pub const MAX_DOORS: usize = 32;
/// Those of them whose peers have keys that the node does not know.
pub const MAX_STRANGERS: usize = 24;
/// Certificates of unknown peers that a node verifies in a second. Further peers are dropped.
pub const MAX_VERIFICATIONS_PER_SECOND: u32 = 400;
/// Certificates in node records that a node verifies in ten milliseconds. Others wait, and what their nodes registered is hidden
/// meanwhile.
pub const MAX_RECORD_CHECKS: usize = 16;
/// Frames with generations and revocations that a node takes over one stream. The most revocations that a node holds take fewer.
pub const MAX_HANDED_FRAMES: usize = 512;
/// Streams with credentials and news alone that a node has open at once. What they would have carried is left to others.
pub const MAX_ERRANDS: usize = 16;
/// Those of them that a survey of the members' keys may have open. The rest is kept for news.
pub const MAX_SURVEY_ERRANDS: usize = 10;
/// Members whose certificates a node remembers. One beyond the limit has to prove a generation, or have a valid token, each time.
pub const MAX_CERTIFICATES: usize = 2 * MAX_ORIGINS;
/// Bytes of the words with which a peer is not let in.
pub const MAX_REFUSAL_BYTES: usize = 512;
/// Senders whose counters a node of a sealed cluster remembers. Beyond the limit the one that has been silent for longest is
/// forgotten, and what was recorded of it stays refused.
pub const MAX_REPLAY_WINDOWS: usize = 2 * MAX_ORIGINS;
/// Addresses of other clusters that a node remembers, so that it tells its owner of each only once.
pub const MAX_FOREIGN_ADDRESSES: usize = 64;
/// Referees that a verdict names.
pub const MAX_REFEREES: usize = 16;
/// Suspicions that a node has open at once: one of each member, since all others may vanish at once.
pub const MAX_SUSPICIONS: usize = MAX_ORIGINS;
/// Indirect probes under way at once on behalf of others. Requests for a vote on further suspects are not answered.
pub const MAX_INDIRECT_PROBES: usize = 256;
/// Exit cases that a node has open at once. The ordinary detection goes on for every member, so that a case that finds no
/// room costs time and nothing else.
pub const MAX_EXIT_CASES: usize = 256;
/// A connection that stays open for this long was accepted by a process that lives.
pub const REACH_STAYS_OPEN: Duration = Duration::from_millis(20);
/// Members that a node pings for the first time at once, while it looks for members that answer.
pub const MAX_MEMBERS_PINGED_FIRST: usize = 400;
/// Members that a node checks at once because a peer sees them differently. Further ones wait for the next comparison
/// of views.
pub const MAX_VIEW_CHECKS: usize = 32;
/// Members at the address of an earlier life that are pinged in a second, to find out whether they answer there.
pub const MAX_SUCCESSORS_PINGED: usize = 8;
/// Members with a node's own name that it looks at. Further ones are counted and not told.
pub const MAX_NAMESAKES: usize = 64;
/// Pings that wait for a pong. Beyond the limit the oldest are forgotten.
pub const MAX_PENDING_PINGS: usize = 4_096;
/// Bytes that a datagram may cause to an address that is not proven, for each byte of the datagram.
pub const MAX_ANSWER_GROWTH: usize = 2;
/// Pings that wait for the proof of an address. Beyond the limit the oldest are forgotten.
pub const MAX_PROOFS_AWAITED: usize = 1_024;
/// Pings for echoes that are remembered. Beyond the limit the oldest are forgotten.
pub const MAX_ECHOES: usize = 64;
/// Questions of members that wait until the address of the member is proven. Beyond the limit the oldest are dropped; the
/// member asks again.
pub const MAX_QUESTIONS_PUT_OFF: usize = 64;
/// Pulls of one gap at a source whose address is not proven. Further ones go to other members.
pub const MAX_PULLS_UNPROVEN: u32 = 1;
/// Stream probes under way at once. Beyond the limit members are pinged by datagram only.
pub const MAX_STREAM_PROBES: usize = 64;
/// Member updates that wait to be sent. Further ones are dropped and left to the comparison of views.
pub const MAX_MEMBER_UPDATES: usize = 4_096;
/// Parts of the ring by which two views are compared.
pub const MAX_MEMBER_BUCKETS: usize = 256;
/// Datagrams that answer one comparison of views.
pub const MAX_LISTING_DATAGRAMS: usize = 8;
/// Referrals that a node follows in one round of hellos.
pub const MAX_REFERRALS: u32 = 8;
/// Seed addresses that a node keeps, and addresses of former peers at which an isolated node says hello.
pub const MAX_SEEDS: usize = 256;
