//! The calls of one service: pick, try, learn, try again.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hobnob_balancer::{LatencyHistogram, LayeredPicker, Pick, RetryBudget, Strategy};
use http::HeaderValue;
use tokio::sync::watch;
use tokio::time::Instant;

use super::config::CallConfig;
use super::error::CallError;
use super::stats::Counters;
use super::upstream::Upstream;
use crate::discovery::{InForce, View};
use crate::types::Instance;

/// The time from one look at the latencies to the next.
const HISTOGRAM_PERIOD: Duration = Duration::from_millis(250);
/// With fewer connections to instances than this, those of instances that are gone are kept.
const UPSTREAMS_MIN: usize = 16;

/// Picks as calls make them.
pub(super) type CallPick = Pick<Arc<Instance>>;
/// A pick, with the connections to its instance.
pub(super) type Picked = (CallPick, Arc<Upstream>);

/// Makes the calls of one service.
pub(crate) struct Caller {
    /// What no registration sets.
    pub(super) config: CallConfig,
    pub(super) service: Arc<str>,
    /// The name of the service as a host, when it can be one.
    pub(super) host: Option<HeaderValue>,
    pub(super) budget: RetryBudget,
    pub(super) latencies: LatencyHistogram,
    pub(super) counters: Arc<Counters>,
    settings: watch::Receiver<Arc<InForce>>,
    views: watch::Receiver<View>,
    started: Instant,
    looked_us: AtomicU64,
    choice: Mutex<Choice>,
    random: Mutex<fastrand::Rng>,
}

/// What a pick needs for itself.
struct Choice {
    settings: watch::Receiver<Arc<InForce>>,
    picker: LayeredPicker<Arc<Instance>>,
    strategy: Strategy,
    upstreams: HashMap<Arc<str>, Arc<Upstream>>,
}

impl Caller {
    pub(crate) fn new(
        config: CallConfig,
        service: &str,
        mut settings: watch::Receiver<Arc<InForce>>,
        views: watch::Receiver<View>,
    ) -> Self {
        let in_force = settings.borrow_and_update().clone();
        let choice = Choice {
            settings: settings.clone(),
            picker: in_force.balancer.picker(),
            strategy: in_force.strategy,
            upstreams: HashMap::new(),
        };
        Self {
            service: service.into(),
            host: HeaderValue::from_str(service).ok(),
            budget: RetryBudget::new(config.retries.budget.clone()),
            latencies: LatencyHistogram::new(config.hedge_quantile.unwrap_or(1.0)),
            counters: Arc::default(),
            settings,
            views,
            started: Instant::now(),
            looked_us: AtomicU64::new(0),
            choice: Mutex::new(choice),
            random: Mutex::new(fastrand::Rng::new()),
            config,
        }
    }

    /// The settings of calls now, those of registrations included, and whether the call had to wait for them: before an agent has
    /// told any, it waits for as long as it may take.
    pub(super) async fn settings(&self, timeout: Option<Duration>) -> (Arc<CallConfig>, bool) {
        if let Some(calls) = self.told() {
            return (calls, false);
        }
        let waits = !self.is_ready();
        if waits {
            Box::pin(self.ready(Instant::now() + self.patience(timeout))).await;
        }
        (self.settings.borrow().calls.clone(), waits)
    }

    /// How long a call with this time waits for an agent: no longer than calls of no time of their own.
    pub(super) fn patience(&self, timeout: Option<Duration>) -> Duration {
        timeout.map_or(self.config.timeout, |timeout| timeout.min(self.config.timeout))
    }

    fn told(&self) -> Option<Arc<CallConfig>> {
        let in_force = self.settings.borrow();
        in_force.is_told.then(|| in_force.calls.clone())
    }

    pub(crate) fn counters(&self) -> Arc<Counters> {
        self.counters.clone()
    }

    /// The time of the budget.
    pub(super) fn now(&self) -> Duration {
        self.started.elapsed()
    }

    /// The time of the budget at a moment.
    pub(super) fn at(&self, moment: Instant) -> Duration {
        moment.saturating_duration_since(self.started)
    }

    /// A uniformly random number in `0.0..1.0`.
    pub(super) fn draw(&self) -> f64 {
        self.random.lock().unwrap_or_else(PoisonError::into_inner).f64()
    }

    /// Picks the first instance of a call. Before an agent has told the instances, it waits for them. Returns whether it did.
    pub(super) async fn pick_first(
        &self,
        key: Option<&[u8]>,
        begun: Instant,
        patience: Duration,
    ) -> Result<(Picked, bool), CallError> {
        if let Some(picked) = self.pick(key, &[]) {
            return Ok((picked, false));
        }
        let waits = !self.is_ready();
        if waits && !Box::pin(self.ready(begun + patience)).await {
            return Err(CallError::AgentAway { service: self.service.clone(), waited: patience });
        }
        let picked = self.pick(key, &[]).ok_or_else(|| self.nothing())?;
        Ok((picked, waits))
    }

