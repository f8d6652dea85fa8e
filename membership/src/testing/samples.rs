//! Nodes and records for tests.

use std::net::SocketAddr;

use crate::record::{
    Balancing, Health, Key, Meta, NodeRecord, ServiceRecord, Support, Tags, Value,
};
use crate::{ClusterId, Config, Epoch, Gateway, Identity, Node, NodeId, Protocol, Time};

/// The identity of the `n`th node.
#[must_use]
pub fn identity(n: usize) -> Identity {
    let [_, high, mid, low] = (n as u32 + 1).to_be_bytes();
    Identity {
        node_id: NodeId(0x100 + n as u64),
        epoch: Epoch(1_000),
        addr: SocketAddr::from(([10, high, mid, low], 7_946)),
        sync_port: 7_947,
    }
}

/// The node record of the `n`th node.
#[must_use]
pub fn record(n: usize) -> NodeRecord {
    NodeRecord {
        name: format!("n{n}").into(),
        datacenter: "dc1".into(),
        zone: "".into(),
        software: "test".into(),
        instance_key_hash: 0,
        left: None,
        support: Support::OURS,
        certificate: Vec::new(),
        gateway: Gateway::Yes,
    }
}

/// The configuration of the `n`th node.
#[must_use]
pub fn config(n: usize) -> Config {
    Config {
        cluster: ClusterId::default(),
        identity: identity(n),
        node: record(n),
        records: Vec::new(),
        seed: n as u64,
        protocol: Protocol::default(),
        sealing: None,
    }
}

/// The `n`th node, just started.
#[must_use]
pub fn node(n: usize) -> Node {
    started(config(n))
}

fn started(config: Config) -> Node {
    Node::new(config, Time::ZERO).expect("legal records")
}

/// The `n`th node in another cluster.
#[must_use]
pub fn node_of(cluster: ClusterId, n: usize) -> Node {
    started(Config { cluster, ..config(n) })
}

/// The node of the `n`th host under another identity, as after the loss of its disk.
#[must_use]
pub fn node_as(cluster: ClusterId, identity: Identity, n: usize) -> Node {
    started(Config { cluster, identity, ..config(n) })
}

/// An instance of the service `web`, without a check.
#[must_use]
pub fn web() -> ServiceRecord {
    ServiceRecord {
        service: "web".into(),
        namespace: "default".into(),
        address: "127.0.0.1".into(),
        port: 80,
        tags: Tags::default(),
        meta: Meta::default(),
        weight: 1,
        checked: false,
        balancing: Balancing::default(),
        scope: Default::default(),
        upkeep: Default::default(),
    }
}

/// The same with so many values of 500 bytes in its metadata.
#[must_use]
pub fn large(values: usize) -> ServiceRecord {
    let meta = (0..values).map(|key| (format!("k{key}"), "x".repeat(500))).collect();
    ServiceRecord { meta, ..web() }
}

/// A write of an instance of the service `web`, without a check.
#[must_use]
pub fn instance(id: &str) -> Vec<(Key, Option<Value>)> {
    vec![(Key::Service(id.into()), Some(Value::Service(web().into())))]
}

/// A write of the health of an instance.
#[must_use]
pub fn health(id: &str, health: Health) -> Vec<(Key, Option<Value>)> {
    vec![(Key::Health(id.into()), Some(Value::Health(health)))]
}
