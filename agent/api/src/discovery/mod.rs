//! Picking instances in process, without asking the agent for each call.
//!
//! A [`Discovery`] follows one service through the agent beside this process. It holds the latest instances, and picks
//! among them with a balancer of its own. While the agent is away it serves the last set that it knew and says so.
//!
//! ```no_run
//! use hobnob_api::discovery::{Discovery, DiscoveryConfig};
//! use hobnob_api::{Outcome, Strategy};
//! use std::time::Instant;
//!
//! # async fn run() -> Result<(), Box<dyn std::error::Error>> {
//! let mut config = DiscoveryConfig::new("web");
//! config.strategy = Strategy::LeastConnections;
//! let web = Discovery::start(config)?;
//! web.ready().await;
//!
//! let mut picker = web.picker();
//! if let Some(pick) = picker.pick(None) {
//!     let started = Instant::now();
//!     println!("calling {}:{}", pick.item().address, pick.item().port);
//!     pick.complete(Outcome::Success, started.elapsed());
//! }
//! # Ok(())
//! # }
//! ```

mod follow;
mod known;
#[cfg(test)]
mod tests;

use std::hash::{BuildHasher, Hasher, RandomState};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use hobnob_balancer::{
    Config, Layered, LayeredPicker, Nearness, OVERPROVISIONING, Pick, Prefer, Selector,
    SelectorError, Strategy,
};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::client::default_client_socket_path;
use crate::clock::Moment;
use crate::types::{DEFAULT_NAMESPACE, Datacenters, Instance};

/// The service that a [`Discovery`] follows, and how it picks.
#[derive(Clone, Debug)]
pub struct DiscoveryConfig {
    /// The service.
    pub service: String,
    /// Its namespace.
    pub namespace: String,
    /// The socket of the agent.
    pub socket: PathBuf,
    /// The strategy of picks.
    pub strategy: Strategy,
    /// The instances that come first, seen from the agent's own zone and datacenter.
    pub prefer: Prefer,
    /// Only instances that this label selector matches, as in Kubernetes: `tier in (a,b),env!=prod,!canary`.
    pub selector: Option<String>,
    /// Only instances of these datacenters.
    pub datacenter: Datacenters,
    /// Whether to pick healthy instances only, also when none is left. Else the best [`Grade`](crate::Grade) that there is
    /// is picked.
    pub strict: bool,
    /// The settings of the balancer: circuit breaker, ejection of outliers, slow start.
    pub balancer: Config,
    /// How calls are made.
    #[cfg(feature = "call")]
    pub calls: crate::calls::CallConfig,
}

impl DiscoveryConfig {
    /// A service of the default namespace, followed through the default agent, each instance in turn.
    #[must_use]
    pub fn new(service: impl Into<String>) -> Self {
        Self {
            service: service.into(),
            namespace: DEFAULT_NAMESPACE.to_owned(),
            socket: default_client_socket_path(),
            strategy: Strategy::RoundRobin,
            prefer: Prefer::default(),
            selector: None,
            datacenter: Datacenters::All,
            strict: false,
            balancer: Config { seed: entropy(), ..Config::default() },
            #[cfg(feature = "call")]
            calls: crate::calls::CallConfig::default(),
        }
    }
}

/// A random number: processes that all began with the same instance would flood it together.
fn entropy() -> u64 {
    RandomState::new().build_hasher().finish()
}

/// The instances of one service, followed by a task of its own. Dropping it ends the task.
#[derive(Debug)]
pub struct Discovery {
    balancer: Arc<Layered<Arc<Instance>>>,
    strategy: Strategy,
    views: watch::Receiver<View>,
    #[cfg(feature = "call")]
    caller: crate::calls::Caller,
    /// When the clock of the balancer began.
    #[cfg(feature = "call")]
    started: Moment,
    task: JoinHandle<()>,
}

/// The state of a discovery.
#[derive(Clone, Debug, Default)]
pub(crate) struct View {
    /// All instances, by node and id; absent before the first answer of an agent.
    instances: Option<Arc<[Arc<Instance>]>>,
    /// Since when no agent answers; absent while one does.
    away_since: Option<Moment>,
    isolated: bool,
}

