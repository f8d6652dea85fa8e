//! The registry, written as the driver does and read as a connection does.

mod draining;
mod scopes;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use hobnob_balancer::Strategy;
use hobnob_membership::view::{Change, Instance, InstanceStatus};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::testing::{
    FIRST_REVISION, OTHER, OWN, instance, key, of_service, placed, registry, unchecked, web,
};
use super::{Registry, Scope, ServiceKey, Since, Writer};
use hobnob_api::{CallReport, Datacenters, Grade, Outcome, Prefer};

fn offered(registry: &Registry) -> BTreeSet<String> {
    let service = registry.service(&web()).expect("the service");
    let mut picker = service.whole().picker();
    (0..10)
        .filter_map(|_| picker.pick(Strategy::RoundRobin, None))
        .map(|pick| pick.item().id.to_string())
        .collect()
}

fn ids(since: Since) -> Vec<(String, InstanceStatus)> {
    let Since::Changes { instances, .. } = since else { panic!("forgotten") };
    instances.iter().map(|instance| (instance.id.to_string(), instance.status)).collect()
}

#[tokio::test]
async fn nothing_is_seen_before_it_is_published_and_then_all_of_it() {
    let (registry, mut writer) = registry();
    writer.apply(instance(OWN, "a", InstanceStatus::Healthy));
    writer.apply(instance(OTHER, "b", InstanceStatus::Healthy));
    assert!(registry.service(&web()).is_none());
    assert_eq!(registry.revision(), FIRST_REVISION);
    writer.publish();
    assert_eq!(registry.service(&web()).expect("the service").instances().len(), 2);
    assert_eq!(registry.revision(), FIRST_REVISION + 2);
}

#[tokio::test]
async fn a_service_without_instances_is_gone() {
    let (registry, mut writer) = registry();
    writer.apply(instance(OWN, "a", InstanceStatus::Healthy));
    writer.publish();
    writer.apply(instance(OWN, "a", InstanceStatus::Gone));
    writer.publish();
    assert!(registry.service(&web()).is_none());
    assert!(registry.services().is_empty());
}

#[tokio::test]
async fn the_best_grade_that_is_left_is_offered_whether_or_not_anybody_is_heard() {
    for isolated in [false, true] {
        let (registry, mut writer) = registry();
        writer.set_isolated(isolated);
        let mut after = |change| {
            writer.apply(change);
            writer.publish();
            offered(&registry)
        };
        assert_eq!(after(unchecked("new")), set(&["new"]));
        assert_eq!(after(instance(OTHER, "lost", InstanceStatus::Unknown)), set(&["lost"]));
        assert_eq!(after(instance(OWN, "a", InstanceStatus::Healthy)), set(&["a"]));
        assert_eq!(after(instance(OTHER, "b", InstanceStatus::Healthy)), set(&["a", "b"]));
        assert_eq!(after(instance(OWN, "a", InstanceStatus::Unhealthy)), set(&["b"]));
        assert_eq!(after(instance(OTHER, "b", InstanceStatus::Unknown)), set(&["b", "lost"]));
        assert_eq!(after(instance(OTHER, "b", InstanceStatus::Unhealthy)), set(&["lost"]));
        assert_eq!(after(instance(OTHER, "lost", InstanceStatus::Gone)), set(&["new"]));
        assert_eq!(after(instance(OTHER, "new", InstanceStatus::Unhealthy)), set(&[]));
    }
}

/// What the service says of its offer is what the instances say.
#[tokio::test]
async fn the_grade_of_a_service_is_that_of_its_instances_after_any_changes() {
    let statuses = [
        InstanceStatus::Healthy,
        InstanceStatus::Unknown,
        InstanceStatus::Unhealthy,
        InstanceStatus::Gone,
    ];
    for seed in 0..10 {
        let mut rng = StdRng::seed_from_u64(seed);
        let (registry, mut writer) = registry();
        for step in 0..50 {
            let id = ["a", "b", "c"][rng.random_range(0..3)];
            let unanswered = rng.random_bool(0.5).then_some(OTHER);
            let _ = writer.set_unanswered(unanswered.into_iter().collect());
            match statuses.get(rng.random_range(0..=statuses.len())) {
                Some(status) => writer.apply(instance(OTHER, id, *status)),
                None => writer.apply(unchecked(id)),
            }
            writer.publish();
            let Some(service) = registry.service(&web()) else { continue };
            let (instances, offered) = service.offer();
            let grades = instances.values().map(|instance| instance.grade());
            let expected = Grade::offered(grades, false);
            assert_eq!(offered, expected, "seed {seed}, step {step}: {instances:?}");
        }
    }
}

