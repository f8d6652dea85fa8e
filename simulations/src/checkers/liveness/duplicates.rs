//! Checks that of two live agents under one node id exactly one speaks.

use std::collections::BTreeMap;
use std::time::Duration;

use hobnob_membership::{Node, Time};

use crate::checkers::checker::{Checker, Scene};
use crate::checkers::measured::Measured;
use crate::network::Channel;
use crate::scenario::Limit;
use crate::world::Slowness;

/// Above this loss two duplicates may take longer to settle.
const HARMLESS_LOSS: f64 = 0.2;

/// Remembers since when two hosts with one id reach each other undisturbed.
#[derive(Default)]
pub(in crate::checkers) struct Duplicates {
    /// By the two hosts and their lives.
    since: BTreeMap<[(usize, u32); 2], Time>,
    /// The longest time after which they were not settled.
    longest: Option<Duration>,
}

impl Checker for Duplicates {
    fn name(&self) -> &'static str {
        "duplicates"
    }

    fn explanation(&self) -> &'static str {
        "when two live agents with one node id reach each other, one must go on and the other must fall silent within the scenario's `duplicate_within`"
    }

    fn window(&mut self, scene: &Scene<'_>, failures: &mut Vec<String>) {
        let world = scene.world;
        let mut running: Vec<usize> = world.running().map(|(host, _)| host).collect();
        running.sort_by_key(|host| world.host(*host).id);
        let mut together = BTreeMap::new();
        for same in running.chunk_by(|a, b| world.host(*a).id == world.host(*b).id) {
            let others = |place: usize| same[place + 1..].iter();
            let pairs = same.iter().enumerate().flat_map(|(n, a)| others(n).map(move |b| (a, b)));
            for (a, b) in pairs {
                if !reach_each_other(scene, *a, *b) {
                    continue;
                }
                let pair = [(*a, world.host(*a).lives()), (*b, world.host(*b).lives())];
                let since = self.since.get(&pair).copied().unwrap_or(world.now());
                together.insert(pair, since);
                let passed = world.now().since(since);
                let silent = [a, b].map(|host| world.node(*host).is_some_and(Node::is_silent));
                let unsettled = silent[0] == silent[1];
                self.longest =
                    self.longest.max(Some(if unsettled { passed } else { Duration::ZERO }));
                if unsettled && passed >= scene.limits.duplicate_within.0 {
                    let name = world.name_of(world.host(*a).id);
                    let what = if silent[0] { "are silent" } else { "speak" };
                    failures
                        .push(format!("n{a} and n{b} both have the id of {name}, and both {what}"));
                }
            }
        }
        self.since = together;
    }

    fn measured(&self, measured: &mut Measured) {
        measured.note_time(Limit::DuplicateWithin, self.longest);
    }
}

fn reach_each_other(scene: &Scene<'_>, a: usize, b: usize) -> bool {
    let world = scene.world;
    let free = |from, to| {
        let links = world.links();
        let loss = links.conditions(from, to).effective_loss();
        !links.is_cut(from, to, Channel::Datagrams) && loss <= HARMLESS_LOSS
    };
    let well = |host| {
        let host = world.host(host);
        host.paused_until(world.now()).is_none() && host.slowness == Slowness::default()
    };
    free(a, b) && free(b, a) && well(a) && well(b)
}
