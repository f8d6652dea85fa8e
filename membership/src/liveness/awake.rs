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
}

impl Awake {
    pub(super) fn new(now: Time) -> Self {
        Self { handled: now, silence_from: now }
    }
}

impl Liveness {
    /// When [`Liveness::handle_deadlines`] is due.
    pub(crate) fn next_deadline(&self) -> Option<Time> {
        if self.is_present() { self.timers.next() } else { self.timers.next_of(&WHILE_ABSENT) }
    }

    /// Whether we take part in the cluster: we neither leave nor are silent.
    fn is_present(&self) -> bool {
        !self.leaving && !self.is_silent()
    }

    /// Notes that the node is called now and had its deadline at `due`. Must come before the input is handled. We could
    /// hear no member during a stall, so that its time does not count as silence.
    pub(crate) fn notice_call(&mut self, due: Option<Time>, now: Time) {
        if let Some(due) = due {
            let slept = now.since(due.max(self.awake.handled));
            self.detector.late(slept, now);
            if slept >= LONG_STALL {
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
