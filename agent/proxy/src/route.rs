//! A service that the proxy offers, and the state that its connections share.

use std::sync::Arc;

use hobnob_api::discovery::Discovery;
use tokio::sync::OwnedSemaphorePermit;

use crate::access_log::AccessLog;
use crate::config::{Limits, Mode};
use crate::counters::{Entered, ProxyCounters, RouteCounters};
use crate::phase::Phases;
use crate::stream::{Activity, Ends};

/// A service, and how its calls are passed on.
pub(crate) struct Route {
    pub(crate) service: Arc<str>,
    pub(crate) namespace: String,
    /// The address where it is offered, as it is written.
    pub(crate) listen: String,
    pub(crate) discovery: Discovery,
    pub(crate) mode: Mode,
    pub(crate) counters: RouteCounters,
    pub(crate) common: Arc<Common>,
}

/// The state that all routes share.
pub(crate) struct Common {
    pub(crate) limits: Limits,
    pub(crate) counters: ProxyCounters,
    pub(crate) log: Option<AccessLog>,
    pub(crate) phases: Phases,
}

/// The connection of a client. It counts until the last call and the last tunnel on it is gone.
pub(crate) struct Client {
    pub(crate) route: Arc<Route>,
    pub(crate) ends: Option<Ends>,
    pub(crate) activity: Activity,
    _place: OwnedSemaphorePermit,
    _open: Entered,
}

impl Client {
    pub(crate) fn new(route: Arc<Route>, ends: Option<Ends>, place: OwnedSemaphorePermit) -> Self {
        let open = route.counters.connections.enter();
        route.counters.accepted.add(1);
        Self { route, ends, activity: Activity::new(), _place: place, _open: open }
    }
}
