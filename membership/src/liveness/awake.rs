//! The deadlines of liveness, and stalls of our own loop, which must not count as silence of other members.

use std::time::Duration;

use super::Liveness;
use super::facts::Fact;
use crate::base::identity::{Epoch, NodeId};
use crate::base::time::Time;
use crate::base::timers::Timer;

/// Time between two calls while we are connected. The delay of a call tells the length of a stall.
const PULSE: Duration = Duration::from_millis(250);
/// A stall this long may have made peers suspect us.
const LONG_STALL: Duration = Duration::from_secs(1);

/// After a long stall, messages that waited for us are handled within this time.
const READ_WITHIN: Duration = Duration::from_millis(250);
/// After a long stall, verdicts that we missed are learned within this time: no suspicion lasts longer, and the views of
/// members are compared meanwhile.
const CAUGHT_UP_AFTER: Duration = Duration::from_secs(10);

/// Timers that go on while we leave or are silent.
const WHILE_ABSENT: [Timer; 4] =
    [Timer::Swim, Timer::MemberUpdates, Timer::Isolation, Timer::Claim];

/// The times at which our own loop was running, as far as isolation depends on them.
#[derive(Debug)]
pub(super) struct Awake {
    /// When the node was last called.
    handled: Time,
    /// Silence of the other members counts from this time, or from the last contact if that is later.
    silence_from: Time,
    stall: Option<Stall>,
}

/// The latest long stall of our own loop.
#[derive(Clone, Copy, Debug)]
struct Stall {
    began: Time,
    ended: Time,
}

impl Awake {
    pub(super) fn new(now: Time) -> Self {
        Self { handled: now, silence_from: now, stall: None }
    }

    /// Notes a long stall that ends now. One that follows another closely goes on with it.
    fn note_stall(&mut self, began: Time, now: Time) {
        let goes_on = self.stall.filter(|last| began.since(last.ended) < READ_WITHIN);
        self.stall = Some(Stall { began: goes_on.map_or(began, |last| last.began), ended: now });
    }

    /// The earliest time at which a message that was handled at `handled` may have arrived. A message that is handled
    /// right after a stall may have waited for all of it.
    pub(super) fn arrived(&self, handled: Time) -> Time {
        let waited = |stall: &Stall| stall.ended <= handled && handled < stall.ended + READ_WITHIN;
        self.stall.filter(waited).map_or(handled, |stall| handled.min(stall.began))
    }

    /// The time up to which we know every verdict: `now`, or the beginning of a stall that we have not caught up with.
    pub(super) fn attentive_until(&self, now: Time) -> Time {
        let lately = |stall: &Stall| now.since(stall.ended) < CAUGHT_UP_AFTER;
        self.stall.filter(lately).map_or(now, |stall| stall.began)
    }
}

impl Liveness {
    /// When [`Liveness::handle_deadlines`] is due.
    pub(crate) fn next_deadline(&self) -> Option<Time> {
        if self.is_present() { self.timers.next() } else { self.timers.next_of(&WHILE_ABSENT) }
    }

    /// Whether we take part in the cluster: we neither leave nor are silent.
    pub(super) fn is_present(&self) -> bool {
        !self.leaving && !self.is_silent()
    }

    /// Notes that the node is called now and had its deadline at `due`. Must come before the input is handled. We could
    /// hear no member during a stall, so that its time does not count as silence.
    pub(crate) fn notice_call(&mut self, due: Option<Time>, now: Time) {
        if let Some(due) = due {
            let began = due.max(self.awake.handled);
            let slept = now.since(began);
            self.detector.late(slept, now);
            self.exits.late(slept, now);
            if slept >= LONG_STALL {
                self.awake.note_stall(began, now);
                self.out.tell(Fact::Stalled(slept));
            }
            let heard = self.last_contact.unwrap_or(self.awake.silence_from);
            self.awake.silence_from = self.awake.silence_from.max(heard) + slept;
            self.set_isolation_timer();
        }
        self.awake.handled = now;
        if self.connected {
            self.timers.set(Timer::Pulse, now + PULSE);
        }
    }

    /// Notes that we heard another member.
    pub(super) fn note_contact(&mut self, now: Time) {
        self.last_contact = Some(now);
        self.set_isolation_timer();
    }

    /// Notes whether we hear any other member.
    pub(super) fn set_connected(&mut self, connected: bool) {
        self.connected = connected;
        self.timers.put(Timer::Pulse, connected.then(|| self.awake.handled + PULSE));
        self.set_isolation_timer();
        self.set_hello_timer();
    }

    /// Sets the time at which we become isolated if we hear no member until then.
    fn set_isolation_timer(&mut self) {
        let heard = self.last_contact.filter(|_| self.connected && !self.leaving);
        let isolated = heard.map(|heard| heard.max(self.awake.silence_from));
        let isolated = isolated.map(|silence_from| silence_from + self.protocol.isolated_after);
        self.timers.put(Timer::Isolation, isolated);
    }

    /// Does what is due. `left` returns the epoch in which a node left on purpose, if it did.
    pub(crate) fn handle_deadlines(&mut self, left: impl Fn(NodeId) -> Option<Epoch>, now: Time) {
        if self.timers.is_expired(Timer::Isolation, now) {
            self.swim.lose_contact(now);
        }
        if self.swim.handle_deadline(now).is_err() {
            self.out.counters.swim_refused += 1;
        }
        if self.is_present() {
            self.detector.handle_deadline(&self.swim, now);
            self.exits.handle_deadline(&self.swim, now);
            self.drop_stalled_stream_probes(now);
            self.note_blocked_datagrams(now);
            self.ask_the_lost(&left, now);
        }
        self.handle_claim_deadline(now);
        if self.is_present() {
            self.handle_hello_deadline(now);
            self.handle_reunion_deadline(&left, now);
        }
    }
}
