//! Checks that queues, members, tombstones, bytes and packets stay under their limits.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use hobnob_membership::{NodeId, Time, limits};

use crate::checkers::checker::{Checker, Scene, is_turn_of};
use crate::checkers::measured::Measured;
use crate::scenario::{Limit, LimitValue};
use crate::world::MAX_WAKES;

/// The period over which bytes are counted, in whole seconds.
const PERIOD: Duration = Duration::from_secs(10);

/// A replica learns its origin's tombstone floor within this time.
const FLOOR_HEARD_WITHIN: Duration = Duration::from_secs(45);

/// Checks every node each second, and the bytes that it sent in the ten seconds before.
#[derive(Default)]
pub(super) struct LimitsKept {
    /// Bytes that each host had sent at the moments of the last ten seconds.
    sent: VecDeque<(Time, Vec<u64>)>,
    /// The most bytes that a host sent in ten seconds.
    most: u64,
    digests: Vec<u64>,
    /// Replicas with too many tombstones, and since when.
    heaped: BTreeMap<(usize, NodeId), Time>,
}

impl Checker for LimitsKept {
    fn name(&self) -> &'static str {
        "limits"
    }

    fn explanation(&self) -> &'static str {
        "queues, members, tombstones, keys, sessions, packets and the bytes sent must stay under their named limits, and no message may be made that does not fit"
    }

    fn window(&mut self, scene: &Scene<'_>, failures: &mut Vec<String>) {
        let hosts = scene.world.len();
        self.digests.resize(hosts, 0);
        for (host, node) in scene.world.running() {
            if scene.world.host(host).spins() {
                failures.push(format!(
                    "n{host} asked {MAX_WAKES} times to be woken at a moment that had come"
                ));
            }
            let mut over = |what: &str, count: u64, limit: u64| {
                if count > limit {
                    failures.push(format!("n{host} has {count} {what}; the limit is {limit}"));
                }
            };
            let flooded = scene.world.host(host).meter().flooded;
            over("datagrams dropped at the send limit, answers to hellos aside", flooded, 0);
            let load = node.load();
            over("rumors waiting", load.rumors as u64, limits::MAX_RUMOR_QUEUE as u64);
            over("answers waiting", load.answers as u64, limits::MAX_ANSWERS_WAITING as u64);
            over("open gaps", load.gaps as u64, limits::MAX_PENDING_PULLS as u64);
            let sessions = limits::MAX_SESSIONS_SERVED + limits::MAX_SESSIONS_OPENED;
            over("sessions", load.sessions as u64, sessions as u64);
            over("members", load.members as u64, limits::MAX_ORIGINS as u64);
            over("bytes of records", load.record_bytes as u64, limits::MAX_CATALOG_BYTES as u64);
            let unvouched = load.unvouched_origins as u64;
            over("origins that are no members", unvouched, limits::MAX_UNVOUCHED_ORIGINS as u64);
            over("messages that did not fit", node.counters().encoding_errors, 0);
            let longest = scene.world.host(host).meter().longest_datagram;
            over("bytes in a datagram", longest as u64, limits::MAX_DATAGRAM_BYTES as u64);
            if !is_turn_of(host, scene) {
                continue;
            }
            let digest = node.catalog().digest();
            let heaped = self.heaped.keys().any(|(at, _)| *at == host);
            if std::mem::replace(&mut self.digests[host], digest) == digest && !heaped {
                continue;
            }
            for (id, origin) in node.catalog().origins() {
                let Some(replica) = origin.current() else { continue };
                let own = id == scene.world.host(host).id;
                let mut over = |what: &str, count: usize, limit: usize| {
                    if count > limit {
                        let name = scene.world.name_of(id);
                        let what = format!("n{host} keeps {count} {what} of {name}");
                        failures.push(format!("{what}; the limit is {limit}"));
                    }
                };
                over("keys", replica.len(), limits::MAX_KEYS_PER_ORIGIN);
                if own {
                    over("tombstones", replica.tombstones(), limits::MAX_TOMBSTONES);
                } else if replica.tombstones() <= 2 * limits::MAX_TOMBSTONES {
                    self.heaped.remove(&(host, id));
                } else {
                    // A replica may not know the latest floor yet.
                    let now = scene.world.now();
                    let since = *self.heaped.entry((host, id)).or_insert(now);
                    if now.since(since) > FLOOR_HEARD_WITHIN {
                        let kept = replica.tombstones();
                        over("tombstones", kept, 2 * limits::MAX_TOMBSTONES);
                    }
                }
            }
        }
        self.count_bytes(scene, failures);
    }

    fn measured(&self, measured: &mut Measured) {
        let rate = self.most.div_ceil(PERIOD.as_secs());
        measured.note(Limit::BytesPerSecond, LimitValue::Rate(rate));
    }
}

impl LimitsKept {
    /// Compares the bytes sent in the last ten seconds with their limit.
    fn count_bytes(&mut self, scene: &Scene<'_>, failures: &mut Vec<String>) {
        let now = scene.world.now();
        let total = |host| {
            let meter = scene.world.host(host).meter();
            meter.datagram_bytes + meter.frame_bytes
        };
        let totals: Vec<u64> = (0..scene.world.len()).map(total).collect();
        while self.sent.front().is_some_and(|(at, _)| now.since(*at) > PERIOD) {
            self.sent.pop_front();
        }
        let limit = scene.limits.bytes_per_second * PERIOD.as_secs();
        let mut exceeded = false;
        for (host, total) in totals.iter().enumerate() {
            let before = self.sent.front().and_then(|(_, totals)| totals.get(host));
            let sent = total - before.unwrap_or(&0);
            self.most = self.most.max(sent);
            if sent > limit {
                exceeded = true;
                failures.push(format!(
                    "n{host} sent {sent} bytes in {} s; the limit is {limit}",
                    PERIOD.as_secs()
                ));
            }
        }
        if exceeded {
            // The same bytes are told once.
            self.sent.clear();
        }
        self.sent.push_back((now, totals));
    }
}
