//! The circuit breaker of one target.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use super::outcome::Outcome;
use crate::{config::BreakerConfig, tables::mix};

/// The limit of the doubling of the recovery timeout, unless the first one is longer.
const RECOVERY_TIMEOUT_MAX: Duration = Duration::from_secs(300);

impl BreakerConfig {
    /// The recovery timeout after a number of doublings, in microseconds. Equal salts give equal jitter.
    fn timeout_us(&self, doublings: u32, salt: u64) -> u64 {
        let doubled = self.recovery_timeout.saturating_mul(1 << doublings.min(DOUBLINGS_MAX));
        let limit = self.recovery_timeout.max(RECOVERY_TIMEOUT_MAX);
        let timeout = doubled.min(limit).as_secs_f64();
        let random = (mix(salt ^ u64::from(doublings)) >> 11) as f64 / (1_u64 << 53) as f64;
        let extension = f64::from(self.jitter_percent) / 100.0 * random;
        ((timeout * (1.0 + extension) * 1e6) as u64).clamp(1, UNTIL_MAX / 2)
    }

    /// The time after which a probe without an outcome counts as lost, in microseconds.
    fn probe_timeout_us(&self) -> u64 {
        (self.recovery_timeout.as_micros() as u64).clamp(1, UNTIL_MAX / 2)
    }
}

/// The state of a circuit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Circuit {
    /// Picks pass.
    Closed,
    /// Picks are refused until a time, in microseconds of the balancer's clock; the first one after it is the probe.
    Open {
        /// When the probe is due.
        until_us: u64,
    },
    /// One probe is under way and decides; picks are refused. A probe without an outcome by this time, in microseconds of
    /// the balancer's clock, is replaced.
    HalfOpen {
        /// When the probe counts as lost.
        until_us: u64,
    },
}

/// Whether a pick may pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Admission {
    Granted,
    /// The pick is the one probe of a half-open circuit and must be resolved with this ticket.
    Probe(Ticket),
    Refused,
}

/// Tells a probe from the probe that replaced it. It holds the word of the circuit as the probe left it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ticket(u64);

const KIND_MASK: u64 = 0b11;
const CLOSED: u64 = 0;
const OPEN: u64 = 1;
const HALF_OPEN: u64 = 2;
const DOUBLINGS_SHIFT: u32 = 2;
const DOUBLINGS_MAX: u32 = 31;
const UNTIL_SHIFT: u32 = 8;
const UNTIL_MAX: u64 = u64::MAX >> UNTIL_SHIFT;

/// An atomic word. The model checker puts its own in place of the real one.
pub(crate) trait Word: Default {
    fn load(&self) -> u64;
    fn exchange(&self, current: u64, new: u64) -> bool;
}

impl Word for AtomicU64 {
    #[inline]
    fn load(&self) -> u64 {
        Self::load(self, Ordering::Acquire)
    }

    #[inline]
    fn exchange(&self, current: u64, new: u64) -> bool {
        self.compare_exchange(current, new, Ordering::AcqRel, Ordering::Relaxed).is_ok()
    }
}

/// A circuit in one atomic word: its kind, the doublings of its timeout, and the time until which it stands. Every
/// transition is one compare-and-exchange, so exactly one thread makes it.
#[derive(Debug, Default)]
pub(crate) struct Breaker<W = AtomicU64> {
    word: W,
}

impl<W: Word> Breaker<W> {
    #[inline]
    pub(crate) fn is_closed(&self) -> bool {
        self.word.load() & KIND_MASK == CLOSED
    }

    pub(crate) fn circuit(&self) -> Circuit {
        let word = self.word.load();
        let until_us = word >> UNTIL_SHIFT;
        match word & KIND_MASK {
            CLOSED => Circuit::Closed,
            OPEN => Circuit::Open { until_us },
            _ => Circuit::HalfOpen { until_us },
        }
    }

