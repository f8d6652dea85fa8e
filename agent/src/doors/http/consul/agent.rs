//! `/v1/agent`: this agent, the members, and what is registered here.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::{Path, RawQuery, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use hobnob_api::{CheckExplained, Instance, LocalRegistration};
use serde::Serialize;
use serde_json::json;
use xxhash_rust::xxh3::xxh3_64;

use super::super::answer::{self, Refused, text_of};
use super::super::limits::Limit;
use super::super::parameters::Parameters;
use super::super::routes::Routes;
use super::catalog::INSTANCE;
use super::health::CHECK;
use super::options::{Options, finish};
use super::shapes::{
    AggregatedHealth, Check, Member, MetaMap, NodeUuid, Service, TagList, Weights,
};
use super::status::leader_address;
use super::view::{View, address_of, is_alive, tagged};
use crate::doors::unix::handler::Handler;
use crate::queries::registrations::registrations;
use crate::registrations::KnownIds;

/// This agent.
pub(super) async fn itself(
    State(routes): State<Arc<Routes>>,
    RawQuery(query): RawQuery,
) -> Result<Response, Refused> {
    let options = Options::read(query.as_deref(), &[])?;
    let handler = routes.handler()?;
    let _place = routes.limits.take(Limit::InFlight)?;
    let info = &handler.info;
    let view = View::new(handler, &info.datacenter);
    let member = view.all_members().find(|member| member.node_id.0 == info.node_id.0);
    let shown = json!({
        "Config": {
            "Datacenter": info.datacenter,
            "PrimaryDatacenter": "",
            "NodeName": info.name,
            "NodeID": NodeUuid(info.node_id.0),
            "Revision": "",
            "Server": false,
            "Version": env!("CARGO_PKG_VERSION"),
        },
        "Member": member.map(show_member),
        "Meta": {},
        "DebugConfig": {},
        "Stats": {
            "agent": { "hobnob": "true" },
            "consul": { "leader_addr": leader_address(handler), "server": "false" },
        },
    });
    respond(&routes, handler, &options, &shown)
}

/// The members: those of the agent's datacenter, or with `wan` all of them.
pub(super) async fn members(
    State(routes): State<Arc<Routes>>,
    RawQuery(query): RawQuery,
) -> Result<Response, Refused> {
    let mut parameters = Parameters::parse(query.as_deref())?;
    let options = Options::take(&mut parameters, &["Name", "Addr", "Port", "Status", "Tags.*"])?;
    let is_wan = parameters.flag("wan")?;
    finish(parameters, &["wan"])?;
    options.refuse_consistent()?;
    let handler = routes.handler()?;
    let _place = routes.limits.take(Limit::InFlight)?;
    let view = View::new(handler, &handler.info.datacenter);
    let members = if is_wan { view.all_members().collect() } else { view.members() };
    let shown = members.into_iter().map(|member| {
        let shown = show_member(member);
        // So Consul names the members of all datacenters.
        let name =
            if is_wan { format!("{}.{}", shown.name, member.datacenter) } else { shown.name };
        Member { name, ..shown }
    });
    let shown: Vec<_> = shown.filter(|member| options.leaves(member)).collect();
    respond(&routes, handler, &options, &shown)
}

/// The instances that are registered with this agent, by id.
pub(super) async fn services(
    State(routes): State<Arc<Routes>>,
    RawQuery(query): RawQuery,
) -> Result<Response, Refused> {
    let options = Options::read(query.as_deref(), INSTANCE)?;
    let handler = routes.handler()?;
    let _place = routes.limits.take(Limit::InFlight)?;
    let own = own(handler, &options.namespace).await?;
    let shown = own.iter().map(|one| (&one.instance.id, show_instance(&one.instance)));
    let shown: BTreeMap<_, _> = shown.filter(|(_, service)| options.leaves(service)).collect();
    respond(&routes, handler, &options, &shown)
}

/// One instance that is registered with this agent.
pub(super) async fn service(
    State(routes): State<Arc<Routes>>,
    Path(id): Path<String>,
    RawQuery(query): RawQuery,
) -> Result<Response, Refused> {
    let options = Options::read(query.as_deref(), &[])?;
    let handler = routes.handler()?;
    let _place = routes.limits.take(Limit::InFlight)?;
    let own = own(handler, &options.namespace).await?;
    let found = own.iter().find(|one| one.instance.id == id).ok_or_else(|| unknown(&id))?;
    let mut shown = show_instance(&found.instance);
    let hash = xxh3_64(&text_of(&shown, false)?);
    shown.content_hash = Some(format!("{hash:016x}"));
    respond(&routes, handler, &options, &shown)
}

