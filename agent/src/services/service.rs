//! One service: its instances, and the balancers over those that may be offered.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use hobnob_balancer::{Config, Selector, SelectorError, Strategy};
use hobnob_membership::record::Balancing;
use hobnob_membership::view::Instance;

use super::scope::{Locality, Scope, Scoped};
use super::settings::config;

/// Scopes of one service that have a balancer of their own. The one that was made first gives way to a further one.
const MAX_SCOPES: usize = 64;

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
    instances: ArcSwap<Vec<Arc<Instance>>>,
    whole: Arc<Scoped>,
    scopes: Mutex<Scopes>,
    /// Whether its balancers need the clock, for their settings or for reported latencies.
    timed: AtomicBool,
}

#[derive(Default)]
struct Scopes {
    isolated: bool,
    /// The time that the balancers were told last.
    now: Duration,
    made: u64,
    scopes: BTreeMap<Scope, (u64, Arc<Scoped>)>,
}

impl Service {
    pub(super) fn new(balancing: Balancing, locality: Locality) -> Self {
        let config = config(&balancing);
        let timed = config.needs_clock();
        // A name from a newer version is as good as none.
        let strategy = balancing.strategy.as_deref().and_then(|name| name.parse().ok());
        Self {
            balancing,
            strategy: strategy.unwrap_or_default(),
            whole: Arc::new(Scoped::new(&Scope::default(), Selector::default(), &config)),
            config,
            locality,
            instances: ArcSwap::default(),
            scopes: Mutex::default(),
            timed: AtomicBool::new(timed),
        }
    }

    /// What its balancers were made with.
    pub(super) fn balancing(&self) -> &Balancing {
        &self.balancing
    }

    /// The strategy of picks that name none.
    pub(crate) fn strategy(&self) -> Strategy {
        self.strategy
    }

    /// All instances, by id and node.
    pub(crate) fn instances(&self) -> Arc<Vec<Arc<Instance>>> {
        self.instances.load_full()
    }

    /// The balancer over every instance that is offered.
    pub(crate) fn whole(&self) -> &Arc<Scoped> {
        &self.whole
    }

    /// The balancer of a scope, made at its first use.
    pub(crate) fn scoped(&self, scope: &Scope) -> Result<Arc<Scoped>, SelectorError> {
        if scope.is_whole() {
            return Ok(self.whole.clone());
        }
        let mut scopes = self.scopes.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, scoped)) = scopes.scopes.get(scope) {
            return Ok(scoped.clone());
        }
        let selector = scope.selector.as_deref().unwrap_or_default().parse()?;
        if scopes.scopes.len() >= MAX_SCOPES {
            let oldest = scopes.scopes.iter().min_by_key(|(_, (made, _))| *made);
            if let Some(oldest) = oldest.map(|(scope, _)| scope.clone())
                && let Some((_, retired)) = scopes.scopes.remove(&oldest)
            {
                retired.retire();
            }
        }
        let scoped = Arc::new(Scoped::new(scope, selector, &self.config));
        scoped.advance(scopes.now);
        scoped.publish(&self.instances.load(), scopes.isolated, &self.locality);
        scopes.made += 1;
        let made = scopes.made;
        scopes.scopes.insert(scope.clone(), (made, scoped.clone()));
        Ok(scoped)
    }

    /// Shows these instances to everybody, in each scope.
    pub(super) fn publish(&self, instances: Vec<Arc<Instance>>, isolated: bool) {
        let mut scopes = self.scopes.lock().unwrap_or_else(PoisonError::into_inner);
        scopes.isolated = isolated;
        self.whole.publish(&instances, isolated, &self.locality);
        for (_, scoped) in scopes.scopes.values() {
            scoped.publish(&instances, isolated, &self.locality);
        }
        self.instances.store(Arc::new(instances));
    }

    /// Its balancers are no longer updated.
    pub(super) fn retire(&self) {
        self.whole.retire();
        let scopes = self.scopes.lock().unwrap_or_else(PoisonError::into_inner);
        scopes.scopes.values().for_each(|(_, scoped)| scoped.retire());
    }

    /// From now on its balancers need the time. Returns whether they did not before.
    pub(super) fn need_clock(&self) -> bool {
        !self.timed.swap(true, Ordering::Relaxed)
    }

    pub(super) fn is_timed(&self) -> bool {
        self.timed.load(Ordering::Relaxed)
    }

    pub(super) fn advance(&self, now: Duration) {
        self.whole.advance(now);
        let mut scopes = self.scopes.lock().unwrap_or_else(PoisonError::into_inner);
        scopes.now = now;
        scopes.scopes.values().for_each(|(_, scoped)| scoped.advance(now));
    }
}