    /// Opens a closed circuit. Returns whether this call did it.
    pub(crate) fn trip(&self, config: &BreakerConfig, now_us: u64, salt: u64) -> bool {
        let word = self.word.load();
        word & KIND_MASK == CLOSED
            && self.word.exchange(word, pack(OPEN, 0, now_us + config.timeout_us(0, salt)))
    }

    /// Closes the circuit, whatever its state. A probe that is under way decides nothing then. Returns whether it was not closed.
    pub(crate) fn close(&self) -> bool {
        loop {
            let word = self.word.load();
            if word & KIND_MASK == CLOSED {
                return false;
            }
            if self.word.exchange(word, CLOSED) {
                return true;
            }
        }
    }

    /// Asks for a pick to pass. The first one to ask when an open circuit's time is up becomes the probe.
    pub(crate) fn admit(&self, config: &BreakerConfig, now_us: u64) -> Admission {
        let word = self.word.load();
        if word & KIND_MASK == CLOSED {
            return Admission::Granted;
        }
        if now_us < word >> UNTIL_SHIFT {
            return Admission::Refused;
        }
        let probing = pack(HALF_OPEN, doublings(word), now_us + config.probe_timeout_us());
        if word != probing && self.word.exchange(word, probing) {
            Admission::Probe(Ticket(probing))
        } else {
            Admission::Refused
        }
    }

    /// Ends a probe unless another one has replaced it: a success closes the circuit, a failure opens it for twice the
    /// time, a cancelled probe is due again at once. Returns whether the circuit closed.
    pub(crate) fn resolve(
        &self,
        config: &BreakerConfig,
        ticket: Ticket,
        outcome: Outcome,
        now_us: u64,
        salt: u64,
    ) -> bool {
        let before = doublings(ticket.0);
        let next = match outcome {
            Outcome::Success => CLOSED,
            Outcome::Failure => {
                let doublings = (before + 1).min(DOUBLINGS_MAX);
                pack(OPEN, doublings, now_us + config.timeout_us(doublings, salt))
            }
            Outcome::Cancelled => pack(OPEN, before, now_us),
        };
        self.word.exchange(ticket.0, next) && outcome == Outcome::Success
    }
}

fn pack(kind: u64, doublings: u32, until_us: u64) -> u64 {
    kind | u64::from(doublings) << DOUBLINGS_SHIFT | until_us.min(UNTIL_MAX) << UNTIL_SHIFT
}

fn doublings(word: u64) -> u32 {
    (word >> DOUBLINGS_SHIFT) as u32 & DOUBLINGS_MAX
}

#[cfg(test)]
mod tests {
    use super::*;
    use loom::sync::{Arc, atomic::AtomicU64 as LoomU64};

    const SECOND: u64 = 1_000_000;

    fn config() -> BreakerConfig {
        BreakerConfig {
            recovery_timeout: Duration::from_secs(1),
            jitter_percent: 0,
            ..BreakerConfig::default()
        }
    }

    fn probe<W: Word>(breaker: &Breaker<W>, now_us: u64) -> Option<Ticket> {
        match breaker.admit(&config(), now_us) {
            Admission::Probe(ticket) => Some(ticket),
            _ => None,
        }
    }

    #[test]
    fn every_transition() {
        let (breaker, config) = (Breaker::<AtomicU64>::default(), config());
        assert_eq!(breaker.admit(&config, 0), Admission::Granted);
        assert!(breaker.trip(&config, 0, 0));
        assert!(!breaker.trip(&config, 0, 0), "it is open already");
        assert_eq!(breaker.circuit(), Circuit::Open { until_us: SECOND });
        assert_eq!(breaker.admit(&config, SECOND - 1), Admission::Refused);

        let ticket = probe(&breaker, SECOND).expect("the probe is due");
        assert_eq!(breaker.circuit(), Circuit::HalfOpen { until_us: 2 * SECOND });
        assert_eq!(breaker.admit(&config, SECOND + 1), Admission::Refused);
        assert!(!breaker.resolve(&config, ticket, Outcome::Failure, SECOND, 0));
        assert_eq!(breaker.circuit(), Circuit::Open { until_us: 3 * SECOND });

        let ticket = probe(&breaker, 3 * SECOND).expect("the probe is due");
        assert!(!breaker.resolve(&config, ticket, Outcome::Cancelled, 3 * SECOND, 0));
        assert_eq!(breaker.circuit(), Circuit::Open { until_us: 3 * SECOND });

        let ticket = probe(&breaker, 3 * SECOND).expect("a cancelled probe is due again at once");
        assert!(breaker.resolve(&config, ticket, Outcome::Success, 3 * SECOND, 0));
        assert_eq!(breaker.admit(&config, 3 * SECOND), Admission::Granted);
    }

