//! When a node wants to be called, and what it does then.

use std::time::Duration;

use super::Node;
use super::leave::Leaving;
use crate::base::io::Event;
use crate::base::time::Time;

/// While others watch us we want to be called this often: a sleep is noticed by how much later that happens.
const PULSE: Duration = Duration::from_millis(250);

/// Who sleeps for so long may have been missed.
const LONG: Duration = Duration::from_secs(1);

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

impl Node {
    /// When [`Input::Deadline`](crate::Input::Deadline) is due.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Time> {
        self.deadline
    }

    /// Looked up once after everything that happens: whoever drives a node asks again and again.
    pub(super) fn find_deadline(&self) -> Option<Time> {
        let hellos = self.leaving.is_none() && !self.is_silent();
        let seeds = if hellos { self.seeds.next_deadline(!self.connected) } else { None };
        [
            self.swim.next_deadline(),
            self.next_rumor_deadline(),
            self.detection.next_deadline(!hellos),
            Some(self.awake.handled + PULSE).filter(|_| hellos && self.connected),
            Some(self.digests.next_deadline()),
            self.gaps.next_deadline(),
            seeds,
            Some(self.reunion_at).filter(|_| hellos),
            self.next_sync_deadline(),
            Some(self.next_retention_deadline()),
            self.isolation_deadline(),
            self.duplicates.next_deadline(),
            self.leaving.as_ref().and_then(Leaving::next_deadline),
        ]
        .into_iter()
        .flatten()
        .min()
    }

    /// Our own loop may come late; called before anything else is looked at. While we slept nobody could be heard, so
    /// that time is no silence.
    pub(super) fn notice_lateness(&mut self, now: Time) {
        if let Some(due) = self.deadline {
            let slept = now.since(due.max(self.awake.handled));
            self.detection.detector.late(slept, now);
            if slept >= LONG {
                self.emit(Event::StoodStill(slept));
            }
            let heard = self.last_contact.unwrap_or(self.awake.silence_from);
            self.awake.silence_from = self.awake.silence_from.max(heard) + slept;
        }
        self.awake.handled = now;
    }

    /// When silence becomes isolation.
    fn isolation_deadline(&self) -> Option<Time> {
        let heard = self.last_contact.filter(|_| self.connected && self.leaving.is_none());
        heard.map(|heard| heard.max(self.awake.silence_from) + self.protocol.isolated_after)
    }

    pub(super) fn handle_deadlines(&mut self, now: Time) {
        if self.isolation_deadline().is_some_and(|due| due <= now) {
            self.swim.lose_contact(now);
        }
        if self.swim.handle_deadline(now).is_err() {
            self.counters.swim_timer_errors += 1;
        }
        self.handle_detection_deadlines(now);
        self.handle_leave_deadline(now);
        self.handle_duplicate_deadline(now);
        if self.leaving.is_none() && !self.is_silent() {
            self.handle_join_deadline(now);
            self.handle_reunion_deadline(now);
        }
        // Repair by datagram may end in a wish for a session.
        self.handle_gossip_deadlines(now);
        self.handle_sync_deadlines(now);
        self.handle_retention_deadline(now);
    }
}
