//! Faults in force: beginning them, going on with them, ending them.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use hobnob_membership::{ClusterId, Time};
use rand::RngExt;
use rand::rngs::Xoshiro256PlusPlus;
use rand::seq::IndexedRandom;

use super::plan::next_step;
use super::{Fault, FaultKind, Order, Plan, StorageSpec};
use crate::network::{Channel, Conditions, Partition};
use crate::scenario::{Places, Scenario, Select};
use crate::truth::Truth;
use crate::world::{Detail, Pace, Storage, World};

/// Loss up to this is no excuse for calling a live host down.
const HARMLESS_LOSS: f64 = 0.05;
/// Neither is a path that is no slower than this.
const HARMLESS_LATENCY: Duration = Duration::from_millis(40);

/// A pause that no end is given for.
const DEFAULT_PAUSE: Duration = Duration::from_secs(10);

/// How to end a fault.
enum Undo {
    Nothing,
    Mend(Partition),
    /// A flapping link, and whether it is cut now.
    Flap(Partition, bool),
    Links(Vec<(usize, usize)>),
    Restart,
    Pace,
    Clocks,
    Disks,
    HomeCluster,
    /// A host goes back to its own data directory.
    OwnDisk(Box<(hobnob_membership::NodeId, crate::world::Disk)>),
}

struct Open {
    kind: usize,
    hosts: Vec<usize>,
    undo: Undo,
}

/// A host that was under a fault, for the report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Suffered {
    /// The host.
    pub host: usize,
    /// The fault.
    pub fault: &'static str,
    /// When it began.
    pub from: Time,
    /// When it ended; `None` when it has not.
    pub to: Option<Time>,
    occurrence: usize,
}

/// The faults in force.
pub struct Outages {
    scenario: Scenario,
    open: BTreeMap<usize, Open>,
    suffered: Vec<Suffered>,
    rng: Xoshiro256PlusPlus,
}

impl Outages {
    /// None yet.
    #[must_use]
    pub fn new(scenario: &Scenario, rng: Xoshiro256PlusPlus) -> Self {
        Self { scenario: scenario.clone(), open: BTreeMap::new(), suffered: Vec::new(), rng }
    }

    /// Who suffered what, and when.
    #[must_use]
    pub fn suffered(&self) -> &[Suffered] {
        &self.suffered
    }

    /// Carries out an order of the timetable.
    pub fn carry_out(
        &mut self,
        order: Order,
        plan: &mut Plan,
        world: &mut World,
        truth: &mut Truth,
    ) {
        let now = world.now();
        match order {
            Order::Begin { fault, occurrence } => {
                self.begin(fault, occurrence, world, truth);
                let kind = &self.scenario.fault[fault].what;
                if let Some(after) = next_step(kind, 0, &mut self.rng) {
                    plan.add(now + after, Order::Continue { fault, occurrence, step: 1 });
                }
            }
            Order::Continue { fault, occurrence, step } => {
                if !self.open.contains_key(&occurrence) {
                    return;
                }
                self.go_on(fault, occurrence, step, world, truth);
                let kind = &self.scenario.fault[fault].what;
                if let Some(after) = next_step(kind, step, &mut self.rng) {
                    plan.add(now + after, Order::Continue { fault, occurrence, step: step + 1 });
                }
            }
            Order::End { occurrence } => self.end(occurrence, world, truth),
        }
    }

    /// Ends everything that does not last for good, and says how many hosts stay dead.
    pub fn heal(&mut self, world: &mut World, truth: &mut Truth) -> usize {
        let open: Vec<usize> = self.open.keys().copied().collect();
        let mut dead = 0;
        for occurrence in open {
            let Some(Open { kind, hosts, undo }) = self.open.get(&occurrence) else { continue };
            let fault = &self.scenario.fault[*kind];
            let stays = matches!(undo, Undo::Restart) && fault.lasts.is_none();
            if stays && matches!(fault.what, FaultKind::Crash { .. } | FaultKind::Leave { .. }) {
                dead += hosts.iter().filter(|host| world.node(**host).is_none()).count();
                self.open.remove(&occurrence);
                truth.calm(occurrence, world.now());
            } else {
                self.end(occurrence, world, truth);
            }
        }
        world.network().heal();
        self.scenario.reset_links(world);
        dead
    }

    fn begin(&mut self, fault: usize, occurrence: usize, world: &mut World, truth: &mut Truth) {
        let spec = self.scenario.fault[fault].clone();
        let kind = &spec.what;
        let now = world.now();
        let (hosts, undo) = self.inflict(&spec, occurrence, world, truth);
        if world.trace().wants(Detail::Events) {
            let line = format!("FAULT {} begins on {hosts:?}", kind.name());
            world.trace().line(now, line);
        }
        self.suffered.extend(hosts.iter().map(|host| Suffered {
            host: *host,
            fault: kind.name(),
            from: now,
            to: None,
            occurrence,
        }));
        self.open.insert(occurrence, Open { kind: fault, hosts, undo });
    }

