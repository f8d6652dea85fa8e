//! The pace at which connections of peers are answered: token buckets, which come before any handshake.
//!
//! A handshake costs half a millisecond of a core, so without a limit 2,000 a second take all of it. Members and strangers
//! draw from buckets of their own, so strangers cannot keep members out. An attempt beyond the pace is ignored, not
//! refused: its peer sends it again a second later.

use std::collections::HashMap;
use std::net::IpAddr;

use tokio::time::Instant;

use super::limits::{
    HANDSHAKES_OF_MEMBERS, HANDSHAKES_OF_STRANGERS, HANDSHAKES_PER_HOST, MAX_HOSTS_PACED, RETRIES,
    Rate,
};

/// A bucket of tokens that fills at a rate.
#[derive(Clone, Copy, Debug)]
struct Bucket {
    rate: Rate,
    full_at: Instant,
}

impl Bucket {
    fn full(rate: Rate, now: Instant) -> Self {
        Self { rate, full_at: now }
    }

    fn has_token(&self, now: Instant) -> bool {
        let gap = self.rate.gap();
        self.full_at.saturating_duration_since(now) + gap <= gap * self.rate.burst
    }

    /// Takes a token, if there is one.
    fn take(&mut self, now: Instant) -> bool {
        let has_token = self.has_token(now);
        if has_token {
            self.full_at = self.full_at.max(now) + self.rate.gap();
        }
        has_token
    }
}

/// A kind of peer, as far as its address tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PeerKind {
    Member,
    Stranger,
}

/// The rates of one endpoint.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rates {
    pub(super) handshakes_of_strangers: Rate,
    pub(super) handshakes_of_members: Rate,
    pub(super) handshakes_per_host: Rate,
    pub(super) retries: Rate,
}

impl Default for Rates {
    fn default() -> Self {
        Self {
            handshakes_of_strangers: HANDSHAKES_OF_STRANGERS,
            handshakes_of_members: HANDSHAKES_OF_MEMBERS,
            handshakes_per_host: HANDSHAKES_PER_HOST,
            retries: RETRIES,
        }
    }
}

/// The buckets of each kind of peer.
#[derive(Debug)]
struct PerKind {
    members: Bucket,
    strangers: Bucket,
}

impl PerKind {
    fn of(&mut self, kind: PeerKind) -> &mut Bucket {
        match kind {
            PeerKind::Member => &mut self.members,
            PeerKind::Stranger => &mut self.strangers,
        }
    }
}

/// The buckets of one endpoint.
#[derive(Debug)]
pub(super) struct Pace {
    per_host: Rate,
    retries: PerKind,
    handshakes: PerKind,
    /// The buckets of hosts that are not full.
    hosts: HashMap<IpAddr, Bucket>,
}

impl Pace {
    pub(super) fn new(rates: &Rates, now: Instant) -> Self {
        let full = |rate| Bucket::full(rate, now);
        Self {
            per_host: rates.handshakes_per_host,
            retries: PerKind { members: full(rates.retries), strangers: full(rates.retries) },
            handshakes: PerKind {
                members: full(rates.handshakes_of_members),
                strangers: full(rates.handshakes_of_strangers),
            },
            hosts: HashMap::new(),
        }
    }

    /// Whether an attempt from an address that is not proven yet is answered with a Retry.
    pub(super) fn take_retry(&mut self, kind: PeerKind, now: Instant) -> bool {
        self.retries.of(kind).take(now)
    }

