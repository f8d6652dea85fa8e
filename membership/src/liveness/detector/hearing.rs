//! Messages to the detector: pongs, requests for votes, votes, answers to TCP probes, and what peers say of members.

use std::time::Duration;

use rand::RngExt;

use super::indirect_probe::{Findings, IndirectProbe};
use super::series::Series;
use super::suspicion::Word;
use super::{COMPARE_GAP, Check, Detector, LinkEnd, Order, Said, WITNESSED};
use crate::base::identity::{Identity, NodeId};
use crate::base::io::TcpProbeId;
use crate::base::limits::{MAX_INDIRECT_PROBES, MAX_VIEW_CHECKS};
use crate::base::mutants::{self as mutant, Mutant};
use crate::base::time::Time;
use crate::wire::{Pong, Vote, pong_tag};

impl Detector {
    /// Takes a pong. Returns the member that sent it, if one was asked.
    pub(crate) fn pong(
        &mut self,
        pong: &Pong,
        members: [u8; 4],
        by_stream: bool,
        now: Time,
    ) -> Option<NodeId> {
        let node = self.pings.answered(pong.tag)?;
        self.is_changed = true;
        self.healths.insert(node, pong.local_health);
        if let Some(monitor) = self.monitors.get_mut(&node)
            && let Some(series) = monitor.series
            && pong_tag(node, series.nonce) == pong.tag
            && !by_stream
        {
            monitor.measure(series, now);
            self.note_measured();
        }
        self.hear(node, by_stream, now);
        if let Some(monitor) = self.monitors.get_mut(&node)
            && monitor.compare(members, pong.members, now)
            && self.compare_not_before <= now
            && !mutant::is(Mutant::IgnoreMemberDigest)
        {
            let jitter = 1.0 + self.rng.random::<f64>() / 2.0;
            self.compare_not_before = now + self.pause(COMPARE_GAP, now).mul_f64(jitter);
            self.orders.push_back(Order::Compare(node));
        }
        Some(node)
    }

    fn hear(&mut self, node: NodeId, by_stream: bool, now: Time) {
        self.heard.insert(node, now);
        self.unanswered.remove(&node);
        if let Some(monitor) = self.monitors.get_mut(&node) {
            monitor.heard(by_stream, now);
            let broken_for = monitor.link.answered(now);
            self.orders.extend(broken_for.map(|it| Order::LinkEnded(node, LinkEnd::Answered(it))));
        }
        if let Some(check) = self.checks.remove(&node) {
            self.orders.extend(match check.said {
                Said::Back(identity) => Some(Order::Revive(identity)),
                Said::Down(..) | Said::NotActive => Some(Order::Warn(node)),
                Said::Successor => None,
            });
        }
        if mutant::is(Mutant::NeverAcquit) {
            return;
        }
        if let Some(indirect_probe) = self.indirect_probes.remove(&node) {
            let vote = self.vote_on(node, indirect_probe.findings, now);
            self.orders.extend(indirect_probe.askers().map(|asker| Order::Vote(asker, vote)));
        }
        self.acquit(node);
    }

    fn acquit(&mut self, suspect: NodeId) {
        if self.suspicions.remove(&suspect).is_some() {
            self.tally.acquittals += 1;
            self.is_watch_outdated = true;
        }
    }

    fn vote_on(&self, suspect: NodeId, findings: Findings, now: Time) -> Vote {
        let ms = |time: Duration| u16::try_from(time.as_millis()).unwrap_or(u16::MAX);
        Vote {
            sender: self.own,
            suspect,
            silence_ms: self.heard.get(&suspect).map_or(u16::MAX, |at| ms(now.since(*at))),
            probed_ms: ms(now.since(findings.since)),
            local_health: self.healths.get(&suspect).copied(),
            tcp_probe_answered: findings.tcp_probe_answered,
        }
    }

    /// Answers a request for a vote on an active member: probes the suspect, and votes with what is known so far.
    pub(crate) fn ask(&mut self, by: NodeId, suspect: Identity, now: Time) {
        self.is_changed = true;
        let Some(findings) = self.probe_indirectly(suspect, Some(by), now) else {
            self.tally.refused += 1;
            return;
        };
        let vote = self.vote_on(suspect.node_id, findings, now);
        self.orders.push_back(Order::Vote(by, vote));
    }

    /// Starts an indirect probe, or keeps one going. Returns its findings so far, or `None` if there is no room for one
    /// more probe. `by` is the node that asked for our vote, if one did.
    pub(super) fn probe_indirectly(
        &mut self,
        suspect: Identity,
        by: Option<NodeId>,
        now: Time,
    ) -> Option<Findings> {
        let node = suspect.node_id;
        if !self.indirect_probes.contains_key(&node) {
            let others = self.indirect_probes.len();
            let is_ours = by.is_none();
            if others.saturating_sub(self.suspicions.len()) >= MAX_INDIRECT_PROBES && !is_ours {
                return None;
            }
            let nonce = self.nonce();
            self.indirect_probes.insert(node, IndirectProbe::new(suspect, nonce, others, now));
        }
        let indirect_probe = self.indirect_probes.get_mut(&node)?;
        indirect_probe.wanted(by, now);
        Some(indirect_probe.findings)
    }

    /// Notes that a host answered a TCP probe. Returns whether the TCP probe belongs to an indirect probe that goes on.
    pub(crate) fn tcp_probe_answered(&mut self, tcp_probe: TcpProbeId) -> bool {
        self.is_changed = true;
        let indirect_probe = self.indirect_probes.get_mut(&tcp_probe.node);
        let Some(indirect_probe) =
            indirect_probe.filter(|indirect_probe| indirect_probe.nonce == tcp_probe.nonce)
        else {
            return false;
        };
        indirect_probe.findings.tcp_probe_answered = true;
        true
    }

    /// Takes a vote on a suspect of ours.
    pub(crate) fn vote(&mut self, vote: &Vote, now: Time) {
        self.is_changed = true;
        self.unanswered.remove(&vote.sender);
        let Some(suspicion) = self.suspicions.get_mut(&vote.suspect) else { return };
        match suspicion.vote(vote, now) {
            Word::Alive => {
                self.acquit(vote.suspect);
                let monitor = self.monitors.get_mut(&vote.suspect);
                if monitor.is_some_and(|monitor| monitor.link.vouched(now)) {
                    self.orders.push_back(Order::LinkBroken(vote.suspect));
                }
            }
            // Whether fewer votes than the quorum are enough is looked into at the next step.
            Word::Noted => self.rule(vote.suspect, usize::MAX, now),
        }
    }

    /// Pings a member to check what a peer says about it, before it is believed.
    pub(crate) fn check(&mut self, node: NodeId, said: Said, now: Time) {
        self.is_changed = true;
        let known = self.checks.contains_key(&node) || self.suspicions.contains_key(&node);
        if known || self.checks.len() >= MAX_VIEW_CHECKS {
            self.tally.refused += u64::from(!known);
            return;
        }
        let series = Series::new(self.nonce(), now);
        self.checks.insert(node, Check { series, said });
    }

    /// Whether a member answered us so lately that a peer's verdict on it must be checked.
    pub(crate) fn is_witness_of(&self, node: NodeId, now: Time) -> bool {
        self.heard.get(&node).is_some_and(|at| now.since(*at) < WITNESSED)
    }
}