/// The checks of the instances that are registered with this agent, by their ids.
pub(super) async fn checks(
    State(routes): State<Arc<Routes>>,
    RawQuery(query): RawQuery,
) -> Result<Response, Refused> {
    let options = Options::read(query.as_deref(), CHECK)?;
    let handler = routes.handler()?;
    let _place = routes.limits.take(Limit::InFlight)?;
    let own = own(handler, &options.namespace).await?;
    let ids = handler.registrations.check_ids();
    let checks = own.iter().flat_map(|one| show_checks(one, &ids));
    let checks = checks.filter(|check| options.leaves(check));
    let shown: BTreeMap<_, _> = checks.map(|check| (check.check_id.clone(), check)).collect();
    respond(&routes, handler, &options, &shown)
}

/// The health of the instances of a service that are registered with this agent. The status of the answer is that of the worst.
pub(super) async fn health_by_name(
    State(routes): State<Arc<Routes>>,
    Path(name): Path<String>,
    RawQuery(query): RawQuery,
) -> Result<Response, Refused> {
    health(&routes, query.as_deref(), &|instance| instance.service == name, false).await
}

/// The health of an instance that is registered with this agent.
pub(super) async fn health_by_id(
    State(routes): State<Arc<Routes>>,
    Path(id): Path<String>,
    RawQuery(query): RawQuery,
) -> Result<Response, Refused> {
    health(&routes, query.as_deref(), &|instance| instance.id == id, true).await
}

async fn health(
    routes: &Routes,
    query: Option<&str>,
    is_asked: &(dyn Fn(&Instance) -> bool + Sync),
    is_one: bool,
) -> Result<Response, Refused> {
    let mut parameters = Parameters::parse(query)?;
    let options = Options::take(&mut parameters, &[])?;
    let is_text = parameters.text("format")?.as_deref() == Some("text");
    finish(parameters, &["format"])?;
    options.refuse_consistent()?;
    let handler = routes.handler()?;
    let _place = routes.limits.take(Limit::InFlight)?;
    let own = own(handler, &options.namespace).await?;
    let ids = handler.registrations.check_ids();
    let asked = own.iter().filter(|one| is_asked(&one.instance));
    let mut shown: Vec<_> = asked
        .map(|one| AggregatedHealth {
            aggregated_status: status_of(one),
            service: show_instance(&one.instance),
            checks: show_checks(one, &ids),
        })
        .collect();
    let worst = shown.iter().map(|one| one.aggregated_status).max_by_key(|status| rank(status));
    let Some(worst) = worst else {
        return Err(Refused::new(
            StatusCode::NOT_FOUND,
            "no such service is registered with this agent",
        ));
    };
    let status = match worst {
        "passing" => StatusCode::OK,
        "warning" => StatusCode::TOO_MANY_REQUESTS,
        _ => StatusCode::SERVICE_UNAVAILABLE,
    };
    if is_text {
        return Ok((status, worst).into_response());
    }
    let answer = match (is_one, shown.len()) {
        (true, 1) => respond(routes, handler, &options, &shown.swap_remove(0))?,
        _ => respond(routes, handler, &options, &shown)?,
    };
    Ok((status, answer).into_response())
}

fn respond(
    routes: &Routes,
    handler: &Handler,
    options: &Options,
    shown: &impl Serialize,
) -> Result<Response, Refused> {
    answer::json(options.text(shown)?, routes.budget(handler))
}

/// Everything of a namespace that is registered with this agent.
async fn own(handler: &Handler, namespace: &str) -> Result<Vec<LocalRegistration>, Refused> {
    let (mut all, mut after) = (Vec::new(), None);
    loop {
        let asked = (Some(namespace.to_owned()), after);
        let (registry, driver) = (&handler.registry, &handler.driver);
        let page =
            registrations(registry, driver, &handler.registrations, &handler.info.name, asked);
        let page = page.await?;
        all.extend(page.registrations);
        after = all.last().map(|last: &LocalRegistration| last.instance.id.clone());
        if !page.more {
            return Ok(all);
        }
    }
}

fn unknown(id: &str) -> Refused {
    let id = hobnob_api::names::printable(id);
    Refused::new(StatusCode::NOT_FOUND, format!("unknown service ID: {id}"))
}