#[tokio::test]
async fn a_reader_is_told_when_other_instances_are_offered_since() {
    let (registry, mut writer) = registry();
    let mut after = |change| {
        let seen = registry.revision();
        writer.apply(change);
        writer.publish();
        (seen, is_regraded(&registry, seen))
    };
    let (first, regraded) = after(instance(OTHER, "lost", InstanceStatus::Unknown));
    assert!(regraded, "something is offered");
    assert!(!after(instance(OTHER, "b", InstanceStatus::Unhealthy)).1);
    let (before, regraded) = after(instance(OWN, "a", InstanceStatus::Healthy));
    assert!(regraded);
    assert!(!after(instance(OTHER, "b", InstanceStatus::Healthy)).1);
    assert!(!after(instance(OWN, "a", InstanceStatus::Unknown)).1, "another one is healthy");
    assert!(is_regraded(&registry, first) && is_regraded(&registry, before));
    assert!(!is_regraded(&registry, before + 1), "it was seen");
}

fn is_regraded(registry: &Registry, since: u64) -> bool {
    let Since::Changes { regraded, .. } = registry.changes_since(&web(), since) else {
        panic!("forgotten")
    };
    regraded
}

#[tokio::test]
async fn changes_since_a_revision_are_the_latest_of_each_instance() {
    let (registry, mut writer) = registry();
    writer.apply(instance(OWN, "a", InstanceStatus::Healthy));
    writer.publish();
    let seen = registry.revision();
    writer.apply(instance(OTHER, "b", InstanceStatus::Healthy));
    writer.apply(instance(OWN, "a", InstanceStatus::Unhealthy));
    writer.apply(instance(OTHER, "b", InstanceStatus::Gone));
    writer.publish();
    let expected =
        [("a".to_owned(), InstanceStatus::Unhealthy), ("b".to_owned(), InstanceStatus::Gone)];
    assert_eq!(ids(registry.changes_since(&web(), seen)), expected);
    assert_eq!(ids(registry.changes_since(&web(), registry.revision())), []);
    let other = ServiceKey { service: "api".into(), ..web() };
    assert_eq!(ids(registry.changes_since(&other, seen)), []);
}

#[tokio::test]
async fn revisions_of_another_life_and_forgotten_ones_start_over() {
    let (registry, mut writer) = registry();
    let forgotten = |revision| matches!(registry.changes_since(&web(), revision), Since::Forgotten);
    assert!(forgotten(FIRST_REVISION - 1));
    assert!(forgotten(FIRST_REVISION + 1));
    for _ in 0..5_000 {
        writer.apply(instance(OWN, "a", InstanceStatus::Healthy));
    }
    writer.publish();
    assert!(forgotten(FIRST_REVISION));
    assert!(!forgotten(FIRST_REVISION + 4_999));
}

fn in_datacenter(n: usize) -> Scope {
    Scope { datacenter: Datacenters::one(format!("dc{n}")), ..Scope::default() }
}

fn set(ids: &[&str]) -> BTreeSet<String> {
    ids.iter().map(|id| (*id).to_owned()).collect()
}

#[tokio::test(start_paused = true)]
async fn a_change_wakes_the_watchers_of_its_service_and_no_others() {
    let (registry, mut writer) = registry();
    let mut of_web = registry.subscribe(web());
    let mut of_api = registry.subscribe(key("api"));
    writer.apply(of_service("web", "a"));
    writer.publish();
    of_web.changed().await;
    let quiet = tokio::time::timeout(Duration::from_secs(60), of_api.changed()).await;
    assert!(quiet.is_err(), "nothing of its service changed");
    let web_again = tokio::time::timeout(Duration::from_secs(60), of_web.changed()).await;
    assert!(web_again.is_err(), "one change wakes once");
    writer.apply(of_service("api", "b"));
    writer.publish();
    of_api.changed().await;
}

