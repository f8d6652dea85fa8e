//! One run of a scenario: first safety under faults, then liveness after everything is healed.
//!
//! The two phases follow TigerBeetle (`src/vopr.zig`). Under faults, progress may stop and no promise may break.
//! Without faults, progress is a promise too.

mod outcome;
mod recording;

use std::collections::BTreeMap;
use std::time::Duration;

use hobnob_membership::Time;
use rand::rngs::Xoshiro256PlusPlus;
use rand::{Rng, RngExt, SeedableRng};

use crate::checkers::{Beliefs, CONVERGENCE, Checkers, Scene, disagreement, down_of_live_agent};
use crate::fault::{ActiveFaults, Timetable};
use crate::scenario::{Limit, LimitValue, Scenario};
use crate::truth::{Excuse, Truth};
use crate::workload::Workload;
use crate::world::{NodeEvent, Observer, World};

pub use outcome::{Outcome, RunOptions};
pub use recording::{Recording, Sample, Second};

/// The interval at which checkers look at the whole cluster.
const WINDOW: Duration = Duration::from_secs(1);
/// The same while the cluster heals.
const HEALING_WINDOW: Duration = Duration::from_millis(250);
/// A healed cluster runs on for this long, so that a late resurrection shows.
const AFTER_HEALED: Duration = Duration::from_secs(5);

/// The scene for the checkers. A macro, because it borrows some fields of a run and leaves others free.
macro_rules! scene {
    ($run:expr) => {
        Scene {
            world: &$run.world,
            truth: &$run.truth,
            beliefs: &$run.beliefs,
            limits: &$run.scenario.limits,
            healing_since: $run.healing_since,
        }
    };
}

/// Passes node events to everything that observes the run.
struct RunObserver<'a> {
    truth: &'a Truth,
    beliefs: &'a mut Beliefs,
    checkers: &'a mut Checkers,
    workload: &'a mut Workload,
    recording: &'a mut Option<Recording>,
    scenario: &'a Scenario,
    healing_since: Option<Time>,
    false_downs: &'a mut BTreeMap<Option<Excuse>, u64>,
}

impl Observer for RunObserver<'_> {
    fn on_event(&mut self, world: &World, event: &NodeEvent) {
        self.beliefs.on_event(event);
        self.workload.watchers().iter_mut().for_each(|watcher| watcher.on_event(event));
        if let Some(recording) = self.recording {
            recording.on_event(world, event);
        }
        let scene = Scene {
            world,
            truth: self.truth,
            beliefs: self.beliefs,
            limits: &self.scenario.limits,
            healing_since: self.healing_since,
        };
        let is_member = !world.is_revoked(world.host(event.host).id);
        if let Some((_, excuse)) = down_of_live_agent(&scene, event).filter(|_| is_member) {
            *self.false_downs.entry(excuse).or_default() += 1;
        }
        self.checkers.on_event(&scene, event);
    }
}

struct Run<'a> {
    scenario: &'a Scenario,
    world: World,
    truth: Truth,
    beliefs: Beliefs,
    checkers: Checkers,
    workload: Workload,
    active: ActiveFaults,
    timetable: Timetable,
    recording: Option<Recording>,
    healing_since: Option<Time>,
    false_downs: BTreeMap<Option<Excuse>, u64>,
    stop_at_failure: bool,
}

/// Runs a scenario with a seed.
pub fn run(scenario: &Scenario, seed: u64, options: RunOptions) -> Outcome {
    let mut rng = Xoshiro256PlusPlus::seed_from_u64(seed);
    let mut fork = || Xoshiro256PlusPlus::seed_from_u64(rng.next_u64());
    let end = Time::ZERO + scenario.duration.0;
    let mut joins = fork();
    let mut run = Run {
        world: scenario.build(fork().next_u64()),
        truth: Truth::default(),
        beliefs: Beliefs::default(),
        checkers: Checkers::default(),
        workload: Workload::new(scenario.workload, fork()),
        active: ActiveFaults::new(scenario, fork()),
        timetable: Timetable::new(&scenario.fault, end, &mut fork()),
        recording: options.recording.then(|| Recording::new(scenario)),
        healing_since: None,
        false_downs: BTreeMap::new(),
        stop_at_failure: options.stop_at_failure,
        scenario,
    };
    if let Some((detail, sink)) = options.trace {
        run.world.trace().tell(detail, sink);
    }
    let mut progress = options.progress;
    run.run_faults(&mut joins, end, &mut progress);
    let healed = run.run_healing();
    let world = &mut run.world;
    let seconds = world.now().as_micros() as f64 / 1e6;
    let hosts = 0..world.len();
    let bytes: u64 = hosts
        .map(|host| world.host(host).meter())
        .map(|meter| meter.datagram_bytes + meter.frame_bytes)
        .sum();
    let mut measured = run.checkers.measured();
    if let Some(healed) = healed {
        measured.note(Limit::HealWithin, LimitValue::Time(healed));
    }
    if let Some(recording) = &mut run.recording {
        recording.finish(&run.active, run.world.now(), run.checkers.failures());
    }
    Outcome {
        scenario: scenario.name.clone(),
        nodes: scenario.nodes,
        seed,
        trace_hash: format!("{:016x}", run.world.trace_hash()),
        failures: run.checkers.failures().to_vec(),
        simulated_seconds: seconds,
        healed_after_ms: healed.map(|healed| healed.as_millis() as u64),
        deliveries: run.world.deliveries(),
        bytes_per_second_per_node: bytes as f64 / seconds / scenario.nodes.max(1) as f64,
        downs_of_live_agents: run.false_downs.values().sum(),
        excused_downs: run
            .false_downs
            .into_iter()
            .filter_map(|(excuse, downs)| Some((excuse?.words(), downs)))
            .collect(),
        limits: measured.beside(&scenario.limits),
        client_actions: run.workload.history().len(),
        recording: run.recording,
    }
}

