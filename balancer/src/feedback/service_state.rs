//! The state that all targets and pickers of one balancer share.

use std::{
    sync::atomic::{
        AtomicBool, AtomicI64, AtomicU32, AtomicU64,
        Ordering::{AcqRel, Acquire, Relaxed, Release},
    },
    time::Duration,
};

use crossbeam_utils::CachePadded;

use crate::config::{Config, LOAD_BOUND_PERCENT_DEFAULT};

/// The clock moves in steps of at least this, so that a caller who sets it before every pick still rarely writes.
const TICK_US: u64 = 100;

/// The shared state of one balancer: settings, clock, and sums over its targets. It knows no payload.
#[derive(Debug)]
pub(crate) struct ServiceState {
    config: Config,
    /// The most picks in flight of a target with a bounded load, over its fair share.
    load_bound: f64,
    /// Grows after a snapshot is published and when calm ends or begins. A picker that sees no change looks at nothing
    /// else.
    generation: AtomicU64,
    now_us: AtomicU64,
    /// Grows whenever a target stops being ordinary; 0 once all targets are. At 0 picks check nothing.
    alerts: AtomicU64,
    /// Targets with an open circuit or ejected. An estimate between two sweeps, like the next two.
    down: AtomicU32,
    ejected: AtomicU32,
    population: AtomicU32,
    /// The picks in flight above which a target is hot, as the bits of an `f32`.
    hot_above: AtomicU32,
    counts_total: AtomicBool,
    /// Picks in flight at all targets, counted from the first pick with a bounded load on.
    total: CachePadded<AtomicI64>,
}

impl ServiceState {
    pub(crate) fn new(config: Config) -> Self {
        let percent = config.load_bound_percent.unwrap_or(LOAD_BOUND_PERCENT_DEFAULT).max(100);
        Self {
            load_bound: f64::from(percent) / 100.0,
            counts_total: AtomicBool::new(config.load_bound_percent.is_some()),
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

    pub(crate) fn config(&self) -> &Config {
        &self.config
    }

    #[inline]
    pub(crate) fn generation(&self) -> u64 {
        self.generation.load(Acquire)
    }

    /// Makes every picker look again at what it has cached.
    pub(crate) fn announce(&self) {
        self.generation.fetch_add(1, Release);
    }

    /// The time in microseconds, from a moment that the caller chose.
    #[inline]
    pub(crate) fn now_us(&self) -> u64 {
        self.now_us.load(Relaxed)
    }

    /// Moves the clock forward. Returns whether it moved.
    pub(crate) fn advance(&self, now: Duration) -> bool {
        let now_us = micros(now);
        if now_us < self.now_us().saturating_add(TICK_US) {
            return false;
        }
        self.now_us.fetch_max(now_us, Relaxed);
        true
    }

    /// Whether every target is ordinary: its circuit closed, not ejected, not warming up, not draining.
    #[inline]
    pub(crate) fn is_calm(&self) -> bool {
        self.alerts.load(Acquire) == 0
    }

    /// Notes that a target has stopped being ordinary.
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
        let _none_down = self.down.fetch_update(Relaxed, Relaxed, |down| down.checked_sub(1));
    }

    /// Takes one of the places that the limit on ejections leaves. There is always at least one place. Returns whether one
    /// was free.
    pub(crate) fn reserve_ejection(&self, max_percent: u32) -> bool {
        let places = u64::from(max_percent) * u64::from(self.population.load(Relaxed)) / 100;
        let reserve = |ejected| (u64::from(ejected) < places.max(1)).then_some(ejected + 1);
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
        let threshold = u64::from(self.config.panic_threshold_percent);
        if threshold == 0 {
            return false;
        }
        let population = u64::from(self.population.load(Relaxed));
        let available = population.saturating_sub(u64::from(self.down.load(Relaxed)));
        100 * available < threshold * population
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

    /// Whether every keyed strategy is bounded.
    #[inline]
    pub(crate) fn bounds_every_key(&self) -> bool {
        self.config.load_bound_percent.is_some()
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

    /// The most picks in flight that a bounded load allows a target of this weight, with one more pick in flight than now.
    pub(crate) fn load_bound(&self, weight: u32, total_weight: u64) -> u32 {
        let total = self.total.load(Relaxed).max(0) + 1;
        (self.load_bound * total as f64 * f64::from(weight) / total_weight as f64).ceil() as u32
    }
}

/// A duration in microseconds, saturating.
#[inline]
pub(crate) fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clock_moves_forward_in_ticks() {
        let service = ServiceState::new(Config::default());
        assert!(!service.advance(Duration::from_micros(TICK_US - 1)));
        assert!(service.advance(Duration::from_micros(TICK_US)));
        assert!(!service.advance(Duration::ZERO));
        assert_eq!(service.now_us(), TICK_US);
    }

    #[test]
    fn an_alert_that_comes_late_is_not_cleared() {
        let service = ServiceState::new(Config::default());
        service.alert();
        let seen = service.alerts();
        service.alert();
        service.all_clear(seen);
        assert!(!service.is_calm());
        service.all_clear(service.alerts());
        assert!(service.is_calm());
    }

    #[test]
    fn ejections_have_places_by_percent_and_one_at_least() {
        for (population, percent, places) in [(0, 10, 1), (9, 10, 1), (20, 10, 2), (5, 100, 5)] {
            let service = ServiceState::new(Config::default());
            service.set_counts(population, 0, 0);
            let taken = (0..10).filter(|_| service.reserve_ejection(percent)).count();
            assert_eq!(taken, places, "{percent} % of {population}");
        }
    }

    #[test]
    fn a_panic_starts_below_the_threshold() {
        let config = Config { panic_threshold_percent: 50, ..Config::default() };
        let service = ServiceState::new(config);
        for (population, down, panics) in [(10, 5, false), (10, 6, true), (0, 0, false)] {
            service.set_counts(population, down, 0);
            assert_eq!(service.panics(), panics, "{down} of {population} down");
        }
    }
}
