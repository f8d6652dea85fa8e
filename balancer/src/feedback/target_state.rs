//! The state of one target that outlasts picks and updates.

use std::sync::{
    Arc, OnceLock,
    atomic::{AtomicU32, AtomicU64, Ordering::Relaxed},
};
use std::time::Duration;

use super::{
    breaker::{Admission, Breaker, Circuit, Ticket},
    latency::Latency,
    observed::{Observations, Observed},
    outcome::Outcome,
    outlier::OutlierRecord,
    ramp::Ramp,
    service_state::{ServiceState, micros},
};
use crate::tables::mix;

/// The low bits of the load word count picks in flight; the bits above count all picks ever made.
const IN_FLIGHT_BITS: u32 = 24;
const IN_FLIGHT_MASK: u64 = (1 << IN_FLIGHT_BITS) - 1;

/// The reliability of a target that has not failed of late.
pub(crate) const RELIABLE: u32 = 1 << 16;

/// A success raises the reliability by 1/2^4 of what is missing; a failure lowers it by 1/2^4.
const RELIABILITY_SHIFT: u32 = 4;

/// The live state of one target. Every snapshot with the target shares it, so that an update forgets nothing.
///
/// It has cache lines of its own. An ordinary pick and its completion touch only the first.
#[derive(Debug)]
#[repr(C, align(64))]
pub(crate) struct TargetState {
    /// Picks in flight and picks made, in one word, so that a pick costs one atomic operation.
    load: AtomicU64,
    /// Failures since the last success.
    streak: AtomicU32,
    /// A moving average of outcomes, `0..=RELIABLE`.
    reliability: AtomicU32,
    latency: Latency,
    service: Arc<ServiceState>,
    breaker: Breaker,
    ramp: Ramp,
    outlier: OutlierRecord,
    /// The hash of the id.
    salt: u64,
    failures: AtomicU64,
    cancelled: AtomicU64,
    /// Made when something is first told.
    observations: OnceLock<Box<Observations>>,
}

impl TargetState {
    pub(crate) fn new(service: Arc<ServiceState>, salt: u64) -> Self {
        Self {
            load: AtomicU64::default(),
            streak: AtomicU32::default(),
            reliability: AtomicU32::new(RELIABLE),
            latency: Latency::default(),
            service,
            breaker: Breaker::default(),
            ramp: Ramp::default(),
            outlier: OutlierRecord::default(),
            salt,
            failures: AtomicU64::default(),
            cancelled: AtomicU64::default(),
            observations: OnceLock::new(),
        }
    }

    /// The picks that have neither completed nor been dropped.
    #[inline]
    pub(crate) fn in_flight(&self) -> u32 {
        (self.load.load(Relaxed) & IN_FLIGHT_MASK) as u32
    }

    /// The picks ever made, modulo 2^40.
    pub(crate) fn picks(&self) -> u64 {
        self.load.load(Relaxed) >> IN_FLIGHT_BITS
    }

    pub(crate) fn failures(&self) -> u64 {
        self.failures.load(Relaxed)
    }

    /// The picks that ended in success or failure.
    pub(crate) fn completed(&self) -> u64 {
        let load = self.load.load(Relaxed);
        let ended = (load >> IN_FLIGHT_BITS).saturating_sub(load & IN_FLIGHT_MASK);
        ended.saturating_sub(self.cancelled.load(Relaxed))
    }

    #[inline]
    pub(crate) fn reliability(&self) -> u32 {
        self.reliability.load(Relaxed)
    }

    /// The average latency as of the last success, 0 before the first.
    pub(crate) fn average_latency_us(&self) -> f32 {
        self.latency.average_us()
    }

    /// The latency to expect with `in_flight` picks in flight. See [`Latency::estimate_us`].
    #[inline]
    pub(crate) fn expected_latency_us(&self, in_flight: u32, now_us: u64) -> f32 {
        self.latency.estimate_us(in_flight, now_us)
    }

    pub(crate) fn circuit(&self) -> Circuit {
        self.breaker.circuit()
    }

    pub(crate) fn is_ejected(&self) -> bool {
        self.outlier.is_ejected(self.service.now_us())
    }

