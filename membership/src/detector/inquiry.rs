//! Looking for signs of life of one suspect, for oneself and for whoever asked.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::identity::NodeId;
use crate::time::Time;

/// The time between two pings.
const PING_GAP: Duration = Duration::from_millis(150);
/// When the reliable channel is tried, counted from the first ping.
const FIRST_STREAM: Duration = Duration::from_millis(300);
/// The time between two tries.
const STREAM_GAP: Duration = Duration::from_secs(1);
/// An inquiry for which nobody has asked for so long is over.
const LASTS: Duration = Duration::from_millis(1_500);
/// Those who asked and are told; more learn it when they ask again.
const MAX_ASKERS: usize = 16;

/// What an inquiry wants done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Ping the suspect.
    Ping,
    /// Knock by stream.
    Stream,
    /// Nobody wants to know any more.
    Over,
}

/// Looks for signs of life.
#[derive(Debug)]
pub(super) struct Inquiry {
    pub(super) nonce: [u8; 4],
    /// Since when we look without having slept.
    pub(super) since: Time,
    next_ping: Time,
    next_stream: Time,
    until: Time,
    askers: BTreeSet<NodeId>,
}

impl Inquiry {
    pub(super) fn new(nonce: [u8; 4], now: Time) -> Self {
        Self {
            nonce,
            since: now,
            next_ping: now,
            next_stream: now + FIRST_STREAM,
            until: now + LASTS,
            askers: BTreeSet::new(),
        }
    }

    /// Somebody wants to know, other than ourselves if it is named.
    pub(super) fn wanted(&mut self, by: Option<NodeId>, now: Time) {
        self.until = now + LASTS;
        if self.askers.len() < MAX_ASKERS {
            self.askers.extend(by);
        }
    }

    pub(super) fn askers(&self) -> impl Iterator<Item = NodeId> + '_ {
        self.askers.iter().copied()
    }

    /// We slept: what did not arrive meanwhile says nothing.
    pub(super) fn begin_anew(&mut self, now: Time) {
        self.since = now;
    }

    pub(super) fn next_deadline(&self) -> Time {
        self.next_ping.min(self.next_stream).min(self.until)
    }

    /// What is due.
    pub(super) fn step(&mut self, now: Time) -> Option<Step> {
        if self.until <= now {
            Some(Step::Over)
        } else if self.next_ping <= now {
            self.next_ping = now + PING_GAP;
            Some(Step::Ping)
        } else if self.next_stream <= now {
            self.next_stream = now + STREAM_GAP;
            Some(Step::Stream)
        } else {
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_pings_and_knocks_until_nobody_asks_any_more() {
        let mut inquiry = Inquiry::new([0; 4], Time::ZERO);
        inquiry.wanted(Some(NodeId(1)), Time::from_millis(400));
        let (mut pings, mut streams) = (Vec::new(), Vec::new());
        loop {
            let now = inquiry.next_deadline();
            match inquiry.step(now) {
                Some(Step::Ping) => pings.push(now.as_micros() / 1_000),
                Some(Step::Stream) => streams.push(now.as_micros() / 1_000),
                Some(Step::Over) => break assert_eq!(now, Time::from_millis(1_900)),
                None => panic!("something is due"),
            }
        }
        assert_eq!(pings, (0..13).map(|n| n * 150).collect::<Vec<_>>());
        assert_eq!(streams, [300, 1_300]);
        assert_eq!(inquiry.askers().collect::<Vec<_>>(), [NodeId(1)]);
    }
}
