//! The end of each fault.

use hobnob_membership::ClusterId;

use super::active::ActiveFaults;
use super::open::{OpenFault, Undo};
use crate::scenario::FaultKind;
use crate::truth::{Grace, Truth};
use crate::world::{Detail, Slowness, Storage, World};

impl ActiveFaults {
    pub(super) fn mend(&mut self, occurrence: usize, world: &mut World, truth: &mut Truth) {
        let Some(OpenFault { kind, hosts, undo }) = self.open.remove(&occurrence) else { return };
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
            Undo::Online(partition, offline) => {
                partition.end(world.network());
                offline.iter().for_each(|host| world.set_offline(*host, false));
            }
            Undo::Links(links) => self.mend_links(&links, world),
            Undo::Restart => {
                for host in &hosts {
                    self.start(*host, world, truth);
                }
            }
            Undo::Slowness => {
                for host in &hosts {
                    world.host_mut(*host).slowness = Slowness::default();
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
            Undo::NewKeys => {
                for host in &hosts {
                    if world.is_revoked(world.host(*host).id) {
                        world.crash(*host, Storage::Lost);
                        self.start(*host, world, truth);
                    }
                }
            }
            Undo::OtherToken => self.restrict(&hosts, false, world, truth),
            Undo::Deafen => world.overhear_all(false),
            Undo::OwnDisk(own) => {
                for host in &hosts {
                    let id = world.host(*host).id;
                    world.crash(*host, Storage::Kept);
                    // It lost the copy meanwhile and ran under a new id, which no host has any more.
                    if !truth.is_duplicate(id) {
                        truth.stopped(id, now);
                    }
                    world.host_mut(*host).set_directory((*own).clone());
                    self.start(*host, world, truth);
                }
            }
        }
        let grace = Grace::after(now, self.scenario.limits.grace.0);
        truth.calm(occurrence, grace);
        truth.settle(occurrence, grace);
        for suffered in self.suffered.iter_mut().filter(|s| s.occurrence == occurrence) {
            suffered.to = Some(now);
        }
    }

    /// Resets links to the scenario's conditions, then applies the faults that are still in force.
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
}
