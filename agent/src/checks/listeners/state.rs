//! The consequences of listeners that come and go, for one check, as a state machine without IO.
//!
//! ```text
//! Ordinary   --listener gone, verdict passing-------> Confirming    probe at once
//! Ordinary   --probe refused, verdict passing-------> Refused       probe again after 20, 50, 100 ms
//! Ordinary   --listener back, verdict not passing---> Ordinary      probe at once; the thresholds decide
//! Confirming --refused------------------------------> Out           failing now, whatever the threshold
//! Refused    --all refused--------------------------> Out           failing now, whatever the threshold
//! Confirming, Refused --anything else---------------> Ordinary      the thresholds decide
//! Out        --listener back------------------------> Out           probe at once, or after the hold-down
//! Out        --success, few returns in a minute-----> Ordinary      passing now
//! Out        --success, many------------------------> Out           the hold-down, then the thresholds decide
//! ```
//!
//! Going out is never delayed. Ordinary probes go on in every phase.

use std::time::Duration;

use hobnob_membership::record::Health;
use tokio::time::Instant;

use super::returns::Returns;
use crate::checks::outcome::Meaning;

/// The times, counted from a refusal, at which the probe is made again. All of them refused is a sign as good as a
/// listener that is gone.
const AGAIN_AFTER: [Duration; 3] =
    [Duration::from_millis(20), Duration::from_millis(50), Duration::from_millis(100)];
/// The time after which a probe that decides is made again when this agent could not make it.
const AGAIN_AFTER_VOID: Duration = Duration::from_millis(50);
/// Tries of a probe that decides. Then the ordinary ones do.
const MAX_VOIDS: usize = 3;

/// The sign by which a verdict changed, other than a number of equal outcomes in a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// Nobody listens at the address any more, and a probe was refused.
    ListenerGone,
    /// A probe was refused, and so was each of those that followed within 100 ms.
    Refused,
    /// The instance was out by one of these signs, and a probe succeeds again.
    ListenerBack,
}

impl Signal {
    /// Its name in the API.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::ListenerGone => "listener_gone",
            Self::Refused => "refused",
            Self::ListenerBack => "listener_back",
        }
    }
}

/// The meaning of an outcome for the verdict.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::checks) enum Ruling {
    /// The outcome counts, and the thresholds decide.
    Ordinary,
    /// The verdict is failing now.
    Failing(Signal),
    /// The verdict is passing now.
    Passing(Signal),
    /// The outcome does not count.
    Ignored,
}

/// The knowledge of the listener of one check. See the module.
#[derive(Debug, Default)]
pub(in crate::checks) struct ListenerState {
    /// Refusals are signs only at an address of this network namespace.
    is_local: bool,
    /// The kernel's latest word on whether somebody listens; `None` while it says nothing.
    listening: Option<bool>,
    /// A probe succeeded while nobody listened: a supervisor or a forwarder answers in place of the service.
    is_answered_elsewhere: bool,
    phase: Phase,
    extra_probe_at: Option<Instant>,
    voids: usize,
    returns: Returns,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Phase {
    #[default]
    Ordinary,
    Confirming,
    Refused {
        since: Instant,
        tries: usize,
    },
    Out {
        /// Successes do not count before this time.
        held_until: Option<Instant>,
    },
}

impl ListenerState {
    /// The time of the next probe beyond the ordinary ones.
    pub(in crate::checks) fn extra_probe_at(&self) -> Option<Instant> {
        self.extra_probe_at
    }

    /// Notes that a probe begins. Returns whether it is an extra one.
    pub(in crate::checks) fn probe_begins(&mut self, now: Instant) -> bool {
        self.extra_probe_at.take_if(|at| *at <= now).is_some()
    }

    /// Takes in what the kernel says of the address. Returns whether the probe under way is to be given up, since an extra
    /// one is due that decides.
    pub(in crate::checks) fn looked(
        &mut self,
        is_local: bool,
        listening: Option<bool>,
        health: Health,
        now: Instant,
    ) -> bool {
        self.is_local = is_local;
        if !is_local {
            self.listening = None;
            self.forget();
            return false;
        }
        let before = std::mem::replace(&mut self.listening, listening);
        if before == listening {
            return false;
        }
        match (listening, self.phase) {
            (Some(true), phase) => {
                self.is_answered_elsewhere = false;
                if let Phase::Out { .. } = phase {
                    self.come_back(now);
                } else if before == Some(false) && health != Health::Passing {
                    self.extra_probe_at = Some(now);
                }
                false
            }
            (Some(false), Phase::Out { .. }) => {
                self.stay_out();
                false
            }
            (Some(false), Phase::Ordinary | Phase::Refused { .. })
                if health == Health::Passing && !self.is_answered_elsewhere =>
            {
                self.phase = Phase::Confirming;
                self.voids = 0;
                self.extra_probe_at = Some(now);
                true
            }
            _ => false,
        }
    }

