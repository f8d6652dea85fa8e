//! The instances of a service in the order in which a client should try them, for clients that do not balance themselves.
//!
//! The first one is a pick, as a client of the agent would get it. The others follow at random, the heavier the earlier.

use std::sync::Arc;

use hobnob_api::Grade;
use hobnob_membership::Time;

use crate::services::{Entry, Instances, Registry, Service};

/// Draws until one pick is among the instances in question. Without one, chance alone decides the order.
const MAX_DRAWS: usize = 64;

/// The instances of a service that a client asks for. Names are compared without regard to case.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Wanted<'a> {
    /// Only instances with this tag.
    pub(crate) tag: Option<&'a str>,
    /// Only those of this datacenter. Without one it is the nearest that has any.
    pub(crate) datacenter: Option<&'a str>,
    /// No more instances than this, which is at least 1.
    pub(crate) most: usize,
}

/// An instance in its place.
#[derive(Clone, Debug)]
pub(crate) struct InOrder {
    pub(crate) entry: Arc<Entry>,
    /// Its weight now: that of an instance that drains falls.
    pub(crate) weight: u32,
}

/// The answer.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ordered {
    pub(crate) instances: Vec<InOrder>,
    /// Whether there were more than the client wants.
    pub(crate) is_cut: bool,
    /// Whether an instance is registered that matches, be it offered or not.
    pub(crate) is_known: bool,
}

/// The instances that are offered of those that match, in order. The rule is that of a pick: a healthy instance far away comes
/// before one nearby that was healthy once.
pub(crate) fn ordered(registry: &Registry, service: &Arc<Service>, wanted: Wanted<'_>) -> Ordered {
    let instances = service.instances();
    let Some(mut offered) = offered(&instances, wanted) else { return Ordered::default() };
    if wanted.datacenter.is_none() {
        keep_nearest(registry, service, &mut offered);
    }
    let now = registry.now();
    let first = pick(registry, service, &offered).map(|at| offered.swap_remove(at));
    let mut rest: Vec<_> = offered.into_iter().map(|entry| (lateness(entry, now), entry)).collect();
    let is_cut = rest.len() + usize::from(first.is_some()) > wanted.most;
    let room = wanted.most.saturating_sub(usize::from(first.is_some()));
    if room < rest.len() {
        rest.select_nth_unstable_by(room, |one, other| one.0.total_cmp(&other.0));
        rest.truncate(room);
    }
    rest.sort_unstable_by(|one, other| one.0.total_cmp(&other.0));
    let all = first.into_iter().chain(rest.into_iter().map(|(_, entry)| entry));
    let instances =
        all.map(|entry| InOrder { entry: entry.clone(), weight: weight_at(entry, now) });
    Ordered { instances: instances.collect(), is_cut, is_known: true }
}

/// The instances that are offered among those that match; `None` if none matches.
fn offered<'a>(instances: &'a Instances, wanted: Wanted<'_>) -> Option<Vec<&'a Arc<Entry>>> {
    let mut matching: Vec<_> = instances.values().filter(|entry| is_match(entry, wanted)).collect();
    if matching.is_empty() {
        return None;
    }
    let offered = Grade::offered(matching.iter().map(|entry| entry.grade()), false);
    matching.retain(|entry| entry.is_offered(offered));
    Some(matching)
}

fn is_match(entry: &Entry, wanted: Wanted<'_>) -> bool {
    let has_tag = |tag: &str| entry.service.tags.iter().any(|own| own.eq_ignore_ascii_case(tag));
    wanted.tag.is_none_or(has_tag)
        && wanted.datacenter.is_none_or(|name| entry.node.datacenter.eq_ignore_ascii_case(name))
}

/// Keeps the instances of the nearest datacenter that has any.
fn keep_nearest(registry: &Registry, service: &Service, offered: &mut Vec<&Arc<Entry>>) {
    let Some(one) = offered.first() else { return };
    if offered.iter().all(|entry| entry.node.datacenter == one.node.datacenter) {
        return;
    }
    let order = registry.datacenters_by_nearness(service);
    let place = |entry: &&Arc<Entry>| {
        let name = entry.node.datacenter.as_str();
        (order.iter().position(|known| known == name).unwrap_or(usize::MAX), name.to_owned())
    };
    let nearest = offered.iter().map(place).min();
    offered.retain(|entry| Some(place(entry)) == nearest);
}

/// The place of the instance that a pick chooses. There are as many draws as it takes to meet one that was asked for.
fn pick(registry: &Registry, service: &Arc<Service>, offered: &[&Arc<Entry>]) -> Option<usize> {
    if offered.len() < 2 {
        return (!offered.is_empty()).then_some(0);
    }
    let (scoped, strategy) = (service.whole(), service.strategy());
    registry.reserve(service, scoped, strategy).ok()?;
    let mut picker = scoped.picker();
    (0..MAX_DRAWS).find_map(|_| {
        let pick = picker.pick(strategy, None)?;
        let picked = pick.item().clone();
        pick.end_unreported();
        let is_same = |entry: &&Arc<Entry>| entry.origin == picked.origin && entry.id == picked.id;
        offered.iter().position(is_same)
    })
}

/// A random number by which instances are sorted so that each comes first as often as its weight says (Efraimidis and Spirakis,
/// "Weighted random sampling with a reservoir", Information Processing Letters 97(5), 2006).
fn lateness(entry: &Entry, now: Time) -> f64 {
    let draw: f64 = rand::random();
    -(1.0 - draw).ln() / f64::from(weight_at(entry, now))
}

