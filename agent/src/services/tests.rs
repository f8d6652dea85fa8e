//! The registry, written as the driver does and read as a connection does.

use std::collections::BTreeSet;
use std::sync::Arc;

use hobnob_balancer::Strategy;
use hobnob_membership::record::{Health, Meta, NodeRecord, ServiceRecord, Support, Tags};
use hobnob_membership::view::{Change, Instance, InstanceStatus};
use hobnob_membership::{NodeId, Time};

use super::{Locality, Registry, Scope, ServiceKey, Since, Writer};
use crate::clock::Clock;
use hobnob_api::{CallReport, Outcome, Prefer};

const OWN: NodeId = NodeId(1);
const OTHER: NodeId = NodeId(2);
const FIRST_REVISION: u64 = 1_000;

fn registry() -> (Arc<Registry>, Writer) {
    let locality = Locality { datacenter: "dc1".into(), zone: "z1".into() };
    Registry::new(OWN, locality, Clock::start(), FIRST_REVISION)
}

fn instance(origin: NodeId, id: &str, status: InstanceStatus) -> Change {
    let down = status == InstanceStatus::Unknown;
    let service = ServiceRecord {
        service: "web".into(),
        namespace: "default".into(),
        address: "127.0.0.1".into(),
        port: 80,
        tags: Tags::default(),
        meta: Meta::default(),
        weight: 1,
        checked: false,
        balancing: hobnob_membership::record::Balancing::default(),
    };
    let instance = Instance {
        origin,
        id: id.into(),
        node: node("dc1", ""),
        service: service.into(),
        health: Health::Passing,
        status,
        down_since: down.then_some(Time::ZERO),
    };
    Change { instance: Arc::new(instance) }
}

fn node(datacenter: &str, zone: &str) -> Arc<NodeRecord> {
    Arc::new(NodeRecord {
        name: "a".into(),
        datacenter: datacenter.into(),
        zone: zone.into(),
        software: "test".into(),
        instance_key_hash: 0,
        left: None,
        support: Support::OURS,
    })
}

fn web() -> ServiceKey {
    ServiceKey { namespace: "default".into(), service: "web".into() }
}

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
async fn only_healthy_instances_are_offered_while_anybody_is_heard() {
    let (registry, mut writer) = registry();
    writer.set_isolated(false);
    writer.apply(instance(OWN, "a", InstanceStatus::Healthy));
    writer.apply(instance(OTHER, "b", InstanceStatus::Unknown));
    writer.publish();
    assert_eq!(offered(&registry), BTreeSet::from(["a".to_owned()]));
    writer.apply(instance(OWN, "a", InstanceStatus::Unhealthy));
    writer.publish();
    assert_eq!(offered(&registry), BTreeSet::new());
}

#[tokio::test]
async fn who_is_cut_off_offers_what_worked_before_when_nothing_else_does() {
    let (registry, mut writer) = registry();
    writer.set_isolated(false);
    writer.apply(instance(OTHER, "b", InstanceStatus::Unknown));
    writer.publish();
    assert_eq!(offered(&registry), BTreeSet::new());
    writer.set_isolated(true);
    writer.publish();
    assert_eq!(offered(&registry), BTreeSet::from(["b".to_owned()]));
    writer.apply(instance(OWN, "a", InstanceStatus::Healthy));
    writer.publish();
    assert_eq!(offered(&registry), BTreeSet::from(["a".to_owned()]));
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

fn placed(id: &str, datacenter: &str, zone: &str, status: InstanceStatus) -> Change {
    let change = instance(OTHER, id, status);
    let mut instance = (*change.instance).clone();
    instance.node = node(datacenter, zone);
    Arc::make_mut(&mut instance.service).meta = [("tier", zone)].into();
    Change { instance: Arc::new(instance) }
}

fn offered_in(registry: &Registry, scope: &Scope) -> BTreeSet<String> {
    let scoped = registry.service(&web()).expect("the service").scoped(scope).expect("a selector");
    let mut picker = scoped.picker();
    (0..30)
        .filter_map(|_| picker.pick(Strategy::RoundRobin, None))
        .map(|pick| pick.item().id.to_string())
        .collect()
}

fn set(ids: &[&str]) -> BTreeSet<String> {
    ids.iter().map(|id| (*id).to_owned()).collect()
}

#[tokio::test]
async fn scopes_narrow_and_follow_what_changes() {
    let (registry, mut writer) = registry();
    writer.set_isolated(false);
    writer.apply(placed("near", "dc1", "z1", InstanceStatus::Healthy));
    writer.apply(placed("close", "dc1", "z2", InstanceStatus::Healthy));
    writer.apply(placed("far", "dc2", "z1", InstanceStatus::Healthy));
    writer.publish();
    let zone = Scope { prefer: Prefer::Zone, ..Scope::default() };
    let datacenter = Scope { prefer: Prefer::Datacenter, ..Scope::default() };
    let dc2 = Scope { datacenter: Some("dc2".into()), ..Scope::default() };
    let tier = Scope { selector: Some("tier in (z2)".into()), ..Scope::default() };
    assert_eq!(offered_in(&registry, &zone), set(&["near"]));
    assert_eq!(offered_in(&registry, &datacenter), set(&["near", "close"]));
    assert_eq!(offered_in(&registry, &dc2), set(&["far"]));
    assert_eq!(offered_in(&registry, &tier), set(&["close"]));

    writer.apply(placed("near", "dc1", "z1", InstanceStatus::Unhealthy));
    writer.publish();
    assert_eq!(offered_in(&registry, &zone), set(&["close"]), "the next layer takes over");
    writer.apply(placed("close", "dc1", "z2", InstanceStatus::Unhealthy));
    writer.publish();
    assert_eq!(offered_in(&registry, &zone), set(&["far"]));
    assert_eq!(offered_in(&registry, &tier), set(&[]));
}

#[tokio::test]
async fn a_scope_too_many_retires_the_oldest_and_a_service_that_goes_retires_all() {
    let (registry, mut writer) = registry();
    writer.apply(instance(OWN, "a", InstanceStatus::Healthy));
    writer.publish();
    let service = registry.service(&web()).expect("the service");
    let scope = |n: usize| Scope { datacenter: Some(format!("dc{n}")), ..Scope::default() };
    let first = service.scoped(&scope(0)).expect("no selector");
    let second = service.scoped(&scope(1)).expect("no selector");
    for n in 2..=64 {
        service.scoped(&scope(n)).expect("no selector");
    }
    assert!(first.is_retired() && !second.is_retired());
    writer.apply(instance(OWN, "a", InstanceStatus::Gone));
    writer.publish();
    assert!(second.is_retired());
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
