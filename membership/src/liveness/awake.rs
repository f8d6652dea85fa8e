//! Time as liveness sees it: its deadlines, and stalls of our own loop, which are no silence of others.

use std::time::Duration;

use super::Liveness;
use super::facts::Fact;
use crate::base::identity::{Epoch, NodeId};
use crate::base::time::Time;

/// While others watch us we want to be called this often. A later call shows that we slept.
const PULSE: Duration = Duration::from_millis(250);
/// A stall this long may have made peers suspect us.
const LONG_STALL: Duration = Duration::from_secs(1);

/// When we were there to hear anybody.
#[derive(Debug)]
pub(super) struct Awake {
    handled: Time,
    /// Silence counts from here, or from the last contact if that is later.
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
        let updates = self.member_updates.next_deadline();
        let claims = self.duplicates.next_deadline();
        let always = [self.swim.next_deadline(), updates, self.isolation_deadline(), claims];
        let always = always.into_iter().flatten().min();
        if self.leaving || self.is_silent() {
            return always;
        }
        let while_present = [
            self.detector.next_deadline(),
            self.stream_probe_deadline(),
            Some(self.reunions.lost_at()),
            Some(self.awake.handled + PULSE).filter(|_| self.connected),
            self.seeds.next_deadline(!self.connected),
            Some(self.reunions.hello_at()),
        ];
        while_present.into_iter().flatten().chain(always).min()
    }

    /// Notes that the node is called now and wanted to be at `due`. Called before anything else is looked at: while we
    /// slept nobody could be heard, so that time is no silence.
    pub(crate) fn notice_call(&mut self, due: Option<Time>, now: Time) {
        if let Some(due) = due {
            let slept = now.since(due.max(self.awake.handled));
            self.detector.late(slept, now);
            if slept >= LONG_STALL {
                self.out.tell(Fact::StoodStill(slept));
            }
            let heard = self.last_contact.unwrap_or(self.awake.silence_from);
            self.awake.silence_from = self.awake.silence_from.max(heard) + slept;
        }
        self.awake.handled = now;
    }

    /// When silence becomes isolation.
    fn isolation_deadline(&self) -> Option<Time> {
        let heard = self.last_contact.filter(|_| self.connected && !self.leaving);
        heard.map(|heard| heard.max(self.awake.silence_from) + self.protocol.isolated_after)
    }

    /// Does what is due. `left` tells in which epoch a node left on purpose, if it did.
    pub(crate) fn handle_deadlines(&mut self, left: impl Fn(NodeId) -> Option<Epoch>, now: Time) {
        if self.isolation_deadline().is_some_and(|due| due <= now) {
            self.swim.lose_contact(now);
        }
        if self.swim.handle_deadline(now).is_err() {
            self.out.counters.swim_timer_errors += 1;
        }
        if !self.leaving && !self.is_silent() {
            self.detector.handle_deadline(&self.swim, now);
            self.drop_stalled_stream_probes(now);
            self.note_blocked_datagrams(now);
            self.ask_the_lost(&left, now);
        }
        self.handle_claim_deadline(now);
        if !self.leaving && !self.is_silent() {
            self.handle_hello_deadline(now);
            self.handle_reunion_deadline(&left, now);
        }
    }
}
