//! Rate breakers: how many changes a second of one origin, and of our datacenter as a whole, go over a link.
//!
//! Changes above a rate are held back. Of one origin only a range of versions waits, and it is cut from the catalog when
//! the rate allows it, so of each key the newest version crosses and those before it do not. An origin that stays below
//! its rate does not wait for a loud one: of the origins that wait for the rate of the datacenter, the one goes first that
//! sent least recently.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::base::bucket::Bucket;
use crate::base::identity::NodeId;
use crate::base::limits::{MAX_HELD_ORIGINS, MAX_ORIGINS};
use crate::base::mutants::{self as mutant, Mutant};
use crate::base::protocol::Protocol;
use crate::base::time::Time;
use crate::catalog::{Catalog, Delta, Range};

/// The time whose changes an origin may send at once. An agent that registers 2,000 instances, each with its health, is
/// not held back.
const ORIGIN_BURST: Duration = Duration::from_secs(40);
/// The same for a datacenter: 1,000 agents that start again, each with ten instances.
const DATACENTER_BURST: Duration = Duration::from_secs(10);
/// Changes that wait for longer are left to repair. So many keys changed that a session is faster.
const GIVEN_UP_AFTER: Duration = Duration::from_secs(5);
/// Second copies go again when the rate was kept for this long.
const MAX_CHARGED: Duration = Duration::from_secs(1);
/// Time between two looks for origins that are quiet.
const SWEEP_EVERY: Duration = Duration::from_secs(10);

/// Changes a second that go over one link.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rates {
    origin: u64,
    datacenter: u64,
}

impl Rates {
    pub(crate) fn of(protocol: &Protocol) -> Self {
        Self {
            origin: protocol.wan_changes_per_second_of_origin.max(1),
            datacenter: protocol.wan_changes_per_second.max(1),
        }
    }
}

/// The decision of a breaker about news.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Admission {
    /// The news may go.
    Passed,
    /// The news wait.
    Held,
    /// The news cannot wait: too many origins do.
    Refused,
}

/// The changes of one origin.
#[derive(Debug)]
struct Meter {
    bucket: Bucket,
    sent_at: Time,
}

/// Changes of an origin that wait.
#[derive(Clone, Copy, Debug)]
struct Held {
    range: Range,
    since: Time,
}

/// The breaker of one copy over one link. Its buckets count changes instead of bytes.
#[derive(Debug)]
pub(crate) struct Breaker {
    rates: Rates,
    datacenter: Bucket,
    /// The origins that sent something lately.
    meters: BTreeMap<NodeId, Meter>,
    held: BTreeMap<NodeId, Held>,
    /// The held origins that wait for their own rate, by the time at which it allows more.
    above: BTreeSet<(Time, NodeId)>,
    /// The held origins that wait for the rate of the datacenter, by the time at which they sent last.
    waiting: BTreeSet<(Time, NodeId)>,
    swept_at: Time,
}

impl Breaker {
    pub(crate) fn new(rates: Rates, now: Time) -> Self {
        Self {
            rates,
            datacenter: Bucket::with_burst(rates.datacenter, DATACENTER_BURST, now),
            meters: BTreeMap::new(),
            held: BTreeMap::new(),
            above: BTreeSet::new(),
            waiting: BTreeSet::new(),
            swept_at: now,
        }
    }

    /// Decides whether news may go, and keeps them if not and `keeps` says so.
    pub(crate) fn admit(&mut self, news: &Delta, keeps: bool, now: Time) -> Admission {
        let range = Range::of(news);
        if mutant::is(Mutant::NoRateLimit) {
            return Admission::Passed;
        }
        if let Some(held) = self.held.get_mut(&news.origin) {
            held.range = held.range.join(range);
            return Admission::Held;
        }
        self.sweep(now);
        let is_ready = self.meter(news.origin, now).is_none_or(|it| it.bucket.is_ready(now));
        if is_ready && self.waiting.is_empty() && self.datacenter.is_ready(now) {
            self.spend(news, now);
            return Admission::Passed;
        }
        if keeps && mutant::is(Mutant::BreakerDrops) {
            return Admission::Refused;
        }
        if !keeps {
            self.charge(news, is_ready, now);
            return Admission::Refused;
        }
        if self.held.len() >= MAX_HELD_ORIGINS {
            return Admission::Refused;
        }
        self.held.insert(news.origin, Held { range, since: now });
        self.queue(news.origin, now);
        Admission::Held
    }

