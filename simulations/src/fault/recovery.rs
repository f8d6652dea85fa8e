//! The end of each fault.

use std::collections::BTreeSet;

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
            Undo::Links(from, to) => self.mend_links(&from, &to, world),
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
            Undo::MoveBack(homes) => {
                for (host, home) in hosts.iter().zip(homes) {
                    self.move_to(*host, &home, world, truth);
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
    fn mend_links(&mut self, from: &[usize], to: &[usize], world: &mut World) {
        let pristine = self.scenario.links(world);
        world.network().restore(from, to, &pristine);
        let (from, to): (BTreeSet<_>, BTreeSet<_>) = (from.iter().collect(), to.iter().collect());
        for open in self.open.values() {
            let FaultKind::Degrade { link, .. } = &self.scenario.fault[open.kind].what else {
                continue;
            };
            let Undo::Links(senders, receivers) = &open.undo else { continue };
            let of = |hosts: &[usize], mended: &BTreeSet<&usize>| -> Vec<usize> {
                hosts.iter().filter(|host| mended.contains(host)).copied().collect()
            };
            let (senders, receivers) = (of(senders, &from), of(receivers, &to));
            world.network().change(&senders, &receivers, |before| link.over(*before));
        }
    }
}