#[tokio::test]
async fn a_watched_service_is_not_forgotten_for_the_changes_of_others() {
    let (registry, mut writer) = registry();
    let watching = registry.subscribe(key("api"));
    for _ in 0..5_000 {
        writer.apply(of_service("web", "a"));
    }
    writer.publish();
    assert_eq!(ids(registry.changes_since(&key("api"), FIRST_REVISION)), []);
    drop(watching);
    let unwatched = registry.changes_since(&key("api"), FIRST_REVISION);
    assert!(matches!(unwatched, Since::Forgotten), "it might have changed, for all that is kept");
    let kept = registry.changes_since(&key("api"), FIRST_REVISION + 4_999);
    assert_eq!(ids(kept), []);
}

#[tokio::test]
async fn a_call_counts_as_in_flight_until_it_is_reported_and_a_token_is_used_once() {
    let (registry, mut writer) = registry();
    writer.apply(instance(OWN, "a", InstanceStatus::Healthy));
    writer.publish();
    let service = registry.service(&web()).expect("the service");
    let pick = service.whole().picker().pick(Strategy::RoundRobin, None).expect("one");
    let token = registry.open_call(&service, pick);
    let in_flight = || service.whole().report().targets[0].in_flight;
    assert_eq!(in_flight(), 1);
    let report = CallReport { token, outcome: Outcome::Failure, latency_us: 5 };
    assert_eq!(registry.close_calls(std::slice::from_ref(&report)), 1);
    assert_eq!((in_flight(), service.whole().report().targets[0].failures), (0, 1));
    assert_eq!(registry.close_calls(&[report]), 0);
}

#[tokio::test]
async fn agents_begin_their_turns_with_different_instances() {
    let mut first = BTreeSet::new();
    for _ in 0..100 {
        let (registry, mut writer) = registry();
        for id in ["a", "b", "c", "d"] {
            writer.apply(instance(OWN, id, InstanceStatus::Healthy));
        }
        writer.publish();
        let service = registry.service(&web()).expect("the service");
        let pick = service.whole().picker().pick(Strategy::RoundRobin, None).expect("one");
        first.insert(pick.item().id.to_string());
    }
    assert_eq!(first, set(&["a", "b", "c", "d"]));
}

#[tokio::test]
async fn no_pick_misses_what_a_client_waits_for_however_large_the_service() {
    let (registry, mut writer) = registry();
    for id in 0..1_000 {
        writer.apply(instance(OWN, &format!("i{id}"), InstanceStatus::Healthy));
    }
    writer.publish();
    let service = registry.service(&web()).expect("the service");
    let offered = || service.whole().report().targets.len();
    assert_eq!(offered(), 1_000);
    for more in 1..=20 {
        writer.apply(instance(OWN, &format!("new{more}"), InstanceStatus::Healthy));
        writer.hurry();
        writer.publish();
        assert_eq!(offered(), 1_000 + more);
    }
}

#[tokio::test]
async fn balancers_that_clients_ask_for_count_until_they_are_gone() {
    let (registry, mut writer) = registry();
    writer.apply(instance(OWN, "a", InstanceStatus::Healthy));
    writer.publish();
    let bytes = || registry.counters()[0].1;
    let service = registry.service(&web()).expect("the service");
    assert_eq!(bytes(), 0);
    let scoped = registry.scoped(&service, &in_datacenter(1)).expect("room");
    let bare = bytes();
    assert!(bare > 0);
    for _ in 0..2 {
        registry.reserve(&service, &scoped, Strategy::ConsistentHash).expect("room");
        registry.reserve(&service, &scoped, Strategy::Random).expect("room");
    }
    assert!((100 << 10..300 << 10).contains(&(bytes() - bare)), "{}", bytes());
    service.drop_idle_scopes(&super::ScopeCounters::default());
    assert!(!scoped.is_retired(), "it is held");
    drop(scoped);
    service.drop_idle_scopes(&super::ScopeCounters::default());
    assert_eq!(bytes(), 0);
}