fn show_member(member: &hobnob_api::Member) -> Member {
    let (addr, port) = address_of(&member.gossip_address);
    let tags = [
        ("role", "node".to_owned()),
        ("dc", member.datacenter.clone()),
        ("id", NodeUuid(member.node_id.0).to_string()),
    ];
    Member {
        name: member.name.clone(),
        addr,
        port,
        tags: tags.into(),
        status: if is_alive(member.status) { 1 } else { 4 },
        protocol_min: 0,
        protocol_max: 0,
        protocol_cur: 0,
        delegate_min: 0,
        delegate_max: 0,
        delegate_cur: 0,
    }
}

fn show_instance(instance: &Instance) -> Service<'_> {
    Service {
        kind: "",
        id: &instance.id,
        service: &instance.service,
        tags: TagList::Shown(&instance.tags),
        meta: MetaMap::Shown(&instance.meta),
        port: instance.port,
        address: &instance.address,
        tagged_addresses: tagged(&instance.address, instance.port),
        weights: Weights { passing: instance.weight, warning: instance.weight },
        enable_tag_override: false,
        datacenter: &instance.datacenter,
        namespace: &instance.namespace,
        content_hash: None,
        create_index: 0,
        modify_index: 0,
    }
}

/// The status of an instance by its checks and what operators did to it.
fn status_of(one: &LocalRegistration) -> &'static str {
    let is_drained = one.drain.as_ref().is_some_and(|drain| drain.over);
    if one.maintenance.is_some() || is_drained { "critical" } else { status_word(&one.health) }
}

/// Consul's word for a status. Consul has a check that has not run yet for critical.
fn status_word(status: &str) -> &'static str {
    match status {
        "passing" => "passing",
        "warning" => "warning",
        _ => "critical",
    }
}

fn rank(status: &str) -> u8 {
    match status {
        "passing" => 0,
        "warning" => 1,
        _ => 2,
    }
}

/// The checks of an instance, and its maintenance, which is a check to Consul.
fn show_checks<'a>(one: &'a LocalRegistration, ids: &KnownIds) -> Vec<Check<'a>> {
    let instance = &one.instance;
    let of = |check_id: String, name: &'a str, status| Check {
        node: &instance.node,
        check_id: check_id.into(),
        name: name.into(),
        status,
        notes: "",
        output: "",
        service_id: &instance.id,
        service_name: &instance.service,
        service_tags: TagList::Shown(&instance.tags),
        kind: "",
        namespace: &instance.namespace,
        create_index: 0,
        modify_index: 0,
    };
    let maintained = one.maintenance.iter().map(|maintenance| {
        let id = format!("_service_maintenance:{}", instance.id);
        let check = of(id, "Service Maintenance Mode", "critical");
        Check { kind: "maintenance", notes: &maintenance.reason, ..check }
    });
    let checks = one.checks.iter().map(|check| {
        // One that came or went meanwhile has none.
        let id = ids.shown(&instance.id, &check.name).unwrap_or(&check.name).to_owned();
        let output = latest_output(check).unwrap_or_default();
        let shown = of(id, &check.name, status_word(&check.status));
        Check { kind: &check.kind, output, ..shown }
    });
    maintained.chain(checks).collect()
}

/// What a check said last: its latest result, unless its status has changed since, as when reports stay away.
fn latest_output(check: &CheckExplained) -> Option<&str> {
    let CheckExplained { changed_ago_ms: changed, latest_ago_ms: latest, .. } = check;
    let has_changed_since = changed.zip(*latest).is_some_and(|(changed, latest)| changed < latest);
    let latest = check.latest_output.as_deref().filter(|_| !has_changed_since);
    latest.or(check.output.as_deref())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_that_stays_away_is_told_and_not_the_one_before() {
        let told = |changed_ago_ms: Option<u64>, latest_ago_ms: Option<u64>| {
            let check = json!({
                "name": "alive", "kind": "ttl", "status": "critical", "target": "", "interval_ms": 0,
                "output": "no report within 2s", "changed_ago_ms": changed_ago_ms,
                "latest_output": "well", "latest_ago_ms": latest_ago_ms,
            });
            let check: CheckExplained = serde_json::from_value(check).expect("a check");
            latest_output(&check).map(str::to_owned)
        };
        assert_eq!(told(Some(1), Some(2_001)).as_deref(), Some("no report within 2s"));
        assert_eq!(told(Some(9_000), Some(10)).as_deref(), Some("well"));
        assert_eq!(told(None, Some(10)).as_deref(), Some("well"), "its status never changed");
    }
}
