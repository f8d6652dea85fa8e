//! `/v1/catalog`: what is registered, whatever its health.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use axum::Extension;
use axum::extract::{Path, RawQuery, State};
use axum::response::Response;
use hobnob_api::ApiError;

use super::super::answer::{Refused, json, text_of};
use super::super::connection::Connection;
use super::super::limits::Limit;
use super::super::parameters::Parameters;
use super::super::routes::Routes;
use super::blocking::Subject;
use super::filter::Selectors;
use super::options::{Options, finish};
use super::respond::Question;
use super::shapes::{CatalogService, NodeServices};
use crate::queries::datacenters;
use crate::services::Entry;

const NODES: Selectors = &["ID", "Node", "Address", "Datacenter", "Meta.*"];
const SERVICES: Selectors = &["ServiceName", "ServiceTags[]"];
const SERVICE: Selectors = &[
    "ID",
    "Node",
    "Address",
    "Datacenter",
    "NodeMeta.*",
    "ServiceID",
    "ServiceName",
    "ServiceTags[]",
    "ServiceAddress",
    "ServiceMeta.*",
    "ServicePort",
    "ServiceWeights.Passing",
];
pub(super) const INSTANCE: Selectors =
    &["ID", "Service", "Tags[]", "Address", "Meta.*", "Port", "Weights.Passing", "Datacenter"];

/// The names of the datacenters, the nearest first.
pub(super) async fn datacenters(
    State(routes): State<Arc<Routes>>,
    RawQuery(query): RawQuery,
) -> Result<Response, Refused> {
    let options = Options::read(query.as_deref(), &[])?;
    let handler = routes.handler()?;
    let _place = routes.limits.take(Limit::InFlight)?;
    let list = datacenters::datacenters(&handler.registry, &handler.driver).await;
    let mut list = list.map_err(ApiError::from)?.datacenters;
    // The own one is first, and has no round trip.
    let far = |round_trip_ms: Option<f64>| round_trip_ms.unwrap_or(f64::MAX);
    if let Some((_, others)) = list.split_first_mut() {
        others.sort_by(|a, b| far(a.round_trip_ms).total_cmp(&far(b.round_trip_ms)));
    }
    let names: Vec<&str> = list.iter().map(|one| one.name.as_str()).collect();
    json(text_of(&names, options.is_pretty)?, routes.budget(handler))
}

/// The members of a datacenter.
pub(super) async fn nodes(
    State(routes): State<Arc<Routes>>,
    Extension(connection): Extension<Arc<Connection>>,
    RawQuery(query): RawQuery,
) -> Result<Response, Refused> {
    let options = Options::read(query.as_deref(), NODES)?;
    let question = Question::about(Subject::Members, (&routes, &connection), &options);
    let nodes = question.answer(|view| {
        let nodes = view.members().into_iter().map(|member| view.node_of(member));
        options.text(&nodes.filter(|node| options.leaves(node)).collect::<Vec<_>>())
    });
    nodes.await
}

/// A member with its instances.
pub(super) async fn node(
    State(routes): State<Arc<Routes>>,
    Extension(connection): Extension<Arc<Connection>>,
    Path(name): Path<String>,
    RawQuery(query): RawQuery,
) -> Result<Response, Refused> {
    let options = Options::read(query.as_deref(), INSTANCE)?;
    let question = Question::about(Subject::All, (&routes, &connection), &options);
    let node = question.answer(|view| {
        let Some(member) = view.member(&name) else { return options.text(&()) };
        let (all, mut services) = (view.services(&options.namespace), BTreeMap::new());
        for (key, instances) in &all {
            let index = view.registry.index_of(key);
            for entry in instances.iter().filter(|entry| entry.origin.0 == member.node_id.0) {
                let service = view.service(entry, index);
                if options.leaves(&service) {
                    services.insert(service.id, service);
                }
            }
        }
        options.text(&NodeServices { node: view.node_of(member), services })
    });
    node.await
}

/// The names of the services, each with the tags of its instances.
pub(super) async fn services(
    State(routes): State<Arc<Routes>>,
    Extension(connection): Extension<Arc<Connection>>,
    RawQuery(query): RawQuery,
) -> Result<Response, Refused> {
    let options = Options::read(query.as_deref(), SERVICES)?;
    let question = Question::about(Subject::Services, (&routes, &connection), &options);
    let services = question.answer(|view| {
        let mut services = BTreeMap::new();
        for (key, instances) in view.services(&options.namespace) {
            let all = instances.iter().flat_map(|entry| entry.service.tags.iter());
            let tags: BTreeSet<String> = all.map(ToString::to_string).collect();
            let shown = serde_json::json!({ "ServiceName": key.service, "ServiceTags": tags });
            if options.leaves(&shown) {
                services.insert(key.service, tags);
            }
        }
        options.text(&services)
    });
    services.await
}

/// The instances of a service.
pub(super) async fn service(
    State(routes): State<Arc<Routes>>,
    Extension(connection): Extension<Arc<Connection>>,
    Path(name): Path<String>,
    RawQuery(query): RawQuery,
) -> Result<Response, Refused> {
    let mut parameters = Parameters::parse(query.as_deref())?;
    let options = Options::take(&mut parameters, SERVICE)?;
    let tags = parameters.all("tag");
    finish(parameters, &["tag"])?;
    let (question, key) = Question::of_service((&routes, &connection), &options, name)?;
    let instances = question.answer_instances(&key, |view, instances, index| {
        let tagged = instances.iter().filter(|entry| has_tags(entry, &tags));
        let shown = tagged.map(|entry| {
            CatalogService::new(&view.node(entry, index), &view.service(entry, index))
        });
        options.text(&shown.filter(|shown| options.leaves(shown)).collect::<Vec<_>>())
    });
    instances.await
}

/// Whether an instance has all of these tags.
pub(super) fn has_tags(entry: &Entry, tags: &[String]) -> bool {
    tags.iter().all(|tag| entry.service.tags.contains(tag.as_str()))
}
