//! What the agent answers: reads from the registry without waiting, everything else through the driver and the
//! registrar.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use hobnob_balancer::{Selector, SelectorError};
use hobnob_membership::record::Text;
use hobnob_membership::{Node, NodeId, Time, view};
use tokio::sync::mpsc;

use super::server::Counters;
use crate::clock::{Clock, millis};
use crate::driver::{DriverHandle, Report};
use crate::info::AgentInfo;
use crate::queries::parameters::parameters;
use crate::queries::pickers::{self, MAX_PICKS, Pickers};
use crate::queries::{explain, force_leave, offer};
use crate::registrations::{Registered, RegistrationsHandle};
use crate::seeding;
use crate::services::{Registry, ServiceKey, matches};
use crate::translate::{api_node_id, member};
use hobnob_api::*;

/// How long a request to join waits for an answer. The agent goes on knocking after it.
const JOIN_WITHIN: Duration = Duration::from_secs(5);

/// So many instances of a service are named to who asks to have the service explained.
const MAX_IDS_NAMED: usize = 5;

/// Answers calls. Shared by all connections.
pub(crate) struct Handler {
    pub(crate) info: AgentInfo,
    pub(crate) clock: Clock,
    pub(crate) registry: Arc<Registry>,
    pub(crate) driver: DriverHandle,
    pub(crate) registrations: RegistrationsHandle,
    pub(crate) leave: mpsc::Sender<()>,
    pub(crate) counters: Counters,
}

impl Handler {
    pub(super) fn registry(&self) -> &Arc<Registry> {
        &self.registry
    }

    /// Answers any call but a watch, which the connection follows itself.
    pub(super) async fn answer(&self, request: Request, pickers: &mut Pickers) -> Response {
        let answer = match request {
            Request::Register(registration) => self.register(registration).await,
            Request::Deregister { id } => self.deregister(id).await,
            Request::Resolve(query) => self.resolve(&query).map(Response::Instances),
            Request::Pick(query) => self.pick(&query, pickers).map(Response::Picked),
            Request::Report { reports } => self.report(&reports),
            Request::Services { namespace } => {
                Ok(Response::Services(self.services(namespace.as_deref())))
            }
            Request::Members => self.members().await.map(Response::Members),
            Request::Watch(_) => Err(invalid("a watch cannot be answered once".to_owned())),
            Request::Join { addresses } => self.join(addresses).await,
            Request::Leave => {
                // Full means that it was asked before.
                let _ = self.leave.try_send(());
                Ok(Response::Done)
            }
            Request::ForceLeave { member } => self.force_leave(member).await,
            Request::Explain { subject } => self.explain(subject).await,
            Request::Info => self.info().await.map(|info| Response::Info(Box::new(info))),
        };
        answer.unwrap_or_else(Response::Error)
    }

    async fn register(&self, registration: Registration) -> Result<Response, ApiError> {
        Ok(match self.registrations.register(registration).await? {
            Registered::New => Response::Done,
            Registered::Replaced => Response::Replaced,
            Registered::Unchanged => Response::Unchanged,
        })
    }

    async fn deregister(&self, id: String) -> Result<Response, ApiError> {
        self.registrations.deregister(id).await.map(|()| Response::Done)
    }

    fn resolve(&self, query: &Query) -> Result<Instances, ApiError> {
        let key = ServiceKey { namespace: query.namespace.clone(), service: query.service.clone() };
        let selector: Selector = query
            .selector
            .as_deref()
            .unwrap_or_default()
            .parse()
            .map_err(|error| bad_selector(&error))?;
        let revision = self.registry.revision();
        let service = self.registry.service(&key);
        let instances = service.map(|service| service.instances()).unwrap_or_default();
        let matching = instances.iter().filter(|instance| {
            let healthy = instance.status == view::InstanceStatus::Healthy;
            let service = &instance.service;
            (query.all || healthy)
                && query.tags.iter().all(|tag| service.tags.contains(tag))
                && query
                    .meta
                    .iter()
                    .all(|(key, value)| service.meta.get(key) == Some(value.as_str()))
                && matches(&selector, query.datacenter.as_deref(), instance)
        });
        let instances = matching.map(|instance| self.registry.describe(instance)).collect();
        Ok(Instances { revision, isolated: self.registry.is_isolated(), instances })
    }

