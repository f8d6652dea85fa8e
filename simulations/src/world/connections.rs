//! TCP connections between hosts, and what the kernels of the hosts do with them when processes end.
//!
//! A process that ends is dead at once to its peers' pings. Its kernel closes its connections (FIN), and refuses new ones
//! once the process is gone altogether. A host without power, or behind a cut, says nothing.

use std::time::Duration;

use hobnob_membership::limits::REACH_STAYS_OPEN;
use hobnob_membership::{HoldEnd, HoldId, ReachOutcome, Time};

use super::fabric::Fabric;
use super::queue::{Attempt, Delivery, WorldEvent};
use super::{Host, World};
use crate::network::Channel;

/// An attempt to connect without an answer is given up after this time.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);
/// A connection to a host that is silent is over after this time.
const KEEPALIVE: Duration = Duration::from_secs(60);
/// The first pause before a segment that was lost is sent again (RFC 6298, with the least pause of Linux).
const RETRANSMIT: Duration = Duration::from_millis(200);
/// A segment that was lost this often is given up.
const MAX_RETRANSMITS: u32 = 8;

/// How a process stops.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// The host has no power any more.
    Power,
    /// The process is killed. It is gone, and new connections are refused, after this time.
    Killed {
        /// The time.
        dying: Duration,
    },
    /// The process says goodbye on its connections, and stops.
    Planned,
}

impl Fabric {
    /// A host connects to an address.
    pub(super) fn connect(&mut self, from: usize, to: u32, attempt: Attempt, now: Time) {
        if self.connections.offline.contains(&from) {
            return self.failed(from, attempt, ReachOutcome::LocalError, now);
        }
        let host = self.owner(to);
        let takes = host.and_then(|to| self.network.handshake(from, to, now, &mut self.rng));
        match takes {
            Some(takes) => self.queue.push(now + takes, WorldEvent::Connect { from, to, attempt }),
            None => self.failed(from, attempt, ReachOutcome::Silent, now + CONNECT_TIMEOUT),
        }
    }

    fn failed(&mut self, from: usize, attempt: Attempt, outcome: ReachOutcome, at: Time) {
        let delivery = match attempt {
            Attempt::Hold(hold, _) => Delivery::HoldEnded { hold, end: HoldEnd::Failed },
            Attempt::Reach(reach) => Delivery::Reached { reach, outcome },
        };
        self.queue.push(at, WorldEvent::Stream { to: from, delivery });
    }

    /// The time that a segment takes, with those that were lost before it; `None` if it never arrives.
    fn segment(&mut self, from: usize, to: usize, now: Time) -> Option<Duration> {
        let mut pause = Duration::ZERO;
        for lost in 0..MAX_RETRANSMITS {
            if let Some(takes) = self.network.handshake(from, to, now, &mut self.rng) {
                return Some(pause + takes);
            }
            if self.network.is_cut(from, to, Channel::Streams) {
                return None;
            }
            pause += RETRANSMIT * 2_u32.pow(lost);
        }
        None
    }

    /// Drops a connection that a host holds.
    pub(super) fn release(&mut self, from: usize, hold: HoldId) {
        self.connections.held.remove(&(from, hold));
    }

    /// Ends all connections from and to a host whose process stops.
    pub(super) fn end_connections(&mut self, host: usize, how: Stop, now: Time) {
        self.connections.held.retain(|(from, _), _| *from != host);
        for ((from, hold), _) in
            self.connections.held.extract_if(.., |_, to| *to == host).collect::<Vec<_>>()
        {
            let (end, after) = match how {
                Stop::Power => (HoldEnd::Failed, Some(KEEPALIVE)),
                Stop::Killed { .. } => (HoldEnd::Closed, self.segment(host, from, now)),
                Stop::Planned => (HoldEnd::Goodbye, self.segment(host, from, now)),
            };
            let (end, after) = after.map_or((HoldEnd::Failed, KEEPALIVE), |after| (end, after));
            let delivery = Delivery::HoldEnded { hold, end };
            self.queue.push(now + after, WorldEvent::Stream { to: from, delivery });
        }
    }

    /// Resets all connections from and to a host, as a router can do that lost its state.
    pub(super) fn reset_connections(&mut self, host: usize, now: Time) {
        let of_host = |(from, _): &(usize, HoldId), to: &mut usize| *from == host || *to == host;
        let reset: Vec<_> = self.connections.held.extract_if(.., of_host).collect();
        for ((from, hold), to) in reset {
            let latency = self.network.conditions(to, from).latency.sample(&mut self.rng);
            let delivery = Delivery::HoldEnded { hold, end: HoldEnd::Reset };
            self.queue.push(now + latency, WorldEvent::Stream { to: from, delivery });
        }
    }
}

impl World {
    /// A connection attempt reaches an address: the kernel answers, even while the process is paused.
    pub(super) fn take_connection(&mut self, from: usize, to: u32, attempt: Attempt) {
        let now = self.now;
        let Some(number) = self.fabric.owner(to) else {
            return self.fabric.failed(from, attempt, ReachOutcome::Silent, now + CONNECT_TIMEOUT);
        };
        let Host { process, id, refuses_from, .. } = &self.hosts[number];
        let answered = self.fabric.segment(number, from, now);
        let back = now + answered.unwrap_or(CONNECT_TIMEOUT);
        let (outcome, at) = match (process, refuses_from) {
            (Some(process), _) => {
                if let (Attempt::Hold(hold, peer), Some(_)) = (attempt, answered)
                    && peer == *id
                {
                    // The process itself has to answer.
                    let held = Delivery::Held { hold };
                    let at = back.max(process.ready_at);
                    self.fabric.connections.held.insert((from, hold), number);
                    return self
                        .fabric
                        .queue
                        .push(at, WorldEvent::Stream { to: from, delivery: held });
                }
                (ReachOutcome::Open, back + REACH_STAYS_OPEN)
            }
            (None, Some(refuses_from)) if *refuses_from <= now => (ReachOutcome::Refused, back),
            (None, Some(_)) => (ReachOutcome::Dropped, back),
            (None, None) => (ReachOutcome::Silent, now + CONNECT_TIMEOUT),
        };
        let outcome = if answered.is_some() { outcome } else { ReachOutcome::Silent };
        self.fabric.failed(from, attempt, outcome, at);
    }

    /// Resets all connections from and to a host.
    pub fn reset_connections(&mut self, number: usize) {
        self.fabric.reset_connections(number, self.now);
    }

    /// Takes the interface of a host down or up, as far as its own attempts to connect are concerned.
    pub fn set_offline(&mut self, number: usize, offline: bool) {
        if offline {
            self.fabric.connections.offline.insert(number);
        } else {
            self.fabric.connections.offline.remove(&number);
        }
    }
}
