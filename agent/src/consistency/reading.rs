//! Strong reads: the instances of a service that a majority of the voters reports.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use hobnob_api::{ApiError, Datacenters};
use hobnob_membership::quorum;
use hobnob_membership::view::Instance;
use hobnob_membership::{Node, Time};

use crate::caller::Caller;
use crate::driver::{Done, DriverHandle, show};
use crate::elsewhere;
use crate::queries::datacenters::check_known;
use crate::services::{Entry, Registry, ServiceKey};

/// A strong read that was asked for.
pub(crate) struct Asked<'a> {
    pub(crate) service: &'a ServiceKey,
    /// The datacenters whose voters are asked, each for the instances of its own agents.
    pub(crate) datacenters: &'a Datacenters,
    pub(crate) within: Duration,
    pub(crate) caller: Caller,
}

/// The instances of a service that are registered, by the voters of these datacenters. Whether they work is what this agent believes.
///
/// # Errors
/// One of the datacenters has no answer.
pub(crate) async fn read(
    registry: &Registry,
    driver: &DriverHandle,
    home: &str,
    asked: Asked<'_>,
) -> Result<Vec<Arc<Entry>>, ApiError> {
    let datacenters = names(driver, home, asked.datacenters).await?;
    let reads = datacenters.iter().map(|datacenter| read_one(driver, home, datacenter, &asked));
    let mut instances = Vec::new();
    for (read, datacenter) in join_all(reads).await.into_iter().zip(&datacenters) {
        let in_datacenter = |error: ApiError| match datacenters.len() {
            1 => error,
            _ => {
                let message = format!("in the datacenter `{datacenter}`: {}", error.message);
                ApiError { message, ..error }
            }
        };
        instances.append(&mut read.map_err(in_datacenter)?);
    }
    let known = registry.service(asked.service).map(|service| service.instances());
    let entry = |instance: Arc<Instance>| {
        let known = known.as_ref()?.get(&(instance.id.clone(), instance.origin))?;
        let is_same = known.service == instance.service && known.status == instance.status;
        is_same.then(|| known.clone())
    };
    let entries = instances.into_iter().map(|instance| {
        entry(instance.clone()).unwrap_or_else(|| Arc::new(Entry::new(instance, false)))
    });
    let mut entries: Vec<_> = entries.collect();
    entries.sort_by(|a, b| (&a.id, a.origin).cmp(&(&b.id, b.origin)));
    Ok(entries)
}

/// Reads what the voters of one datacenter keep.
async fn read_one(
    driver: &DriverHandle,
    home: &str,
    datacenter: &str,
    Asked { service, within, caller, .. }: &Asked<'_>,
) -> Result<Vec<Arc<Instance>>, ApiError> {
    if datacenter == home {
        return Ok(read_at_home(driver, service, *within).await?.0);
    }
    let entries = elsewhere::read_strongly(driver, datacenter, service, *within, *caller).await?;
    let show = move |node: &Node, _: Time| {
        entries.iter().filter_map(|entry| show(node, entry)).collect::<Vec<_>>()
    };
    Ok(driver.inspect(show).await?)
}

/// Reads what the voters of this agent's datacenter keep: the instances as this agent believes them to be, and as they are kept.
pub(crate) async fn read_at_home(
    driver: &DriverHandle,
    service: &ServiceKey,
    within: Duration,
) -> Result<(Vec<Arc<Instance>>, Vec<quorum::Entry>), ApiError> {
    let key = quorum::service_key(&service.namespace, &service.service);
    let begin = move |node: &mut Node, now: Time| Ok(node.read_strongly(&key, within, now)?);
    let done = driver.strongly(begin).await?;
    Ok(match done {
        Done::Read { shown, kept } => (shown, kept),
        Done::Written | Done::Changed => (Vec::new(), Vec::new()),
    })
}

/// The names of the datacenters that are asked.
async fn names(
    driver: &DriverHandle,
    home: &str,
    asked: &Datacenters,
) -> Result<Vec<String>, ApiError> {
    if asked.names().eq([home]) {
        return Ok(vec![home.to_owned()]);
    }
    let asked = asked.clone();
    let find = move |node: &Node, now: Time| {
        if asked.is_all() {
            let known = node.datacenters(now);
            let open = known.iter().filter(|one| one.is_own || one.isolated_since.is_none());
            return Ok(open.map(|one| one.name.to_string()).collect());
        }
        asked.names().try_for_each(|name| check_known(node, name, now))?;
        Ok(asked.names().map(str::to_owned).collect())
    };
    driver.inspect(find).await?
}
