//! The detector's work at its deadline: it pings members, asks referees, accuses members and passes verdicts.

use rand::RngExt;

use super::indirect_probe;
use super::monitor::{PERIOD, Watch};
use super::series::Step;
use super::suspicion::Suspicion;
use super::{Cause, Detector, MONITORS, Order, Said, Verdict};
use crate::base::identity::{Identity, NodeId};
use crate::base::limits::{MAX_REFEREES, MAX_SUSPICIONS};
use crate::base::mutants::{self as mutant, Mutant};
use crate::base::time::Time;
use crate::liveness::swim::Swim;

/// The ping of a check that also goes by stream, when a peer says that the member is back.
const CHECKED_BY_STREAM_FROM: usize = 3;

impl Detector {
    pub(crate) fn handle_deadline(&mut self, swim: &Swim, now: Time) {
        self.is_changed = true;
        self.stepped = now;
        self.step_monitors(swim, now);
        self.step_checks(swim, now);
        self.step_indirect_probes(now);
        self.step_suspicions(swim, now);
    }

    fn step_monitors(&mut self, swim: &Swim, now: Time) {
        let free = |target: &NodeId| !self.suspicions.contains_key(target);
        let targets: Vec<NodeId> = self.monitors.keys().copied().filter(free).collect();
        for target in targets {
            while let Some(watch) = self.monitors.get_mut(&target).and_then(|m| m.step(now)) {
                match watch {
                    Watch::Begin => {
                        let (nonce, chance) = (self.nonce(), self.rng.random());
                        let period = self.pause(PERIOD, now);
                        if let Some(monitor) = self.monitors.get_mut(&target) {
                            monitor.begin(nonce, period, chance, now);
                        }
                        self.pings.expect(target, nonce, now);
                    }
                    Watch::Ping { stream } => {
                        let series = self.monitors.get(&target).and_then(|m| m.series);
                        let Some(nonce) = series.map(|series| series.nonce) else { continue };
                        self.orders.push_back(Order::Ping(target, nonce));
                        if stream {
                            self.orders.push_back(Order::StreamProbe(target, nonce));
                        }
                    }
                    Watch::Accuse(since) => {
                        self.accuse(swim, target, since, now);
                        break;
                    }
                }
            }
        }
    }

    fn step_checks(&mut self, swim: &Swim, now: Time) {
        let nodes: Vec<NodeId> = self.checks.keys().copied().collect();
        for node in nodes {
            while let Some(check) = self.checks.get_mut(&node)
                && let Some(step) = check.series.step(now)
            {
                let nonce = check.series.nonce;
                match step {
                    Step::Ping(n) => {
                        if n == 1 {
                            self.pings.expect(node, nonce, now);
                        }
                        self.orders.push_back(Order::Ping(node, nonce));
                        if n == CHECKED_BY_STREAM_FROM && matches!(check.said, Said::Back(_)) {
                            self.orders.push_back(Order::StreamProbe(node, nonce));
                        }
                    }
                    Step::Failed => {
                        let started = check.series.started;
                        match self.checks.remove(&node).map(|check| check.said) {
                            Some(Said::Down(verdict, by)) => {
                                self.orders.push_back(Order::Decide(verdict, by));
                            }
                            Some(Said::NotActive) => self.accuse(swim, node, started, now),
                            Some(Said::Back(_) | Said::Successor) | None => {}
                        }
                    }
                }
            }
        }
    }

