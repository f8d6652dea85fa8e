//! `/v1/status`: there is no leader, and each agent answers by itself.

use std::sync::Arc;

use axum::extract::{RawQuery, State};
use axum::response::Response;

use super::super::answer::{Refused, json, text_of};
use super::super::limits::Limit;
use super::super::routes::Routes;
use super::options::Options;
use super::view::{View, is_alive};
use crate::doors::unix::handler::Handler;

/// The address of this agent: it answers what a leader would. It is empty while the agent hears nobody, as Consul's is without a
/// leader.
pub(super) fn leader_address(handler: &Handler) -> String {
    if handler.is_isolated() { String::new() } else { handler.info.gossip_addr.to_string() }
}

/// The address of the leader, as it is shown.
pub(super) async fn leader(
    State(routes): State<Arc<Routes>>,
    RawQuery(query): RawQuery,
) -> Result<Response, Refused> {
    let options = Options::read(query.as_deref(), &[])?;
    let handler = routes.handler()?;
    let _place = routes.limits.take(Limit::InFlight)?;
    json(text_of(&leader_address(handler), options.is_pretty)?, routes.budget(handler))
}

/// The addresses of the living members of the agent's datacenter.
pub(super) async fn peers(
    State(routes): State<Arc<Routes>>,
    RawQuery(query): RawQuery,
) -> Result<Response, Refused> {
    let options = Options::read(query.as_deref(), &[])?;
    let handler = routes.handler()?;
    let _place = routes.limits.take(Limit::InFlight)?;
    let view = View::new(handler, &handler.info.datacenter);
    let members = view.members();
    let living = members.iter().filter(|member| is_alive(member.status));
    let peers: Vec<&str> = living.map(|member| member.gossip_address.as_str()).collect();
    json(text_of(&peers, options.is_pretty)?, routes.budget(handler))
}
