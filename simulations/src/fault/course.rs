//! The later steps of a fault: a link flaps, hosts pause again, the next host of a rolling restart stops.

use rand::RngExt;
use rand::seq::IndexedRandom;

use super::active::ActiveFaults;
use super::open::Undo;
use crate::scenario::{FaultKind, StorageSpec};
use crate::truth::Truth;
use crate::world::World;

impl ActiveFaults {
    pub(super) fn go_on(
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
            (FaultKind::Outsider { .. }, _) => world.outsider_acts(),
            (FaultKind::Liar { .. }, _) => world.liar_acts(),
            (FaultKind::Stutter { min, max, .. }, _) => {
                if let Some(host) = open.hosts.choose(&mut self.rng).copied() {
                    let span = max.0.saturating_sub(min.0);
                    let time = min.0 + span.mul_f64(self.rng.random());
                    self.pause(host, time, world, truth);
                }
            }
            (FaultKind::RollingRestart { gap, down, .. }, _) => {
                // The host of an earlier turn returns once it has been down for long enough; the next one stops.
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
}
