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
use super::shapes::{AggregatedHealth, Check, Member, Service, Weights};
use super::view::{View, address_of, is_alive, node_uuid, tagged};
use crate::doors::unix::handler::Handler;
use crate::queries::registrations::registrations;

/// This agent.
pub(super) async fn itself(
    State(routes): State<Arc<Routes>>,
    RawQuery(query): RawQuery,
) -> Result<Response, Refused> {
    let options = Options::read(query.as_deref(), &[])?;
    let handler = routes.handler()?;
    let info = &handler.info;
    let view = View::new(handler, &info.datacenter);
    let member = view.all_members().find(|member| member.node_id.0 == info.node_id.0);
    let shown = json!({
        "Config": {
            "Datacenter": info.datacenter,
            "PrimaryDatacenter": "",
            "NodeName": info.name,
            "NodeID": node_uuid(info.node_id.0),
            "Revision": "",
            "Server": false,
            "Version": env!("CARGO_PKG_VERSION"),
        },
        "Member": member.map(show_member),
        "Meta": {},
        "Stats": { "agent": { "hobnob": "true" } },
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
    let handler = routes.handler()?;
    let _place = routes.limits.take(Limit::InFlight)?;
    let view = View::new(handler, &handler.info.datacenter);
    let members = if is_wan { view.all_members().collect() } else { view.members() };
    let shown = members.into_iter().map(show_member);
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
    let shown = own.iter().map(|one| (one.instance.id.clone(), show_instance(&one.instance)));
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
    let names = CheckNames::of(&own);
    let checks = own.iter().flat_map(|one| show_checks(one, &names));
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
    let handler = routes.handler()?;
    let _place = routes.limits.take(Limit::InFlight)?;
    let own = own(handler, &options.namespace).await?;
    let names = CheckNames::of(&own);
    let asked = own.iter().filter(|one| is_asked(&one.instance));
    let mut shown: Vec<_> = asked
        .map(|one| AggregatedHealth {
            aggregated_status: status_of(one),
            service: show_instance(&one.instance),
            checks: show_checks(one, &names),
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
    answer::json(text_of(shown, options.is_pretty)?, routes.budget(handler))
}

/// Everything of a namespace that is registered with this agent.
pub(super) async fn own(
    handler: &Handler,
    namespace: &str,
) -> Result<Vec<LocalRegistration>, Refused> {
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
        ("id", node_uuid(member.node_id.0)),
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

fn show_instance(instance: &Instance) -> Service {
    Service {
        kind: "",
        id: instance.id.clone(),
        service: instance.service.clone(),
        tags: instance.tags.iter().cloned().collect(),
        meta: instance.meta.clone(),
        port: instance.port,
        address: instance.address.clone(),
        tagged_addresses: tagged(&instance.address, instance.port),
        weights: Weights { passing: instance.weight, warning: instance.weight },
        enable_tag_override: false,
        datacenter: instance.datacenter.clone(),
        namespace: instance.namespace.clone(),
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
fn show_checks(one: &LocalRegistration, names: &CheckNames<'_>) -> Vec<Check> {
    let instance = &one.instance;
    let of = |check_id, name, status, kind: &str, notes, output: &str| Check {
        node: instance.node.clone(),
        check_id,
        name,
        status,
        notes,
        output: output.to_owned(),
        service_id: instance.id.clone(),
        service_name: instance.service.clone(),
        service_tags: instance.tags.iter().cloned().collect(),
        kind: kind.to_owned(),
        namespace: instance.namespace.clone(),
        create_index: 0,
        modify_index: 0,
    };
    let maintained = one.maintenance.iter().map(|maintenance| {
        let id = format!("_service_maintenance:{}", instance.id);
        let name = "Service Maintenance Mode".to_owned();
        of(id, name, "critical", "maintenance", maintenance.reason.clone(), "")
    });
    let checks = one.checks.iter().map(|check| {
        let output = check.latest_output.as_ref().or(check.output.as_ref());
        let (id, status) = (names.id(one, check), status_word(&check.status));
        let output = output.map_or("", String::as_str);
        of(id, check.name.clone(), status, &check.kind, String::new(), output)
    });
    maintained.chain(checks).collect()
}

/// How many checks of this agent have each name.
pub(super) struct CheckNames<'a>(BTreeMap<&'a str, usize>);

impl<'a> CheckNames<'a> {
    pub(super) fn of(all: &'a [LocalRegistration]) -> Self {
        let mut names = BTreeMap::new();
        for check in all.iter().flat_map(|one| &one.checks) {
            *names.entry(check.name.as_str()).or_default() += 1;
        }
        Self(names)
    }

    /// Whether this is the name of one check alone.
    pub(super) fn is_of_one(&self, name: &str) -> bool {
        self.0.get(name) == Some(&1)
    }

    /// The id of a check for clients of Consul: its name, if it was given one that no other check of this agent has; else one made
    /// of the id of its instance, as Consul makes it.
    pub(super) fn id(&self, one: &LocalRegistration, check: &CheckExplained) -> String {
        if !is_made(&check.name) && self.is_of_one(&check.name) {
            return check.name.clone();
        }
        let id = &one.instance.id;
        if one.checks.len() == 1 {
            format!("service:{id}")
        } else {
            format!("service:{id}:{}", check.name)
        }
    }
}

/// Whether a check without a name gets this one.
fn is_made(name: &str) -> bool {
    let number = name.strip_prefix("check").map(|rest| rest.strip_prefix('-').unwrap_or(rest));
    number.is_some_and(|number| number.bytes().all(|byte| byte.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_as_the_agent_makes_them_are_no_names() {
        for made in ["check", "check-1", "check-12"] {
            assert!(is_made(made), "{made}");
        }
        for given in ["check-db", "checks", "db", "up-2", "check-1a"] {
            assert!(!is_made(given), "{given}");
        }
    }
}
