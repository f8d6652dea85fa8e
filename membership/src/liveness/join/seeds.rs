//! Knocking at seeds: for as long as we are alone, and for a while when asked to join somebody else. And how many of
//! those who knock at us are asked in.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Duration;

use crate::base::limits::{MAX_REFERRALS, MAX_SEEDS, MAX_SESSIONS_SERVED};
use crate::base::protocol::Protocol;
use crate::base::time::Time;

/// Rounds of knocking after a request to join, although we are not alone.
const EAGER_ROUNDS: u32 = 20;
/// In these rounds nobody waits longer: who starts together with a thousand others is not heard each time.
const EAGER_WAIT: Duration = Duration::from_millis(250);
/// Who was answered and is not in yet knocks again after this time: the cluster is there, so only a datagram was lost, or
/// there was no room for us at that moment.
const ANSWERED_RETRY: Duration = Duration::from_millis(200);
/// Who was asked in has come after this time, or will not.
const INVITED_FOR: Duration = Duration::from_millis(100);

/// The seeds, and when to knock next.
#[derive(Debug)]
pub(crate) struct Seeds {
    addresses: BTreeSet<SocketAddr>,
    first_wait: Duration,
    longest_wait: Duration,
    wait: Duration,
    due: Time,
    eager_rounds: u32,
    /// Referrals that may still be followed before we knock again.
    referrals: u32,
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
            referrals: 0,
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

    /// StreamProbe now, and then with short waits again.
    pub(crate) fn hurry(&mut self, now: Time) {
        self.wait = self.first_wait;
        self.due = now;
    }

    /// Somebody answered a knock. The next round comes soon, `stretch` as in [`Self::take_due`]: the waits that we had
    /// reached are meant for those to whom nobody speaks.
    pub(crate) fn answered(&mut self, now: Time, stretch: f64) {
        self.wait = self.wait.min(ANSWERED_RETRY);
        self.due = self.due.min(now + ANSWERED_RETRY.mul_f64(stretch));
    }

    /// We joined somebody who answered. Before that a session may still be refused.
    pub(crate) fn joined(&mut self) {
        self.eager_rounds = 0;
    }

    /// We knock outside of the rounds; what that leads to may be followed.
    pub(crate) fn hello_sent(&mut self) {
        self.referrals = MAX_REFERRALS;
    }

    /// Whether to knock where we are referred to: whoever sends us round in circles is not followed for long.
    pub(crate) fn follow_referral(&mut self) -> bool {
        let follow = self.referrals > 0;
        self.referrals = self.referrals.saturating_sub(1);
        follow
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

    /// Where to knock now, if it is time: at the seeds and, when alone, at `former` peers. The next wait is stretched, so
    /// that those who started together do not knock together for ever.
    pub(crate) fn take_due(
        &mut self,
        now: Time,
        alone: bool,
        former: impl Iterator<Item = SocketAddr>,
        stretch: f64,
    ) -> BTreeSet<SocketAddr> {
        if self.next_deadline(alone).is_none_or(|due| due > now) {
            return BTreeSet::new();
        }
        self.due = now + self.wait.mul_f64(stretch);
        self.referrals = MAX_REFERRALS;
        self.eager_rounds = self.eager_rounds.saturating_sub(1);
        let longest =
            if self.is_eager() { EAGER_WAIT.min(self.longest_wait) } else { self.longest_wait };
        self.wait = (self.wait * 2).min(longest);
        let mut addresses = self.addresses.clone();
        if alone {
            addresses.extend(former.take(MAX_SEEDS));
        }
        addresses
    }
}

/// Those who hello_sent, were asked in and did not come yet. Each will take a place among the sessions that we serve.
#[derive(Debug, Default)]
pub(crate) struct Invitations {
    open: usize,
    since: Time,
}

impl Invitations {
    /// Asks one more in, unless all places beside those that are `taken` are promised.
    pub(crate) fn invite(&mut self, taken: usize, now: Time) -> bool {
        if now.since(self.since) >= INVITED_FOR {
            *self = Self { open: 0, since: now };
        }
        let room = taken + self.open < MAX_SESSIONS_SERVED;
        self.open += usize::from(room);
        room
    }

