//! The registry, written as the driver does and read as a connection does.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use hobnob_balancer::Strategy;
use hobnob_membership::record::{Health, ServiceRecord};
use hobnob_membership::view::{Change, Instance, InstanceStatus};
use hobnob_membership::{NodeId, Time};

use super::{Registry, ServiceKey, Since, Writer};
use crate::clock::Clock;

const OWN: NodeId = NodeId(1);
const OTHER: NodeId = NodeId(2);
const FIRST_REVISION: u64 = 1_000;

fn registry() -> (Arc<Registry>, Writer) {
    Registry::new(OWN, Clock::start(), FIRST_REVISION)
}

fn instance(origin: NodeId, id: &str, status: InstanceStatus) -> Change {
    let down = status == InstanceStatus::Unknown;
    let service = ServiceRecord {
        service: "web".into(),
        namespace: "default".into(),
        address: "127.0.0.1".into(),
        port: 80,
        tags: BTreeSet::new(),
        meta: BTreeMap::new(),
        weight: 1,
        checked: false,
    };
    let instance = Instance {
        origin,
        id: id.into(),
        node: "a".into(),
        datacenter: "dc1".into(),
        zone: String::new(),
        service,
        health: Health::Passing,
        status,
        down_since: down.then_some(Time::ZERO),
    };
    Change { instance: Arc::new(instance) }
}

fn web() -> ServiceKey {
    ServiceKey { namespace: "default".into(), service: "web".into() }
}

fn offered(registry: &Registry) -> BTreeSet<String> {
    let service = registry.service(&web()).expect("the service");
    let mut picker = service.balancer().picker();
    (0..10)
        .filter_map(|_| picker.pick(Strategy::RoundRobin, None))
        .map(|pick| pick.item().id.clone())
        .collect()
}

fn ids(since: Since) -> Vec<(String, InstanceStatus)> {
    let Since::Changes { instances, .. } = since else { panic!("forgotten") };
    instances.iter().map(|instance| (instance.id.clone(), instance.status)).collect()
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
