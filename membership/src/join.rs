//! Knocking at seeds: for as long as we are alone, and for a while when asked to join somebody else.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Duration;

use crate::config::Protocol;
use crate::limits::MAX_SEEDS;
use crate::time::Time;

/// Rounds of knocking after a request to join, although we are not alone.
const EAGER_ROUNDS: u32 = 10;

/// The seeds, and when to knock next.
#[derive(Debug)]
pub(crate) struct Seeds {
    addresses: BTreeSet<SocketAddr>,
    first_wait: Duration,
    longest_wait: Duration,
    wait: Duration,
    due: Time,
    eager_rounds: u32,
    token: u64,
}

impl Seeds {
    /// Nobody to knock at; `token` is what answers must carry back.
    pub(crate) fn new(protocol: &Protocol, token: u64) -> Self {
        Self {
            addresses: BTreeSet::new(),
            first_wait: protocol.join_retry,
            longest_wait: protocol.join_retry_max,
            wait: protocol.join_retry,
            due: Time::ZERO,
            eager_rounds: 0,
            token,
        }
    }

    pub(crate) fn token(&self) -> u64 {
        self.token
    }

    pub(crate) fn add(&mut self, addresses: Vec<SocketAddr>, now: Time) {
        let room = MAX_SEEDS.saturating_sub(self.addresses.len());
        self.addresses.extend(addresses.into_iter().take(room));
        self.eager_rounds = EAGER_ROUNDS;
        self.hurry(now);
    }

    /// Knock now, and then with short waits again.
    pub(crate) fn hurry(&mut self, now: Time) {
        self.wait = self.first_wait;
        self.due = now;
    }

    /// Somebody answered.
    pub(crate) fn answered(&mut self) {
        self.eager_rounds = 0;
    }

    /// The addresses that we were told to join at.
    pub(crate) fn addresses(&self) -> impl Iterator<Item = SocketAddr> + '_ {
        self.addresses.iter().copied()
    }

    pub(crate) fn is_eager(&self) -> bool {
        self.eager_rounds > 0
    }

    pub(crate) fn next_deadline(&self, alone: bool) -> Option<Time> {
        (alone || self.is_eager()).then_some(self.due)
    }

    /// Where to knock now, if it is time: at the seeds and, when alone, at `former` peers.
    pub(crate) fn take_due(
        &mut self,
        now: Time,
        alone: bool,
        former: impl Iterator<Item = SocketAddr>,
    ) -> BTreeSet<SocketAddr> {
        if self.next_deadline(alone).is_none_or(|due| due > now) {
            return BTreeSet::new();
        }
        self.due = now + self.wait;
        self.wait = (self.wait * 2).min(self.longest_wait);
        self.eager_rounds = self.eager_rounds.saturating_sub(1);
        let mut addresses = self.addresses.clone();
        if alone {
            addresses.extend(former.take(MAX_SEEDS));
        }
        addresses
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knocks_for_as_long_as_it_is_alone_with_waits_up_to_the_longest() {
        let mut seeds = Seeds::new(&Protocol::default(), 1);
        seeds.add(vec![([127, 0, 0, 1], 1).into()], Time::ZERO);
        let mut rounds = Vec::new();
        while rounds.len() < 12 {
            let due = seeds.next_deadline(true).expect("alone");
            assert_eq!(seeds.take_due(due, true, std::iter::empty()).len(), 1);
            rounds.push(due);
        }
        let waits: Vec<_> = rounds.windows(2).map(|pair| (pair[1] - pair[0]).as_millis()).collect();
        assert_eq!(
            waits,
            [100, 200, 400, 800, 1_600, 3_200, 6_400, 10_000, 10_000, 10_000, 10_000]
        );
        assert_eq!(seeds.next_deadline(false), None, "the request to join is worn out");
    }

    #[test]
    fn a_request_to_join_knocks_although_it_is_not_alone_until_it_is_answered() {
        let mut seeds = Seeds::new(&Protocol::default(), 1);
        assert_eq!(seeds.next_deadline(false), None);
        seeds.add(vec![([127, 0, 0, 1], 1).into()], Time::ZERO);
        assert_eq!(seeds.next_deadline(false), Some(Time::ZERO));
        seeds.answered();
        assert_eq!(seeds.next_deadline(false), None);
    }

    #[test]
    fn former_peers_are_asked_only_when_alone() {
        let mut seeds = Seeds::new(&Protocol::default(), 1);
        seeds.add(vec![([127, 0, 0, 1], 1).into()], Time::ZERO);
        let former = || std::iter::once(SocketAddr::from(([127, 0, 0, 1], 2)));
        assert_eq!(seeds.take_due(Time::ZERO, false, former()).len(), 1);
        seeds.hurry(Time::ZERO);
        assert_eq!(seeds.take_due(Time::ZERO, true, former()).len(), 2);
    }
}
