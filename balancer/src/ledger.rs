//! Picks of clients in other processes, which report later.

use std::{collections::VecDeque, time::Duration};

use crate::{feedback::Outcome, picker::Pick};

/// The open picks of clients in other processes. Such a client gets a token with its answer, with which it may report how
/// its call went. A token that is not reported in time expires, and its pick counts as cancelled.
///
/// The number of open picks is limited: at the limit the oldest pick is cancelled to make room. A token is valid once. Tokens
/// are salted, so that a token of an earlier run names no pick of this one. They are below 2^53 and never 0: every language
/// can read one as a number.
#[derive(Debug)]
pub struct Ledger<T> {
    entries: Vec<Entry<T>>,
    free: Vec<u32>,
    /// Tokens with their deadlines, in the order in which they were issued and expire.
    issued: VecDeque<(Duration, Token)>,
    open: usize,
    capacity: usize,
    time_to_live: Duration,
    salt: u64,
}

#[derive(Debug)]
struct Entry<T> {
    /// Tells the token of this pick from earlier tokens of the same entry.
    serial: u32,
    pick: Option<Pick<T>>,
}

/// Bits of a token that name an entry.
const INDEX_BITS: u32 = 21;
/// Bits of a token: its serial and its entry.
const TOKEN_BITS: u32 = u32::BITS + INDEX_BITS;

/// Names one open pick.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Token(u64);

/// The report of one call, in a batch of [`Ledger::report_all`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Completion {
    /// The token that [`Ledger::issue`] returned.
    pub token: Token,
    /// The outcome of the call.
    pub outcome: Outcome,
    /// The time from the call to its end.
    pub latency: Duration,
}

/// The token was never issued, was reported before or has expired. Nothing has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("token {} is unknown: reported before, or expired", .0.0)]
pub struct UnknownToken(pub Token);

impl<T> Ledger<T> {
    /// A ledger for at most `capacity` open picks, each for at most `time_to_live`. The capacity is clamped into
    /// `1..=2^21`. `salt` is a random number, another one in each run.
    pub fn new(capacity: usize, time_to_live: Duration, salt: u64) -> Self {
        let capacity = capacity.clamp(1, 1 << INDEX_BITS);
        let (entries, free, issued) = (Vec::new(), Vec::new(), VecDeque::new());
        let salt = salt >> (u64::BITS - TOKEN_BITS);
        Self { entries, free, issued, open: 0, capacity, time_to_live, salt }
    }

    /// The number of picks that are neither reported nor expired.
    pub fn len(&self) -> usize {
        self.open
    }

    /// Whether no pick is open.
    pub fn is_empty(&self) -> bool {
        self.open == 0
    }

    /// Keeps a pick until its token is reported or expires.
    pub fn issue(&mut self, pick: Pick<T>, now: Duration) -> Token {
        self.expire(now);
        while self.open >= self.capacity
            && let Some((_, oldest)) = self.issued.pop_front()
        {
            drop(self.take(oldest));
        }
        let index = self.free.pop().unwrap_or_else(|| {
            self.entries.push(Entry { serial: 0, pick: None });
            self.entries.len() as u32 - 1
        });
        let entry = &mut self.entries[index as usize];
        entry.serial = entry.serial.wrapping_add(1);
        if token(self.salt, entry.serial, index) == Token(0) {
            entry.serial = entry.serial.wrapping_add(1);
        }
        entry.pick = Some(pick);
        self.open += 1;
        let token = token(self.salt, entry.serial, index);
        self.issued.push_back((now.saturating_add(self.time_to_live), token));
        token
    }

    /// Completes the pick of a token.
    ///
    /// # Errors
    /// The token is not open. Nothing has changed.
    pub fn report(
        &mut self,
        token: Token,
        outcome: Outcome,
        latency: Duration,
    ) -> Result<(), UnknownToken> {
        self.take(token).ok_or(UnknownToken(token))?.complete(outcome, latency);
        self.forget_reported();
        Ok(())
    }

    /// Completes a batch of picks. Returns how many of the tokens were open.
    pub fn report_all(&mut self, completions: impl IntoIterator<Item = Completion>) -> usize {
        let report = |done: Completion| self.report(done.token, done.outcome, done.latency).is_ok();
        completions.into_iter().map(report).filter(|&known| known).count()
    }

    /// Cancels the picks whose time is up. Returns their number.
    pub fn expire(&mut self, now: Duration) -> usize {
        let mut expired = 0;
        while let Some(&(deadline, token)) = self.issued.front()
            && deadline <= now
        {
            self.issued.pop_front();
            expired += usize::from(self.take(token).is_some());
        }
        expired
    }

    /// When the next pick may expire.
    pub fn next_expiry(&self) -> Option<Duration> {
        self.issued.front().map(|&(deadline, _)| deadline)
    }

    fn take(&mut self, token: Token) -> Option<Pick<T>> {
        let (serial, index) = parts(self.salt, token);
        let entry = self.entries.get_mut(index as usize)?;
        let pick = entry.pick.take_if(|_| u64::from(entry.serial) == serial)?;
        self.free.push(index);
        self.open -= 1;
        Some(pick)
    }

