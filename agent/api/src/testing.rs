//! Answers for tests.

use std::collections::{BTreeMap, BTreeSet};

use crate::NodeId;
use crate::types::{API_VERSION, Basis, Info, Instance, InstanceStatus};

pub(crate) fn instance(id: &str) -> Instance {
    Instance {
        service: "web".to_owned(),
        id: id.to_owned(),
        node: "a1".to_owned(),
        node_id: NodeId(0xab),
        datacenter: "dc1".to_owned(),
        zone: "z1".to_owned(),
        address: "127.0.0.1".to_owned(),
        port: 80,
        tags: BTreeSet::from(["v1".to_owned()]),
        meta: BTreeMap::from([("tier".to_owned(), "gold".to_owned())]),
        weight: 1,
        namespace: "default".to_owned(),
        status: InstanceStatus::Healthy,
        offered: true,
        basis: Basis::Current,
        age_ms: 0,
        scope: crate::InstanceScope::Global,
        check: None,
        draining: false,
    }
}

pub(crate) fn info() -> Info {
    Info {
        api: API_VERSION,
        revision: 1,
        isolated: false,
        name: "a1".to_owned(),
        cluster: "default".to_owned(),
        node_id: NodeId(0xab),
        epoch: 7,
        version: "0.1.0".to_owned(),
        datacenter: "dc1".to_owned(),
        zone: "z1".to_owned(),
        gossip_address: "127.0.0.1:7946".to_owned(),
        sync_address: "127.0.0.1:7947".to_owned(),
        gossip_bound: None,
        sync_bound: None,
        pid: 1,
        uptime_ms: 61_000,
        last_contact_ago_ms: None,
        duplicate: None,
        name_conflicts: Vec::new(),
        takes_tcp_probes: true,
        udp_blocked: false,
        mass_losses: Vec::new(),
        broken_links: Vec::new(),
        active_members: 1,
        instances: 0,
        catalog_digest: "0".to_owned(),
        counters: BTreeMap::from([("api_calls".to_owned(), 3)]),
        protocol: BTreeMap::new(),
        maintenance: None,
        out_of_service: Vec::new(),
        file_problems: Vec::new(),
        voter: None,
        sealed: None,
    }
}
