//! The start of each fault.

use std::collections::BTreeSet;
use std::time::Duration;

use hobnob_membership::ClusterId;
use rand::RngExt;

use super::active::ActiveFaults;
use super::open::Undo;
use crate::network::{Channel, Conditions, Partition};
use crate::scenario::{Fault, FaultKind, LinkSpec, Select, StorageSpec};
use crate::truth::Truth;
use crate::world::{Host, Slowness, Stop, World};

/// Loss up to this excuses no false verdict.
const HARMLESS_LOSS: f64 = 0.25;
/// A latency up to this excuses none either.
const HARMLESS_LATENCY: Duration = Duration::from_millis(40);

/// Nor does a clock drift up to this.
const HARMLESS_DRIFT_PPM: u32 = 50_000;
/// The length of a pause without `for`.
const DEFAULT_PAUSE: Duration = Duration::from_secs(10);

/// The affected hosts, and what ends the fault.
type Inflicted = (Vec<usize>, Undo);

impl ActiveFaults {
    pub(super) fn inflict(
        &mut self,
        fault: &Fault,
        occurrence: usize,
        world: &mut World,
        truth: &mut Truth,
    ) -> Inflicted {
        let kind = &fault.what;
        if let Some(partition) = self.partition(kind, world) {
            partition.begin(world.network());
            let hosts: BTreeSet<usize> = partition.hosts().collect();
            truth.disturb(occurrence, Some(hosts.clone()));
            let undo = match kind {
                FaultKind::Flap { .. } => Undo::Flap(partition, true),
                FaultKind::InterfaceDown { nodes } => {
                    let offline = self.choose(nodes, world);
                    offline.iter().for_each(|host| world.set_offline(*host, true));
                    Undo::Online(partition, offline)
                }
                _ => Undo::Mend(partition),
            };
            return (hosts.into_iter().collect(), undo);
        }
        match kind {
            FaultKind::Degrade { from, to, link } => {
                let (from, to) = (self.choose(from, world), self.choose(to, world));
                degrade(&from, &to, link, occurrence, world, truth)
            }
            FaultKind::Crash { nodes, storage } => self.stop(nodes, *storage, world, truth),
            FaultKind::Kill { nodes, dying } => {
                let hosts = self.running(nodes, world);
                for host in &hosts {
                    let dying = dying.0.mul_f64(self.rng.random());
                    self.end(*host, Stop::Killed { dying }, world, truth);
                }
                (hosts, Undo::Restart)
            }
            FaultKind::Restart { nodes } => {
                let hosts = self.running(nodes, world);
                for host in &hosts {
                    truth.said_goodbye(world.host(*host).id, world.now());
                    self.end(*host, Stop::Planned, world, truth);
                }
                (hosts, Undo::Restart)
            }
            FaultKind::ResetConnections { nodes } => {
                let hosts = self.choose(nodes, world);
                hosts.iter().for_each(|host| world.reset_connections(*host));
                (hosts, Undo::Nothing)
            }
            FaultKind::SeedOutage => self.stop(&Select::Seeds, StorageSpec::Kept, world, truth),
            FaultKind::Leave { nodes } => {
                let hosts = self.running(nodes, world);
                for host in &hosts {
                    truth.left(world.host(*host).id, world.now());
                    world.leave(*host);
                }
                (hosts, Undo::Restart)
            }
            FaultKind::ForceLeave { at, nodes } => {
                let (at, hosts) = (self.running(at, world), self.choose(nodes, world));
                for (at, host) in at.iter().flat_map(|at| hosts.iter().map(move |host| (at, host)))
                {
                    world.force_leave(*at, world.host(*host).id);
                }
                (hosts, Undo::Nothing)
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
            FaultKind::Move { nodes, to } => {
                let hosts = self.running(nodes, world);
                let homes = hosts.iter().map(|host| world.location(*host).0.to_owned()).collect();
                hosts.iter().for_each(|host| self.move_to(*host, to, world, truth));
                (hosts, Undo::MoveBack(homes))
            }
            FaultKind::OtherCluster { nodes } => self.emigrate(nodes, occurrence, world, truth),
            FaultKind::DuplicateId { from, to } => self.collide(from, to, occurrence, world, truth),
            FaultKind::Rotate { at } => {
                let at: Vec<usize> = self.members(at, world).into_iter().take(1).collect();
                at.iter().for_each(|host| world.rotate(*host));
                (at, Undo::Nothing)
            }
            FaultKind::Succession { at } => {
                let at: Vec<usize> = self.members(at, world).into_iter().take(1).collect();
                at.iter().for_each(|host| world.succeed(*host));
                (at, Undo::Nothing)
            }
            FaultKind::OfSuccessor { nodes } => {
                let hosts = self.running(nodes, world);
                for host in &hosts {
                    world.host_mut(*host).is_of_successor = true;
                    self.crash(*host, StorageSpec::Lost, world, truth);
                    self.start(*host, world, truth);
                }
                (hosts, Undo::Nothing)
            }
            FaultKind::Revoke { at, nodes } => {
                let (at, hosts) = (self.members(at, world), self.members(nodes, world));
                let hosts: Vec<usize> =
                    hosts.into_iter().filter(|host| at.first() != Some(host)).collect();
                for (at, host) in at.first().iter().flat_map(|at| hosts.iter().map(|h| (**at, *h)))
                {
                    world.revoke(at, host);
                    truth.stopped(world.host(host).id, world.now());
                    truth.revoked(world.host(host).id, world.now());
                }
                (hosts, Undo::NewKeys)
            }
            FaultKind::Outsider { .. } => {
                world.overhear_all(true);
                (Vec::new(), Undo::Deafen)
            }
            FaultKind::Restricted { nodes } => {
                let hosts = self.members(nodes, world);
                self.restrict(&hosts, true, world, truth);
                (hosts, Undo::OtherToken)
            }
            FaultKind::Liar { .. } => (Vec::new(), Undo::Nothing),
            FaultKind::DiskFull { nodes } => {
                let full = |host: &mut Host| host.disk.set_full(true);
                (self.tamper(nodes, world, full), Undo::Disks)
            }
            FaultKind::WallJump { nodes, seconds } => {
                let jump = |host: &mut Host| host.clock.jump(seconds * 1_000);
                (self.tamper(nodes, world, jump), Undo::Nothing)
            }
            FaultKind::ClockDrift { nodes, ppm } => {
                if *ppm > HARMLESS_DRIFT_PPM {
                    truth.disturb(occurrence, None);
                }
                (self.drift(nodes, i64::from(*ppm), world), Undo::Clocks)
            }
            FaultKind::Pause { .. }
            | FaultKind::Stutter { .. }
            | FaultKind::Slow { .. }
            | FaultKind::SlowReceive { .. }
            | FaultKind::LateTimers { .. } => {
                // They may be declared down, and their own verdicts are excused.
                let inflicted = self.slow_down(fault, world, truth);
                truth.disturb(occurrence, Some(inflicted.0.iter().copied().collect()));
                inflicted
            }
            // `partition` took these. They stand here so that a new kind of fault does not compile without its effect.
            FaultKind::Cut { .. }
            | FaultKind::OneWay { .. }
            | FaultKind::Bridge { .. }
            | FaultKind::MajorityRing
            | FaultKind::Isolate { .. }
            | FaultKind::InterfaceDown { .. }
            | FaultKind::DatacenterCut { .. }
            | FaultKind::Flap { .. }
            | FaultKind::UdpBlocked { .. }
            | FaultKind::StreamsBlocked { .. } => (Vec::new(), Undo::Nothing),
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
            FaultKind::Isolate { nodes } | FaultKind::InterfaceDown { nodes } => {
                let alone = self.choose(nodes, world);
                Partition::isolate(&alone, &all)
            }
            FaultKind::DatacenterCut { name } => {
                let (inside, outside): (Vec<usize>, Vec<usize>) =
                    all.iter().partition(|host| world.location(**host).0 == name);
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

    fn stop(
        &mut self,
        nodes: &Select,
        storage: StorageSpec,
        world: &mut World,
        truth: &mut Truth,
    ) -> Inflicted {
        let hosts = self.running(nodes, world);
        for host in &hosts {
            self.crash(*host, storage, world, truth);
        }
        (hosts, Undo::Restart)
    }

    /// A host starts again as a member of another datacenter.
    pub(super) fn move_to(
        &mut self,
        host: usize,
        datacenter: &str,
        world: &mut World,
        truth: &mut Truth,
    ) {
        truth.said_goodbye(world.host(host).id, world.now());
        self.end(host, Stop::Planned, world, truth);
        world.move_to(host, datacenter);
        self.start(host, world, truth);
    }

    /// Hosts lose their disks and start in another cluster.
    fn emigrate(
        &mut self,
        nodes: &Select,
        occurrence: usize,
        world: &mut World,
        truth: &mut Truth,
    ) -> Inflicted {
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

    /// A host starts on a copy of another's data directory.
    fn collide(
        &mut self,
        from: &Select,
        to: &Select,
        occurrence: usize,
        world: &mut World,
        truth: &mut Truth,
    ) -> Inflicted {
        let (from, to) = (self.running(from, world), self.running(to, world));
        let from = from.first().copied();
        let to = to.iter().copied().find(|to| Some(*to) != from);
        let (Some(from), Some(to)) = (from, to) else { return (Vec::new(), Undo::Nothing) };
        self.crash(to, StorageSpec::Kept, world, truth);
        let own = world.host(to).directory();
        world.clone_disk(from, to);
        truth.set_duplicate(world.host(to).id);
        truth.disturb(occurrence, Some([from, to].into()));
        self.start(to, world, truth);
        (vec![to], Undo::OwnDisk(Box::new(own)))
    }

    /// The chosen hosts on which a member runs.
    fn members(&mut self, select: &Select, world: &World) -> Vec<usize> {
        let mut hosts = self.running(select, world);
        hosts.retain(|host| !world.is_revoked(world.host(*host).id));
        hosts
    }

    fn drift(&mut self, nodes: &Select, ppm: i64, world: &mut World) -> Vec<usize> {
        let hosts = self.choose(nodes, world);
        let now = world.now();
        for host in &hosts {
            let drift = self.rng.random_range(-ppm..=ppm);
            world.host_mut(*host).clock.set_drift(now, drift);
        }
        hosts
    }

    fn tamper(&mut self, nodes: &Select, world: &mut World, how: impl Fn(&mut Host)) -> Vec<usize> {
        let hosts = self.choose(nodes, world);
        hosts.iter().for_each(|host| how(world.host_mut(*host)));
        hosts
    }

    /// Hosts work slowly, or pause.
    fn slow_down(&mut self, fault: &Fault, world: &mut World, truth: &mut Truth) -> Inflicted {
        let (nodes, slowness) = match &fault.what {
            FaultKind::Pause { nodes } => {
                let hosts = self.choose(nodes, world);
                let lasts = fault.lasts.map_or(DEFAULT_PAUSE, |lasts| lasts.0);
                hosts.iter().for_each(|host| self.pause(*host, lasts, world, truth));
                return (hosts, Undo::Nothing);
            }
            FaultKind::Stutter { nodes, .. } => {
                return (self.choose(nodes, world), Undo::Nothing);
            }
            FaultKind::Slow { nodes, service_time } => {
                (nodes, Slowness { service_time: service_time.0, ..Slowness::default() })
            }
            FaultKind::SlowReceive { nodes, per_second } => {
                let gap = Duration::from_secs(1) / (*per_second).max(1);
                (nodes, Slowness { receive_gap: gap, ..Slowness::default() })
            }
            FaultKind::LateTimers { nodes, by } => {
                (nodes, Slowness { timers_late: by.0, ..Slowness::default() })
            }
            _ => return (Vec::new(), Undo::Nothing),
        };
        (self.tamper(nodes, world, |host| host.slowness = slowness), Undo::Slowness)
    }
}

fn degrade(
    from: &[usize],
    to: &[usize],
    link: &LinkSpec,
    occurrence: usize,
    world: &mut World,
    truth: &mut Truth,
) -> Inflicted {
    let mut harmful = false;
    world.network().change(from, to, |before| {
        let conditions = link.over(*before);
        harmful |= is_harmful(&conditions);
        conditions
    });
    let hosts: BTreeSet<usize> = from.iter().chain(to).copied().collect();
    if harmful {
        truth.disturb(occurrence, Some(hosts.clone()));
    }
    (hosts.into_iter().collect(), Undo::Links(from.to_vec(), to.to_vec()))
}

fn is_harmful(conditions: &Conditions) -> bool {
    conditions.effective_loss() > HARMLESS_LOSS
        || conditions.latency.typical() > HARMLESS_LATENCY
        || conditions.bandwidth.is_some()
        || conditions.reorder > 0.0
        || conditions.mtu < 1_400
}
