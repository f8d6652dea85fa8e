//! The replay windows of all senders.

use std::collections::BTreeMap;

use hobnob_keys::seal::{Counter, ReplayError, ReplayWindow, WINDOW};

use crate::base::identity::{Epoch, NodeId};
use crate::base::limits::MAX_REPLAY_WINDOWS;

/// A replay window for each sender of which a datagram was opened.
#[derive(Debug)]
pub(crate) struct Windows {
    senders: BTreeMap<NodeId, Sender>,
    /// The highest counter that was forgotten with its sender. A new window begins above it, so that nobody who fills the table
    /// can send again what was recorded of a sender that fell out.
    floor: Counter,
    given_up: u64,
}

#[derive(Clone, Copy, Debug)]
struct Sender {
    window: ReplayWindow,
    highest: Counter,
    /// The first counter of its life, if it proved it over a connection.
    began: Option<Counter>,
}

impl Default for Windows {
    fn default() -> Self {
        Self { senders: BTreeMap::new(), floor: Counter::new(0), given_up: 0 }
    }
}

impl Windows {
    /// Whether a counter of a sender is new. Changes nothing: the datagram may be forged.
    pub(crate) fn check(&self, sender: NodeId, counter: Counter) -> Result<(), ReplayError> {
        match self.senders.get(&sender) {
            Some(sender) => sender.window.check(counter),
            None if counter > self.floor => Ok(()),
            None => Err(ReplayError::Old),
        }
    }

    /// A counter that a sender reached, as far as is known: the highest one that came from it, or the first one of its life.
    pub(crate) fn near(&self, sender: NodeId, epoch: Option<Epoch>) -> Option<Counter> {
        let highest = self.senders.get(&sender).map(|sender| sender.highest);
        highest.max(epoch.map(|epoch| Counter::of_epoch(epoch.0)))
    }

    /// Records the counter of a datagram that was opened. The window of a sender begins with its first one.
    pub(crate) fn record(&mut self, sender: NodeId, counter: Counter) -> Result<(), ReplayError> {
        self.check(sender, counter)?;
        if let Some(sender) = self.senders.get_mut(&sender) {
            sender.highest = sender.highest.max(counter);
            return sender.window.record(counter);
        }
        self.begin(sender, counter, None);
        Ok(())
    }

    /// Takes the counters that a sender proved over a connection: the first one of its life, and the last one that it used. If its
    /// clock went back, what it sends from now on counts. A life whose counters are known stays as it is, so that a datagram that
    /// overtook the connection does not count twice.
    pub(crate) fn prove(&mut self, sender: NodeId, began: Counter, last: Counter) {
        match self.senders.get_mut(&sender) {
            Some(known) if known.began == Some(began) => {}
            Some(known) if known.highest <= last => known.began = Some(began),
            known => {
                let before = known.copied();
                self.begin(sender, last, Some(began));
                if let Some(before) = before {
                    self.keep_seen(sender, last, &before);
                }
            }
        }
    }

    /// Carries what came above `last` over to the new window of a sender. The sender may have used these counters in this life,
    /// after it proved `last`, and they overtook the proof.
    fn keep_seen(&mut self, sender: NodeId, last: Counter, before: &Sender) {
        let Some(sender) = self.senders.get_mut(&sender) else { return };
        if before.highest.number() - last.number() >= WINDOW {
            return;
        }
        for number in last.number() + 1..=before.highest.number() {
            let counter = Counter::new(number);
            if before.window.check(counter).is_err() && sender.window.record(counter).is_ok() {
                sender.highest = counter;
            }
        }
    }

    /// The number of senders that were forgotten because there were too many.
    pub(crate) fn given_up(&self) -> u64 {
        self.given_up
    }

    fn begin(&mut self, sender: NodeId, highest: Counter, began: Option<Counter>) {
        if !self.senders.contains_key(&sender) && self.senders.len() >= MAX_REPLAY_WINDOWS {
            self.give_up();
        }
        let window = ReplayWindow::above(highest);
        self.senders.insert(sender, Sender { window, highest, began });
    }

    /// Forgets the sender with the lowest counter. Counters follow the clock, so it has been silent for longest.
    fn give_up(&mut self) {
        let lowest = self.senders.iter().min_by_key(|(_, sender)| sender.highest);
        let Some((node, highest)) = lowest.map(|(node, sender)| (*node, sender.highest)) else {
            return;
        };
        self.senders.remove(&node);
        self.floor = self.floor.max(highest);
        self.given_up += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: NodeId = NodeId(1);

    fn at(number: u64) -> Counter {
        Counter::new(number)
    }

    #[test]
    fn a_window_begins_with_the_first_counter_and_takes_each_once() {
        let mut windows = Windows::default();
        windows.record(A, at(100)).unwrap();
        assert_eq!(windows.record(A, at(100)), Err(ReplayError::Seen));
        assert!(windows.record(A, at(99)).is_err(), "it may have come before we began");
        windows.record(A, at(103)).unwrap();
        windows.record(A, at(102)).unwrap();
        assert!(windows.check(A, at(102)).is_err());
        windows.record(NodeId(2), at(50)).unwrap();
    }

    #[test]
    fn a_check_changes_nothing() {
        let mut windows = Windows::default();
        windows.record(A, at(100)).unwrap();
        for counter in [101, 1_000_000, 101] {
            windows.check(A, at(counter)).unwrap();
        }
        windows.record(A, at(101)).unwrap();
    }

    #[test]
    fn a_sender_whose_clock_went_back_is_heard_once_it_proved_its_counter() {
        let mut windows = Windows::default();
        windows.record(A, at(1_000)).unwrap();
        assert!(windows.check(A, at(501)).is_err());
        windows.prove(A, at(490), at(500));
        assert!(windows.check(A, at(500)).is_err() && windows.check(A, at(450)).is_err());
        windows.record(A, at(501)).unwrap();
        // The same life proves an earlier counter over a slow connection.
        windows.prove(A, at(490), at(495));
        assert!(windows.check(A, at(501)).is_err());
    }

    #[test]
    fn what_overtook_the_first_proof_of_a_life_counts_no_second_time() {
        let mut windows = Windows::default();
        for counter in [101, 102, 104] {
            windows.record(A, at(counter)).unwrap();
        }
        windows.prove(A, at(90), at(100));
        for counter in [100, 101, 102, 104] {
            assert!(windows.check(A, at(counter)).is_err(), "{counter}");
        }
        windows.record(A, at(103)).unwrap();
        windows.record(A, at(105)).unwrap();
    }

    #[test]
    fn a_proof_of_a_counter_that_is_ahead_keeps_what_is_under_way() {
        let mut windows = Windows::default();
        windows.record(A, at(100)).unwrap();
        windows.prove(A, at(90), at(110));
        windows.record(A, at(105)).unwrap();
        assert!(windows.check(A, at(105)).is_err());
    }

    #[test]
    fn beyond_the_limit_the_longest_silent_sender_is_forgotten_and_its_datagrams_stay_old() {
        let mut windows = Windows::default();
        for n in 0..=MAX_REPLAY_WINDOWS as u64 {
            windows.record(NodeId(n), at(1_000 + n)).unwrap();
        }
        assert_eq!((windows.senders.len(), windows.given_up()), (MAX_REPLAY_WINDOWS, 1));
        assert!(windows.check(NodeId(0), at(1_000)).is_err());
        assert!(windows.check(NodeId(0), at(1_001)).is_ok());
    }
}
