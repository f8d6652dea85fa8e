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
mod settings;
#[cfg(test)]
mod tests;

use std::hash::{BuildHasher, Hasher, RandomState};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use hobnob_balancer::{
    Config, LayeredPicker, Nearness, Pick, Prefer, Selector, SelectorError, Strategy,
};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::client::default_client_socket_path;
use crate::clock::Moment;
use crate::types::{
    Balancing, DEFAULT_NAMESPACE, Datacenters, Instance, ServiceSettings, WatchQuery,
};

pub(crate) use self::settings::InForce;
use self::settings::OfProgram;
pub use self::settings::{EffectiveSetting, SettingOrigin};

/// The service that a [`Discovery`] follows, and how it picks.
///
/// A registration of the service may set the strategy, the settings of the balancer, and the times of calls. Each setting is
/// taken from the first that gives it: `overrides`, the registration, then `strategy`, `balancer` and `calls`. A change of a
/// registration counts at once; one of the balancer's settings makes it forget what it learnt.
#[derive(Clone, Debug)]
pub struct DiscoveryConfig {
    /// The service.
    pub service: String,
    /// Its namespace.
    pub namespace: String,
    /// The socket of the agent.
    pub socket: PathBuf,
    /// The settings of this program that come before those of the service's registrations. What is not given here is left to them.
    pub overrides: Balancing,
    /// The strategy of picks, unless `overrides` or a registration gives one.
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
    /// The settings of the balancer, as far as neither `overrides` nor a registration gives them: circuit breaker, ejection of
    /// outliers, slow start.
    pub balancer: Config,
    /// How calls are made, as far as neither `overrides` nor a registration says it.
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
            overrides: Balancing::default(),
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
    program: OfProgram,
    settings: watch::Receiver<Arc<InForce>>,
    views: watch::Receiver<View>,
    #[cfg(feature = "call")]
    caller: crate::calls::Caller,
    #[cfg(feature = "call")]
    flush: crate::calls::Flush,
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
        let program = OfProgram::new(&config);
        let in_force = program.in_force(ServiceSettings::default(), None);
        let (publish_settings, settings) = watch::channel(Arc::new(in_force));
        let view = View { away_since: Some(Moment::now()), ..View::default() };
        let (publish, views) = watch::channel(view);
        let started = Moment::now();
        #[cfg(feature = "call")]
        let caller = crate::calls::Caller::new(
            config.calls.clone(),
            &config.service,
            settings.clone(),
            views.clone(),
        );
        #[cfg(feature = "call")]
        let (reporting, flush) = crate::calls::Reporting::new(&config, caller.counters());
        let follower = follow::Follower {
            socket: config.socket,
            query: WatchQuery { namespace: config.namespace, ..WatchQuery::new(config.service) },
            run: None,
            known: known::Known::default(),
            scope: known::Scope {
                selector,
                datacenter: config.datacenter,
                strict: config.strict,
                nearness: Nearness::listed(config.prefer, program.failover()),
                locality: known::Locality::default(),
            },
            prefer: config.prefer,
            program: program.clone(),
            settings: publish_settings,
            publish,
            started,
            #[cfg(feature = "call")]
            reporting,
        };
        let task = tokio::spawn(follower.run());
        Ok(Self {
            program,
            settings,
            views,
            #[cfg(feature = "call")]
            caller,
            #[cfg(feature = "call")]
            flush,
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

    /// Whether an agent has told the instances, of which there may be none.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.views.borrow().instances.is_some()
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

    /// Each setting that has a value now, by name, and where the value comes from.
    #[must_use]
    pub fn settings(&self) -> Vec<EffectiveSetting> {
        let in_force = self.settings.borrow().clone();
        self.program.effective(&in_force.registered)
    }

    /// The settings of the service's registrations, as the agent told them; without an instance when none sets any, and before
    /// the first answer of an agent.
    #[must_use]
    pub fn registered_settings(&self) -> ServiceSettings {
        self.settings.borrow().registered.clone()
    }

    /// A picker for one thread or connection. It sees every later change of the instances and of the settings.
    #[must_use]
    pub fn picker(&self) -> DiscoveryPicker {
        let mut settings = self.settings.clone();
        let in_force = settings.borrow_and_update().clone();
        DiscoveryPicker {
            picker: in_force.balancer.picker(),
            strategy: in_force.strategy,
            settings,
        }
    }
}

#[cfg(feature = "call")]
impl Discovery {
    pub(crate) fn caller(&self) -> &crate::calls::Caller {
        &self.caller
    }

    pub(crate) fn in_force(&self) -> Arc<InForce> {
        self.settings.borrow().clone()
    }

    pub(crate) fn flush(&self) -> &crate::calls::Flush {
        &self.flush
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
    settings: watch::Receiver<Arc<InForce>>,
}

impl DiscoveryPicker {
    /// Picks an instance for a call; `None` while none is offered. Keyed strategies need a key.
    ///
    /// The call counts as in flight until the pick is [completed](Pick::complete) or dropped. Its outcome and latency
    /// steer the next picks of this process.
    pub fn pick(&mut self, key: Option<&[u8]>) -> Option<Pick<Arc<Instance>>> {
        if self.settings.has_changed().is_ok_and(|changed| changed) {
            let in_force = self.settings.borrow_and_update().clone();
            (self.picker, self.strategy) = (in_force.balancer.picker(), in_force.strategy);
        }
        self.picker.pick(self.strategy, key)
    }
}