    /// When its ejection ends; `None` while it is not ejected.
    pub(crate) fn ejected_until_us(&self) -> Option<u64> {
        self.is_ejected().then(|| self.outlier.ejected_until_us())
    }

    /// The share of its weight that it has now, `0.0..=1.0`.
    pub(crate) fn share(&self) -> f32 {
        self.ramp.share(self.service.now_us())
    }

    /// The hash of the id.
    pub(crate) fn salt(&self) -> u64 {
        self.salt
    }

    /// Counts a pick as in flight. Returns whether the total over all targets counts it too, for [`TargetState::end`].
    #[inline]
    pub(crate) fn begin(&self) -> bool {
        let counted = self.service.counts_total();
        self.load.fetch_add(1 + (1 << IN_FLIGHT_BITS), Relaxed);
        if counted {
            self.service.add_to_total(1);
        }
        counted
    }

    /// Ends a pick and learns from its outcome.
    #[inline]
    pub(crate) fn end(
        &self,
        counted: bool,
        probe: Option<Ticket>,
        outcome: Outcome,
        latency_us: f32,
    ) {
        let before = self.load.fetch_sub(1, Relaxed);
        debug_assert_ne!(before & IN_FLIGHT_MASK, 0, "a pick ended that never began");
        if counted {
            self.service.add_to_total(-1);
        }
        match outcome {
            Outcome::Success => {
                self.latency.observe(latency_us, self.service.now_us());
                self.end_streak();
            }
            Outcome::Failure => {
                self.failures.fetch_add(1, Relaxed);
                self.settle();
                self.fail(latency_us);
            }
            Outcome::Cancelled => {
                self.cancelled.fetch_add(1, Relaxed);
            }
        }
        if let Some(ticket) = probe {
            self.resolve_probe(ticket, outcome);
        }
    }

    /// Learns that an answer takes longer than this.
    pub(crate) fn observe_wait(&self, waited_us: f32) {
        self.latency.observe_failure(waited_us, self.service.now_us());
    }

    /// Learns from calls that a client picked for by itself. Their successes count as older than their failures, and close the
    /// circuit. They take no part in the comparison of success rates.
    pub(crate) fn observe(&self, observed: &Observed) {
        let now_us = self.service.now_us();
        let observations = self.observations.get_or_init(Box::default);
        let failures = observations.take(observed, self.service.config(), now_us);
        if observed.successes > 0 {
            if let Some(latency) = observed.latency {
                self.latency.observe(micros(latency) as f32, now_us);
            }
            self.end_streak();
            self.close();
        }
        let was_closed = self.breaker.is_closed();
        (0..failures).for_each(|_| self.fail(0.0));
        if was_closed && !self.breaker.is_closed() {
            observations.opened(now_us);
        }
    }

    /// The successes and the failures that clients told.
    pub(crate) fn observed(&self) -> (u64, u64) {
        self.observations.get().map_or((0, 0), |observations| observations.sums())
    }

    /// Closes a circuit of which nothing was told for long, if it was opened by what was told.
    pub(crate) fn forget_observed(&self) {
        let now_us = self.service.now_us();
        if self.observations.get().is_some_and(|observed| observed.is_forgotten(now_us)) {
            self.close();
        }
    }

    fn close(&self) {
        self.settle();
        if self.breaker.close() {
            self.service.target_up();
        }
    }

    /// From now on picks alone decide over the circuit.
    fn settle(&self) {
        if let Some(observations) = self.observations.get() {
            observations.settled();
        }
    }

    #[inline]
    fn end_streak(&self) {
        if self.streak.load(Relaxed) != 0 {
            self.streak.store(0, Relaxed);
        }
        let reliability = self.reliability();
        if reliability < RELIABLE {
            self.raise_reliability(reliability);
        }
    }

    #[cold]
    fn raise_reliability(&self, reliability: u32) {
        let step = ((RELIABLE - reliability) >> RELIABILITY_SHIFT).max(1);
        self.reliability.store(reliability + step, Relaxed);
    }

