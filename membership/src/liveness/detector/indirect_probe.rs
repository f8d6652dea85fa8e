//! An indirect probe: pings to one suspect, on our own behalf or for an accuser that asked for our vote.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::base::identity::{Identity, NodeId};
use crate::base::time::Time;

/// The least time between two pings.
const PING_GAP: Duration = Duration::from_millis(150);
/// When the first stream probe and TCP probe are sent, counted from the first ping.
const FIRST_STREAM: Duration = Duration::from_millis(300);
/// The time between two stream probes.
const STREAM_GAP: Duration = Duration::from_secs(1);
/// While many probes are under way, each of them stretches the time between two pings of a probe by this much, so that a
/// node sends no more than 500 of these pings a second.
const PING_SHARE: Duration = Duration::from_millis(2);
/// Each probe beyond the first [`FEW`] puts off the stream probes and TCP probes of the next one by this much.
const STREAM_SHARE: Duration = Duration::from_millis(4);
/// Probes that need not wait for each other.
const FEW: u32 = 16;
/// An indirect probe ends when nobody has asked for it for this long.
const LASTS: Duration = Duration::from_millis(1_500);
/// Accusers that are told at once when the suspect answers. Further ones learn it when they ask again.
const MAX_ASKERS: usize = 16;

/// A step of an indirect probe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Ping the suspect.
    Ping,
    /// Probe the suspect by stream, and by TCP too, unless its host has answered a TCP probe already.
    Stream { tcp_probe: bool },
    /// Nobody has asked for a while: drop this probe.
    Over,
}

/// The state of an indirect probe that has no sign of life yet.
#[derive(Clone, Copy, Debug)]
pub(super) struct Findings {
    /// When the probe began, or began anew after a stall of our own loop.
    pub(super) since: Time,
    /// The suspect's host answered a TCP probe, while the suspect itself is silent.
    pub(super) tcp_probe_answered: bool,
}

/// An indirect probe of one suspect.
#[derive(Debug)]
pub(super) struct IndirectProbe {
    /// The suspect. A probe is about one epoch and one address.
    pub(super) suspect: Identity,
    pub(super) nonce: [u8; 4],
    pub(super) findings: Findings,
    next_ping: Time,
    next_stream: Time,
    until: Time,
    askers: BTreeSet<NodeId>,
}

impl IndirectProbe {
    /// A probe that begins while `others` are under way.
    pub(super) fn new(suspect: Identity, nonce: [u8; 4], others: usize, now: Time) -> Self {
        let others = u32::try_from(others).unwrap_or(u32::MAX);
        let stream_after = FIRST_STREAM + STREAM_SHARE * others.saturating_sub(FEW);
        Self {
            suspect,
            nonce,
            findings: Findings { since: now, tcp_probe_answered: false },
            next_ping: now,
            next_stream: now + stream_after,
            until: now + LASTS,
            askers: BTreeSet::new(),
        }
    }

    /// Keeps the probe alive, because `by`, or this node if that is `None`, asked for it.
    pub(super) fn wanted(&mut self, by: Option<NodeId>, now: Time) {
        self.until = now + LASTS;
        if self.askers.len() < MAX_ASKERS {
            self.askers.extend(by);
        }
    }

    pub(super) fn askers(&self) -> impl Iterator<Item = NodeId> + '_ {
        self.askers.iter().copied()
    }

    /// Counts the probing time anew after a stall of our own loop: answers may be waiting unread.
    pub(super) fn begin_anew(&mut self, now: Time) {
        self.findings.since = now;
    }

    pub(super) fn next_deadline(&self) -> Time {
        self.next_ping.min(self.next_stream).min(self.until)
    }

    /// The next step, if one is due. `probes` are under way, this one included.
    pub(super) fn step(&mut self, probes: usize, now: Time) -> Option<Step> {
        let probes = u32::try_from(probes).unwrap_or(u32::MAX);
        if self.until <= now {
            Some(Step::Over)
        } else if self.next_ping <= now {
            self.next_ping = now + PING_GAP.max(PING_SHARE * probes);
            Some(Step::Ping)
        } else if self.next_stream <= now {
            self.next_stream = now + STREAM_GAP.max(STREAM_SHARE * probes);
            Some(Step::Stream { tcp_probe: !self.findings.tcp_probe_answered })
        } else {
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::identity::Epoch;

    fn suspect() -> Identity {
        let addr = ([10, 0, 0, 1], 7_946).into();
        Identity { node_id: NodeId(99), epoch: Epoch(1), addr, sync_port: 7_947 }
    }

    #[test]
    fn a_host_that_answered_is_not_probed_by_tcp_again() {
        let mut indirect_probe = IndirectProbe::new(suspect(), [0; 4], 0, Time::ZERO);
        indirect_probe.wanted(None, Time::from_millis(1_000));
        let mut tcp_probes = Vec::new();
        while let Some(step) = indirect_probe.step(1, indirect_probe.next_deadline())
            && step != Step::Over
        {
            if let Step::Stream { tcp_probe } = step {
                tcp_probes.push(tcp_probe);
                indirect_probe.findings.tcp_probe_answered = tcp_probes.len() == 2;
            }
        }
        assert_eq!(tcp_probes, [true, true, false]);
    }

    #[test]
    fn many_probes_share_the_pings_and_take_turns_with_streams() {
        let mut indirect_probe = IndirectProbe::new(suspect(), [0; 4], 515, Time::ZERO);
        indirect_probe.wanted(None, Time::from_millis(4_000));
        let mut steps = Vec::new();
        while let Some(step) = indirect_probe.step(500, indirect_probe.next_deadline())
            && steps.len() < 5
        {
            steps.push(step);
        }
        let (ping, stream) = (Step::Ping, Step::Stream { tcp_probe: true });
        assert_eq!(steps, [ping, ping, ping, stream, ping], "1 s, and 300 ms + 499 x 4 ms");
    }

    #[test]
    fn a_probe_ends_when_nobody_has_asked_for_a_while() {
        let mut indirect_probe = IndirectProbe::new(suspect(), [0; 4], 0, Time::ZERO);
        indirect_probe.wanted(Some(NodeId(1)), Time::from_millis(400));
        let (mut pings, mut streams) = (Vec::new(), Vec::new());
        loop {
            let now = indirect_probe.next_deadline();
            match indirect_probe.step(1, now) {
                Some(Step::Ping) => pings.push(now.as_micros() / 1_000),
                Some(Step::Stream { tcp_probe: true }) => streams.push(now.as_micros() / 1_000),
                Some(Step::Over) => break assert_eq!(now, Time::from_millis(1_900)),
                step => panic!("{step:?}"),
            }
        }
        assert_eq!(pings, (0..13).map(|n| n * 150).collect::<Vec<_>>());
        assert_eq!(streams, [300, 1_300]);
        assert_eq!(indirect_probe.askers().collect::<Vec<_>>(), [NodeId(1)]);
    }
}