    fn inflict(
        &mut self,
        fault: &Fault,
        occurrence: usize,
        world: &mut World,
        truth: &mut Truth,
    ) -> (Vec<usize>, Undo) {
        let kind = &fault.what;
        if let Some(partition) = self.partition(kind, world) {
            partition.begin(world.network());
            let hosts: BTreeSet<usize> = partition.touches().collect();
            truth.disturb(occurrence, Some(hosts.clone()));
            let undo = match kind {
                FaultKind::Flap { .. } => Undo::Flap(partition, true),
                _ => Undo::Mend(partition),
            };
            return (hosts.into_iter().collect(), undo);
        }
        match kind {
            FaultKind::Degrade { from, to, link } => {
                let (from, to) = (self.choose(from, world), self.choose(to, world));
                let mut links = Vec::new();
                let mut harmful = false;
                for (a, b) in from.iter().flat_map(|a| to.iter().map(move |b| (*a, *b))) {
                    if a != b {
                        let conditions = link.over(*world.links().conditions(a, b));
                        harmful |= is_harmful(&conditions);
                        world.network().set(a, b, conditions);
                        links.push((a, b));
                    }
                }
                let hosts: BTreeSet<usize> = from.into_iter().chain(to).collect();
                if harmful {
                    truth.disturb(occurrence, Some(hosts.clone()));
                }
                (hosts.into_iter().collect(), Undo::Links(links))
            }
            FaultKind::Crash { nodes, storage } => {
                let hosts = self.running(nodes, world);
                for host in &hosts {
                    self.crash(*host, *storage, world, truth);
                }
                (hosts, Undo::Restart)
            }
            FaultKind::SeedOutage => {
                let hosts = self.running(&Select::Seeds, world);
                for host in &hosts {
                    self.crash(*host, StorageSpec::Kept, world, truth);
                }
                (hosts, Undo::Restart)
            }
            FaultKind::Leave { nodes } => {
                let hosts = self.running(nodes, world);
                for host in &hosts {
                    truth.left(world.host(*host).id, world.now());
                    world.leave(*host);
                }
                (hosts, Undo::Restart)
            }
            FaultKind::RollingRestart { nodes, .. } => (self.choose(nodes, world), Undo::Restart),
            FaultKind::AddressChange { nodes } => {
                let hosts = self.running(nodes, world);
                for host in &hosts {
                    self.crash(*host, StorageSpec::Kept, world, truth);
                    world.change_address(*host);
                    self.start(*host, world, truth);
                }
                (hosts, Undo::Nothing)
            }
            FaultKind::OtherCluster { nodes } => {
                let hosts = self.running(nodes, world);
                truth.disturb(occurrence, Some(hosts.iter().copied().collect()));
                for host in &hosts {
                    self.crash(*host, StorageSpec::Lost, world, truth);
                    let stranger = world.host_mut(*host);
                    stranger.cluster = ClusterId::named("another");
                    truth.set_stranger(stranger.id);
                    world.start(*host);
                }
                (hosts, Undo::HomeCluster)
            }
            FaultKind::IdCollision { from, to } => {
                let (from, to) = (self.running(from, world), self.running(to, world));
                let from = from.first().copied();
                let to = to.iter().copied().find(|to| Some(*to) != from);
                let (Some(from), Some(to)) = (from, to) else { return (Vec::new(), Undo::Nothing) };
                self.crash(to, StorageSpec::Kept, world, truth);
                let own = (world.host(to).id, world.host(to).disk.clone());
                world.clone_disk(from, to);
                truth.set_doubled(world.host(to).id);
                truth.disturb(occurrence, Some([from, to].into()));
                self.start(to, world, truth);
                (vec![to], Undo::OwnDisk(Box::new(own)))
            }
            FaultKind::Pause { nodes } => {
                let hosts = self.choose(nodes, world);
                truth.disturb(occurrence, None);
                let lasts = fault.lasts.map_or(DEFAULT_PAUSE, |lasts| lasts.0);
                for host in &hosts {
                    world.pause(*host, lasts);
                }
                (hosts, Undo::Nothing)
            }
            FaultKind::Stutter { nodes, .. } => {
                truth.disturb(occurrence, None);
                (self.choose(nodes, world), Undo::Nothing)
            }
            FaultKind::Slow { nodes, service } => {
                let pace = Pace { service: service.0, ..Pace::default() };
                self.slow_down(nodes, pace, occurrence, world, truth)
            }
            FaultKind::SlowReceive { nodes, per_second } => {
                let gap = Duration::from_secs(1) / (*per_second).max(1);
                let pace = Pace { receive_gap: gap, ..Pace::default() };
                self.slow_down(nodes, pace, occurrence, world, truth)
            }
            FaultKind::LateTimers { nodes, by } => {
                let pace = Pace { timers_late: by.0, ..Pace::default() };
                self.slow_down(nodes, pace, occurrence, world, truth)
            }
            FaultKind::ClockDrift { nodes, ppm } => {
                let hosts = self.choose(nodes, world);
                let now = world.now();
                for host in &hosts {
                    let ppm = i64::from(*ppm);
                    let drift = self.rng.random_range(-ppm..=ppm);
                    world.host_mut(*host).clock.set_drift(now, drift);
                }
                if *ppm > 50_000 {
                    truth.disturb(occurrence, None);
                }
                (hosts, Undo::Clocks)
            }
            FaultKind::WallJump { nodes, seconds } => {
                let hosts = self.choose(nodes, world);
                for host in &hosts {
                    world.host_mut(*host).clock.jump(seconds * 1_000);
                }
                (hosts, Undo::Nothing)
            }
            FaultKind::DiskFull { nodes } => {
                let hosts = self.choose(nodes, world);
                for host in &hosts {
                    world.host_mut(*host).disk.set_full(true);
                }
                (hosts, Undo::Disks)
            }
            _ => (Vec::new(), Undo::Nothing),
        }
    }