impl Run<'_> {
    /// The first phase: hosts start, clients work, faults come and go.
    fn run_faults(
        &mut self,
        joins: &mut Xoshiro256PlusPlus,
        end: Time,
        progress: &mut Option<Box<dyn FnMut(Time, Time)>>,
    ) {
        let within = self.scenario.start_within.0;
        let mut starts: Vec<(Time, usize)> = (0..self.world.len())
            .map(|host| {
                let wait = if host == 0 { Duration::ZERO } else { within.mul_f64(joins.random()) };
                (Time::ZERO + self.scenario.starts_at(host) + wait, host)
            })
            .collect();
        starts.sort_unstable();
        starts.reverse();
        if self.scenario.settled {
            starts.clear();
            self.settle();
        }
        let mut window = Time::ZERO + WINDOW;
        loop {
            let start = starts.last().map(|(at, _)| *at);
            let next = [start, self.timetable.next_at(), self.workload.next_at(), Some(window)];
            let next = next.into_iter().flatten().min().unwrap_or(end).min(end);
            self.advance(next);
            let now = self.world.now();
            if now >= end || self.is_given_up() {
                return;
            }
            while let Some((_, host)) = starts.pop_if(|(at, _)| *at <= now) {
                self.truth.started(&self.world, host, self.scenario.limits.grace.0);
                self.world.start(host);
            }
            while let Some(order) = self.timetable.take_due(now) {
                let (timetable, world) = (&mut self.timetable, &mut self.world);
                self.active.carry_out(order, timetable, world, &mut self.truth);
            }
            self.clients();
            if window <= now {
                window = now + WINDOW;
                self.look();
                if let Some(progress) = progress {
                    progress(now, end);
                }
            }
        }
    }

    /// All hosts start at once, register their first instances, and know each other.
    fn settle(&mut self) {
        for host in 0..self.world.len() {
            self.truth.started(&self.world, host, self.scenario.limits.grace.0);
        }
        self.world.start_settled(|world| self.workload.populate(world, &mut self.truth));
        self.beliefs.settle(&self.world);
        self.workload.watchers().iter_mut().for_each(|watcher| watcher.settle(&self.world));
        let scene = scene!(self);
        self.checkers.settled(&scene);
    }

    /// The second phase: no more faults or writes. All hosts that are not dead for good must agree in time.
    fn run_healing(&mut self) -> Option<Duration> {
        if self.is_given_up() {
            return None;
        }
        self.timetable.clear();
        self.active.heal(&mut self.world, &mut self.truth);
        self.workload.stop_writing();
        let start = self.world.now();
        self.healing_since = Some(start);
        // A node that restarted without a disk has yet to register its first instances.
        self.workload.populate(&mut self.world, &mut self.truth);
        let limit = start + self.scenario.limits.heal_within.0;
        let healed = loop {
            self.pass_time(HEALING_WINDOW.min(limit.since(self.world.now())));
            let Some(difference) = disagreement(&self.scene()) else {
                break self.world.now() - start;
            };
            if self.world.now() >= limit {
                let within = self.scenario.limits.heal_within.0;
                let what = format!("{difference}, {within:?} after the last heal");
                self.checkers.fail(CONVERGENCE.0, self.world.now(), what);
                return None;
            }
        };
        let scene = scene!(self);
        self.checkers.healed(&scene);
        self.pass_time(AFTER_HEALED);
        let scene = scene!(self);
        self.checkers.healed(&scene);
        Some(healed)
    }

    fn is_given_up(&self) -> bool {
        self.stop_at_failure && !self.checkers.failures().is_empty()
    }

    /// Lets time pass; only reading clients act.
    fn pass_time(&mut self, time: Duration) {
        let end = self.world.now() + time;
        while self.world.now() < end {
            let window = (self.world.now() + WINDOW).min(end);
            let next = self.workload.next_at().map_or(window, |at| at.min(window));
            self.advance(next);
            self.clients();
            if self.world.now() == window {
                self.look();
            }
        }
    }

    fn clients(&mut self) {
        if self.healing_since.is_none() {
            self.workload.populate(&mut self.world, &mut self.truth);
        }
        self.workload.write_due(&mut self.world, &mut self.truth);
        // A read at the same moment knows of the write.
        self.advance(self.world.now());
        let answers = self.workload.read_due(&mut self.world);
        for answer in answers {
            if let Some(recording) = &mut self.recording {
                recording.answered(&answer, &self.truth, self.world.now());
            }
            let scene = scene!(self);
            self.checkers.answered(&scene, &answer);
        }
    }

    fn look(&mut self) {
        self.advance(self.world.now());
        let scene = scene!(self);
        self.checkers.window(&scene);
        if let Some(recording) = &mut self.recording {
            recording.window(&scene);
        }
    }

    fn advance(&mut self, to: Time) {
        let mut observer = RunObserver {
            truth: &self.truth,
            beliefs: &mut self.beliefs,
            checkers: &mut self.checkers,
            workload: &mut self.workload,
            recording: &mut self.recording,
            scenario: self.scenario,
            healing_since: self.healing_since,
            false_downs: &mut self.false_downs,
        };
        self.world.run_to(to, &mut observer);
    }

    fn scene(&self) -> Scene<'_> {
        scene!(self)
    }
}