    /// The meter of an origin; `None` when there is no room for a further one.
    fn meter(&mut self, origin: NodeId, now: Time) -> Option<&mut Meter> {
        if !self.meters.contains_key(&origin) && self.meters.len() >= MAX_ORIGINS {
            return None;
        }
        let rate = self.rates.origin;
        Some(self.meters.entry(origin).or_insert_with(|| Meter {
            bucket: Bucket::with_burst(rate, ORIGIN_BURST, now),
            sent_at: Time::ZERO,
        }))
    }

    fn spend(&mut self, delta: &Delta, now: Time) {
        let changes = delta.entries.len().max(1);
        self.datacenter.spend(changes, now);
        if let Some(meter) = self.meter(delta.origin, now) {
            meter.bucket.spend(changes, now);
            meter.sent_at = now;
        }
    }

    /// Charges a second copy that does not go. Second copies go again when the rate is kept, and not one now and then: a copy
    /// behind a gap would have the gap pulled.
    fn charge(&mut self, news: &Delta, is_own_ready: bool, now: Time) {
        let meter = self.meters.get_mut(&news.origin).filter(|_| !is_own_ready);
        let bucket = meter.map_or(&mut self.datacenter, |meter| &mut meter.bucket);
        if bucket.ready_at() < now + MAX_CHARGED {
            bucket.spend(news.entries.len().max(1), now);
        }
    }

    /// Puts a held origin where it waits.
    fn queue(&mut self, origin: NodeId, now: Time) {
        let meter = self.meters.get_mut(&origin);
        match meter
            .map(|meter| (meter.bucket.is_ready(now), meter.bucket.ready_at(), meter.sent_at))
        {
            Some((false, ready_at, _)) => self.above.insert((ready_at, origin)),
            Some((true, _, sent_at)) => self.waiting.insert((sent_at, origin)),
            None => self.waiting.insert((Time::ZERO, origin)),
        };
    }

    /// When held changes may go.
    pub(crate) fn next_deadline(&self) -> Option<Time> {
        let above = self.above.first().map(|(at, _)| *at);
        let waiting = (!self.waiting.is_empty()).then(|| self.datacenter.ready_at());
        above.into_iter().chain(waiting).min()
    }

    /// Takes the held changes that may go now, in deltas of at most `bytes`, and the number of origins whose changes are left to repair.
    pub(crate) fn release(
        &mut self,
        catalog: &Catalog,
        bytes: usize,
        now: Time,
    ) -> (Vec<Delta>, u64) {
        let (mut deltas, mut given_up) = (Vec::new(), 0);
        while let Some((_, origin)) = self.above.first().copied().filter(|(at, _)| *at <= now) {
            self.above.pop_first();
            self.queue(origin, now);
        }
        while self.datacenter.is_ready(now)
            && let Some((_, origin)) = self.waiting.pop_first()
        {
            let Some(mut held) = self.held.remove(&origin) else { continue };
            let Some(delta) = held.range.cut(origin, catalog, bytes, bytes) else { continue };
            self.spend(&delta, now);
            deltas.push(delta);
            if held.range.is_empty() {
                continue;
            }
            if now.since(held.since) >= GIVEN_UP_AFTER {
                given_up += 1;
                continue;
            }
            self.held.insert(origin, held);
            self.queue(origin, now);
        }
        (deltas, given_up)
    }

