//! The faults in force.

use std::collections::BTreeMap;
use std::time::Duration;

use hobnob_membership::Time;
use rand::RngExt;
use rand::rngs::Xoshiro256PlusPlus;

use super::open::{OpenFault, Undo};
use super::timetable::{FaultOrder, Timetable, next_step};

use crate::scenario::{FaultKind, Scenario, Select, StorageSpec, Topology};
use crate::truth::{Grace, Truth};
use crate::world::{Detail, Stop, Storage, World};

/// The time that a host spent under a fault, for the report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FaultPeriod {
    /// The host.
    pub host: usize,
    /// The fault.
    pub fault: &'static str,
    /// When it began.
    pub from: Time,
    /// When it ended; `None` when it has not.
    pub to: Option<Time>,
    pub(super) occurrence: usize,
}

/// The faults in force.
pub struct ActiveFaults {
    pub(super) scenario: Scenario,
    pub(super) open: BTreeMap<usize, OpenFault>,
    pub(super) suffered: Vec<FaultPeriod>,
    pub(super) rng: Xoshiro256PlusPlus,
}

impl ActiveFaults {
    /// No fault yet.
    #[must_use]
    pub fn new(scenario: &Scenario, rng: Xoshiro256PlusPlus) -> Self {
        Self { scenario: scenario.clone(), open: BTreeMap::new(), suffered: Vec::new(), rng }
    }

    /// The faults of each host, and their times.
    #[must_use]
    pub fn suffered(&self) -> &[FaultPeriod] {
        &self.suffered
    }

    /// Carries out an order of the timetable.
    pub fn carry_out(
        &mut self,
        order: FaultOrder,
        plan: &mut Timetable,
        world: &mut World,
        truth: &mut Truth,
    ) {
        let now = world.now();
        match order {
            FaultOrder::Begin { fault, occurrence } => {
                self.begin(fault, occurrence, world, truth);
                let kind = &self.scenario.fault[fault].what;
                if let Some(after) = next_step(kind, 0, &mut self.rng) {
                    plan.add(now + after, FaultOrder::Continue { fault, occurrence, step: 1 });
                }
            }
            FaultOrder::Continue { fault, occurrence, step } => {
                if !self.open.contains_key(&occurrence) {
                    return;
                }
                self.go_on(fault, occurrence, step, world, truth);
                let kind = &self.scenario.fault[fault].what;
                if let Some(after) = next_step(kind, step, &mut self.rng) {
                    plan.add(
                        now + after,
                        FaultOrder::Continue { fault, occurrence, step: step + 1 },
                    );
                }
            }
            FaultOrder::End { occurrence } => self.mend(occurrence, world, truth),
        }
    }

    /// Ends every fault that does not last for good, and returns how many hosts stay dead.
    pub fn heal(&mut self, world: &mut World, truth: &mut Truth) -> usize {
        let open: Vec<usize> = self.open.keys().copied().collect();
        let mut dead = 0;
        for occurrence in open {
            let Some(OpenFault { kind, hosts, undo }) = self.open.get(&occurrence) else {
                continue;
            };
            let fault = &self.scenario.fault[*kind];
            let stays = matches!(undo, Undo::Restart | Undo::NewKeys) && fault.lasts.is_none();
            let may_stay = matches!(
                fault.what,
                FaultKind::Crash { .. }
                    | FaultKind::Kill { .. }
                    | FaultKind::Leave { .. }
                    | FaultKind::Revoke { .. }
            );
            if stays && may_stay {
                dead += hosts.iter().filter(|host| world.node(**host).is_none()).count();
                self.open.remove(&occurrence);
                truth.calm(occurrence, Grace::after(world.now(), Duration::ZERO));
            } else {
                self.mend(occurrence, world, truth);
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
        let is_calm = matches!(
            kind,
            FaultKind::Pause { .. }
                | FaultKind::Stutter { .. }
                | FaultKind::Rotate { .. }
                | FaultKind::Succession { .. }
                | FaultKind::Outsider { .. }
                | FaultKind::Liar { .. }
        );
        if !is_calm {
            truth.shake(occurrence);
        }
        let (hosts, undo) = self.inflict(&spec, occurrence, world, truth);
        if world.trace().wants(Detail::Events) {
            let line = format!("FAULT {} begins on {hosts:?}", kind.name());
            world.trace().line(now, line);
        }
        self.suffered.extend(hosts.iter().map(|host| FaultPeriod {
            host: *host,
            fault: kind.name(),
            from: now,
            to: None,
            occurrence,
        }));
        self.open.insert(occurrence, OpenFault { kind: fault, hosts, undo });
    }

    pub(super) fn crash(
        &mut self,
        host: usize,
        storage: StorageSpec,
        world: &mut World,
        truth: &mut Truth,
    ) {
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
        if !truth.is_stranger(id) {
            truth.stopped(id, world.now());
        }
        truth.reload(world, host);
    }

    /// Gives hosts new disks, and a token that allows other services, or all again.
    pub(super) fn restrict(
        &mut self,
        hosts: &[usize],
        restricted: bool,
        world: &mut World,
        truth: &mut Truth,
    ) {
        for host in hosts {
            world.host_mut(*host).is_restricted = restricted;
            self.crash(*host, StorageSpec::Lost, world, truth);
            self.start(*host, world, truth);
        }
    }

    /// Ends the process of a host, whose disk is intact.
    pub(super) fn end(&mut self, host: usize, how: Stop, world: &mut World, truth: &mut Truth) {
        let id = world.host(host).id;
        world.stop(host, how);
        if !truth.is_stranger(id) {
            truth.stopped(id, world.now());
        }
        truth.reload(world, host);
    }

    pub(super) fn pause(
        &mut self,
        host: usize,
        time: Duration,
        world: &mut World,
        truth: &mut Truth,
    ) {
        let now = world.now();
        world.pause(host, time);
        truth.pauses(host, now, now + time, self.scenario.limits.grace.0);
    }

    pub(super) fn start(&mut self, host: usize, world: &mut World, truth: &mut Truth) {
        if world.node(host).is_some() {
            return;
        }
        let grace = self.scenario.limits.grace.0;
        truth.reload(world, host);
        // The truth about this cluster holds nothing about nodes of another.
        let id = world.host(host).id;
        if !truth.is_stranger(id) && !world.is_revoked(id) {
            truth.started(world, host, grace);
        }
        world.start(host);
    }

    pub(super) fn choose(&mut self, select: &Select, world: &World) -> Vec<usize> {
        select.choose(world, &mut self.rng)
    }

    /// The chosen hosts on which a node runs. At least two running hosts are left out, so that some remain to report.
    pub(super) fn running(&mut self, select: &Select, world: &World) -> Vec<usize> {
        let mut hosts = self.choose(select, world);
        hosts.retain(|host| world.node(*host).is_some());
        // Somebody must be left to tell of it.
        let running = (0..world.count()).filter(|host| world.node(*host).is_some()).count();
        hosts.truncate(running.saturating_sub(2));
        hosts
    }
}
