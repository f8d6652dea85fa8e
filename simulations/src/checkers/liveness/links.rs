//! Checks that a broken link is named by both of its ends, and by nobody else.

use std::collections::BTreeMap;
use std::time::Duration;

use hobnob_membership::view::MemberStatus;
use hobnob_membership::{Node, Time};

use crate::checkers::checker::{Checker, Scene};
use crate::network::{Channel, Conditions};
use crate::world::Slowness;

/// A broken link is named after this time at most.
const NAMED_WITHIN: Duration = Duration::from_secs(10);
/// A link without any fault for this long is not named.
const CLEAN_FOR: Duration = Duration::from_secs(10);
/// Larger clusters are not looked at: there are too many links.
const MAX_HOSTS: usize = 40;
/// Links that lose more than this may look broken.
const LITTLE_LOSS: f64 = 0.02;
/// Datagrams of this length have to pass.
const USUAL_MTU: usize = 1_400;
/// Links that take longer may look broken.
const LITTLE_LATENCY: Duration = Duration::from_millis(60);

/// Two hosts, each with its life.
type Pair = [(usize, u32); 2];

/// Remembers since when links are broken, or without fault, by the host that looks and the one that it looks at.
#[derive(Default)]
pub(in crate::checkers) struct Links {
    broken_since: BTreeMap<Pair, Time>,
    clean_since: BTreeMap<Pair, Time>,
}

impl Checker for Links {
    fn name(&self) -> &'static str {
        "links"
    }

    fn explanation(&self) -> &'static str {
        "when nothing passes between two agents one of which watches the other, and all else works, the one that watches must name the broken link within ten seconds; no agent may name a link on which nothing was wrong for ten seconds"
    }

    fn window(&mut self, scene: &Scene<'_>, failures: &mut Vec<String>) {
        let (world, now) = (scene.world, scene.world.now());
        if world.len() > MAX_HOSTS {
            return;
        }
        let (mut broken, mut clean) = (BTreeMap::new(), BTreeMap::new());
        for (a, node) in world.running().filter(|(host, _)| is_well(scene, *host)) {
            for (b, _) in world.running().filter(|(b, _)| *b != a && is_well(scene, *b)) {
                let pair = [a, b].map(|host| (host, world.host(host).lives()));
                let id = world.host(b).id;
                let is_named = node.broken_links().any(|it| it == id);
                if is_clean(scene, a, b) {
                    let since = *self.clean_since.get(&pair).unwrap_or(&now);
                    clean.insert(pair, since);
                    if is_named && now.since(since) >= CLEAN_FOR {
                        failures.push(format!(
                            "n{a} names its link to n{b} as broken, and nothing was wrong with it since {since}"
                        ));
                    }
                } else if is_broken(scene, a, b) && is_expected_to_name(scene, node, a, b) {
                    let since = *self.broken_since.get(&pair).unwrap_or(&now);
                    broken.insert(pair, since);
                    if !is_named && now.since(since) >= NAMED_WITHIN {
                        failures.push(format!(
                            "n{a} does not name its link to n{b}, which is broken since {since}"
                        ));
                    }
                }
            }
        }
        (self.broken_since, self.clean_since) = (broken, clean);
    }
}

/// Whether a host neither stands still nor is slow, and its agent takes part.
fn is_well(scene: &Scene<'_>, number: usize) -> bool {
    let (world, host) = (scene.world, scene.world.host(number));
    let is_alone = world.host_of(host.id) == Some(number);
    is_alone
        && host.paused_until(world.now()).is_none()
        && host.slowness == Slowness::default()
        && !world.is_revoked(host.id)
        && host.node().is_some_and(|node| !node.is_silent())
}

/// Whether nothing passes in one direction at least.
fn is_broken(scene: &Scene<'_>, a: usize, b: usize) -> bool {
    let cut = |from, to, channel| scene.world.links().is_cut(from, to, channel);
    let datagrams = cut(a, b, Channel::Datagrams) || cut(b, a, Channel::Datagrams);
    datagrams && cut(a, b, Channel::Streams)
}

/// Whether nothing is wrong in either direction.
fn is_clean(scene: &Scene<'_>, a: usize, b: usize) -> bool {
    let links = scene.world.links();
    let is_good = |conditions: &Conditions| {
        conditions.effective_loss() <= LITTLE_LOSS
            && conditions.bandwidth.is_none()
            && conditions.mtu >= USUAL_MTU
            && conditions.latency.typical() <= LITTLE_LATENCY
    };
    [(a, b), (b, a)].into_iter().all(|(from, to)| {
        !links.is_cut(from, to, Channel::Datagrams)
            && !links.is_cut(from, to, Channel::Streams)
            && is_good(links.conditions(from, to))
    })
}

/// Whether a node watches the other end of a broken link and holds it alive, and all others hear both.
fn is_expected_to_name(scene: &Scene<'_>, node: &Node, a: usize, b: usize) -> bool {
    let (world, id) = (scene.world, scene.world.host(b).id);
    let is_alive = node
        .member(id)
        .is_some_and(|member| matches!(member.status, MemberStatus::Alive | MemberStatus::Suspect));
    let others = || world.running().map(|(host, _)| host).filter(|host| ![a, b].contains(host));
    is_alive
        && node.is_watched(id)
        && others().next().is_some()
        && others().all(|host| {
            is_well(scene, host) && is_clean(scene, host, a) && is_clean(scene, host, b)
        })
}