    /// Whether changes of an origin wait, or would not go.
    pub(crate) fn holds(&self, origin: NodeId, now: Time) -> bool {
        let above = |meter: &Meter| meter.bucket.ready_at() > now;
        self.held.contains_key(&origin)
            || self.datacenter.ready_at() > now
            || self.meters.get(&origin).is_some_and(above)
    }

    /// The number of origins whose changes wait.
    pub(crate) fn len(&self) -> usize {
        self.held.len()
    }

    /// Forgets the origins that were quiet for so long that they may send a whole burst.
    fn sweep(&mut self, now: Time) {
        if now.since(self.swept_at) < SWEEP_EVERY {
            return;
        }
        self.swept_at = now;
        self.meters
            .retain(|origin, meter| self.held.contains_key(origin) || !meter.bucket.is_full(now));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::identity::Epoch;
    use crate::catalog::Version;
    use crate::catalog::record::{Health, Key, Value};

    const MS: fn(u64) -> Time = Time::from_millis;
    const RATES: Rates = Rates { origin: 10, datacenter: 20 };
    const BYTES: usize = 1_300;

    /// An origin, and its catalog.
    struct Origin(NodeId, Catalog);

    impl Origin {
        fn new(id: u64) -> Self {
            Self(NodeId(id), Catalog::new(NodeId(id), Epoch(5)))
        }

        fn head(&self) -> Version {
            self.1.head(self.0).map_or(0, |head| head.known_to)
        }

        /// Changes a key.
        fn write(&mut self, key: u64) -> Delta {
            let after = self.head();
            let health = [Health::Passing, Health::Failing][after as usize % 2];
            let key = Key::Health(format!("instance-{key}").into());
            self.1.write(vec![(key, Some(Value::Health(health)))]).expect("legal");
            self.1.cut(self.0, Epoch(5), after, BYTES).expect("written")
        }
    }

    /// Spends the burst of an origin.
    fn loud(breaker: &mut Breaker, origin: &mut Origin, now: Time) -> usize {
        let is_held = |_: &usize| breaker.admit(&origin.write(0), true, now) == Admission::Held;
        (0..).find(is_held).expect("held")
    }

    #[test]
    fn a_loud_key_crosses_at_the_rate_with_its_newest_value() {
        let (mut breaker, mut origin) = (Breaker::new(RATES, MS(0)), Origin::new(1));
        // The burst of the origin is larger than that of the datacenter.
        assert_eq!(loud(&mut breaker, &mut origin, MS(0)), 201);
        let (mut crossed, mut last) = (0, 0);
        for ms in 1..=10_000 {
            breaker.admit(&origin.write(0), true, MS(ms));
            if breaker.next_deadline().is_some_and(|at| at <= MS(ms)) {
                let (deltas, given_up) = breaker.release(&origin.1, BYTES, MS(ms));
                assert_eq!((deltas.len(), given_up), (1, 0));
                assert_eq!(deltas[0].entries.len(), 1, "one version of the key");
                (crossed, last) = (crossed + 1, deltas[0].to);
                assert_eq!(last, origin.head());
            }
        }
        assert!((195..=205).contains(&crossed), "{crossed} in ten seconds");
        if let Some(at) = breaker.next_deadline() {
            last = breaker.release(&origin.1, BYTES, at).0[0].to;
        }
        assert_eq!((last, breaker.len()), (origin.head(), 0), "nothing is lost");
    }

    #[test]
    fn an_origin_that_is_quiet_does_not_wait_for_loud_ones() {
        let mut quiet = Origin::new(9);
        let mut louds: Vec<Origin> = (1..=3).map(Origin::new).collect();
        let mut breaker = Breaker::new(Rates { origin: 10, datacenter: 1_000 }, MS(0));
        for origin in &mut louds {
            assert_eq!(loud(&mut breaker, origin, MS(0)), 401, "its own rate holds it back");
        }
        assert_eq!(breaker.admit(&quiet.write(0), true, MS(1)), Admission::Passed);
        // Now the datacenter is above its rate.
        let mut breaker = Breaker::new(RATES, MS(0));
        loud(&mut breaker, &mut louds[0], MS(0));
        assert_eq!(breaker.admit(&quiet.write(0), true, MS(1)), Admission::Held);
        let at = breaker.next_deadline().expect("held");
        assert!(at <= MS(50), "one change of the rate: {at}");
        let (deltas, _) = breaker.release(&quiet.1, BYTES, at);
        assert_eq!(deltas[0].origin, NodeId(9), "it sent least recently");
    }

    #[test]
    fn the_changes_of_a_datacenter_keep_to_its_rate() {
        let mut breaker = Breaker::new(RATES, MS(0));
        let mut many: Vec<Origin> = (100..500).map(Origin::new).collect();
        let held = many.iter_mut().map(|it| breaker.admit(&it.write(0), true, MS(0)));
        assert_eq!(held.filter(|it| *it == Admission::Held).count(), 400 - 201);
        let mut crossed = 0;
        let mut last = MS(0);
        while let Some(at) = breaker.next_deadline() {
            // The catalog of one node has them all in a datacenter. Here each has its own.
            let (_, origin) = *breaker.waiting.first().expect("none is above its own rate");
            let own = many.iter().find(|it| it.0 == origin).expect("one of them");
            breaker.release(&own.1, BYTES, at);
            (crossed, last) = (crossed + 1, at);
        }
        assert_eq!(crossed, 400 - 201);
        assert!((MS(9_900)..=MS(10_000)).contains(&last), "20 a second: {last}");
    }

    #[test]
    fn of_many_changed_keys_those_that_wait_too_long_are_left_to_repair() {
        let (mut breaker, mut origin) = (Breaker::new(RATES, MS(0)), Origin::new(1));
        loud(&mut breaker, &mut origin, MS(0));
        for key in 0..2_000 {
            breaker.admit(&origin.write(key), true, MS(1));
        }
        let mut given_up = 0;
        while let Some(at) = breaker.next_deadline() {
            assert!(at < MS(10_000), "{at}");
            given_up += breaker.release(&origin.1, BYTES, at).1;
        }
        assert_eq!((given_up, breaker.len()), (1, 0));
    }

    #[test]
    fn no_more_origins_wait_than_may_and_quiet_ones_are_forgotten() {
        let mut breaker = Breaker::new(RATES, MS(0));
        let news = |id| Origin::new(id).write(0);
        let count = 201 + MAX_HELD_ORIGINS as u64;
        assert!((0..count).all(|id| breaker.admit(&news(id), true, MS(0)) != Admission::Refused));
        assert_eq!(breaker.admit(&news(count), true, MS(0)), Admission::Refused);
        assert_eq!(breaker.len(), MAX_HELD_ORIGINS);
        let mut breaker = Breaker::new(RATES, MS(0));
        assert_eq!(breaker.admit(&news(1), true, MS(0)), Admission::Passed);
        breaker.sweep(MS(60_000));
        assert_eq!(breaker.meters.len(), 0);
    }

    #[test]
    fn a_second_copy_does_not_wait() {
        let (mut breaker, mut origin) = (Breaker::new(RATES, MS(0)), Origin::new(1));
        let is_refused =
            |_: &usize| breaker.admit(&origin.write(0), false, MS(0)) == Admission::Refused;
        assert_eq!((0..).find(is_refused), Some(201));
        assert_eq!((breaker.len(), breaker.next_deadline()), (0, None));
        for ms in 0..10_000 {
            let admission = breaker.admit(&origin.write(0), false, MS(ms));
            assert_eq!(admission, Admission::Refused, "one now and then would show a gap");
        }
        assert!(breaker.holds(NodeId(1), MS(10_000)) && !breaker.holds(NodeId(1), MS(11_100)));
        assert_eq!(breaker.admit(&origin.write(0), false, MS(11_100)), Admission::Passed);
    }
}
