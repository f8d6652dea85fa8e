//! Scopes: the instances of a service that a pick may choose, and their order. Each scope has a balancer.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use hobnob_api::Prefer;
use hobnob_balancer::{
    Balancer, Circuit, Config, Layer, Layered, LayeredPicker, Nearness, OVERPROVISIONING, Pick,
    Picker, Place, Report, Selector, Strategy,
};
use hobnob_membership::view::Instance;

use super::Entry;
use super::service::Published;

/// A choice among the instances of a service.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Scope {
    /// A label selector, as it was written.
    pub(crate) selector: Option<String>,
    /// Only this datacenter.
    pub(crate) datacenter: Option<String>,
    /// The instances that come first.
    pub(crate) prefer: Prefer,
}

impl Scope {
    /// Whether it is every instance alike.
    pub(crate) fn is_whole(&self) -> bool {
        *self == Self::default()
    }
}

/// Whether an instance is what a query asks for: metadata are labels, and a tag is a label with an empty value.
pub(crate) fn matches(selector: &Selector, datacenter: Option<&str>, instance: &Instance) -> bool {
    let service = &instance.service;
    let label = |name: &str| {
        let tag = || service.tags.contains(name).then_some("");
        service.meta.get(name).or_else(tag)
    };
    datacenter.is_none_or(|datacenter| datacenter == instance.node.datacenter)
        && selector.matches(label)
}

/// The agent's datacenter and zone.
#[derive(Clone, Debug, Default)]
pub(crate) struct Locality {
    pub(crate) datacenter: String,
    pub(crate) zone: String,
}

/// The balancer of one scope.
pub(crate) struct Scoped {
    selector: Selector,
    datacenter: Option<String>,
    nearness: Nearness,
    balancer: Kind,
    /// The generation of the instances that it was made from. Held by those who publish; no pick takes it.
    generation: Mutex<u64>,
    /// No longer updated: its pickers have to be replaced.
    retired: AtomicBool,
}

enum Kind {
    Flat(Arc<Balancer<Arc<Entry>>>),
    Layered(Arc<Layered<Arc<Entry>>>),
}

impl Scoped {
    /// A balancer without instances. `selector` is that of the scope, parsed.
    pub(super) fn new(scope: &Scope, selector: Selector, config: &Config) -> Self {
        // Agents that all began with the same instance would flood it together.
        let config = Config { seed: rand::random(), ..config.clone() };
        let (nearness, balancer) = match scope.prefer {
            Prefer::Any => (Nearness::default(), Kind::Flat(Arc::new(Balancer::new(config)))),
            prefer @ (Prefer::Zone | Prefer::Datacenter) => {
                let nearness = Nearness::listed(prefer, []);
                let layered = Layered::new(&config, nearness.layers(), OVERPROVISIONING);
                (nearness, Kind::Layered(Arc::new(layered)))
            }
        };
        Self {
            selector,
            datacenter: scope.datacenter.clone(),
            nearness,
            balancer,
            generation: Mutex::new(0),
            retired: AtomicBool::new(false),
        }
    }

    /// Whether an instance is in the scope.
    pub(super) fn contains(&self, instance: &Instance) -> bool {
        matches(&self.selector, self.datacenter.as_deref(), instance)
    }

    /// Offers the healthy instances, unless it has newer ones already. An isolated agent cannot tell a dead node from its
    /// own dead link: without a healthy instance, it offers those that were passing before it lost touch.
    pub(super) fn publish(&self, published: &Published, locality: &Locality) {
        let mut generation = self.generation.lock().unwrap_or_else(PoisonError::into_inner);
        if published.generation <= *generation {
            return;
        }
        *generation = published.generation;
        let within: Vec<&Arc<Entry>> =
            published.instances.iter().filter(|instance| self.contains(instance)).collect();
        let last_known = published.isolated && !within.iter().any(|instance| instance.is_healthy());
        match &self.balancer {
            Kind::Flat(balancer) => {
                let offered = within.iter().filter(|instance| instance.is_offered(last_known));
                balancer.update(offered.map(|entry| entry.target()).collect());
            }
            Kind::Layered(layered) => {
                let mut layers = Vec::new();
                layers.resize_with(self.nearness.layers(), || Layer {
                    targets: Vec::new(),
                    total: 0,
                });
                let locality = Place { datacenter: &locality.datacenter, zone: &locality.zone };
                for instance in within {
                    let node = &instance.node;
                    let there = Place { datacenter: &node.datacenter, zone: &node.zone };
                    let layer = &mut layers[self.nearness.layer(locality, there)];
                    layer.total += 1;
                    if instance.is_offered(last_known) {
                        layer.targets.push(instance.target());
                    }
                }
                layered.update(layers);
            }
        }
    }

    pub(super) fn retire(&self) {
        self.retired.store(true, Ordering::Release);
    }

    /// Whether a picker of it has to be replaced.
    pub(crate) fn is_retired(&self) -> bool {
        self.retired.load(Ordering::Acquire)
    }

    pub(super) fn advance(&self, now: Duration) {
        match &self.balancer {
            Kind::Flat(balancer) => balancer.advance(now),
            Kind::Layered(layered) => layered.advance(now),
        }
    }

    /// The picks so far. Layers are reported together.
    pub(crate) fn report(&self) -> Report {
        match &self.balancer {
            Kind::Flat(balancer) => balancer.report(),
            Kind::Layered(layered) => {
                let reports = layered.layers().iter().map(|balancer| balancer.report());
                Report { targets: reports.flat_map(|report| report.targets).collect() }
            }
        }
    }

    /// The standing of a target; `None` when it is not offered.
    pub(crate) fn standing(&self, id: &str) -> Option<Standing> {
        let of = |balancer: &Arc<Balancer<Arc<Entry>>>| {
            let snapshot = balancer.snapshot();
            let target = snapshot.get(id)?;
            let (available, circuit) = (target.is_available(), target.circuit());
            Some(Standing { available, circuit, failures: target.failures() })
        };
        match &self.balancer {
            Kind::Flat(balancer) => of(balancer),
            Kind::Layered(layered) => layered.layers().iter().find_map(of),
        }
    }

    pub(crate) fn picker(&self) -> ScopedPicker {
        match &self.balancer {
            Kind::Flat(balancer) => ScopedPicker::Flat(Box::new(balancer.picker())),
            Kind::Layered(layered) => ScopedPicker::Layered(layered.picker()),
        }
    }
}

/// The standing of a target of a scope with its balancer.
pub(crate) struct Standing {
    /// Whether a pick could go to it now.
    pub(crate) available: bool,
    pub(crate) circuit: Circuit,
    /// The calls of it that were reported as failed.
    pub(crate) failures: u64,
}

/// Picks from one scope, for one connection.
pub(crate) enum ScopedPicker {
    Flat(Box<Picker<Arc<Entry>>>),
    Layered(LayeredPicker<Arc<Entry>>),
}

impl ScopedPicker {
    pub(crate) fn pick(
        &mut self,
        strategy: Strategy,
        key: Option<&[u8]>,
    ) -> Option<Pick<Arc<Entry>>> {
        match self {
            Self::Flat(picker) => picker.pick(strategy, key),
            Self::Layered(picker) => picker.pick(strategy, key),
        }
    }
}