    /// Picks an instance that was not tried. When all were tried, any that takes the call.
    pub(super) fn pick(&self, key: Option<&[u8]>, tried: &[Arc<str>]) -> Option<Picked> {
        let another = match tried {
            [] => None,
            tried => self.pick_another(key, tried),
        };
        another.or_else(|| self.pick_by(|picker, strategy| picker.pick(strategy, key)))
    }

    /// Picks an instance that was not tried; `None` when all were.
    pub(super) fn pick_another(&self, key: Option<&[u8]>, tried: &[Arc<str>]) -> Option<Picked> {
        self.pick_by(|picker, strategy| picker.pick_another(strategy, key, tried))
    }

    fn pick_by(
        &self,
        pick: impl FnOnce(&mut LayeredPicker<Arc<Instance>>, Strategy) -> Option<CallPick>,
    ) -> Option<Picked> {
        let mut choice = self.lock();
        let Choice { picker, strategy, upstreams, .. } = choice.up_to_date();
        let pick = pick(picker, *strategy)?;
        let upstream = self.upstream(upstreams, &pick);
        Some((pick, upstream))
    }

    /// The connections to a picked instance.
    fn upstream(
        &self,
        upstreams: &mut HashMap<Arc<str>, Arc<Upstream>>,
        pick: &CallPick,
    ) -> Arc<Upstream> {
        let known = upstreams.get(pick.id()).filter(|known| known.leads_to(pick.item()));
        known.cloned().unwrap_or_else(|| self.add_upstream(upstreams, pick))
    }

    #[cold]
    fn add_upstream(
        &self,
        upstreams: &mut HashMap<Arc<str>, Arc<Upstream>>,
        pick: &CallPick,
    ) -> Arc<Upstream> {
        let layers = self.settings.borrow().balancer.layers();
        let snapshots: Vec<_> = layers.iter().map(|layer| layer.snapshot()).collect();
        if upstreams.len() >= UPSTREAMS_MIN {
            let offered = snapshots.iter().flat_map(|snapshot| snapshot.instances());
            let offered: HashSet<&str> = offered.map(|instance| &**instance.id()).collect();
            upstreams.retain(|id, _| offered.contains(&**id));
        }
        let upstream = Arc::new(Upstream::new(pick.item(), self.counters.connections.clone()));
        upstreams.insert(pick.id().clone(), upstream.clone());
        upstream
    }

    /// Waits until the instances are known.
    async fn ready(&self, deadline: Instant) -> bool {
        let mut views = self.views.clone();
        let ready = views.wait_for(|view| view.instances().is_some());
        matches!(tokio::time::timeout_at(deadline, ready).await, Ok(Ok(_)))
    }

    /// Whether an agent has told the instances.
    pub(super) fn is_ready(&self) -> bool {
        self.views.borrow().instances().is_some()
    }

    /// Why no instance can be picked.
    pub(super) fn nothing(&self) -> CallError {
        let service = self.service.clone();
        let known = self.views.borrow().instances().map_or(0, |instances| instances.len());
        let layers = self.settings.borrow().balancer.layers();
        let offered: usize = layers.iter().map(|layer| layer.snapshot().len()).sum();
        match (known, offered) {
            (0, _) => CallError::NoInstance { service },
            (known, 0) => CallError::NothingOffered { service, known },
            (_, offered) => CallError::CircuitsOpen { service, offered },
        }
    }

    /// The time after which a call is hedged, if calls are and enough of them are known.
    pub(super) fn hedge_after(&self) -> Option<Duration> {
        self.config.hedge_quantile?;
        let (now, looked_us) = (self.now(), self.looked_us.load(Relaxed));
        let now_us = now.as_micros() as u64;
        if now_us >= looked_us + HISTOGRAM_PERIOD.as_micros() as u64
            && self.looked_us.compare_exchange(looked_us, now_us, Relaxed, Relaxed).is_ok()
        {
            self.latencies.advance(now);
        }
        self.latencies.quantile()
    }

    fn lock(&self) -> MutexGuard<'_, Choice> {
        self.choice.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Choice {
    /// Follows the settings. A change of them is rare.
    fn up_to_date(&mut self) -> &mut Self {
        if self.settings.has_changed().is_ok_and(|changed| changed) {
            let in_force = self.settings.borrow_and_update().clone();
            (self.picker, self.strategy) = (in_force.balancer.picker(), in_force.strategy);
        }
        self
    }
}

impl std::fmt::Debug for Caller {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Caller").field("service", &self.service).finish_non_exhaustive()
    }
}