    fn partition(&mut self, kind: &FaultKind, world: &World) -> Option<Partition> {
        let all: Vec<usize> = (0..world.len()).collect();
        Some(match kind {
            FaultKind::Cut { left, right } | FaultKind::Flap { left, right, .. } => {
                Partition::full(&self.choose(left, world), &self.choose(right, world))
            }
            FaultKind::OneWay { from, to } => {
                Partition::one_way(&self.choose(from, world), &self.choose(to, world))
            }
            FaultKind::Bridge { node } => {
                let bridge = self.choose(node, world).first().copied().unwrap_or(0);
                Partition::bridge(&all, bridge)
            }
            FaultKind::MajorityRing => Partition::majority_ring(&all),
            FaultKind::Isolate { nodes } => {
                let alone = self.choose(nodes, world);
                Partition::isolate(&alone, &all)
            }
            FaultKind::DatacenterCut { name } => {
                let (inside, outside): (Vec<usize>, Vec<usize>) =
                    all.iter().partition(|host| world.place(**host).0 == name);
                Partition::full(&inside, &outside)
            }
            FaultKind::UdpBlocked { left, right } => {
                Partition::full(&self.choose(left, world), &self.choose(right, world))
                    .only(Channel::Datagrams)
            }
            FaultKind::StreamsBlocked { left, right } => {
                Partition::full(&self.choose(left, world), &self.choose(right, world))
                    .only(Channel::Streams)
            }
            _ => return None,
        })
    }

    fn go_on(
        &mut self,
        fault: usize,
        occurrence: usize,
        step: usize,
        world: &mut World,
        truth: &mut Truth,
    ) {
        let kind = self.scenario.fault[fault].what.clone();
        let Some(open) = self.open.get_mut(&occurrence) else { return };
        match (&kind, &mut open.undo) {
            (FaultKind::Flap { .. }, Undo::Flap(partition, is_cut)) => {
                *is_cut = !*is_cut;
                if *is_cut {
                    partition.begin(world.network());
                } else {
                    partition.end(world.network());
                }
            }
            (FaultKind::Stutter { min, max, .. }, _) => {
                if let Some(host) = open.hosts.choose(&mut self.rng) {
                    let span = max.0.saturating_sub(min.0);
                    world.pause(*host, min.0 + span.mul_f64(self.rng.random()));
                }
            }
            (FaultKind::RollingRestart { gap, down, .. }, _) => {
                // The host whose turn it was comes back when it has been down long enough; the next one stops.
                let back_after = (down.0.as_secs_f64() / gap.0.as_secs_f64()).ceil() as usize;
                let back = step.checked_sub(1 + back_after.max(1));
                let back = back.and_then(|turn| open.hosts.get(turn)).copied();
                let next = open.hosts.get(step - 1).copied();
                if let Some(host) = back {
                    self.start(host, world, truth);
                }
                if let Some(host) = next.filter(|host| world.node(*host).is_some()) {
                    self.crash(host, StorageSpec::Kept, world, truth);
                    if down.0 < gap.0 / 2 {
                        self.start(host, world, truth);
                    }
                }
            }
            _ => {}
        }
    }

