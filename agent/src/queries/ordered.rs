//! The instances of a service in the order in which a client should try them, for clients that do not balance themselves.
//!
//! The first one is a pick, as a client of the agent would get it. The others follow at random, the heavier the earlier.

use std::cmp::Ordering;
use std::collections::BinaryHeap;
use std::sync::Arc;

use hobnob_api::{Datacenters, Grade};
use hobnob_membership::Time;

use crate::services::{Entry, Instances, Registry, Scope, Service};

/// Draws until one pick is among the instances in question. Without one, chance alone decides the order.
const MAX_DRAWS: usize = 64;

/// The instances of a service that a client asks for. Names are compared without regard to case.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Wanted<'a> {
    /// Only instances with this tag.
    pub(crate) tag: Option<&'a str>,
    /// Only those of this datacenter. Without one it is the nearest that has any.
    pub(crate) datacenter: Option<&'a str>,
}

/// An instance in its place.
#[derive(Clone, Copy, Debug)]
pub(crate) struct InOrder<'a> {
    pub(crate) entry: &'a Arc<Entry>,
    /// Its weight now: that of an instance that drains falls.
    pub(crate) weight: u32,
}

/// The instances that are offered of those that match.
pub(crate) struct Offered<'a> {
    registry: &'a Registry,
    service: &'a Arc<Service>,
    entries: Vec<&'a Arc<Entry>>,
    /// The datacenter that was asked for, as it is written.
    datacenter: Option<&'a str>,
}

impl<'a> Offered<'a> {
    /// Those among the instances of a service; `None` if none matches, be it offered or not. The rule is that of a pick: a
    /// healthy instance far away comes before one nearby that was healthy once.
    pub(crate) fn of(
        registry: &'a Registry,
        service: &'a Arc<Service>,
        instances: &'a Instances,
        wanted: Wanted<'_>,
    ) -> Option<Self> {
        let matching = instances.values().filter(|entry| is_match(entry, wanted));
        let mut entries: Vec<_> = matching.collect();
        let one = *entries.first()?;
        let datacenter = wanted.datacenter.map(|_| one.node.datacenter.as_str());
        let grade = Grade::offered(entries.iter().map(|entry| entry.grade()), false);
        entries.retain(|entry| entry.is_offered(grade));
        if wanted.datacenter.is_none() {
            keep_nearest(registry, service, &mut entries);
        }
        Some(Self { registry, service, entries, datacenter })
    }

    /// The instances, in no order.
    pub(crate) fn entries(&self) -> impl Iterator<Item = &'a Arc<Entry>> {
        self.entries.iter().copied()
    }

    /// Keeps those that are good for something.
    pub(crate) fn retain(&mut self, is_good: impl Fn(&Entry) -> bool) {
        self.entries.retain(|entry| is_good(entry));
    }

    /// All of them in order, one after the other, so that those that are not taken cost little.
    pub(crate) fn in_order(mut self) -> impl Iterator<Item = InOrder<'a>> {
        let now = self.registry.now();
        let first = self.pick().map(|at| self.entries.swap_remove(at));
        let late = self.entries.into_iter().map(|entry| Late(lateness(entry, now), entry));
        let mut rest: BinaryHeap<_> = late.collect();
        let rest = std::iter::from_fn(move || rest.pop()).map(|Late(_, entry)| entry);
        let all = first.into_iter().chain(rest);
        all.map(move |entry| InOrder { entry, weight: weight_at(entry, now) })
    }

    /// The place of the instance that a pick chooses. There are as many draws as it takes to meet one that was asked for.
    fn pick(&self) -> Option<usize> {
        if self.entries.len() < 2 {
            return (!self.entries.is_empty()).then_some(0);
        }
        let datacenter = self.datacenter.map(Datacenters::one).unwrap_or_default();
        let scope = Scope { datacenter, ..Scope::default() };
        let scoped = self.registry.scoped(self.service, &scope).ok()?;
        let strategy = self.service.strategy();
        self.registry.reserve(self.service, &scoped, strategy).ok()?;
        let mut picker = scoped.picker();
        (0..MAX_DRAWS).find_map(|_| {
            let pick = picker.pick(strategy, None)?;
            let picked = pick.item().clone();
            pick.end_unreported();
            let is_same =
                |entry: &&Arc<Entry>| entry.origin == picked.origin && entry.id == picked.id;
            self.entries.iter().position(is_same)
        })
    }
}

/// An instance by its lateness: the earliest is the greatest.
struct Late<'a>(f64, &'a Arc<Entry>);

impl Ord for Late<'_> {
    fn cmp(&self, other: &Self) -> Ordering {
        other.0.total_cmp(&self.0)
    }
}

