//! Checks that a datacenter that is cut off is one event, in time, and that there is none without a cut.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use hobnob_membership::{Event, Time};

use crate::checkers::checker::{Checker, Scene};
use crate::checkers::per_life::PerLife;
use crate::network::{Channel, Network};
use crate::world::{NodeEvent, Slowness, World};

/// All agents know within this time that a datacenter is out of reach.
const KNOWN_WITHIN: Duration = Duration::from_secs(8);
/// The checker looks once a second.
const LOOK: Duration = Duration::from_secs(1);
/// After a cut, a datacenter may be taken to be out of reach for this long.
const AFTER_A_CUT: Duration = Duration::from_secs(10);
/// More loss than this may look like a cut.
const HARMLESS_LOSS: f64 = 0.3;

/// Two datacenters: the one that looks, and the one that it looks for.
type Pair = (String, String);

/// The links between two datacenters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Path {
    /// A gateway and most agents of the other datacenter reach each other.
    Whole,
    /// Too much does not pass, or is slow or lossy.
    Bad,
    /// Nothing passes, or nobody is there.
    Cut,
}

/// Remembers how long the links between datacenters are as they are, and what each agent told of that.
#[derive(Default)]
pub(in crate::checkers) struct Reach {
    paths: BTreeMap<Pair, (Path, Time)>,
    /// The agents of each datacenter that run undisturbed, with their lives, and since when they are these.
    undisturbed: BTreeMap<String, (Vec<(usize, u32)>, Time)>,
    told: PerLife<Vec<(Time, String)>>,
    reported: BTreeSet<(usize, Pair, Time)>,
}

impl Checker for Reach {
    fn name(&self) -> &'static str {
        "reach"
    }

    fn explanation(&self) -> &'static str {
        "every agent of a datacenter that is undisturbed inside must tell once, and within eight seconds, that another one is out of reach whose links are all cut or whose agents are all gone, and no agent may tell that of one most of which a gateway of its own datacenter reaches"
    }

    fn on_event(&mut self, scene: &Scene<'_>, event: &NodeEvent, failures: &mut Vec<String>) {
        let Event::DatacenterUnreachable { name, .. } = &event.kind else { return };
        self.told.of(event.host, event.life).push((event.at, name.to_string()));
        let pair = (scene.world.location(event.host).0.to_owned(), name.to_string());
        let Some((Path::Whole, since)) = self.paths.get(&pair) else { return };
        let (own, other) = &pair;
        // The links may have been cut since the last look.
        if path(scene.world, own, other) == Path::Whole && event.at.since(*since) > AFTER_A_CUT {
            failures.push(format!(
                "n{} in {own} tells that {other} is out of reach, which is whole since {since}",
                event.host
            ));
        }
    }

    fn window(&mut self, scene: &Scene<'_>, failures: &mut Vec<String>) {
        let (world, now) = (scene.world, scene.world.now());
        let names: BTreeSet<&str> = (0..world.len()).map(|host| world.location(host).0).collect();
        if names.len() < 2 {
            return;
        }
        for name in &names {
            let own = running_in(world, name);
            let well = own.iter().filter(|it| is_well(world, **it) && !is_alone(world, **it, &own));
            let lives = well.map(|it| (*it, world.host(*it).lives()));
            let lives: Vec<(usize, u32)> = lives.collect();
            let before = self.undisturbed.entry((*name).to_owned()).or_default();
            if before.0 != lives {
                *before = (lives, now);
            }
        }
        for (own, other) in names.iter().flat_map(|own| names.iter().map(move |it| (*own, *it))) {
            if own == other {
                continue;
            }
            let pair = (own.to_owned(), other.to_owned());
            let path = path(world, own, other);
            let before = self.paths.get(&pair).filter(|(before, _)| *before == path);
            let since = before.map_or(now, |(_, since)| *since);
            self.paths.insert(pair.clone(), (path, since));
            // A gateway that restarts or is cut off has yet to look, and what was sent before the cut is a sign of life.
            let calm_since = self.undisturbed.get(own).map_or(now, |(_, since)| *since);
            let is_due = now.since(since.max(calm_since)) >= KNOWN_WITHIN + LOOK;
            if path != Path::Cut || !is_due || comes_late(world, own, other) {
                continue;
            }
            let mates = running_in(world, own);
            for (host, node) in world.running().filter(|(host, _)| world.location(*host).0 == own) {
                let knew = node.datacenters(world.host(host).clock.local(now));
                let knew = knew.iter().any(|known| known.name == other);
                let runs_since = scene.truth.up_since(world.host(host).id);
                let ran =
                    runs_since.is_some_and(|runs| now.since(runs) > now.since(since) + AFTER_A_CUT);
                if !knew || !ran || !is_well(world, host) || is_alone(world, host, &mates) {
                    continue;
                }
                let told = self.told.get(host).into_iter().flatten();
                // The path may have been bad, and taken to be cut, before it was cut altogether.
                let times = told.filter(|(at, name)| name == other && *at + AFTER_A_CUT >= since);
                let times = times.count();
                if times != 1 && self.reported.insert((host, pair.clone(), since)) {
                    failures.push(format!(
                        "n{host} in {own} told {times} times that {other} is out of reach, which is cut off since {since}"
                    ));
                }
            }
        }
    }
}

