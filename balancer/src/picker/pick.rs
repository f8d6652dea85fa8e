//! A pick, from the choice to its outcome.

use std::{fmt, ops::Deref, sync::Arc, time::Duration};

use crate::{
    feedback::{Outcome, TargetState, Ticket},
    snapshot::Instance,
};

/// A picked target. It counts as in flight until it is completed or dropped. It keeps its target alive across updates and
/// may be sent to another thread.
#[must_use = "a pick that is dropped counts as cancelled"]
pub struct Pick<T> {
    instance: Arc<Instance<T>>,
    flight: Flight,
}

/// A picked target on loan from its picker: a [`Pick`] for a thread that makes one call after the other.
#[must_use = "a pick that is dropped counts as cancelled"]
pub struct PickRef<'a, T> {
    instance: &'a Arc<Instance<T>>,
    flight: Flight,
}

/// The time in which a pick counts as in flight.
struct Flight {
    /// The right to decide whether an open circuit closes.
    probe: Option<Ticket>,
    /// Whether the total over all targets counts it.
    counted: bool,
    over: bool,
}

impl Flight {
    #[inline]
    fn begin(state: &TargetState, probe: Option<Ticket>) -> Self {
        Self { probe, counted: state.begin(), over: false }
    }

    #[inline]
    fn end(&mut self, state: &TargetState, outcome: Outcome, latency: Duration) {
        if !self.over {
            self.over = true;
            state.end(self.counted, self.probe, outcome, latency_us(latency));
        }
    }
}

/// A latency in microseconds, in the fewest instructions.
#[inline]
fn latency_us(latency: Duration) -> f32 {
    latency.as_secs() as f32 * 1e6 + latency.subsec_nanos() as f32 * 1e-3
}

impl<T> Pick<T> {
    #[inline]
    pub(crate) fn begin(instance: Arc<Instance<T>>, probe: Option<Ticket>) -> Self {
        let flight = Flight::begin(instance.state(), probe);
        Self { instance, flight }
    }

    /// The payload of the target.
    #[inline]
    pub fn item(&self) -> &T {
        self.instance.item()
    }

    /// The identity of the target.
    #[inline]
    pub fn id(&self) -> &Arc<str> {
        self.instance.id()
    }

    /// The target as part of its snapshot.
    #[inline]
    pub fn instance(&self) -> &Arc<Instance<T>> {
        &self.instance
    }

    /// Whether this pick is the one probe that decides whether an open circuit closes.
    pub fn is_probe(&self) -> bool {
        self.flight.probe.is_some()
    }

    /// Ends the pick and reports how the call went. `latency` is the time from the call to its end.
    #[inline]
    pub fn complete(mut self, outcome: Outcome, latency: Duration) {
        self.flight.end(self.instance.state(), outcome, latency);
    }

    /// Ends a pick whose answer the caller waits for no longer, because another target has answered. It counts as cancelled,
    /// and the time of the wait raises the latency of the target if it is above that.
    pub fn give_up(mut self, waited: Duration) {
        self.instance.state().observe_wait(latency_us(waited));
        self.flight.end(self.instance.state(), Outcome::Cancelled, Duration::ZERO);
    }

    /// Ends a pick whose call is made, but whose outcome nobody will report. A dropped pick counts as a call that was not
    /// made, so the next one may probe an open circuit at once. After this one, the probe is under way until it counts
    /// as lost: only one such call in each recovery timeout reaches a target that may still fail.
    pub fn end_unreported(mut self) {
        self.flight.probe = None;
    }
}

impl<'a, T> PickRef<'a, T> {
    #[inline]
    pub(crate) fn begin(instance: &'a Arc<Instance<T>>, probe: Option<Ticket>) -> Self {
        Self { instance, flight: Flight::begin(instance.state(), probe) }
    }

    /// The payload of the target.
    #[inline]
    pub fn item(&self) -> &'a T {
        self.instance.item()
    }

    /// The identity of the target.
    #[inline]
    pub fn id(&self) -> &'a Arc<str> {
        self.instance.id()
    }

    /// The target as part of its snapshot.
    #[inline]
    pub fn instance(&self) -> &'a Arc<Instance<T>> {
        self.instance
    }

    /// Whether this pick is the one probe that decides whether an open circuit closes.
    pub fn is_probe(&self) -> bool {
        self.flight.probe.is_some()
    }

    /// Ends the pick and reports how the call went. `latency` is the time from the call to its end.
    #[inline]
    pub fn complete(mut self, outcome: Outcome, latency: Duration) {
        self.flight.end(self.instance.state(), outcome, latency);
    }
}

impl<T> Drop for Pick<T> {
    #[inline]
    fn drop(&mut self) {
        self.flight.end(self.instance.state(), Outcome::Cancelled, Duration::ZERO);
    }
}

impl<T> Drop for PickRef<'_, T> {
    #[inline]
    fn drop(&mut self) {
        self.flight.end(self.instance.state(), Outcome::Cancelled, Duration::ZERO);
    }
}

impl<T> Deref for Pick<T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        self.item()
    }
}

impl<T> Deref for PickRef<'_, T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        self.item()
    }
}

impl<T> fmt::Debug for Pick<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pick").field("id", self.id()).finish_non_exhaustive()
    }
}

impl<T> fmt::Debug for PickRef<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PickRef").field("id", self.id()).finish_non_exhaustive()
    }
}
