//! A registry to test with, and instances to fill it.

use std::sync::Arc;

use hobnob_membership::record::{Health, NodeRecord, Support};
use hobnob_membership::view::{Change, Instance, InstanceStatus};
use hobnob_membership::{NodeId, Time, testing};

use super::{Locality, Registry, ServiceKey, Writer};
use crate::clock::Clock;

pub(crate) const OWN: NodeId = NodeId(1);
pub(crate) const OTHER: NodeId = NodeId(2);
pub(crate) const FIRST_REVISION: u64 = 1_000;

pub(crate) fn registry() -> (Arc<Registry>, Writer) {
    let locality = Locality::new("dc1", "z1");
    Registry::new(OWN, locality, Clock::fake(), FIRST_REVISION)
}

pub(crate) fn instance(origin: NodeId, id: &str, status: InstanceStatus) -> Change {
    let down = status == InstanceStatus::Unknown;
    let instance = Instance {
        origin,
        id: id.into(),
        node: node("dc1", ""),
        service: testing::web().into(),
        health: Health::Passing,
        status,
        down_since: down.then_some(Time::ZERO),
    };
    Change { instance: Arc::new(instance) }
}

/// An instance of a living node whose check has not run yet.
pub(crate) fn unchecked(id: &str) -> Change {
    let change = instance(OTHER, id, InstanceStatus::Unknown);
    let instance =
        Instance { health: Health::Unknown, down_since: None, ..(*change.instance).clone() };
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
        certificate: Vec::new(),
        gateway: hobnob_membership::Gateway::Yes,
    })
}

pub(crate) fn web() -> ServiceKey {
    ServiceKey { namespace: "default".into(), service: "web".into() }
}

pub(crate) fn placed(id: &str, datacenter: &str, zone: &str, status: InstanceStatus) -> Change {
    let change = instance(OTHER, id, status);
    let mut instance = (*change.instance).clone();
    instance.node = node(datacenter, zone);
    Arc::make_mut(&mut instance.service).meta = [("tier", zone)].into();
    Change { instance: Arc::new(instance) }
}

pub(crate) fn of_service(name: &str, id: &str) -> Change {
    let change = instance(OWN, id, InstanceStatus::Healthy);
    let mut instance = (*change.instance).clone();
    Arc::make_mut(&mut instance.service).service = name.into();
    Change { instance: Arc::new(instance) }
}

pub(crate) fn key(name: &str) -> ServiceKey {
    ServiceKey { service: name.into(), ..web() }
}

/// A member, with what every version of the API says of one.
pub(crate) fn member(
    name: &str,
    node_id: u64,
    status: hobnob_api::MemberStatus,
) -> hobnob_api::Member {
    let member = serde_json::json!({
        "name": name, "node_id": hobnob_api::NodeId(node_id), "gossip_address": "127.0.0.1:7946",
        "status": status, "datacenter": "dc1", "zone": "", "epoch": 1,
    });
    serde_json::from_value(member).expect("a member")
}
