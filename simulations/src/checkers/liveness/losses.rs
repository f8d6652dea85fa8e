//! Checks that members that are lost together are told as one event, and a whole datacenter as none of these.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use hobnob_membership::view::MemberStatus;
use hobnob_membership::{Event, MassLoss, Node, NodeId, Time, is_probably_a_cut};

use crate::checkers::checker::{Checker, Scene};
use crate::checkers::per_life::PerLife;
use crate::truth::Life;
use crate::world::NodeEvent;

/// The event comes this long after the last loss at most.
const TOLD_WITHIN: Duration = Duration::from_secs(3);

/// Remembers the events of each host, and the mass deaths that were looked into.
#[derive(Default)]
pub(in crate::checkers) struct Losses {
    disturbed_at: Time,
    told: PerLife<Vec<(Time, usize)>>,
    checked: BTreeMap<Time, usize>,
}

impl Checker for Losses {
    fn name(&self) -> &'static str {
        "losses"
    }

    fn explanation(&self) -> &'static str {
        "when a fifth of all agents or more die at once, every undisturbed agent of their datacenter must tell of them as one event, within three seconds after the scenario's `detect_within`, and it is over when they are back; when all agents of a datacenter die at once, no agent elsewhere may tell of a group of them, since the datacenter is out of reach"
    }

    fn on_event(&mut self, scene: &Scene<'_>, event: &NodeEvent, failures: &mut Vec<String>) {
        let told = self.told.of(event.host, event.life);
        if let Event::LostTogether { nodes, .. } = &event.kind {
            told.push((event.at, nodes.len()));
            let own = scene.world.location(event.host).0;
            let homes: BTreeSet<&str> = nodes.iter().filter_map(|id| home(scene, *id)).collect();
            if let Some(gone) = homes.into_iter().find(|it| *it != own && died_at_once(scene, it)) {
                failures.push(format!(
                    "n{} in {own} tells of {} members lost together, of {gone} among others, all agents of which died at once",
                    event.host,
                    nodes.len()
                ));
            }
        }
    }

    fn healed(&mut self, scene: &Scene<'_>, failures: &mut Vec<String>) {
        for (host, node) in scene.world.running() {
            for loss in node.mass_losses() {
                if let Some(count) = returned(node, loss) {
                    failures.push(format!(
                        "n{host} misses {count} members since {}, and all of them are back",
                        loss.since
                    ));
                }
            }
        }
    }

    fn window(&mut self, scene: &Scene<'_>, failures: &mut Vec<String>) {
        let now = scene.world.now();
        if !scene.truth.is_calm(now) {
            self.disturbed_at = now;
            return;
        }
        let mut deaths = BTreeMap::<Time, Vec<NodeId>>::new();
        for (id, life) in scene.truth.lives() {
            if let Life::Dead { since } = life {
                deaths.entry(since).or_default().push(id);
            }
        }
        let bound = scene.limits.detect_within.0 + TOLD_WITHIN;
        for (died, dead) in &deaths {
            let (died, count) = (*died, dead.len());
            let homes: BTreeSet<&str> = dead.iter().filter_map(|id| home(scene, *id)).collect();
            // Other datacenters are told later, and may be told of those of two at once.
            let (Some(of), 1) = (homes.first(), homes.len()) else { continue };
            let running = scene.world.running();
            let mates = running.filter(|(host, _)| scene.world.location(*host).0 == *of);
            let mates: Vec<_> = mates.collect();
            let is_due = died >= self.disturbed_at && now.since(died) >= bound;
            // Deaths shortly before or after may be told together with these.
            let near = deaths.keys().filter(|at| at.since(died).max(died.since(**at)) < bound);
            if !is_due || near.count() > 1 || !is_probably_a_cut(count, mates.len() + count) {
                continue;
            }
            if self.checked.insert(died, count).is_some() {
                continue;
            }
            for (host, _) in mates.iter().filter(|(_, node)| node.is_connected()) {
                let told = self.told.get(*host).into_iter().flatten();
                let since: Vec<usize> =
                    told.filter(|(at, _)| *at >= died).map(|(_, nodes)| *nodes).collect();
                if since != [count] {
                    failures.push(format!(
                        "n{host} tells of groups of {since:?} lost members after {count} died at once at {died}"
                    ));
                }
            }
        }
    }
}

/// The members of a mass loss that are all back, as a node sees them; nothing if one is missing.
fn returned(node: &Node, loss: &MassLoss) -> Option<usize> {
    let is_alive =
        |id: &NodeId| node.member(*id).is_some_and(|member| member.status == MemberStatus::Alive);
    let all = !loss.missing.is_empty() && loss.missing.iter().all(is_alive);
    all.then_some(loss.missing.len())
}

/// The datacenter of the host that has a node.
fn home<'a>(scene: &'a Scene<'_>, id: NodeId) -> Option<&'a str> {
    scene.world.host_of(id).map(|host| scene.world.location(host).0)
}

/// Whether all agents of a datacenter are dead, and died at one moment.
fn died_at_once(scene: &Scene<'_>, datacenter: &str) -> bool {
    let lives = scene.truth.lives().filter(|(id, _)| home(scene, *id) == Some(datacenter));
    let deaths: BTreeSet<Option<Time>> = lives
        .map(|(_, life)| match life {
            Life::Dead { since } => Some(since),
            _ => None,
        })
        .collect();
    deaths.len() == 1 && !deaths.contains(&None)
}