#[cfg(feature = "call")]
impl View {
    /// All instances; `None` before the first answer of an agent.
    pub(crate) fn instances(&self) -> Option<&Arc<[Arc<Instance>]>> {
        self.instances.as_ref()
    }
}

impl Discovery {
    /// Follows a service from now on, on the current tokio runtime. It needs no agent yet: it tries again until one
    /// answers.
    ///
    /// # Errors
    /// The selector cannot be read.
    pub fn start(config: DiscoveryConfig) -> Result<Self, SelectorError> {
        let selector: Selector = config.selector.as_deref().unwrap_or_default().parse()?;
        let nearness = Nearness::listed(config.prefer, []);
        let balancer = Arc::new(Layered::new(&config.balancer, OVERPROVISIONING));
        let view = View { away_since: Some(Moment::now()), ..View::default() };
        let (publish, views) = watch::channel(view);
        let (strategy, started) = (config.strategy, Moment::now());
        #[cfg(feature = "call")]
        let caller = crate::calls::Caller::new(
            config.calls.clone(),
            &config.service,
            strategy,
            balancer.clone(),
            views.clone(),
        );
        let follower = follow::Follower::new(config, selector, nearness, balancer.clone(), publish);
        let task = tokio::spawn(follower.run(started));
        Ok(Self {
            balancer,
            strategy,
            views,
            #[cfg(feature = "call")]
            caller,
            #[cfg(feature = "call")]
            started,
            task,
        })
    }

    /// Waits until an agent has told the instances, of which there may be none.
    pub async fn ready(&self) {
        let mut views = self.views.clone();
        // The task ends with this handle, not before it.
        let _ = views.wait_for(|view| view.instances.is_some()).await;
    }

    /// Waits until the instances, or what is known of their age, differ from what this handle has seen. The first call
    /// returns when something changes after the start.
    pub async fn changed(&mut self) {
        let _ = self.views.changed().await;
    }

    /// All instances, also those that are not offered.
    #[must_use]
    pub fn instances(&self) -> Arc<[Arc<Instance>]> {
        self.views.borrow().instances.clone().unwrap_or_default()
    }

    /// Whether the agent is away, so that the instances are the last that it told.
    #[must_use]
    pub fn is_stale(&self) -> bool {
        self.views.borrow().away_since.is_some()
    }

    /// The time for which the agent has been away; zero while it is there. On Linux it counts the time for which the host
    /// was suspended.
    #[must_use]
    pub fn age(&self) -> Duration {
        self.views.borrow().away_since.map_or(Duration::ZERO, Moment::elapsed)
    }

    /// Whether the agent said in its last answer that it has lost touch with all other members.
    #[must_use]
    pub fn is_isolated(&self) -> bool {
        self.views.borrow().isolated
    }

    /// A picker for one thread or connection. It sees every later change of the instances.
    #[must_use]
    pub fn picker(&self) -> DiscoveryPicker {
        DiscoveryPicker { picker: self.balancer.picker(), strategy: self.strategy }
    }
}

#[cfg(feature = "call")]
impl Discovery {
    pub(crate) fn caller(&self) -> &crate::calls::Caller {
        &self.caller
    }

    pub(crate) fn balancer(&self) -> &Layered<Arc<Instance>> {
        &self.balancer
    }

    /// The time of the balancer's clock.
    pub(crate) fn balancer_time(&self) -> Duration {
        self.started.elapsed()
    }
}

impl Drop for Discovery {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Picks instances for one thread or connection, from memory and without a lock.
#[derive(Debug)]
pub struct DiscoveryPicker {
    picker: LayeredPicker<Arc<Instance>>,
    strategy: Strategy,
}

impl DiscoveryPicker {
    /// Picks an instance for a call; `None` while none is offered. Keyed strategies need a key.
    ///
    /// The call counts as in flight until the pick is [completed](Pick::complete) or dropped. Its outcome and latency
    /// steer the next picks of this process.
    pub fn pick(&mut self, key: Option<&[u8]>) -> Option<Pick<Arc<Instance>>> {
        self.picker.pick(self.strategy, key)
    }
}
