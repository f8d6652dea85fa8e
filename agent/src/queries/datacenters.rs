//! The datacenters, as this agent knows them.

use std::collections::BTreeMap;

use hobnob_api::{
    ApiError, Datacenter, DatacenterList, DatacenterStatus, ErrorCode, ForgottenDatacenter,
    HeldBack, Isolation, Signed,
};
use hobnob_membership::view::MemberStatus;
use hobnob_membership::{self as membership, DatacenterId, Input, Node, Time};

use crate::actor::Stopping;
use crate::clock::millis;
use crate::driver::{DriverHandle, Ordered, words};
use crate::orders::isolation::judge;
use crate::orders::member::read;
use crate::security::OwnCredential;
use crate::services::Registry;

/// All datacenters, the agent's own first.
pub(crate) async fn datacenters(
    registry: &Registry,
    driver: &DriverHandle,
) -> Result<DatacenterList, Stopping> {
    let revision = registry.revision();
    let traffic = registry.traffic();
    let list = driver.inspect(move |node, now| (listed(node, &traffic, now), forgotten(node)));
    let (datacenters, forgotten) = list.await?;
    Ok(DatacenterList { revision, isolated: registry.is_isolated(), datacenters, forgotten })
}

/// An operator's order about another datacenter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum IsolationOrder {
    /// It is isolated no more.
    Rejoin,
    /// Nothing is sent there, and nothing of it is taken.
    Isolate,
    /// The same, and it is gone for good: what is known of it is forgotten.
    Forget,
}

/// Isolates the datacenter of this name from the agent's own, or ends that. In a sealed cluster an operator signs the order, or the agent has
/// the role operator itself.
///
/// # Errors
/// No such datacenter is known, it is the agent's own, or it is to be forgotten and is in reach; or nobody ordered it that may.
pub(crate) async fn isolate(
    driver: &DriverHandle,
    own: &OwnCredential,
    name: String,
    wanted: IsolationOrder,
    signed: Option<Signed>,
) -> Result<Isolation, ApiError> {
    let signed = signed.as_ref().map(read).transpose()?;
    let own = own.clone();
    let decide = move |node: &Node, now| {
        let datacenter = DatacenterId::named(&name);
        check_other(node, datacenter, &name, now)?;
        let is_isolated = wanted != IsolationOrder::Rejoin;
        let forgets = wanted == IsolationOrder::Forget;
        let is_known = node.datacenters(now).iter().any(|one| one.id == datacenter);
        if forgets && is_known && !node.is_out_of_reach(datacenter) {
            let message = format!(
                "`{name}` is in reach, and only a datacenter that is gone can be forgotten"
            );
            return Err(ApiError::new(ErrorCode::DatacenterReachable, message));
        }
        judge(node, &own, datacenter, is_isolated, signed.as_ref())?;
        let changed = node.is_isolated(datacenter) != is_isolated || (forgets && is_known);
        let answer = Isolation { datacenter: name, isolated: is_isolated, changed };
        Ok(Ordered { inputs: vec![Input::Isolate { datacenter, is_isolated, forgets }], answer })
    };
    driver.order(decide).await
}

/// Checks that a datacenter of this name is known.
///
/// # Errors
/// There is none. The message names those that are known.
pub(crate) fn check_known(node: &Node, name: &str, now: Time) -> Result<(), ApiError> {
    let known = node.datacenters(now);
    if known.iter().any(|one| one.id == DatacenterId::named(name)) {
        return Ok(());
    }
    let names: Vec<_> = known.iter().map(|known| format!("`{}`", known.name)).collect();
    let message = format!("this agent knows no datacenter `{name}`; it knows {}", names.join(", "));
    Err(ApiError::new(ErrorCode::DatacenterNotFound, message))
}

fn check_other(
    node: &Node,
    datacenter: DatacenterId,
    name: &str,
    now: Time,
) -> Result<(), ApiError> {
    if datacenter == node.own_datacenter() {
        let message = format!("`{name}` is the datacenter of this agent itself");
        return Err(ApiError::new(ErrorCode::DatacenterIsOwn, message));
    }
    // A datacenter whose members were all forgotten may be isolated still.
    if node.is_isolated(datacenter) { Ok(()) } else { check_known(node, name, now) }
}

fn forgotten(node: &Node) -> Vec<ForgottenDatacenter> {
    let one = |(id, isolation_orders): (DatacenterId, u64)| ForgottenDatacenter {
        id: format!("{:016x}", id.0),
        isolation_orders,
    };
    node.forgotten().map(one).collect()
}

fn listed(node: &Node, traffic: &BTreeMap<DatacenterId, [u64; 2]>, now: Time) -> Vec<Datacenter> {
    let mut instances: BTreeMap<DatacenterId, usize> = BTreeMap::new();
    for (origin, _) in node.catalog().origins() {
        if let Some(datacenter) = node.datacenter_of(origin) {
            *instances.entry(datacenter).or_default() += node.instances_of(origin).count();
        }
    }
    let mut down: BTreeMap<DatacenterId, usize> = BTreeMap::new();
    let members = node.members();
    for member in members.iter().filter(|member| member.status == MemberStatus::Down) {
        if let Some(datacenter) = node.datacenter_of(member.identity.node_id) {
            *down.entry(datacenter).or_default() += 1;
        }
    }
    let all = node.datacenters(now).into_iter();
    all.map(|mut one| {
        // The table of the node also counts those that left a short time ago.
        one.down = down.get(&one.id).copied().unwrap_or_default();
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
    let isolated = one.isolated_since.map(|since| millis(now.since(since)));
    let out_of_reach = one.out_of_reach_since.map(|since| millis(now.since(since)));
    let out_of_reach = out_of_reach.filter(|_| isolated.is_none());
    let status = match (isolated, out_of_reach) {
        _ if one.is_own => DatacenterStatus::Own,
        (Some(_), _) => DatacenterStatus::Isolated,
        (None, Some(_)) => DatacenterStatus::OutOfReach,
        (None, None) => DatacenterStatus::Reachable,
    };
    let gateways = one.gateways.iter().map(|gateway| words::name_of(node, gateway.node_id));
    let held_back = one.held_back.last.map(|(origin, at)| HeldBack {
        changes: one.held_back.changes,
        waiting: one.held_back.waiting,
        last: words::name_of(node, origin),
        last_ago_ms: millis(now.since(at)),
    });
    Datacenter {
        name: one.name.to_string(),
        status,
        alive: one.alive,
        down: one.down,
        instances,
        gateways: gateways.collect(),
        round_trip_ms: one.round_trip.map(|time| time.as_secs_f64() * 1_000.0),
        heard_ago_ms: one.lag.map(millis),
        isolated_ago_ms: isolated,
        out_of_reach_ago_ms: out_of_reach,
        held_back,
        sent_bytes_per_second: sent,
        received_bytes_per_second: received,
        isolation_orders: node.isolation_orders(one.id),
    }
}
