//! One service: its instances, and the balancers over those that may be offered.
//!
//! Readers load one [`State`] and take no lock. The writer replaces the instances in it, and the first asker of a scope
//! adds its balancer; both by compare and swap, so that each sees what the other did before it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use hobnob_api::{ApiError, ErrorCode, Grade, ServiceSettings};
use hobnob_balancer::{Config, Observed, Report, Selector, SelectorError, Strategy};
use hobnob_membership::NodeId;
use hobnob_membership::record::{Balancing, Text};
use hobnob_membership::view::Instance;

use imbl::OrdMap;

use super::Entry;
use super::Locality;
use super::scope::{Scope, Scoped};
use super::settings::{balancing, config};
use crate::budget::{Budget, Exhausted};

/// Scopes of one service that have a balancer of their own. A further one takes the place of the oldest that no
/// connection holds, else of the oldest.
pub(super) const MAX_SCOPES: usize = 64;

/// The name of a service within its namespace.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct ServiceKey {
    pub(crate) namespace: String,
    pub(crate) service: String,
}

impl ServiceKey {
    pub(crate) fn of(instance: &Instance) -> Self {
        Self {
            namespace: instance.service.namespace.to_string(),
            service: instance.service.service.to_string(),
        }
    }
}

/// One service.
pub(crate) struct Service {
    balancing: Balancing,
    strategy: Strategy,
    config: Config,
    locality: Locality,
    whole: Arc<Scoped>,
    state: ArcSwap<State>,
    /// The time that the balancers were told last, in microseconds.
    now_us: AtomicU64,
    /// Whether its balancers need the clock, for their settings or for reported latencies.
    timed: AtomicBool,
}

/// The published state of a service.
#[derive(Clone, Default)]
struct State {
    published: Published,
    /// The oldest first.
    scopes: Arc<Vec<(Scope, Arc<Scoped>)>>,
    /// The service is no longer updated.
    retired: bool,
}

/// The instances of a service at one moment.
#[derive(Clone, Default)]
pub(super) struct Published {
    /// Counts the publications of the service.
    pub(super) generation: u64,
    /// Every pick from now on must know of this generation.
    pub(super) urgent: u64,
    pub(super) instances: Instances,
    /// The grade of the instances that are offered; `None` if none is.
    pub(super) offered: Option<Grade>,
    /// The instance whose settings count for the service; `None` if none has any.
    pub(super) speaker: Option<Arc<Entry>>,
}

/// The instances of a service, by id and node. A copy shares them, and a change costs a path in the tree.
pub(crate) type Instances = OrdMap<(Text, NodeId), Arc<Entry>>;

