//! What is remembered about a target from pick to pick and across updates.

use super::{
    breaker::{Admission, Breaker, Circuit, Ticket, Verdict},
    latency::Latency,
    outlier::OutlierRecord,
    ramp::Ramp,
    service_state::ServiceState,
};
use crate::{picker::Outcome, tables::mix};
use std::sync::{
    Arc,
    atomic::{AtomicU32, AtomicU64, Ordering::Relaxed},
};

/// The bits of the load word that count picks in flight; the bits above count all picks ever made.
const IN_FLIGHT_BITS: u32 = 24;
const IN_FLIGHT_MASK: u64 = (1 << IN_FLIGHT_BITS) - 1;

/// The reliability of a target that has not failed of late.
pub(crate) const RELIABLE: u32 = 1 << 16;

/// A success raises a target's reliability by one part in 2^4 of what is missing; a failure lowers it by one part in 2^4.
const RELIABILITY_SHIFT: u32 = 4;

/// The live state of one target, shared by every snapshot that contains the target, so an update forgets nothing. It
/// stands on cache lines of its own; what an ordinary pick and its completion need is on the first.
#[derive(Debug)]
#[repr(C, align(64))]
pub(crate) struct TargetState {
    /// Picks in flight and picks made, in one word, so that a pick costs one atomic operation.
    load: AtomicU64,
    /// Failures since the last success.
    streak: AtomicU32,
    /// A moving average of outcomes, `0..=RELIABLE`.
    reliability: AtomicU32,
    pub(crate) latency: Latency,
    core: Arc<ServiceState>,
    breaker: Breaker,
    pub(crate) ramp: Ramp,
    pub(crate) record: OutlierRecord,
    salt: u64,
    failures: AtomicU64,
    cancelled: AtomicU64,
}

impl TargetState {
    pub(crate) fn new(core: Arc<ServiceState>, salt: u64) -> Self {
        Self {
            load: AtomicU64::default(),
            streak: AtomicU32::default(),
            reliability: AtomicU32::new(RELIABLE),
            latency: Latency::default(),
            core,
            breaker: Breaker::default(),
            ramp: Ramp::default(),
            record: OutlierRecord::default(),
            salt,
            failures: AtomicU64::default(),
            cancelled: AtomicU64::default(),
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

    pub(crate) fn circuit(&self) -> Circuit {
        self.breaker.circuit()
    }

    /// Counts a pick as in flight. Whether the total over all targets counts it too, for [`TargetState::end`].
    #[inline]
    pub(crate) fn begin(&self) -> bool {
        let counted = self.core.counts_total();
        self.load.fetch_add(1 + (1 << IN_FLIGHT_BITS), Relaxed);
        if counted {
            self.core.add_to_total(1);
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
            self.core.add_to_total(-1);
        }
        match outcome {
            Outcome::Success => {
                self.latency.observe(latency_us, &self.core);
                if self.streak.load(Relaxed) != 0 {
                    self.streak.store(0, Relaxed);
                }
                let reliability = self.reliability();
                if reliability < RELIABLE {
                    self.succeed(reliability);
                }
            }
            Outcome::Failure => self.fail(latency_us),
            Outcome::Cancelled => {
                self.cancelled.fetch_add(1, Relaxed);
            }
        }
        if let Some(ticket) = probe {
            self.resolve(ticket, outcome);
        }
    }

    #[cold]
    fn succeed(&self, reliability: u32) {
        let step = ((RELIABLE - reliability) >> RELIABILITY_SHIFT).max(1);
        self.reliability.store(reliability + step, Relaxed);
    }

    #[cold]
    fn fail(&self, latency_us: f32) {
        self.latency.observe_failure(latency_us, &self.core);
        self.failures.fetch_add(1, Relaxed);
        let reliability = self.reliability();
        self.reliability.store(reliability - (reliability >> RELIABILITY_SHIFT), Relaxed);
        let streak = self.streak.fetch_add(1, Relaxed).saturating_add(1);
        let (core, now_us) = (&self.core, self.core.now_us());
        if let Some(config) = &core.config.breaker
            && streak >= config.failure_threshold
            && self.breaker.trip(config, now_us, mix(self.salt ^ now_us))
        {
            core.target_down();
        }
        if let Some(config) = &core.config.outlier
            && streak >= config.consecutive_failures
        {
            self.eject();
        }
    }

    #[cold]
    fn resolve(&self, ticket: Ticket, outcome: Outcome) {
        let Some(config) = &self.core.config.breaker else { return };
        let now_us = self.core.now_us();
        let verdict = match outcome {
            Outcome::Success => Verdict::Recovered,
            Outcome::Failure => Verdict::StillFailing,
            Outcome::Cancelled => Verdict::Unknown,
        };
        if self.breaker.resolve(config, ticket, verdict, now_us, mix(self.salt ^ now_us)) {
            self.core.target_up();
        }
    }

    /// Ejects the target if the limit on ejections allows; whether it did.
    pub(crate) fn eject(&self) -> bool {
        let Some(config) = &self.core.config.outlier else { return false };
        let ejected = !self.record.is_ejected(self.core.now_us())
            && self.core.reserve_ejection(config.max_ejected_share)
            && self.record.eject(config, self.core.now_us());
        if ejected {
            self.streak.store(0, Relaxed);
            self.core.target_down();
        }
        ejected
    }

    pub(crate) fn is_ejected(&self) -> bool {
        self.record.is_ejected(self.core.now_us())
    }

    pub(crate) fn share(&self) -> f32 {
        self.ramp.share(self.core.now_us())
    }

    /// Whether ordinary picks pass: circuit closed, not ejected.
    pub(crate) fn is_up(&self) -> bool {
        self.breaker.is_closed() && !self.record.is_ejected(self.core.now_us())
    }

    /// Whether a pick that asks now could pass.
    pub(crate) fn is_eligible(&self) -> bool {
        let now_us = self.core.now_us();
        let circuit = match self.circuit() {
            Circuit::Closed => true,
            Circuit::Open { until_us } | Circuit::HalfOpen { until_us } => now_us >= until_us,
        };
        circuit && !self.record.is_ejected(now_us) && self.ramp.share(now_us) > 0.0
    }

    /// Whether nothing about the target needs a check on each pick.
    pub(crate) fn is_ordinary(&self) -> bool {
        self.is_up() && self.ramp.is_level()
    }

    /// Asks for a pick to pass. `lot` is a uniformly random number in `0.0..1.0`, drawn for the pick or from its key, that
    /// decides whether a target with a share of its weight takes it. Only a pick that `claims` can be a probe.
    pub(crate) fn admit(&self, claims: bool, draw: f32) -> Admission {
        let now_us = self.core.now_us();
        if self.record.is_ejected(now_us) || draw >= self.ramp.share(now_us) {
            return Admission::Refused;
        }
        match &self.core.config.breaker {
            Some(config) if claims => self.breaker.admit(config, now_us),
            _ if self.breaker.is_closed() => Admission::Granted,
            _ => Admission::Refused,
        }
    }

    pub(crate) fn salt(&self) -> u64 {
        self.salt
    }
}
