//! A proxy: it starts, serves, drains.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hobnob_api::balancer::SelectorError;
use hobnob_api::discovery::Discovery;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout_at};

use crate::access_log::AccessLog;
use crate::admin;
use crate::config::{Endpoint, ProxyConfig, RouteConfig};
use crate::counters::{ProxyCounters, RouteCounters};
use crate::listener::{Listener, listen};
use crate::phase::{Phase, Phases};
use crate::route::{Common, Route};

/// The wait for the last lines of the access log.
const FLUSH_WITHIN: Duration = Duration::from_secs(1);
/// The time in which calls that are cut off are gone.
const CUT_WITHIN: Duration = Duration::from_secs(1);

/// A proxy could not be started.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// A local address cannot be had.
    #[error("cannot listen on {endpoint}: {source}")]
    Listen {
        /// The address.
        endpoint: Endpoint,
        /// The error of the system.
        source: std::io::Error,
    },
    /// The instances of a service cannot be selected.
    #[error("the selector of `{service}` cannot be read: {source}")]
    Selector {
        /// The service.
        service: String,
        /// What is wrong with it.
        source: SelectorError,
    },
    /// The access log has no thread.
    #[error("the access log cannot be started: {0}")]
    AccessLog(std::io::Error),
}

/// A proxy that serves. Dropping it closes its connections.
pub struct Proxy {
    routes: Arc<[Arc<Route>]>,
    common: Arc<Common>,
    places: Arc<Semaphore>,
    endpoints: Vec<(String, Endpoint)>,
    admin: Option<SocketAddr>,
}

impl Proxy {
    /// Binds all addresses, then serves them on the current tokio runtime.
    ///
    /// # Errors
    /// An address cannot be had, or a selector cannot be read. Nothing is served then.
    pub async fn start(config: ProxyConfig) -> Result<Self, StartError> {
        let ProxyConfig { routes, limits, admin, access_log } = config;
        let mut listeners = Vec::new();
        let mut endpoints = Vec::new();
        for RouteConfig { discovery, listen, .. } in &routes {
            let failed = |source| StartError::Listen { endpoint: listen.clone(), source };
            let listener = Listener::bind(listen).await.map_err(failed)?;
            endpoints.push((discovery.service.clone(), listener.endpoint().map_err(failed)?));
            listeners.push(listener);
        }
        let admin = match admin {
            Some(address) => {
                let endpoint = Endpoint::Tcp(address);
                let failed = |source| StartError::Listen { endpoint: endpoint.clone(), source };
                let listener = TcpListener::bind(address).await.map_err(failed)?;
                let address = listener.local_addr().map_err(failed)?;
                Some((listener, address))
            }
            None => None,
        };
        let log = access_log.map(AccessLog::start).transpose().map_err(StartError::AccessLog)?;
        let (counters, phases) = (ProxyCounters::default(), Phases::default());
        let common = Arc::new(Common { limits, counters, log, phases });
        let routes: Result<Arc<[_]>, _> = routes
            .into_iter()
            .zip(&endpoints)
            .map(|(route, (_, at))| follow(route, at, &common))
            .collect();
        let routes = routes?;
        let places = Arc::new(Semaphore::new(limits.max_connections.min(Semaphore::MAX_PERMITS)));
        for (listener, route) in listeners.into_iter().zip(routes.iter()) {
            tokio::spawn(listen(listener, route.clone(), places.clone()));
        }
        let admin = admin.map(|(listener, address)| {
            tokio::spawn(admin::serve(listener, routes.clone(), common.clone()));
            address
        });
        Ok(Self { routes, common, places, endpoints, admin })
    }

    /// Each service, and where it is offered, with the ports that the system chose.
    #[must_use]
    pub fn endpoints(&self) -> &[(String, Endpoint)] {
        &self.endpoints
    }

    /// The address at which health and metrics are answered.
    #[must_use]
    pub fn admin(&self) -> Option<SocketAddr> {
        self.admin
    }

    /// The number of instances behind one of the [endpoints](Self::endpoints); `None` before an agent has told them, and for another
    /// address.
    #[must_use]
    pub fn instances(&self, endpoint: &Endpoint) -> Option<usize> {
        let place = self.endpoints.iter().position(|(_, at)| at == endpoint)?;
        let route = &self.routes[place];
        route.discovery.is_ready().then(|| route.discovery.instances().len())
    }

    /// The connections of clients.
    #[must_use]
    pub fn connections(&self) -> u64 {
        self.routes.iter().map(|route| route.counters.connections.get()).sum()
    }

    /// Accepts no further connection, and lets those that are there end with the calls on them. Returns the connections that
    /// were still there when the time was over, and are cut off.
    pub async fn drain(&self, within: Duration) -> u64 {
        let deadline = Instant::now() + within;
        self.common.phases.enter(Phase::Drains);
        let all = self.common.limits.max_connections.min(Semaphore::MAX_PERMITS);
        let all = u32::try_from(all).unwrap_or(u32::MAX);
        let left = match timeout_at(deadline, self.places.acquire_many(all)).await {
            Ok(_) => 0,
            Err(_) => self.connections(),
        };
        self.common.phases.enter(Phase::Ends);
        if left > 0 {
            let gone = Instant::now() + CUT_WITHIN;
            // Whether they are gone or not, the process ends.
            drop(timeout_at(gone, self.places.acquire_many(all)).await);
        }
        if let Some(log) = self.common.log.clone() {
            // The last lines are waited for on a thread that may.
            drop(tokio::task::spawn_blocking(move || log.flush_within(FLUSH_WITHIN)).await);
        }
        left
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.common.phases.enter(Phase::Ends);
    }
}

fn follow(
    config: RouteConfig,
    listen: &Endpoint,
    common: &Arc<Common>,
) -> Result<Arc<Route>, StartError> {
    let RouteConfig { discovery, mode, .. } = config;
    let (service, namespace) = (discovery.service.clone(), discovery.namespace.clone());
    let discovery = Discovery::start(discovery).map_err(|source| {
        let service = service.clone();
        StartError::Selector { service, source }
    })?;
    let (service, listen) = (service.into(), listen.to_string());
    let (counters, common) = (RouteCounters::default(), common.clone());
    Ok(Arc::new(Route { service, namespace, listen, discovery, mode, counters, common }))
}