/// The weight of an instance at a moment, at least 1.
fn weight_at(entry: &Entry, now: Time) -> u32 {
    let weight = entry.service.weight.max(1);
    let Some(fall) = entry.fall() else { return weight };
    let left = fall.until.since(now).as_secs_f64() / fall.over.as_secs_f64().max(f64::EPSILON);
    ((f64::from(weight) * left.clamp(0.0, 1.0)) as u32).max(1)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use hobnob_membership::record::{Drain, Upkeep};
    use hobnob_membership::view::{Change, InstanceStatus};

    use super::*;
    use crate::services::testing::{OTHER, OWN, instance, placed, registry, web};

    fn changed(
        change: &Change,
        edit: impl FnOnce(&mut hobnob_membership::view::Instance),
    ) -> Change {
        let mut instance = (*change.instance).clone();
        edit(&mut instance);
        Change { instance: Arc::new(instance) }
    }

    fn ids(registry: &Registry, wanted: Wanted<'_>) -> Vec<String> {
        let service = registry.service(&web()).expect("a service");
        let ordered = ordered(registry, &service, wanted);
        ordered.instances.iter().map(|one| one.entry.id.to_string()).collect()
    }

    const ALL: Wanted<'static> = Wanted { tag: None, datacenter: None, most: usize::MAX };

    #[tokio::test]
    async fn each_instance_comes_first_in_its_turn_and_all_follow() {
        let (registry, mut writer) = registry();
        for id in ["a", "b", "c"] {
            writer.apply(instance(OWN, id, InstanceStatus::Healthy));
        }
        writer.publish();
        let mut firsts = std::collections::BTreeMap::new();
        for _ in 0..30 {
            let mut order = ids(&registry, ALL);
            *firsts.entry(order[0].clone()).or_insert(0) += 1;
            order.sort_unstable();
            assert_eq!(order, ["a", "b", "c"]);
        }
        assert_eq!(firsts.into_values().collect::<Vec<_>>(), [10, 10, 10], "as picks by turns are");
    }

    #[tokio::test]
    async fn what_was_healthy_once_is_offered_when_nothing_else_is_left() {
        let (registry, mut writer) = registry();
        writer.apply(placed("failing", "dc1", "z1", InstanceStatus::Unhealthy));
        writer.apply(placed("lost", "dc1", "z1", InstanceStatus::Unknown));
        writer.apply(placed("far", "dc2", "z1", InstanceStatus::Healthy));
        writer.publish();
        assert_eq!(ids(&registry, ALL), ["far"]);
        assert_eq!(ids(&registry, Wanted { datacenter: Some("DC1"), ..ALL }), ["lost"]);
        writer.apply(placed("near", "dc1", "z1", InstanceStatus::Healthy));
        writer.publish();
        assert_eq!(ids(&registry, ALL), ["near"], "the own datacenter comes first");
        let service = registry.service(&web()).expect("a service");
        let elsewhere = ordered(&registry, &service, Wanted { datacenter: Some("dc3"), ..ALL });
        assert!(!elsewhere.is_known && elsewhere.instances.is_empty());
    }

    #[tokio::test]
    async fn a_tag_narrows_whatever_its_case() {
        let (registry, mut writer) = registry();
        writer.apply(instance(OWN, "plain", InstanceStatus::Healthy));
        writer.apply(changed(&instance(OWN, "tagged", InstanceStatus::Healthy), |instance| {
            Arc::make_mut(&mut instance.service).tags = ["Blue"].into();
        }));
        writer.apply(changed(&instance(OTHER, "failing", InstanceStatus::Unhealthy), |instance| {
            Arc::make_mut(&mut instance.service).tags = ["red"].into();
        }));
        writer.publish();
        assert_eq!(ids(&registry, Wanted { tag: Some("blue"), ..ALL }), ["tagged"]);
        let service = registry.service(&web()).expect("a service");
        let red = ordered(&registry, &service, Wanted { tag: Some("red"), ..ALL });
        assert!(red.is_known && red.instances.is_empty(), "registered, and not offered");
        assert!(!ordered(&registry, &service, Wanted { tag: Some("green"), ..ALL }).is_known);
    }

    #[tokio::test]
    async fn no_more_instances_come_than_were_wanted_and_the_answer_says_so() {
        let (registry, mut writer) = registry();
        for id in ["a", "b", "c"] {
            writer.apply(instance(OWN, id, InstanceStatus::Healthy));
        }
        writer.publish();
        let service = registry.service(&web()).expect("a service");
        for most in 1..5 {
            let some = ordered(&registry, &service, Wanted { most, ..ALL });
            assert_eq!((some.instances.len(), some.is_cut), (most.min(3), most < 3), "{most}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_weight_of_an_instance_that_drains_falls() {
        let (registry, mut writer) = registry();
        let drains = changed(&instance(OWN, "a", InstanceStatus::Healthy), |instance| {
            let service = Arc::make_mut(&mut instance.service);
            service.weight = 100;
            let drain = Drain { elapsed_ms: 0, over_ms: 10_000 };
            service.upkeep = Upkeep::new(None, Some(drain));
        });
        writer.apply(drains);
        writer.publish();
        let service = registry.service(&web()).expect("a service");
        let weight = || ordered(&registry, &service, ALL).instances[0].weight;
        assert_eq!(weight(), 100);
        tokio::time::advance(Duration::from_millis(7_500)).await;
        assert_eq!(weight(), 25);
        tokio::time::advance(Duration::from_millis(7_500)).await;
        assert_eq!(weight(), 1);
    }
}