    fn pick(&self, query: &PickQuery, pickers: &mut Pickers) -> Result<Picked, ApiError> {
        pickers::check(query)?;
        let key = ServiceKey { namespace: query.namespace.clone(), service: query.service.clone() };
        let isolated = self.registry.is_isolated();
        let Some(service) = self.registry.service(&key) else {
            return Ok(Picked { isolated, picks: Vec::new() });
        };
        let picks = pickers.pick(&self.registry, key, &service, query)?;
        Ok(Picked { isolated, picks })
    }

    fn report(&self, reports: &[CallReport]) -> Result<Response, ApiError> {
        if reports.len() > MAX_PICKS as usize {
            let message = format!("{} reports in one call: at most {MAX_PICKS}", reports.len());
            return Err(invalid(message));
        }
        Ok(Response::Reported { known: self.registry.close_calls(reports) })
    }

    fn services(&self, namespace: Option<&str>) -> Vec<ServiceSummary> {
        let services = self.registry.services();
        let chosen = services
            .iter()
            .filter(|(key, _)| namespace.is_none_or(|namespace| key.namespace == namespace));
        let summary = chosen.map(|(key, service)| {
            let instances = service.instances();
            let healthy = instances
                .iter()
                .filter(|instance| instance.status == view::InstanceStatus::Healthy);
            let tags: BTreeSet<String> = instances
                .iter()
                .flat_map(|instance| instance.service.tags.iter())
                .map(Text::to_string)
                .collect();
            let report = service.whole().report();
            ServiceSummary {
                service: key.service.clone(),
                namespace: key.namespace.clone(),
                instances: instances.len(),
                healthy: healthy.count(),
                tags,
                efficiency: report.efficiency(),
                fairness: report.fairness(),
            }
        });
        summary.collect()
    }

    async fn members(&self) -> Result<Vec<Member>, ApiError> {
        let members = self.driver.inspect(|node, _| node.members()).await?;
        let mut members: Vec<Member> = members.iter().map(member).collect();
        members.sort_by(|a, b| (&a.name, a.node_id).cmp(&(&b.name, b.node_id)));
        Ok(members)
    }

    async fn join(&self, addresses: Vec<String>) -> Result<Response, ApiError> {
        if addresses.is_empty() {
            return Err(invalid("name at least one address to join".to_owned()));
        }
        let mut resolved = Vec::new();
        for address in &addresses {
            let found =
                seeding::resolve(address).await.map_err(|error| invalid(error.to_string()))?;
            resolved.extend(found.into_iter().filter(|address| !self.info.is_own(*address)));
        }
        if resolved.is_empty() {
            return Err(invalid(format!(
                "{} is this agent itself: name another one",
                addresses.join(", ")
            )));
        }
        match tokio::time::timeout(JOIN_WITHIN, self.driver.join(resolved)).await {
            Ok(joined) => Ok(joined.map(|_| Response::Done)?),
            Err(_) => Err(ApiError {
                kind: ErrorKind::Failed,
                message: format!(
                    "nobody answered at {} within {} s: is it the gossip address (--bind) of a running agent of the \
                     cluster `{}`, and does UDP reach it?",
                    addresses.join(", "),
                    JOIN_WITHIN.as_secs(),
                    self.info.cluster
                ),
            }),
        }
    }

    async fn force_leave(&self, subject: String) -> Result<Response, ApiError> {
        let check = move |node: &Node, now| force_leave::check(node, &subject, now);
        let force_left = self.driver.inspect(check).await??;
        self.driver.force_leave(NodeId(force_left.node_id.0)).await?;
        Ok(Response::ForceLeft(force_left))
    }

