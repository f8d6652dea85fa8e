//! This agent: where it is, how it does, and its counters.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use hobnob_api::{
    API_VERSION, Duplicate, Info, MassLoss, Namesake, OwnVoter, Sealed, VoterStanding,
};
use hobnob_membership::{Identity, Node, Time};

use super::parameters::parameters;
use super::registrations::maintenance;
use crate::actor::Stopping;
use crate::clock::{Clock, millis};
use crate::consistency::voters::own_voter;
use crate::driver::{DriverHandle, Report, words};
use crate::info::{AgentInfo, SealedInfo};
use crate::registrations::RegistrationsHandle;
use crate::services::{Registry, shown_losses};
use crate::translate::{api_node_id, mass_losses};

/// The most ids of instances that operators have taken out of service.
const MAX_OUT_OF_SERVICE: usize = 100;

/// This agent, with the counters of its node and of the tasks around it.
pub(crate) async fn info(
    agent: &AgentInfo,
    clock: &Clock,
    registry: &Registry,
    registrations: &RegistrationsHandle,
    driver: &DriverHandle,
) -> Result<Info, Stopping> {
    let Report { takes_tcp_probes, mut counters, refusal, voter_problem } = driver.report().await?;
    let about = driver.inspect(|node, now| AboutNode::read(node, voter_problem, now)).await?;
    counters.extend(registry.counters().map(|(name, count)| (name.to_owned(), count)));
    let upkeep = registrations.upkeep();
    Ok(Info {
        api: API_VERSION,
        revision: registry.revision(),
        isolated: registry.is_isolated(),
        name: agent.name.clone(),
        cluster: agent.cluster.clone(),
        node_id: api_node_id(agent.node_id),
        epoch: about.epoch,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        datacenter: agent.datacenter.clone(),
        zone: agent.zone.clone(),
        gossip_address: agent.gossip_addr.to_string(),
        sync_address: agent.sync_addr.to_string(),
        gossip_bound: unless_equal(agent.gossip_bound, agent.gossip_addr),
        sync_bound: unless_equal(agent.sync_bound, agent.sync_addr),
        pid: std::process::id(),
        uptime_ms: millis(clock.now().since(Time::ZERO)),
        last_contact_ago_ms: registry.since_last_contact().map(millis),
        duplicate: about.duplicate,
        name_conflicts: about.name_conflicts,
        takes_tcp_probes,
        udp_blocked: about.udp_blocked,
        mass_losses: about.mass_losses,
        broken_links: about.broken_links,
        active_members: about.active_members,
        instances: about.instances,
        catalog_digest: format!("{:016x}", about.catalog_digest),
        counters,
        maintenance: upkeep.agent.as_ref().map(maintenance),
        out_of_service: upkeep.instances.keys().take(MAX_OUT_OF_SERVICE).cloned().collect(),
        file_problems: registrations.file_problems().to_vec(),
        voter: Some(about.voter).filter(|voter| voter.standing != VoterStanding::NoVoter),
        protocol: about.protocol,
        sealed: agent.sealed.as_ref().map(|SealedInfo { key, token }| Sealed {
            key: key.clone(),
            token: token.clone(),
            generation: about.generation,
            revoked: about.is_revoked,
            refusal,
        }),
    })
}

/// A bound address, unless it is the advertised one.
fn unless_equal(bound: SocketAddr, advertised: SocketAddr) -> Option<String> {
    (bound != advertised).then(|| bound.to_string())
}

/// The part of the answer that the node knows.
struct AboutNode {
    epoch: u64,
    duplicate: Option<Duplicate>,
    name_conflicts: Vec<Namesake>,
    udp_blocked: bool,
    mass_losses: Vec<MassLoss>,
    broken_links: Vec<String>,
    active_members: usize,
    instances: usize,
    catalog_digest: u64,
    protocol: BTreeMap<String, String>,
    generation: Option<u64>,
    is_revoked: bool,
    voter: OwnVoter,
}

impl AboutNode {
    fn read(node: &Node, voter_problem: Option<String>, now: Time) -> Self {
        Self {
            epoch: node.identity().epoch.0,
            duplicate: node.duplicate(now).map(|duplicate| Duplicate {
                gossip_address: duplicate.address.to_string(),
                silent: duplicate.we_are_silent,
                same_key: duplicate.same_key,
                noticed_ago_ms: millis(now.since(duplicate.since)),
                proven_ago_ms: millis(now.since(duplicate.proven)),
            }),
            name_conflicts: node.name_conflicts().iter().map(namesake).collect(),
            udp_blocked: node.are_datagrams_blocked(),
            mass_losses: shown_losses(&mass_losses(node), now),
            broken_links: node.broken_links().map(|id| words::name_of(node, id)).collect(),
            active_members: node.active_members(),
            instances: node.instances().len(),
            catalog_digest: node.catalog().digest(),
            protocol: parameters(node.protocol()),
            generation: node
                .generations(now)
                .iter()
                .find_map(|(generation, in_use)| in_use.then(|| generation.id().number)),
            is_revoked: node.is_revoked(node.identity().node_id),
            voter: own_voter(node, voter_problem),
        }
    }
}

fn namesake(other: &Identity) -> Namesake {
    Namesake { node_id: api_node_id(other.node_id), gossip_address: other.addr.to_string() }
}