    #[cold]
    fn fail(&self, latency_us: f32) {
        let now_us = self.service.now_us();
        self.latency.observe_failure(latency_us, now_us);
        let reliability = self.reliability();
        self.reliability.store(reliability - (reliability >> RELIABILITY_SHIFT), Relaxed);
        let streak = self.streak.fetch_add(1, Relaxed).saturating_add(1);
        if let Some(config) = &self.service.config().breaker
            && streak >= config.failure_threshold
            && self.breaker.trip(config, now_us, self.jitter_salt(now_us))
        {
            self.service.target_down();
        }
        if let Some(config) = &self.service.config().outlier
            && streak >= config.consecutive_failures
        {
            self.eject();
        }
    }

    #[cold]
    fn resolve_probe(&self, ticket: Ticket, outcome: Outcome) {
        let Some(config) = &self.service.config().breaker else { return };
        let now_us = self.service.now_us();
        if self.breaker.resolve(config, ticket, outcome, now_us, self.jitter_salt(now_us)) {
            self.service.target_up();
        }
    }

    fn jitter_salt(&self, now_us: u64) -> u64 {
        mix(self.salt ^ now_us)
    }

    /// Ejects the target as far as the settings and the limit on ejections allow it.
    pub(crate) fn eject(&self) {
        let Some(config) = &self.service.config().outlier else { return };
        let now_us = self.service.now_us();
        if !self.outlier.is_ejected(now_us)
            && self.service.reserve_ejection(config.max_ejection_percent)
            && self.outlier.eject(config, now_us)
        {
            self.streak.store(0, Relaxed);
            self.service.target_down();
        }
    }

    /// Starts the next interval of outlier detection. Returns `(completed, failures)` of the last one.
    pub(crate) fn turn_over(&self, now_us: u64) -> (u64, u64) {
        self.outlier.turn_over(self.completed(), self.failures(), now_us)
    }

    /// Gives the target its whole weight, over the time of slow start if there is one.
    pub(crate) fn warm_up(&self) {
        let now_us = self.service.now_us();
        match self.service.config().slow_start {
            Some(over) => {
                self.ramp.rise(now_us, now_us.saturating_add(micros(over)));
                self.service.alert();
            }
            None => self.ramp.level(),
        }
    }

    /// Takes the target's weight away over a time.
    pub(crate) fn drain(&self, over: Duration) {
        let now_us = self.service.now_us();
        self.ramp.fall(micros(over), now_us.saturating_add(micros(over)));
        self.service.alert();
    }

    /// Takes the target's weight away over a time that ends then. It may have begun before the clock did.
    pub(crate) fn drain_until(&self, until: Duration, over: Duration) {
        self.ramp.fall(micros(over), micros(until));
        self.service.alert();
    }

    pub(crate) fn is_draining(&self) -> bool {
        self.ramp.is_falling()
    }

    /// Ends a slow start whose time is up.
    pub(crate) fn finish_warm_up(&self) {
        self.ramp.finish_rise(self.service.now_us());
    }

    /// Whether ordinary picks pass: circuit closed, not ejected.
    pub(crate) fn is_up(&self) -> bool {
        self.breaker.is_closed() && !self.is_ejected()
    }

    /// Whether a pick that asks now could pass.
    pub(crate) fn is_eligible(&self) -> bool {
        let now_us = self.service.now_us();
        let circuit = match self.circuit() {
            Circuit::Closed => true,
            Circuit::Open { until_us } | Circuit::HalfOpen { until_us } => now_us >= until_us,
        };
        circuit && !self.outlier.is_ejected(now_us) && self.ramp.share(now_us) > 0.0
    }

    /// Whether picks need not ask the target: up, with its whole weight.
    pub(crate) fn is_ordinary(&self) -> bool {
        self.is_up() && self.ramp.is_level()
    }

    /// Asks for a pick to pass. `draw` is a uniformly random number in `0.0..1.0`, drawn for the pick or from its key. A
    /// target with a share of its weight takes the pick if `draw` is below that share. Only a pick that `claims`, which
    /// means that it will report its outcome, can be a probe.
    pub(crate) fn admit(&self, claims: bool, draw: f32) -> Admission {
        let now_us = self.service.now_us();
        if self.outlier.is_ejected(now_us) || draw >= self.ramp.share(now_us) {
            return Admission::Refused;
        }
        match &self.service.config().breaker {
            Some(config) if claims => self.breaker.admit(config, now_us),
            _ if self.breaker.is_closed() => Admission::Granted,
            _ => Admission::Refused,
        }
    }
}
