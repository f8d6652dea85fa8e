//! When to say hello at the seeds, and how many newcomers to welcome.
//!
//! A node says hello for as long as it is alone. A node that is not alone says hello for a limited number of rounds
//! after a request to join.

use std::collections::{BTreeSet, VecDeque};
use std::net::SocketAddr;
use std::time::Duration;

use crate::base::limits::{MAX_REFERRALS, MAX_SEEDS, MAX_SESSIONS_SERVED};
use crate::base::protocol::Protocol;
use crate::base::time::Time;

/// Rounds of hellos after a request to join. They take place even if we are not alone.
const EAGER_ROUNDS: u32 = 20;
/// Longest wait between two of these rounds: hellos get lost while a thousand nodes start together.
const EAGER_WAIT: Duration = Duration::from_millis(250);
/// Wait after an answer to a hello, if we have not joined by then. The cluster is there, so a datagram was lost, or
/// there was no room for us at that moment.
const ANSWERED_RETRY: Duration = Duration::from_millis(200);
/// An invitation lapses after this time, if the newcomer has not opened a session.
const INVITED_FOR: Duration = Duration::from_millis(100);

/// The seeds, and when to say hello next.
#[derive(Debug)]
pub(crate) struct Seeds {
    /// The address that we were told of last is at the end.
    addresses: VecDeque<SocketAddr>,
    first_wait: Duration,
    longest_wait: Duration,
    wait: Duration,
    due: Time,
    eager_rounds: u32,
    /// Referrals that may still be followed before the next round.
    referrals: u32,
    token: u64,
}

impl Seeds {
    /// No seeds yet. Answers to our hellos must carry `token` back.
    pub(crate) fn new(protocol: &Protocol, token: u64) -> Self {
        Self {
            addresses: VecDeque::new(),
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

    /// Adds addresses to say hello at. Of more than [`MAX_SEEDS`], those that we were told of first give way.
    pub(crate) fn add(&mut self, addresses: Vec<SocketAddr>, now: Time) {
        for address in addresses.into_iter().take(MAX_SEEDS) {
            self.addresses.retain(|known| *known != address);
            self.addresses.push_back(address);
        }
        let excess = self.addresses.len().saturating_sub(MAX_SEEDS);
        self.addresses.drain(..excess);
        self.eager_rounds = EAGER_ROUNDS;
        self.hurry(now);
    }

    /// Begins a round now, and returns to short waits.
    pub(crate) fn hurry(&mut self, now: Time) {
        self.wait = self.first_wait;
        self.due = now;
    }

    /// Brings the next round forward, because a node answered our hello: long waits are for nodes that get no answer.
    /// `stretch` is the same as for [`Self::take_due`].
    pub(crate) fn answered(&mut self, now: Time, stretch: f64) {
        self.wait = self.wait.min(ANSWERED_RETRY);
        self.due = self.due.min(now + ANSWERED_RETRY.mul_f64(stretch));
    }

    /// Ends the request to join, because a session has succeeded. A welcome does not, since its session may be refused.
    pub(crate) fn joined(&mut self) {
        self.eager_rounds = 0;
    }

    /// Notes a hello outside of the rounds, so that the referrals which answer it are followed.
    pub(crate) fn hello_sent(&mut self) {
        self.referrals = MAX_REFERRALS;
    }

    /// Whether to follow a referral. The number is limited, so that nodes that refer us in circles are not followed for
    /// long.
    pub(crate) fn follow_referral(&mut self) -> bool {
        let follow = self.referrals > 0;
        self.referrals = self.referrals.saturating_sub(1);
        follow
    }

    /// The seeds: the addresses that we were told to join at.
    pub(crate) fn addresses(&self) -> impl Iterator<Item = SocketAddr> + '_ {
        self.addresses.iter().copied()
    }

    pub(crate) fn is_eager(&self) -> bool {
        self.eager_rounds > 0
    }

    pub(crate) fn next_deadline(&self, alone: bool) -> Option<Time> {
        (alone || self.is_eager()).then_some(self.due)
    }

    /// The addresses to say hello at now: the seeds and, when alone, `former` peers. None if no round is due. The next
    /// wait is multiplied by `stretch`, so that nodes that started together do not go on saying hello together.
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
        let mut addresses: BTreeSet<_> = self.addresses().collect();
        if alone {
            addresses.extend(former.take(MAX_SEEDS));
        }
        addresses
    }
}

/// Newcomers that we welcomed and that have not opened a session yet. Each will take one of the sessions that we serve.
#[derive(Debug, Default)]
pub(crate) struct Invitations {
    open: usize,
    since: Time,
}

impl Invitations {
    /// Promises a session to one more newcomer, unless the sessions that are `taken` or promised reach the limit.
    pub(crate) fn invite(&mut self, taken: usize, now: Time) -> bool {
        if now.since(self.since) >= INVITED_FOR {
            *self = Self { open: 0, since: now };
        }
        let room = taken + self.open < MAX_SESSIONS_SERVED;
        self.open += usize::from(room);
        room
    }

    /// Notes that a newcomer opened its session.
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
        assert_eq!(seeds.next_deadline(false), None, "the rounds of the request are over");
    }

    #[test]
    fn the_latest_addresses_are_asked_however_many_there_were() {
        let mut seeds = Seeds::new(&Protocol::default(), 1);
        let address = |port: usize| SocketAddr::from(([127, 0, 0, 1], port as u16));
        for port in 1..=2 * MAX_SEEDS {
            seeds.add(vec![address(port), address(1)], Time::ZERO);
            let asked = seeds.take_due(Time::ZERO, false, std::iter::empty(), 1.0);
            assert!(asked.contains(&address(port)) && asked.contains(&address(1)));
            assert!(asked.len() <= MAX_SEEDS);
        }
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
    fn each_round_follows_a_limited_number_of_referrals() {
        let mut seeds = Seeds::new(&Protocol::default(), 1);
        assert!(!seeds.follow_referral(), "no hello was sent");
        seeds.add(vec![([127, 0, 0, 1], 1).into()], Time::ZERO);
        for _ in 0..2 {
            let due = seeds.next_deadline(true).expect("alone");
            seeds.take_due(due, true, std::iter::empty(), 1.0);
            let followed = (0..100).filter(|_| seeds.follow_referral()).count();
            assert_eq!(followed, MAX_REFERRALS as usize);
        }
    }

    #[test]
    fn as_many_newcomers_are_welcomed_as_there_are_sessions() {
        let mut invitations = Invitations::default();
        let mut invite = |taken, now| {
            (0..100).filter(|_| invitations.invite(taken, Time::from_millis(now))).count()
        };
        assert_eq!(invite(0, 5), MAX_SESSIONS_SERVED);
        assert_eq!(invite(0, 50), 0, "all sessions are promised");
        assert_eq!(invite(4, 105), MAX_SESSIONS_SERVED - 4, "the promises lapsed");
        invitations.came();
        assert!(invitations.invite(4, Time::from_millis(106)));
        assert!(!invitations.invite(4, Time::from_millis(106)));
    }
}