    /// Somebody came.
    pub(crate) fn came(&mut self) {
        self.open = self.open.saturating_sub(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hellos_go_on_while_alone_with_growing_waits() {
        let mut seeds = Seeds::new(&Protocol::default(), 1);
        seeds.add(vec![([127, 0, 0, 1], 1).into()], Time::ZERO);
        let mut rounds = Vec::new();
        while rounds.len() < 27 {
            let due = seeds.next_deadline(true).expect("alone");
            assert_eq!(seeds.take_due(due, true, std::iter::empty(), 1.0).len(), 1);
            rounds.push(due);
        }
        let waits: Vec<_> = rounds.windows(2).map(|pair| (pair[1] - pair[0]).as_millis()).collect();
        assert_eq!(waits[..2], [100, 200]);
        assert_eq!(waits[2..20], [250; 18]);
        assert_eq!(waits[20..], [500, 1_000, 2_000, 4_000, 8_000, 10_000]);
        assert_eq!(seeds.next_deadline(false), None, "the request to join is worn out");
    }

    #[test]
    fn a_request_to_join_sends_hellos_until_it_has_joined() {
        let mut seeds = Seeds::new(&Protocol::default(), 1);
        assert_eq!(seeds.next_deadline(false), None);
        seeds.add(vec![([127, 0, 0, 1], 1).into()], Time::ZERO);
        assert_eq!(seeds.next_deadline(false), Some(Time::ZERO));
        seeds.joined();
        assert_eq!(seeds.next_deadline(false), None);
    }

    #[test]
    fn the_next_hello_is_soon_after_an_answer() {
        let mut seeds = Seeds::new(&Protocol::default(), 1);
        seeds.add(vec![([127, 0, 0, 1], 1).into()], Time::ZERO);
        let mut due = Time::ZERO;
        for _ in 0..30 {
            due = seeds.next_deadline(true).expect("alone");
            seeds.take_due(due, true, std::iter::empty(), 1.0);
        }
        assert_eq!(seeds.next_deadline(true), Some(due + Duration::from_secs(10)));
        seeds.answered(due, 1.0);
        let soon = due + ANSWERED_RETRY;
        assert_eq!(seeds.next_deadline(true), Some(soon));
        seeds.take_due(soon, true, std::iter::empty(), 1.0);
        assert_eq!(
            seeds.next_deadline(true),
            Some(soon + ANSWERED_RETRY),
            "and doubling from there"
        );
        seeds.take_due(soon + ANSWERED_RETRY, true, std::iter::empty(), 1.0);
        assert_eq!(seeds.next_deadline(true), Some(soon + ANSWERED_RETRY * 3));
        seeds.joined();
        assert_eq!(seeds.next_deadline(false), None);
    }

    #[test]
    fn former_peers_are_asked_only_when_alone() {
        let mut seeds = Seeds::new(&Protocol::default(), 1);
        seeds.add(vec![([127, 0, 0, 1], 1).into()], Time::ZERO);
        let former = || std::iter::once(SocketAddr::from(([127, 0, 0, 1], 2)));
        assert_eq!(seeds.take_due(Time::ZERO, false, former(), 1.0).len(), 1);
        seeds.hurry(Time::ZERO);
        assert_eq!(seeds.take_due(Time::ZERO, true, former(), 1.0).len(), 2);
    }

    #[test]
    fn so_many_referrals_are_followed_in_each_round() {
        let mut seeds = Seeds::new(&Protocol::default(), 1);
        assert!(!seeds.follow_referral(), "nobody was asked");
        seeds.add(vec![([127, 0, 0, 1], 1).into()], Time::ZERO);
        for _ in 0..2 {
            let due = seeds.next_deadline(true).expect("alone");
            seeds.take_due(due, true, std::iter::empty(), 1.0);
            let followed = (0..100).filter(|_| seeds.follow_referral()).count();
            assert_eq!(followed, MAX_REFERRALS as usize);
        }
    }

    #[test]
    fn as_many_are_asked_in_as_there_are_places() {
        let mut invitations = Invitations::default();
        let mut invite = |taken, now| {
            (0..100).filter(|_| invitations.invite(taken, Time::from_millis(now))).count()
        };
        assert_eq!(invite(0, 5), MAX_SESSIONS_SERVED);
        assert_eq!(invite(0, 50), 0, "they are on their way");
        assert_eq!(invite(4, 105), MAX_SESSIONS_SERVED - 4, "they will not come any more");
        invitations.came();
        assert!(invitations.invite(4, Time::from_millis(106)));
        assert!(!invitations.invite(4, Time::from_millis(106)));
    }
}
