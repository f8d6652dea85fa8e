//! The data of a run for its report: samples of every second, and faults.

use std::collections::BTreeMap;

use hobnob_membership::view::MemberStatus;
use hobnob_membership::{Event, Time};

use crate::checkers::{Failure, Scene};
use crate::fault::{ActiveFaults, FaultPeriod};
use crate::scenario::Scenario;
use crate::truth::Truth;
use crate::workload::Answer;
use crate::world::{NodeEvent, World};

/// A host in one second.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Sample {
    /// Whether a node runs there.
    pub up: bool,
    /// The share of the running nodes that believe it down, from 0 to 1.
    pub believed_down: f64,
    /// Bytes a second that it sent.
    pub bytes: u64,
    /// Packets a second that it sent.
    pub packets: u64,
}

/// The cluster in one second.
#[derive(Clone, Debug, Default)]
pub struct Second {
    /// Seconds since the beginning.
    pub at: f64,
    /// The share of the running nodes that hold the most common catalog.
    pub in_agreement: f64,
    /// Picks of a live instance.
    pub picks_right: u64,
    /// Other picks.
    pub picks_wrong: u64,
    /// Live agents that some node believes down.
    pub false_downs: usize,
    /// Every host.
    pub hosts: Vec<Sample>,
}

/// The events of a run.
#[derive(Clone, Debug, Default)]
pub struct Recording {
    /// The name of the scenario.
    pub scenario: String,
    /// Its description.
    pub about: String,
    /// Each second.
    pub seconds: Vec<Second>,
    /// The faults of each host.
    pub suffered: Vec<FaultPeriod>,
    /// When faults ended and healing began.
    pub faults_end: f64,
    /// The length of the run.
    pub end: f64,
    /// The failures.
    pub failures: Vec<String>,
    last_sent: Vec<(u64, u64)>,
    last_at: Time,
    picks: (u64, u64),
    /// For each host, the observers that believe it down, and their lives.
    down_at: BTreeMap<usize, BTreeMap<usize, u32>>,
}

impl Recording {
    /// An empty recording.
    #[must_use]
    pub fn new(scenario: &Scenario) -> Self {
        Self {
            scenario: scenario.name.clone(),
            about: scenario.about.clone(),
            faults_end: scenario.duration.0.as_secs_f64(),
            ..Self::default()
        }
    }

    /// A node reported an event.
    pub fn on_event(&mut self, world: &World, event: &NodeEvent) {
        let Event::Member(change) = &event.kind else { return };
        let Some(subject) = world.host_of(change.member.identity.node_id) else { return };
        let observers = self.down_at.entry(subject).or_default();
        if change.member.status == MemberStatus::Down {
            observers.insert(event.host, event.life);
        } else {
            observers.remove(&event.host);
        }
    }

    /// A client was answered.
    pub fn answered(&mut self, answer: &Answer, truth: &Truth, _at: Time) {
        let Answer::Pick { picked: Some((origin, id)), .. } = answer else { return };
        let right = truth.is_up(*origin) && truth.promise(*origin, id).is_some();
        if right {
            self.picks.0 += 1;
        } else {
            self.picks.1 += 1;
        }
    }

    /// A second has passed.
    pub fn window(&mut self, scene: &Scene<'_>) {
        let world = scene.world;
        self.last_sent.resize(world.len(), (0, 0));
        let mut digests: BTreeMap<u64, usize> = BTreeMap::new();
        for (_, node) in world.running() {
            *digests.entry(node.catalog().digest()).or_default() += 1;
        }
        let running: usize = digests.values().sum();
        let most = digests.values().max().copied().unwrap_or(0);
        let hosts: Vec<Sample> =
            (0..world.len()).map(|host| self.sample(host, world, running)).collect();
        self.last_at = world.now();
        let (picks_right, picks_wrong) = std::mem::take(&mut self.picks);
        self.seconds.push(Second {
            at: world.now().as_micros() as f64 / 1e6,
            in_agreement: most as f64 / running.max(1) as f64,
            picks_right,
            picks_wrong,
            false_downs: hosts.iter().filter(|host| host.up && host.believed_down > 0.0).count(),
            hosts,
        });
    }

    fn sample(&mut self, host: usize, world: &World, running: usize) -> Sample {
        let meter = world.host(host).meter();
        let total = (meter.datagram_bytes + meter.frame_bytes, meter.datagrams + meter.streams);
        let last = std::mem::replace(&mut self.last_sent[host], total);
        let micros = world.now().since(self.last_at).as_micros().max(1) as u64;
        let votes = self.down_at.get(&host).map_or(0, |observers| {
            let alive = observers.iter().filter(|(observer, life)| {
                world.node(**observer).is_some() && world.host(**observer).lives() == **life
            });
            alive.count()
        });
        Sample {
            up: world.node(host).is_some(),
            believed_down: votes as f64 / running.saturating_sub(1).max(1) as f64,
            bytes: (total.0 - last.0) * 1_000_000 / micros,
            packets: (total.1 - last.1) * 1_000_000 / micros,
        }
    }

    /// The run is over.
    pub fn finish(&mut self, active: &ActiveFaults, now: Time, failures: &[Failure]) {
        self.suffered = active.suffered().to_vec();
        self.end = now.as_micros() as f64 / 1e6;
        self.failures = failures.iter().map(ToString::to_string).collect();
    }
}