/// Whether a host works as it should.
fn is_well(world: &World, host: usize) -> bool {
    let it = world.host(host);
    it.paused_until(world.now()).is_none() && it.slowness == Slowness::default()
}

/// The hosts of a datacenter on which a node runs.
fn running_in(world: &World, datacenter: &str) -> Vec<usize> {
    let running = world.running().map(|(host, _)| host);
    running.filter(|host| world.location(*host).0 == datacenter).collect()
}

/// Whether nothing passes between a host and the running ones of its own datacenter. It says of itself that it is isolated, and not of
/// others that they are out of reach.
fn is_alone(world: &World, host: usize, mates: &[usize]) -> bool {
    let mut others = mates.iter().copied().filter(|other| *other != host).peekable();
    let cut = |from, to| world.links().is_cut(from, to, Channel::Datagrams);
    others.peek().is_some() && others.all(|other| cut(host, other) && cut(other, host))
}

/// Whether what one datacenter sent may come to the other one seconds later.
fn comes_late(world: &World, own: &str, other: &str) -> bool {
    let of = |name: &str| -> Vec<usize> {
        (0..world.len()).filter(|host| world.location(*host).0 == name).collect()
    };
    let links = world.links();
    let (here, there) = (of(own), of(other));
    let mut pairs =
        links.each_group_of(&here).flat_map(|a| links.each_group_of(&there).map(move |b| (b, a)));
    pairs.any(|(from, to)| {
        let conditions = links.conditions(from, to);
        conditions.replay > 0.0 || conditions.stream_stall > 0.0
    })
}

/// The links between two datacenters.
fn path(world: &World, own: &str, other: &str) -> Path {
    let (here, there) = (running_in(world, own), running_in(world, other));
    if there.is_empty() {
        return Path::Cut;
    }
    let links = world.links();
    let all = |is: &dyn Fn(usize, usize) -> bool| {
        links.each_group_of(&here).all(|a| links.each_group_of(&there).all(|b| is(a, b)))
    };
    let cut = |a, b| links.is_cut(a, b, Channel::Datagrams);
    if all(&|a, b| cut(a, b) && cut(b, a)) {
        return Path::Cut;
    }
    // Gateways that are cut off do not decide for one that is not.
    let hears = |gateway: usize| {
        let good =
            |other: &&usize| is_good(links, gateway, **other) && is_good(links, **other, gateway);
        there.iter().filter(good).count() * 2 > there.len()
    };
    let well = here.iter().chain(&there).all(|host| is_well(world, *host));
    if well && world.gateways(own).into_iter().any(hears) { Path::Whole } else { Path::Bad }
}

/// Whether almost everything passes a link, and soon.
fn is_good(links: &Network, from: usize, to: usize) -> bool {
    let conditions = links.conditions(from, to);
    !links.is_cut(from, to, Channel::Datagrams)
        && conditions.effective_loss() <= HARMLESS_LOSS
        && conditions.latency.typical() <= Duration::from_millis(500)
        && conditions.bandwidth.is_none()
}