    /// Whether a peer that owns its address may begin a handshake. `host` is `None` where many agents share one address.
    pub(super) fn take_handshake(
        &mut self,
        kind: PeerKind,
        host: Option<IpAddr>,
        now: Instant,
    ) -> bool {
        let shared = self.handshakes.of(kind);
        if !shared.has_token(now) {
            return false;
        }
        if let Some(host) = host {
            if self.hosts.len() >= MAX_HOSTS_PACED && !self.hosts.contains_key(&host) {
                self.hosts.retain(|_, bucket| bucket.full_at > now);
                if self.hosts.len() >= MAX_HOSTS_PACED {
                    return false;
                }
            }
            let bucket = self.hosts.entry(host);
            if !bucket.or_insert_with(|| Bucket::full(self.per_host, now)).take(now) {
                return false;
            }
        }
        shared.take(now)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::PeerKind::{Member, Stranger};
    use super::*;

    fn host(n: u32) -> Option<IpAddr> {
        Some(IpAddr::from(n.to_be_bytes()))
    }

    /// The handshakes that hosts may begin of so many that each tries.
    fn begun(pace: &mut Pace, kind: PeerKind, hosts: u32, each: u32, now: Instant) -> u32 {
        let tries = (0..each).flat_map(|_| 0..hosts);
        tries.map(|n| u32::from(pace.take_handshake(kind, host(n), now))).sum()
    }

    #[test]
    fn a_burst_passes_and_then_one_in_each_gap() {
        let now = Instant::now();
        let mut bucket = Bucket::full(Rate { per_second: 10, burst: 3 }, now);
        let at = |ms| now + Duration::from_millis(ms);
        assert_eq!([0, 0, 0, 0].map(|ms| bucket.take(at(ms))), [true, true, true, false]);
        assert_eq!([99, 100, 100, 199].map(|ms| bucket.take(at(ms))), [false, true, false, false]);
        let rested = [9_000; 4].map(|ms| bucket.take(at(ms)));
        assert_eq!(rested, [true, true, true, false], "a rest saves up no more than the burst");
    }

    #[test]
    fn one_host_cannot_take_what_all_share_and_strangers_cannot_take_what_members_have() {
        let now = Instant::now();
        let mut pace = Pace::new(&Rates::default(), now);
        let first = begun(&mut pace, Stranger, 1, 10_000, now);
        assert_eq!(first, HANDSHAKES_PER_HOST.burst);
        let all = begun(&mut pace, Stranger, 1_000, 10, now);
        assert_eq!(first + all, HANDSHAKES_OF_STRANGERS.burst);
        assert_eq!(begun(&mut pace, Stranger, 1_000, 10, now), 0);
        let rested = Pace::new(&Rates::default(), now).take_handshake(Member, host(0), now);
        assert!(rested);
        // Hosts of members that tried as strangers have no tokens of their own left.
        let members = (2_000..4_000).filter(|n| pace.take_handshake(Member, host(*n), now)).count();
        assert_eq!(members as u32, HANDSHAKES_OF_MEMBERS.burst);
        let later = now + Duration::from_secs(1);
        assert_eq!(
            begun(&mut pace, Stranger, 1_000, 10, later),
            HANDSHAKES_OF_STRANGERS.per_second
        );
    }

    #[test]
    fn the_hosts_that_are_remembered_are_limited_and_those_that_rested_give_way() {
        let now = Instant::now();
        let mut pace = Pace::new(&Rates::default(), now);
        let full = Bucket::full(HANDSHAKES_PER_HOST, now + Duration::from_millis(1));
        pace.hosts = (0..MAX_HOSTS_PACED as u32).filter_map(|n| Some((host(n)?, full))).collect();
        assert!(!pace.take_handshake(Member, host(u32::MAX), now));
        let later = now + Duration::from_millis(1);
        assert!(pace.take_handshake(Member, host(u32::MAX), later));
        assert_eq!(pace.hosts.len(), 1);
    }

    #[test]
    fn retries_to_forged_strangers_leave_those_to_members() {
        let now = Instant::now();
        let mut pace = Pace::new(&Rates::default(), now);
        let answered = (0..10_000).filter(|_| pace.take_retry(Stranger, now)).count();
        assert_eq!(answered as u32, RETRIES.burst);
        assert!(pace.take_retry(Member, now));
    }
}