/// There is no balancer for a scope.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ScopeError {
    #[error(transparent)]
    Selector(#[from] SelectorError),
    #[error(transparent)]
    Exhausted(#[from] Exhausted),
}

impl From<ScopeError> for ApiError {
    fn from(error: ScopeError) -> Self {
        match error {
            ScopeError::Selector(error) => Self::new(ErrorCode::SelectorInvalid, error.to_string()),
            ScopeError::Exhausted(exhausted) => exhausted.into(),
        }
    }
}

impl Service {
    pub(super) fn new(balancing: Balancing, locality: Locality) -> Self {
        let config = config(&balancing);
        let timed = config.needs_clock();
        // A strategy of a newer version is not known here. The default stands in for it.
        let strategy = balancing.strategy.as_deref().and_then(|name| name.parse().ok());
        let (scope, selector) = (Scope::default(), Selector::default());
        let whole = Scoped::new(&scope, selector, &config, &balancing.failover);
        Self {
            balancing,
            strategy: strategy.unwrap_or_default(),
            whole: Arc::new(whole),
            config,
            locality,
            state: ArcSwap::default(),
            now_us: AtomicU64::new(0),
            timed: AtomicBool::new(timed),
        }
    }

    /// The settings of its balancers.
    pub(super) fn balancing(&self) -> &Balancing {
        &self.balancing
    }

    /// Its settings as clients are told them, and the instance that they are of.
    pub(crate) fn settings(&self) -> ServiceSettings {
        let state = self.state.load();
        let Some(speaker) = &state.published.speaker else { return ServiceSettings::default() };
        ServiceSettings {
            instance: Some(speaker.id.to_string()),
            member: Some(speaker.node.name.to_string()),
            balancing: balancing(&speaker.service.balancing),
        }
    }

    /// Learns from calls of a client that picked for itself. Returns whether there is such an instance among those that are
    /// offered.
    pub(super) fn observe(&self, id: &str, observed: &Observed) -> bool {
        let known = self.whole().observe(id, observed);
        for (_, scoped) in self.state.load().scopes.iter() {
            scoped.observe(id, observed);
        }
        known
    }

    /// The strategy of picks that name none.
    pub(crate) fn strategy(&self) -> Strategy {
        self.strategy
    }

    /// All instances, by id and node.
    pub(crate) fn instances(&self) -> Instances {
        self.state.load().published.instances.clone()
    }

    /// The grade of the instances that a pick without a selector may choose; `None` if it may choose none.
    pub(crate) fn offered(&self) -> Option<Grade> {
        self.state.load().published.offered
    }

    /// All instances, with the grade of those that a pick without a selector may choose.
    pub(crate) fn offer(&self) -> (Instances, Option<Grade>) {
        let state = self.state.load();
        (state.published.instances.clone(), state.published.offered)
    }

    /// The balancer over every instance that is offered, up to date.
    pub(crate) fn whole(&self) -> &Arc<Scoped> {
        self.refresh(&self.whole);
        &self.whole
    }

    /// How the picks spread over the nearest instances so far. A balancer that nobody picked from is not built for this.
    pub(crate) fn report_of_nearest(&self) -> Report {
        if self.whole.is_in_use() {
            self.refresh(&self.whole);
        }
        self.whole.report_of_nearest()
    }

    /// Brings one of its balancers up to date. Each pick begins with it: the writer leaves the work to the threads that pick.
    pub(super) fn refresh(&self, scoped: &Scoped) {
        scoped.follow(&self.state.load().published, &self.locality);
    }

    /// Makes room for the table of a strategy in one of its balancers.
    pub(super) fn reserve(
        &self,
        scoped: &Scoped,
        strategy: Strategy,
        budget: &Arc<Budget>,
    ) -> Result<(), Exhausted> {
        scoped.reserve(strategy, self.state.load().published.instances.len(), budget)
    }

    /// The balancer of a scope. The first to ask builds it, while others go on. `counted` hears of what that takes.
    pub(super) fn scoped(
        &self,
        scope: &Scope,
        counted: &ScopeCounters,
        budget: &Arc<Budget>,
    ) -> Result<Arc<Scoped>, ScopeError> {
        if scope.is_whole() {
            return Ok(self.whole().clone());
        }
        let state = self.state.load();
        if let Some(scoped) = state.scope(scope) {
            self.refresh(scoped);
            return Ok(scoped.clone());
        }
        let selector = scope.selector.as_deref().unwrap_or_default().parse()?;
        let held = budget.hold(Scoped::bytes(state.published.instances.len()))?;
        let scoped = Arc::new(Scoped::new(scope, selector, &self.config, &self.balancing.failover));
        scoped.keep(held);
        scoped.advance(Duration::from_micros(self.now_us.load(Ordering::Relaxed)));
        scoped.follow(&state.published, &self.locality);
        counted.built.fetch_add(1, Ordering::Relaxed);

        let (mut shared, mut evicted) = (scoped.clone(), None);
        let state = self.replace(|state| {
            if let Some(earlier) = state.scope(scope) {
                (shared, evicted) = (earlier.clone(), None);
                return state.clone();
            }
            shared = scoped.clone();
            // Before the copy, which holds all of them.
            let least_needed = state.least_needed();
            let mut scopes = Vec::clone(&state.scopes);
            evicted = (scopes.len() >= MAX_SCOPES).then(|| scopes.remove(least_needed).1);
            scopes.push((scope.clone(), scoped.clone()));
            State { scopes: Arc::new(scopes), ..state.clone() }
        });
        if let Some(evicted) = evicted {
            evicted.retire();
            counted.evicted.fetch_add(1, Ordering::Relaxed);
        }
        if state.retired {
            shared.retire();
        }
        Ok(shared)
    }

    /// Shows these instances to everybody. The next pick brings its balancer up to date; if this is urgent, it must. Slow
    /// start counts from when an instance comes, so with it the balancers are brought up to date now.
    pub(super) fn publish(
        &self,
        instances: &Instances,
        offered: Option<Grade>,
        speaker: Option<&Arc<Entry>>,
        is_urgent: bool,
    ) {
        let state = self.replace(|state| {
            let generation = state.published.generation + 1;
            let urgent = if is_urgent { generation } else { state.published.urgent };
            let instances = instances.clone();
            let speaker = speaker.cloned();
            let published = Published { generation, urgent, instances, offered, speaker };
            State { published, ..state.clone() }
        });
        if self.config.slow_start.is_some() {
            self.refresh(&self.whole);
            state.scopes.iter().for_each(|(_, scoped)| self.refresh(scoped));
        }
    }

    /// Drops the balancers of scopes that no connection holds.
    pub(super) fn drop_idle_scopes(&self, counted: &ScopeCounters) {
        let mut idle = Vec::new();
        self.replace(|state| {
            let is_idle = |scoped: &Arc<Scoped>| Arc::strong_count(scoped) == 1;
            // Before the copies, which hold all of them.
            let idle_now: Vec<bool> =
                state.scopes.iter().map(|(_, scoped)| is_idle(scoped)).collect();
            let scopes = state.scopes.iter().zip(idle_now);
            let (gone, kept): (Vec<_>, Vec<_>) = scopes.partition(|(_, idle)| *idle);
            let owned = |scopes: Vec<(&(Scope, Arc<Scoped>), bool)>| -> Vec<_> {
                scopes.into_iter().map(|(scope, _)| scope.clone()).collect()
            };
            idle = owned(gone);
            State { scopes: Arc::new(owned(kept)), ..state.clone() }
        });
        counted.evicted.fetch_add(idle.len() as u64, Ordering::Relaxed);
        idle.iter().for_each(|(_, scoped)| scoped.retire());
    }

    /// Its balancers are no longer updated.
    pub(super) fn retire(&self) {
        let state = self.replace(|state| State { retired: true, ..state.clone() });
        self.whole.retire();
        state.scopes.iter().for_each(|(_, scoped)| scoped.retire());
    }

    /// From now on its balancers need the time. Returns whether they did not before.
    pub(super) fn need_clock(&self) -> bool {
        !self.timed.swap(true, Ordering::Relaxed)
    }

    pub(super) fn is_timed(&self) -> bool {
        self.timed.load(Ordering::Relaxed)
    }

    pub(super) fn advance(&self, now: Duration) {
        let now_us = u64::try_from(now.as_micros()).unwrap_or(u64::MAX);
        self.now_us.store(now_us, Ordering::Relaxed);
        self.whole.advance(now);
        self.state.load().scopes.iter().for_each(|(_, scoped)| scoped.advance(now));
    }

    /// Swaps the state for one that is made from it, and returns the new one. `change` may be called again when another
    /// one was faster.
    fn replace(&self, mut change: impl FnMut(&State) -> State) -> Arc<State> {
        let mut replaced = Arc::default();
        self.state.rcu(|state| {
            replaced = Arc::new(change(state));
            replaced.clone()
        });
        replaced
    }
}

/// Only the same service is equal. Versions of a map are thus compared by address.
impl PartialEq for Service {
    fn eq(&self, other: &Self) -> bool {
        std::ptr::eq(self, other)
    }
}

impl State {
    fn scope(&self, scope: &Scope) -> Option<&Arc<Scoped>> {
        self.scopes.iter().find(|(held, _)| held == scope).map(|(_, scoped)| scoped)
    }

    /// The place of the oldest scope that no connection holds a picker of, else of the oldest.
    fn least_needed(&self) -> usize {
        self.scopes.iter().position(|(_, scoped)| Arc::strong_count(scoped) == 1).unwrap_or(0)
    }
}

/// Counts scopes that were built or gave way to another one, over all services.
#[derive(Debug, Default)]
pub(super) struct ScopeCounters {
    pub(super) built: AtomicU64,
    pub(super) evicted: AtomicU64,
}
