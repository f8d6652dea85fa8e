//! `/v1/health`: instances and nodes with their checks.

use std::sync::Arc;

use axum::Extension;
use axum::extract::{Path, RawQuery, State};
use axum::response::Response;

use super::super::answer::Refused;
use super::super::connection::Connection;
use super::super::parameters::Parameters;
use super::super::routes::Routes;
use super::blocking::Subject;
use super::catalog::has_tags;
use super::filter::Selectors;
use super::options::{Options, finish};
use super::respond::Question;
use super::shapes::Check;
use super::view::{View, is_passing, offered};
use crate::services::{Entry, ServiceKey};

const ENTRY: Selectors = &[
    "Node.ID",
    "Node.Node",
    "Node.Address",
    "Node.Datacenter",
    "Node.Meta.*",
    "Service.ID",
    "Service.Service",
    "Service.Tags[]",
    "Service.Address",
    "Service.Meta.*",
    "Service.Port",
    "Service.Weights.Passing",
    "Checks.CheckID",
    "Checks.Name",
    "Checks.Status",
];
pub(super) const CHECK: Selectors = &[
    "Node",
    "CheckID",
    "Name",
    "Status",
    "Notes",
    "Output",
    "ServiceID",
    "ServiceName",
    "ServiceTags[]",
];

/// The instances of a service with their nodes and checks.
pub(super) async fn service(
    State(routes): State<Arc<Routes>>,
    Extension(connection): Extension<Arc<Connection>>,
    Path(name): Path<String>,
    RawQuery(query): RawQuery,
) -> Result<Response, Refused> {
    let mut parameters = Parameters::parse(query.as_deref())?;
    let options = Options::take(&mut parameters, ENTRY)?;
    let (tags, passing) = (parameters.all("tag"), parameters.flag("passing")?);
    finish(parameters, &["tag", "passing"])?;
    let (question, key) = Question::of_service((&routes, &connection), &options, name)?;
    let instances = question.answer_instances(&key, |view, instances, index| {
        let tagged = || instances.iter().filter(|entry| has_tags(entry, &tags));
        let offered = offered(tagged());
        let wanted = tagged().filter(|entry| !passing || is_passing(entry, offered));
        let shown = wanted.map(|entry| view.entry(entry, offered, index));
        options.text(&shown.filter(|shown| options.leaves(shown)).collect::<Vec<_>>())
    });
    instances.await
}

/// The checks of a service's instances.
pub(super) async fn checks(
    State(routes): State<Arc<Routes>>,
    Extension(connection): Extension<Arc<Connection>>,
    Path(name): Path<String>,
    RawQuery(query): RawQuery,
) -> Result<Response, Refused> {
    let options = Options::read(query.as_deref(), CHECK)?;
    let (question, key) = Question::of_service((&routes, &connection), &options, name)?;
    let checks = question.answer_instances(&key, |view, instances, index| {
        let checks = instances.iter().map(|entry| view.service_check(entry, index));
        options.text(&checks.filter(|check| options.leaves(check)).collect::<Vec<_>>())
    });
    checks.await
}

/// The checks of a node and of its instances.
pub(super) async fn node(
    State(routes): State<Arc<Routes>>,
    Extension(connection): Extension<Arc<Connection>>,
    Path(name): Path<String>,
    RawQuery(query): RawQuery,
) -> Result<Response, Refused> {
    let options = Options::read(query.as_deref(), CHECK)?;
    let question = Question::about(Subject::All, (&routes, &connection), &options);
    let checks = question.answer(|view| {
        let Some(member) = view.member(&name) else { return options.text(&[(); 0]) };
        let of_node = [view.check_of(member, view.registry.members().1)];
        let services = view.services(&options.namespace);
        let of_instances = instance_checks(view, &services, Some(member.node_id.0));
        let checks = of_node.into_iter().chain(of_instances);
        options.text(&checks.filter(|check| options.leaves(check)).collect::<Vec<_>>())
    });
    checks.await
}

/// The checks that have a status, of all nodes and instances.
pub(super) async fn state(
    State(routes): State<Arc<Routes>>,
    Extension(connection): Extension<Arc<Connection>>,
    Path(state): Path<String>,
    RawQuery(query): RawQuery,
) -> Result<Response, Refused> {
    let options = Options::read(query.as_deref(), CHECK)?;
    if !["any", "unknown", "passing", "warning", "critical"].contains(&&*state) {
        let message = "the state is any, unknown, passing, warning or critical";
        return Err(Refused::bad(message));
    }
    let question = Question::about(Subject::All, (&routes, &connection), &options);
    let checks = question.answer(|view| {
        let index = view.registry.members().1;
        let (members, services) = (view.members(), view.services(&options.namespace));
        let of_nodes = members.iter().map(|member| view.check_of(member, index));
        let checks = of_nodes.chain(instance_checks(view, &services, None));
        let asked = checks.filter(|check| state == "any" || state == check.status);
        options.text(&asked.filter(|check| options.leaves(check)).collect::<Vec<_>>())
    });
    checks.await
}

/// The checks of the instances of services, or only those of a node.
fn instance_checks<'a>(
    view: &View<'_>,
    services: &'a [(ServiceKey, Vec<Arc<Entry>>)],
    node: Option<u64>,
) -> Vec<Check<'a>> {
    let mut checks = Vec::new();
    for (key, instances) in services {
        let index = view.registry.index_of(key);
        let asked = instances.iter().filter(|entry| node.is_none_or(|node| entry.origin.0 == node));
        checks.extend(asked.map(|entry| view.service_check(entry, index)));
    }
    checks
}
