//! What all targets and pickers of one balancer share.

use crate::config::{Config, LOAD_BOUND};
use crossbeam_utils::CachePadded;
use std::{
    sync::atomic::{
        AtomicBool, AtomicI64, AtomicU32, AtomicU64,
        Ordering::{AcqRel, Acquire, Relaxed, Release},
    },
    time::Duration,
};

/// The clock moves in steps of at least this; so a caller may set it before every pick and still rarely writes.
const TICK_US: u64 = 100;

/// The part of a balancer that knows nothing about the payload.
#[derive(Debug)]
pub(crate) struct ServiceState {
    pub(crate) config: Config,
    /// By which a time in microseconds becomes one in units of the decay.
    pub(crate) decay_rate: f32,
    /// An average that is younger than this need not be faded.
    pub(crate) fresh_us: u64,
    pub(crate) initial_latency_us: f32,
    /// Grows after a snapshot is published and after calm ends or begins: a picker that sees no change need look at nothing
    /// else.
    generation: AtomicU64,
    now_us: AtomicU64,
    /// Grows whenever some target stops being an ordinary one, back to 0 once all are. At 0 picks check nothing.
    alerts: AtomicU64,
    /// Targets with an open circuit or ejected. An estimate between two sweeps.
    down: AtomicU32,
    ejected: AtomicU32,
    population: AtomicU32,
    /// The picks in flight above which a target is hot, as the bits of an `f32`.
    hot_above: AtomicU32,
    counts_total: AtomicBool,
    /// Picks in flight at all targets, kept only once a bounded load asks for it.
    total: CachePadded<AtomicI64>,
}

impl ServiceState {
    pub(crate) fn new(config: Config) -> Self {
        Self {
            fresh_us: micros(config.latency_decay) / 64,
            decay_rate: 1e-6 / config.latency_decay.as_secs_f32().max(1e-6),
            initial_latency_us: config.initial_latency.as_secs_f32() * 1e6,
            counts_total: AtomicBool::new(config.load_bound.is_some()),
            config,
            generation: AtomicU64::default(),
            now_us: AtomicU64::default(),
            alerts: AtomicU64::default(),
            down: AtomicU32::default(),
            ejected: AtomicU32::default(),
            population: AtomicU32::default(),
            hot_above: AtomicU32::new(1.0_f32.to_bits()),
            total: CachePadded::default(),
        }
    }

    #[inline]
    pub(crate) fn generation(&self) -> u64 {
        self.generation.load(Acquire)
    }

    /// Lets every picker look again at what it keeps at hand.
    pub(crate) fn announce(&self) {
        self.generation.fetch_add(1, Release);
    }

    /// The time, in microseconds since whatever moment the caller counts from.
    #[inline]
    pub(crate) fn now_us(&self) -> u64 {
        self.now_us.load(Relaxed)
    }

    /// Moves the clock forward; whether it moved.
    pub(crate) fn advance(&self, now: Duration) -> bool {
        let now_us = micros(now);
        if now_us < self.now_us().saturating_add(TICK_US) {
            return false;
        }
        self.now_us.fetch_max(now_us, Relaxed);
        true
    }

    /// Whether every target is an ordinary one: nothing open, ejected, warming up or draining.
    #[inline]
    pub(crate) fn is_calm(&self) -> bool {
        self.alerts.load(Acquire) == 0
    }

    pub(crate) fn alert(&self) {
        if self.alerts.fetch_add(1, AcqRel) == 0 {
            self.announce();
        }
    }

    pub(crate) fn alerts(&self) -> u64 {
        self.alerts.load(Acquire)
    }

    /// Ends the alert unless there has been another one since `seen`.
    pub(crate) fn all_clear(&self, seen: u64) {
        if self.alerts.compare_exchange(seen, 0, AcqRel, Relaxed).is_ok() {
            self.announce();
        }
    }

    pub(crate) fn target_down(&self) {
        self.down.fetch_add(1, Relaxed);
        self.alert();
    }

    pub(crate) fn target_up(&self) {
        let _ = self.down.fetch_update(Relaxed, Relaxed, |down| down.checked_sub(1));
    }

    /// Takes one of the places that the limit on ejections leaves; one target may always be ejected.
    pub(crate) fn reserve_ejection(&self, share: f64) -> bool {
        let places = (share * f64::from(self.population.load(Relaxed))) as u32;
        let reserve = |ejected| (ejected < places.max(1)).then_some(ejected + 1);
        self.ejected.fetch_update(Relaxed, Relaxed, reserve).is_ok()
    }

    /// Corrects the counts after a look at every target.
    pub(crate) fn set_counts(&self, population: usize, down: u32, ejected: u32) {
        self.population.store(population as u32, Relaxed);
        self.down.store(down, Relaxed);
        self.ejected.store(ejected, Relaxed);
    }

    /// Whether so few targets are available that all are offered.
    pub(crate) fn panics(&self) -> bool {
        let threshold = self.config.panic_threshold;
        if threshold <= 0.0 {
            return false;
        }
        let population = f64::from(self.population.load(Relaxed));
        population - f64::from(self.down.load(Relaxed)) < threshold * population
    }

    #[inline]
    pub(crate) fn hot_above(&self) -> f32 {
        f32::from_bits(self.hot_above.load(Relaxed))
    }

    pub(crate) fn set_hot_above(&self, value: f32) {
        self.hot_above.store(value.to_bits(), Relaxed);
    }

    #[inline]
    pub(crate) fn counts_total(&self) -> bool {
        self.counts_total.load(Relaxed)
    }

    #[inline]
    pub(crate) fn bounds_every_key(&self) -> bool {
        self.config.load_bound.is_some()
    }

    /// Starts to count picks in flight at all targets, for the first pick with a bounded load.
    pub(crate) fn count_total(&self) {
        if !self.counts_total() {
            self.counts_total.store(true, Relaxed);
        }
    }

    #[inline]
    pub(crate) fn add_to_total(&self, picks: i64) {
        self.total.fetch_add(picks, Relaxed);
    }

    /// The picks that a target may have in flight at most, one more pick included.
    pub(crate) fn bound(&self, weight: u32, total_weight: u64) -> u32 {
        let total = self.total.load(Relaxed).max(0) + 1;
        let factor = self.config.load_bound.unwrap_or(LOAD_BOUND).max(1.0);
        (factor * total as f64 * f64::from(weight) / total_weight as f64).ceil() as u32
    }
}

/// A duration in microseconds, saturating.
#[inline]
pub(crate) fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}