    async fn explain(&self, subject: String) -> Result<Response, ApiError> {
        let named = subject.clone();
        let known = move |node: &Node, now| {
            (explain::members(node, &named, now), explain::instances(node, &named, now))
        };
        let (members, instances) = self.driver.inspect(known).await?;
        if members.is_empty() && instances.is_empty() {
            return Err(self.unexplained(&subject));
        }
        let mut explained = Vec::new();
        for info in instances {
            let own = info.instance.origin == self.info.node_id;
            let check = if own { self.registrations.check(subject.clone()).await? } else { None };
            explained.push(offer::explain(&self.registry, info, check));
        }
        Ok(Response::Explained(Box::new(Explanation { members, instances: explained })))
    }

    /// Why nothing can be explained by this name: there is nothing, or it is a service and its instances are meant.
    fn unexplained(&self, subject: &str) -> ApiError {
        let services = self.registry.services();
        let mut ids = BTreeSet::new();
        for (_, service) in services.iter().filter(|(key, _)| key.service == subject) {
            ids.extend(service.instances().iter().map(|instance| instance.id.to_string()));
        }
        let message = if ids.is_empty() {
            format!(
                "nothing here goes by `{subject}`: give the name or node id of a member (`hobnob members`), or the \
                 id of an instance (`hobnob resolve SERVICE --all`)"
            )
        } else {
            let mut shown: Vec<String> =
                ids.iter().take(MAX_IDS_NAMED).map(|id| format!("`{id}`")).collect();
            if ids.len() > MAX_IDS_NAMED {
                shown.push(format!("and {} more", ids.len() - MAX_IDS_NAMED));
            }
            format!(
                "`{subject}` is a service: `hobnob explain ID` explains one of its instances: {}",
                shown.join(", ")
            )
        };
        ApiError { kind: ErrorKind::NotFound, message }
    }

    async fn info(&self) -> Result<Info, ApiError> {
        let about = self.driver.inspect(AboutNode::read).await?;
        let Report { takes_tcp_probes, mut counters } = self.driver.report().await?;
        counters.extend(self.counters.snapshot().map(|(name, count)| (name.to_owned(), count)));
        Ok(Info {
            name: self.info.name.clone(),
            cluster: self.info.cluster.clone(),
            node_id: api_node_id(self.info.node_id),
            epoch: about.epoch,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            datacenter: self.info.datacenter.clone(),
            zone: self.info.zone.clone(),
            address: self.info.gossip_addr.to_string(),
            sync_address: self.info.sync_addr.to_string(),
            pid: std::process::id(),
            uptime_ms: millis(self.clock.now().since(Time::ZERO)),
            isolated: self.registry.is_isolated(),
            last_contact_ms: self.registry.since_last_contact().map(millis),
            duplicate: about.duplicate,
            takes_tcp_probes,
            udp_blocked: about.udp_blocked,
            members_alive: about.members_alive,
            instances: about.instances,
            catalog_digest: format!("{:016x}", about.catalog_digest),
            counters,
            protocol: about.protocol,
        })
    }
}

/// What the node says of itself.
struct AboutNode {
    epoch: u64,
    duplicate: Option<Duplicate>,
    udp_blocked: bool,
    members_alive: usize,
    instances: usize,
    catalog_digest: u64,
    protocol: BTreeMap<String, String>,
}

impl AboutNode {
    fn read(node: &Node, now: Time) -> Self {
        Self {
            epoch: node.identity().epoch.0,
            duplicate: node.duplicate(now).map(|duplicate| Duplicate {
                address: duplicate.address.to_string(),
                silent: duplicate.we_are_silent,
                same_key: duplicate.same_key,
                since_ms: millis(now.since(duplicate.since)),
                proven_ms: millis(now.since(duplicate.proven)),
            }),
            udp_blocked: node.are_datagrams_blocked(),
            members_alive: node.active_members(),
            instances: node.instances().len(),
            catalog_digest: node.catalog().digest(),
            protocol: parameters(node.protocol()),
        }
    }
}

pub(crate) fn bad_selector(error: &SelectorError) -> ApiError {
    invalid(error.to_string())
}

pub(crate) fn invalid(message: String) -> ApiError {
    ApiError { kind: ErrorKind::Invalid, message }
}