    fn step_indirect_probes(&mut self, now: Time) {
        let probes = self.indirect_probes.len();
        let suspects: Vec<NodeId> = self.indirect_probes.keys().copied().collect();
        for suspect in suspects {
            if let Some(accused) = self.suspicions.get(&suspect).map(|suspicion| suspicion.suspect)
            {
                self.probe_indirectly(accused, None, now);
            }
            while let Some(indirect_probe) = self.indirect_probes.get_mut(&suspect)
                && let Some(step) = indirect_probe.step(probes, now)
            {
                let nonce = indirect_probe.nonce;
                match step {
                    indirect_probe::Step::Ping => {
                        self.pings.expect(suspect, nonce, now);
                        self.orders.push_back(Order::Ping(suspect, nonce));
                    }
                    indirect_probe::Step::Stream { tcp_probe } => {
                        self.orders.push_back(Order::StreamProbe(suspect, nonce));
                        if tcp_probe {
                            self.orders.push_back(Order::TcpProbe(suspect, nonce));
                        }
                    }
                    indirect_probe::Step::Over => drop(self.indirect_probes.remove(&suspect)),
                }
            }
        }
    }

    fn step_suspicions(&mut self, swim: &Swim, now: Time) {
        let is_due = |suspicion: &Suspicion| suspicion.next_deadline() <= now;
        let suspects: Vec<NodeId> = self
            .suspicions
            .iter()
            .filter_map(|(node, suspicion)| is_due(suspicion).then_some(*node))
            .collect();
        if suspects.is_empty() {
            return;
        }
        let electorate = self.electorate(swim, now);
        for suspect in suspects {
            self.rule(suspect, electorate.voters_on(suspect), now);
            if let Some(suspicion) = self.suspicions.get_mut(&suspect) {
                let epoch = suspicion.suspect.epoch;
                for referee in suspicion.step(&electorate, now) {
                    self.unanswered.entry(referee).or_insert(now);
                    self.orders.push_back(Order::Ask(referee, suspect, epoch));
                }
            }
        }
    }

    /// Passes a verdict on a suspect if the votes are enough. `voters` other members have a vote.
    pub(super) fn rule(&mut self, suspect: NodeId, voters: usize, now: Time) {
        let Some(accused) = self.suspicions.get(&suspect).map(|suspicion| suspicion.suspect) else {
            return;
        };
        let Some(findings) = self.probe_indirectly(accused, None, now) else { return };
        let Some(suspicion) = self.suspicions.get_mut(&suspect) else { return };
        suspicion.note_tcp_probe(findings.tcp_probe_answered);
        let Some(mut referees) = suspicion.verdict(findings.since, voters, now) else { return };
        let epoch = suspicion.suspect.epoch;
        self.suspicions.remove(&suspect);
        self.is_watch_outdated = true;
        self.indirect_probes.remove(&suspect);
        referees.truncate(MAX_REFEREES);
        let cause = Cause::Silence;
        let verdict =
            Verdict { node: suspect, epoch, cause, accuser: self.own, referees, exited: false };
        self.orders.push_back(Order::Decide(verdict, self.own));
    }

    fn accuse(&mut self, swim: &Swim, node: NodeId, since: Time, now: Time) {
        let Some(identity) = swim.active_peer(node).copied() else { return };
        if self.suspicions.contains_key(&node) {
            return;
        }
        if self.suspicions.len() >= MAX_SUSPICIONS
            || self.probe_indirectly(identity, None, now).is_none()
        {
            self.tally.refused += 1;
            return;
        }
        self.tally.accusations += 1;
        let suspicion = self.open_suspicion(swim, identity, since, now);
        self.suspicions.insert(node, suspicion);
        self.is_watch_outdated = true;
    }

    fn open_suspicion(&self, swim: &Swim, suspect: Identity, since: Time, now: Time) -> Suspicion {
        let node = suspect.node_id;
        // The suspect has as many monitors as there are other members, up to the limit. We are one of them.
        let monitors = MONITORS.min(swim.ring().len());
        let monitors = if mutant::is(Mutant::NoReferees) { 1 } else { monitors };
        let referees = swim
            .ring()
            .predecessors(node)
            .filter(|referee| self.silent_since(swim, *referee, now).is_none())
            .take(monitors.saturating_sub(1))
            .collect();
        let (heard, local_health) =
            (self.heard.get(&node).copied(), self.healths.get(&node).copied());
        Suspicion::new(suspect, since, heard, local_health, monitors, referees, now)
    }
}