    /// The meaning of an outcome. `health` is the verdict before it, and `is_extra` is what
    /// [`probe_begins`](Self::probe_begins) said of its probe.
    pub(in crate::checks) fn probed(
        &mut self,
        outcome: Meaning,
        is_extra: bool,
        health: Health,
        now: Instant,
    ) -> Ruling {
        if outcome == Meaning::Void {
            if is_extra {
                self.try_again_later(now);
            }
            return Ruling::Ignored;
        }
        self.voids = 0;
        match outcome {
            Meaning::Success => self.succeeded(now),
            Meaning::Refusal if self.is_local => self.refused(is_extra, health, now),
            _ => {
                if !matches!(self.phase, Phase::Out { .. }) {
                    self.forget();
                }
                Ruling::Ordinary
            }
        }
    }

    /// Notes the verdict after an outcome was taken in, or is overdue.
    pub(in crate::checks) fn judged(&mut self, health: Health, now: Instant) {
        match (self.phase, health) {
            (Phase::Out { .. }, Health::Passing) => {
                self.returns.note(now);
                self.forget();
            }
            // The threshold was reached before the last of the probes.
            (Phase::Refused { .. }, Health::Failing) => self.go_out(now),
            (Phase::Refused { .. } | Phase::Confirming, Health::Unknown) => self.forget(),
            _ => {}
        }
    }

    fn succeeded(&mut self, now: Instant) -> Ruling {
        self.is_answered_elsewhere = self.listening == Some(false);
        match self.phase {
            Phase::Out { held_until: Some(until) } if now < until => Ruling::Ignored,
            Phase::Out { held_until: Some(_) } => Ruling::Ordinary,
            Phase::Out { held_until: None } => match self.returns.hold_down(now) {
                None => Ruling::Passing(Signal::ListenerBack),
                Some(_) => {
                    self.come_back(now);
                    Ruling::Ignored
                }
            },
            _ => {
                self.forget();
                Ruling::Ordinary
            }
        }
    }

    fn refused(&mut self, is_extra: bool, health: Health, now: Instant) -> Ruling {
        match self.phase {
            Phase::Confirming => {
                self.go_out(now);
                Ruling::Failing(Signal::ListenerGone)
            }
            Phase::Refused { since, tries } if is_extra => match AGAIN_AFTER.get(tries + 1) {
                Some(after) => {
                    self.phase = Phase::Refused { since, tries: tries + 1 };
                    self.extra_probe_at = Some((since + *after).max(now));
                    Ruling::Ignored
                }
                None => {
                    self.go_out(now);
                    Ruling::Failing(Signal::Refused)
                }
            },
            Phase::Refused { .. } => Ruling::Ordinary,
            Phase::Ordinary => {
                if health == Health::Passing {
                    self.phase = Phase::Refused { since: now, tries: 0 };
                    self.extra_probe_at = Some(now + AGAIN_AFTER[0]);
                }
                Ruling::Ordinary
            }
            Phase::Out { .. } => {
                self.stay_out();
                Ruling::Ordinary
            }
        }
    }

    /// A probe that decides could not be made.
    fn try_again_later(&mut self, now: Instant) {
        self.voids += 1;
        if self.voids < MAX_VOIDS {
            self.extra_probe_at = Some(now + AGAIN_AFTER_VOID);
        } else if !matches!(self.phase, Phase::Out { .. }) {
            self.forget();
        }
    }

    fn go_out(&mut self, now: Instant) {
        self.stay_out();
        // The listener may have come back while the last probe was under way.
        if self.listening == Some(true) {
            self.come_back(now);
        }
    }

    fn stay_out(&mut self) {
        self.phase = Phase::Out { held_until: None };
        self.extra_probe_at = None;
    }

    fn come_back(&mut self, now: Instant) {
        let held_until = self.returns.hold_down(now).map(|hold_down| now + hold_down);
        self.phase = Phase::Out { held_until };
        self.extra_probe_at = Some(held_until.unwrap_or(now));
    }

    fn forget(&mut self) {
        self.phase = Phase::Ordinary;
        self.extra_probe_at = None;
    }
}