impl PartialOrd for Late<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Late<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Late<'_> {}

fn is_match(entry: &Entry, wanted: Wanted<'_>) -> bool {
    let has_tag = |tag: &str| entry.service.tags.iter().any(|own| own.eq_ignore_ascii_case(tag));
    wanted.tag.is_none_or(has_tag)
        && wanted.datacenter.is_none_or(|name| entry.node.datacenter.eq_ignore_ascii_case(name))
}

/// Keeps the instances of the nearest datacenter that has any.
fn keep_nearest<'a>(registry: &Registry, service: &Service, offered: &mut Vec<&'a Arc<Entry>>) {
    let Some(one) = offered.first() else { return };
    if offered.iter().all(|entry| entry.node.datacenter == one.node.datacenter) {
        return;
    }
    let order = registry.datacenters_by_nearness(service);
    let place = |entry: &'a Arc<Entry>| {
        let name = entry.node.datacenter.as_str();
        (order.iter().position(|known| known == name).unwrap_or(usize::MAX), name)
    };
    let nearest = offered.iter().map(|entry| place(entry)).min();
    offered.retain(|entry| Some(place(entry)) == nearest);
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

    /// The ids of the instances that are offered, in order; `None` if none matches.
    fn known_ids(registry: &Registry, wanted: Wanted<'_>) -> Option<Vec<String>> {
        let service = registry.service(&web()).expect("a service");
        let instances = service.instances();
        let offered = Offered::of(registry, &service, &instances, wanted)?;
        Some(offered.in_order().map(|one| one.entry.id.to_string()).collect())
    }

    fn ids(registry: &Registry, wanted: Wanted<'_>) -> Vec<String> {
        known_ids(registry, wanted).expect("some match")
    }

    const ALL: Wanted<'static> = Wanted { tag: None, datacenter: None };

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
        assert_eq!(known_ids(&registry, Wanted { datacenter: Some("dc3"), ..ALL }), None);
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
        let tagged = |tag| known_ids(&registry, Wanted { tag: Some(tag), ..ALL });
        assert_eq!(tagged("red"), Some(Vec::new()), "registered, and not offered");
        assert_eq!(tagged("green"), None);
    }

    #[tokio::test]
    async fn those_that_are_good_for_nothing_are_left_out_and_picks_spread_over_the_rest() {
        let (registry, mut writer) = registry();
        for id in ["a", "b", "c", "d"] {
            writer.apply(placed(id, "far", "", InstanceStatus::Healthy));
        }
        writer.apply(instance(OWN, "near", InstanceStatus::Healthy));
        writer.publish();
        let service = registry.service(&web()).expect("a service");
        let mut firsts = std::collections::BTreeMap::new();
        for _ in 0..30 {
            let (instances, wanted) =
                (service.instances(), Wanted { datacenter: Some("FAR"), ..ALL });
            let mut offered = Offered::of(&registry, &service, &instances, wanted).expect("some");
            offered.retain(|entry| entry.id.as_str() != "d");
            assert_eq!(offered.entries().count(), 3);
            let order: Vec<_> = offered.in_order().map(|one| one.entry.id.to_string()).collect();
            *firsts.entry(order[0].clone()).or_insert(0) += 1;
            assert_eq!(order.len(), 3);
        }
        let firsts: Vec<_> = firsts.into_values().collect();
        assert!(
            firsts.len() == 3 && firsts.iter().all(|count| (7..=13).contains(count)),
            "{firsts:?}"
        );
    }

    #[tokio::test]
    async fn the_heavy_come_early_among_those_that_follow() {
        let (registry, mut writer) = registry();
        for (id, weight) in [("a", 1), ("b", 1), ("heavy", 10_000), ("d", 1)] {
            writer.apply(changed(&instance(OWN, id, InstanceStatus::Healthy), |instance| {
                Arc::make_mut(&mut instance.service).weight = weight;
            }));
        }
        writer.publish();
        let late = (0..200).filter(|_| {
            let order = ids(&registry, ALL);
            order.iter().position(|id| id == "heavy") > Some(1)
        });
        assert!(late.count() < 3, "by chance in 0.03 percent of the orders");
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
        let weight = || {
            let instances = service.instances();
            let offered = Offered::of(&registry, &service, &instances, ALL).expect("it is offered");
            offered.in_order().next().expect("one").weight
        };
        assert_eq!(weight(), 100);
        tokio::time::advance(Duration::from_millis(7_500)).await;
        assert_eq!(weight(), 25);
        tokio::time::advance(Duration::from_millis(7_500)).await;
        assert_eq!(weight(), 1);
    }
}