    #[test]
    fn a_lost_probe_is_replaced_and_its_late_outcome_ignored() {
        let breaker = Breaker::<AtomicU64>::default();
        breaker.trip(&config(), 0, 0);
        let lost = probe(&breaker, SECOND).expect("the probe is due");
        let second = probe(&breaker, 2 * SECOND).expect("the first probe is lost");
        assert!(!breaker.resolve(&config(), lost, Outcome::Success, 2 * SECOND, 0));
        assert!(breaker.resolve(&config(), second, Outcome::Success, 2 * SECOND, 0));
    }

    #[test]
    fn a_circuit_that_is_closed_by_others_ignores_its_probe() {
        let breaker = Breaker::<AtomicU64>::default();
        assert!(!breaker.close(), "it is closed");
        breaker.trip(&config(), 0, 0);
        let ticket = probe(&breaker, SECOND).expect("the probe is due");
        assert!(breaker.close() && breaker.is_closed());
        assert!(!breaker.resolve(&config(), ticket, Outcome::Failure, SECOND, 0));
        assert!(breaker.is_closed());
    }

    #[test]
    fn the_timeout_doubles_up_to_its_limit_and_jitters() {
        let config = BreakerConfig {
            recovery_timeout: Duration::from_secs(60),
            jitter_percent: 50,
            failure_threshold: 1,
        };
        for (doublings, seconds) in [(0, 60), (1, 120), (2, 240), (3, 300), (31, 300)] {
            for salt in 0..20 {
                let timeout_us = config.timeout_us(doublings, salt);
                assert!(
                    (seconds * SECOND..=seconds * SECOND * 3 / 2).contains(&timeout_us),
                    "{doublings} {timeout_us}"
                );
            }
        }
        assert_ne!(config.timeout_us(0, 1), config.timeout_us(0, 2));
    }

    impl Word for LoomU64 {
        fn load(&self) -> u64 {
            Self::load(self, Ordering::Acquire)
        }

        fn exchange(&self, current: u64, new: u64) -> bool {
            self.compare_exchange(current, new, Ordering::AcqRel, Ordering::Relaxed).is_ok()
        }
    }

    #[test]
    fn of_concurrent_picks_exactly_one_is_the_probe() {
        loom::model(|| {
            let breaker = Arc::new(Breaker::<LoomU64>::default());
            breaker.trip(&config(), 0, 0);
            let ask = |breaker: Arc<Breaker<LoomU64>>| {
                move || u32::from(probe(&breaker, SECOND).is_some())
            };
            let others: Vec<_> =
                (0..2).map(|_| loom::thread::spawn(ask(Arc::clone(&breaker)))).collect();
            let mine = ask(breaker)();
            let probes: u32 = others.into_iter().map(|other| other.join().unwrap()).sum();
            assert_eq!(mine + probes, 1);
        });
    }

    #[test]
    fn an_outcome_races_with_picks_without_a_second_probe() {
        loom::model(|| {
            let breaker = Arc::new(Breaker::<LoomU64>::default());
            breaker.trip(&config(), 0, 0);
            let ticket = probe(&breaker, SECOND).expect("the probe is due");
            let asking = Arc::clone(&breaker);
            let other = loom::thread::spawn(move || asking.admit(&config(), SECOND));
            assert!(breaker.resolve(&config(), ticket, Outcome::Success, SECOND, 0));
            assert!(!matches!(other.join().unwrap(), Admission::Probe(_)));
            assert!(breaker.is_closed());
        });
    }
}