    fn end(&mut self, occurrence: usize, world: &mut World, truth: &mut Truth) {
        let Some(Open { kind, hosts, undo }) = self.open.remove(&occurrence) else { return };
        let now = world.now();
        if world.trace().wants(Detail::Events) {
            let name = self.scenario.fault[kind].what.name();
            world.trace().line(now, format_args!("FAULT {name} ends"));
        }
        match undo {
            Undo::Nothing => {}
            Undo::Mend(partition) => partition.end(world.network()),
            Undo::Flap(partition, is_cut) => {
                if is_cut {
                    partition.end(world.network());
                }
            }
            Undo::Links(links) => self.mend_links(&links, world),
            Undo::Restart => {
                for host in &hosts {
                    self.start(*host, world, truth);
                }
            }
            Undo::Pace => {
                for host in &hosts {
                    world.host_mut(*host).pace = Pace::default();
                }
            }
            Undo::Clocks => {
                for host in &hosts {
                    world.host_mut(*host).clock.set_drift(now, 0);
                }
            }
            Undo::Disks => {
                for host in &hosts {
                    world.host_mut(*host).disk.set_full(false);
                }
            }
            Undo::HomeCluster => {
                for host in &hosts {
                    world.crash(*host, Storage::Lost);
                    world.host_mut(*host).cluster = ClusterId::default();
                    self.start(*host, world, truth);
                }
            }
            Undo::OwnDisk(own) => {
                for host in &hosts {
                    world.crash(*host, Storage::Kept);
                    let restored = world.host_mut(*host);
                    (restored.id, restored.disk) = (own.0, own.1.clone());
                    self.start(*host, world, truth);
                }
            }
        }
        truth.calm(occurrence, now + self.scenario.limits.grace.0);
        for suffered in self.suffered.iter_mut().filter(|s| s.occurrence == occurrence) {
            suffered.to = Some(now);
        }
    }

    /// Puts links back as the scenario has them, and then under the faults that are still in force.
    fn mend_links(&mut self, links: &[(usize, usize)], world: &mut World) {
        let mut pristine = self.scenario.build(0);
        for (from, to) in links {
            let conditions = *pristine.network().conditions(*from, *to);
            world.network().set(*from, *to, conditions);
        }
        for open in self.open.values() {
            let FaultKind::Degrade { link, .. } = &self.scenario.fault[open.kind].what else {
                continue;
            };
            let Undo::Links(others) = &open.undo else { continue };
            for (from, to) in others.iter().filter(|other| links.contains(other)) {
                let conditions = link.over(*world.links().conditions(*from, *to));
                world.network().set(*from, *to, conditions);
            }
        }
    }

    fn slow_down(
        &mut self,
        nodes: &Select,
        pace: Pace,
        occurrence: usize,
        world: &mut World,
        truth: &mut Truth,
    ) -> (Vec<usize>, Undo) {
        let hosts = self.choose(nodes, world);
        for host in &hosts {
            world.host_mut(*host).pace = pace;
        }
        truth.disturb(occurrence, None);
        (hosts, Undo::Pace)
    }

    fn crash(&mut self, host: usize, storage: StorageSpec, world: &mut World, truth: &mut Truth) {
        let id = world.host(host).id;
        let storage = match storage {
            StorageSpec::Kept => Storage::Kept,
            StorageSpec::Lost => Storage::Lost,
            StorageSpec::RolledBack => {
                world.host_mut(host).clock.jump(-7_200_000);
                Storage::RolledBack(self.rng.random_range(1..=20))
            }
            StorageSpec::Torn => return world.host_mut(host).disk.tear_next(),
        };
        world.crash(host, storage);
        truth.stopped(id, world.now());
        truth.reload(world, host);
    }

    fn start(&mut self, host: usize, world: &mut World, truth: &mut Truth) {
        if world.node(host).is_some() {
            return;
        }
        let grace = self.scenario.limits.grace.0;
        truth.reload(world, host);
        truth.started(world, host, grace);
        world.start(host);
    }

    fn choose(&mut self, select: &Select, world: &World) -> Vec<usize> {
        select.choose(world, &mut self.rng)
    }

    /// Those of the chosen on which a node runs.
    fn running(&mut self, select: &Select, world: &World) -> Vec<usize> {
        let mut hosts = self.choose(select, world);
        hosts.retain(|host| world.node(*host).is_some());
        // Somebody must be left to tell of it.
        let running = (0..world.count()).filter(|host| world.node(*host).is_some()).count();
        hosts.truncate(running.saturating_sub(2));
        hosts
    }
}

fn is_harmful(conditions: &Conditions) -> bool {
    conditions.effective_loss() > HARMLESS_LOSS
        || conditions.latency.typical() > HARMLESS_LATENCY
        || conditions.bandwidth.is_some()
        || conditions.reorder > 0.0
        || conditions.mtu < 1_400
}