    /// Keeps the queue of deadlines short: it holds at most as many reported tokens as open ones, and a few more.
    fn forget_reported(&mut self) {
        if self.issued.len() > 2 * self.open + 16 {
            let (entries, salt) = (&self.entries, self.salt);
            self.issued.retain(|&(_, token)| {
                let (serial, index) = parts(salt, token);
                let entry = &entries[index as usize];
                entry.pick.is_some() && u64::from(entry.serial) == serial
            });
        }
    }
}

fn token(salt: u64, serial: u32, index: u32) -> Token {
    Token((u64::from(serial) << INDEX_BITS | u64::from(index)) ^ salt)
}

/// The serial and the entry of a token. Those of an invented token may be any number.
fn parts(salt: u64, token: Token) -> (u64, u32) {
    let bare = token.0 ^ salt;
    (bare >> INDEX_BITS, (bare & ((1 << INDEX_BITS) - 1)) as u32)
}

impl From<u64> for Token {
    fn from(number: u64) -> Self {
        Self(number)
    }
}

impl From<Token> for u64 {
    fn from(token: Token) -> Self {
        token.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Balancer, Config, Picker, Strategy, Target};

    fn picker() -> Picker<()> {
        let balancer = Balancer::new(Config::default());
        balancer.update(vec![Target { id: "a".into(), weight: 1, item: () }]);
        balancer.picker()
    }

    fn pick(picker: &mut Picker<()>) -> Pick<()> {
        picker.pick(Strategy::RoundRobin, None).unwrap()
    }

    fn in_flight(picker: &Picker<()>) -> u32 {
        picker.snapshot().instances()[0].in_flight()
    }

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_token_reports_once() {
        let (mut picker, mut ledger) = (picker(), Ledger::new(10, SECOND, 0));
        let token = ledger.issue(pick(&mut picker), Duration::ZERO);
        assert_eq!(in_flight(&picker), 1);
        assert_eq!(ledger.report(token, Outcome::Failure, SECOND), Ok(()));
        assert_eq!(ledger.report(token, Outcome::Failure, SECOND), Err(UnknownToken(token)));
        assert_eq!((in_flight(&picker), picker.snapshot().instances()[0].failures()), (0, 1));
        let next = ledger.issue(pick(&mut picker), Duration::ZERO);
        assert_ne!(next, token, "the entry is used again, the token is not");
    }

    #[test]
    fn a_token_expires() {
        let (mut picker, mut ledger) = (picker(), Ledger::new(10, SECOND, u64::MAX));
        let early = ledger.issue(pick(&mut picker), Duration::ZERO);
        let late = ledger.issue(pick(&mut picker), SECOND / 2);
        assert_eq!(ledger.next_expiry(), Some(SECOND));
        assert_eq!(ledger.expire(SECOND), 1);
        let report = |token| Completion { token, outcome: Outcome::Success, latency: SECOND };
        assert_eq!(ledger.report_all([early, late].map(report)), 1);
        assert_eq!((ledger.len(), in_flight(&picker)), (0, 0));
    }

    #[test]
    fn the_oldest_makes_room() {
        let (mut picker, mut ledger) = (picker(), Ledger::new(2, SECOND, 7));
        let tokens: Vec<Token> =
            (0..3).map(|_| ledger.issue(pick(&mut picker), Duration::ZERO)).collect();
        assert_eq!((ledger.len(), in_flight(&picker)), (2, 2));
        assert!(ledger.report(tokens[0], Outcome::Success, SECOND).is_err());
        assert!(ledger.report(tokens[2], Outcome::Success, SECOND).is_ok());
    }

    #[test]
    fn it_does_not_grow_with_use() {
        let (mut picker, mut ledger) = (picker(), Ledger::new(100, SECOND, 0));
        for _ in 0..10_000 {
            let token = ledger.issue(pick(&mut picker), Duration::ZERO);
            assert!(ledger.report(token, Outcome::Success, SECOND).is_ok());
        }
        assert!(ledger.entries.len() == 1 && ledger.issued.len() <= 17);
    }

    #[test]
    fn a_token_of_an_earlier_run_is_unknown() {
        let mut earlier = Ledger::new(10, SECOND, 0x1234_5678_9abc_def0);
        let mut later = Ledger::new(10, SECOND, 0x0fed_cba9_8765_4321);
        let mut picker = picker();
        for _ in 0..10 {
            let token = earlier.issue(pick(&mut picker), Duration::ZERO);
            later.issue(pick(&mut picker), Duration::ZERO);
            assert!(later.report(token, Outcome::Success, SECOND).is_err());
        }
        assert_eq!(later.len(), 10);
    }

    #[test]
    fn a_token_is_a_number_in_every_language_and_never_zero() {
        for salt in [0, u64::MAX, (1 << INDEX_BITS) << (u64::BITS - TOKEN_BITS)] {
            let mut ledger = Ledger::new(10, SECOND, salt);
            let mut picker = picker();
            for _ in 0..3 {
                let token = ledger.issue(pick(&mut picker), Duration::ZERO);
                assert!((1..1 << 53).contains(&u64::from(token)), "{token:?}");
                assert_eq!(ledger.report(token, Outcome::Success, SECOND), Ok(()));
            }
        }
    }

    #[test]
    fn an_invented_token_is_unknown() {
        let mut ledger = Ledger::<()>::new(1, SECOND, 1 << 40);
        for number in [0, 1, u64::MAX] {
            assert!(ledger.report(Token::from(number), Outcome::Success, SECOND).is_err());
        }
    }
}
