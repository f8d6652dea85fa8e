//! What clients of Consul ask, answered from the same view as everything else. `docs/HTTP.md` says what differs.

mod agent;
mod blocking;
mod catalog;
mod changes;
mod filter;
mod health;
mod options;
mod refused;
mod respond;
mod shapes;
mod status;
mod view;

use std::sync::Arc;

use axum::Router;
use axum::routing::{any, get, put};

use super::routes::Routes;

/// The routes below `/v1` but those of the agent's own API.
pub(super) fn router() -> Router<Arc<Routes>> {
    Router::new()
        .route("/v1/agent/self", get(agent::itself))
        .route("/v1/agent/service/register", put(changes::register))
        .route("/v1/agent/service/deregister/{id}", put(changes::deregister))
        .route("/v1/agent/service/maintenance/{id}", put(changes::maintenance))
        .route("/v1/agent/check/register", put(changes::register_check))
        .route("/v1/agent/check/deregister/{id}", put(changes::deregister_check))
        .route("/v1/agent/check/pass/{id}", put(changes::pass))
        .route("/v1/agent/check/warn/{id}", put(changes::warn))
        .route("/v1/agent/check/fail/{id}", put(changes::fail))
        .route("/v1/agent/check/update/{id}", put(changes::update))
        .route("/v1/agent/members", get(agent::members))
        .route("/v1/agent/services", get(agent::services))
        .route("/v1/agent/service/{id}", get(agent::service))
        .route("/v1/agent/checks", get(agent::checks))
        .route("/v1/agent/health/service/name/{name}", get(agent::health_by_name))
        .route("/v1/agent/health/service/id/{id}", get(agent::health_by_id))
        .route("/v1/catalog/datacenters", get(catalog::datacenters))
        .route("/v1/catalog/nodes", get(catalog::nodes))
        .route("/v1/catalog/node/{node}", get(catalog::node))
        .route("/v1/catalog/services", get(catalog::services))
        .route("/v1/catalog/service/{service}", get(catalog::service))
        .route("/v1/health/service/{service}", get(health::service))
        .route("/v1/health/checks/{service}", get(health::checks))
        .route("/v1/health/node/{node}", get(health::node))
        .route("/v1/health/state/{state}", get(health::state))
        .route("/v1/status/leader", get(status::leader))
        .route("/v1/status/peers", get(status::peers))
        .route("/v1/{*rest}", any(refused::refuse))
}
