//! Checks that an isolated host knows that it is.

use std::collections::BTreeMap;
use std::time::Duration;

use hobnob_membership::Time;

use crate::checkers::checker::{Checker, Scene};
use crate::checkers::measured::Measured;
use crate::network::Channel;
use crate::scenario::Limit;
use crate::world::Slowness;

/// Remembers since when a host is cut off from all others, in one direction at least.
#[derive(Default)]
pub(in crate::checkers) struct Isolation {
    /// By host and life.
    since: BTreeMap<(usize, u32), Time>,
    /// The longest time after which one did not know it.
    longest: Option<Duration>,
}

impl Checker for Isolation {
    fn name(&self) -> &'static str {
        "isolation"
    }

    fn explanation(&self) -> &'static str {
        "a host that no other hears, or that hears no other, must report itself isolated within the scenario's `isolation_within`"
    }

    fn window(&mut self, scene: &Scene<'_>, failures: &mut Vec<String>) {
        let world = scene.world;
        let mut cut_off = BTreeMap::new();
        for (host, node) in world.running().filter(|(host, _)| is_cut_off(scene, *host)) {
            let life = (host, world.host(host).lives());
            let since = self.since.get(&life).copied().unwrap_or(world.now());
            cut_off.insert(life, since);
            let passed = world.now().since(since);
            let unaware = node.is_connected();
            self.longest = self.longest.max(Some(if unaware { passed } else { Duration::ZERO }));
            if unaware && passed >= scene.limits.isolation_within.0 {
                failures.push(format!(
                    "n{host} does not know that it is isolated, and is cut off since {since}"
                ));
            }
        }
        self.since = cut_off;
    }

    fn measured(&self, measured: &mut Measured) {
        measured.note_time(Limit::IsolationWithin, self.longest);
    }
}

/// Whether a host that works well is heard by no other, or hears no other.
fn is_cut_off(scene: &Scene<'_>, host: usize) -> bool {
    let world = scene.world;
    let well = |host| {
        let host = world.host(host);
        host.paused_until(world.now()).is_none() && host.slowness == Slowness::default()
    };
    let passes = |from, to| {
        let is_cut = |channel| world.links().is_cut(from, to, channel);
        !is_cut(Channel::Datagrams) || !is_cut(Channel::Streams)
    };
    let others = || world.running().map(|(other, _)| other).filter(|other| *other != host);
    well(host)
        && (others().all(|other| !passes(host, other))
            || others().all(|other| !passes(other, host)))
}
