//! The datacenters, as this agent knows them.

use std::collections::BTreeMap;

use hobnob_api::{Datacenter, DatacenterList, DatacenterStatus};
use hobnob_membership::{self as membership, DatacenterId, Node, Time};

use crate::actor::Stopping;
use crate::clock::millis;
use crate::driver::{DriverHandle, words};
use crate::services::Registry;

/// All datacenters, the agent's own first.
pub(crate) async fn datacenters(
    registry: &Registry,
    driver: &DriverHandle,
) -> Result<DatacenterList, Stopping> {
    let revision = registry.revision();
    let traffic = registry.traffic();
    let datacenters = driver.inspect(move |node, now| listed(node, &traffic, now)).await?;
    Ok(DatacenterList { revision, isolated: registry.is_isolated(), datacenters })
}

fn listed(node: &Node, traffic: &BTreeMap<DatacenterId, [u64; 2]>, now: Time) -> Vec<Datacenter> {
    let mut instances: BTreeMap<DatacenterId, usize> = BTreeMap::new();
    for (origin, _) in node.catalog().origins() {
        if let Some(datacenter) = node.datacenter_of(origin) {
            *instances.entry(datacenter).or_default() += node.instances_of(origin).count();
        }
    }
    let all = node.datacenters(now).into_iter();
    all.map(|one| {
        let instances = instances.get(&one.id).copied().unwrap_or_default();
        let traffic = traffic.get(&one.id).copied().unwrap_or_default();
        datacenter(node, &one, instances, traffic, now)
    })
    .collect()
}

fn datacenter(
    node: &Node,
    one: &membership::Datacenter,
    instances: usize,
    [sent, received]: [u64; 2],
    now: Time,
) -> Datacenter {
    let out_of_reach = one.out_of_reach_since.map(|since| millis(now.since(since)));
    let status = match (one.is_own, out_of_reach) {
        (true, _) => DatacenterStatus::Own,
        (false, None) => DatacenterStatus::Reachable,
        (false, Some(_)) => DatacenterStatus::OutOfReach,
    };
    let gateways = one.gateways.iter().map(|gateway| words::name_of(node, gateway.node_id));
    Datacenter {
        name: one.name.to_string(),
        status,
        alive: one.alive,
        down: one.down,
        instances,
        gateways: gateways.collect(),
        round_trip_ms: one.round_trip.map(|time| time.as_secs_f64() * 1_000.0),
        heard_ago_ms: one.lag.map(millis),
        out_of_reach_ago_ms: out_of_reach,
        sent_bytes_per_second: sent,
        received_bytes_per_second: received,
    }
}
