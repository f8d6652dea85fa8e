//! One service: its instances, and the balancer over those that may be offered.

use std::sync::Arc;

use arc_swap::ArcSwap;
use hobnob_balancer::{Balancer, Config, Target};
use hobnob_membership::view::{Instance, InstanceStatus};

/// The name of a service within its namespace.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct ServiceKey {
    pub(crate) namespace: String,
    pub(crate) service: String,
}

impl ServiceKey {
    pub(crate) fn of(instance: &Instance) -> Self {
        Self {
            namespace: instance.service.namespace.clone(),
            service: instance.service.service.clone(),
        }
    }
}

/// One service.
pub(crate) struct Service {
    instances: ArcSwap<Vec<Arc<Instance>>>,
    balancer: Arc<Balancer<Arc<Instance>>>,
}

impl Service {
    pub(super) fn new() -> Self {
        Self { instances: ArcSwap::default(), balancer: Arc::new(Balancer::new(Config::default())) }
    }

    /// All instances, by id and node.
    pub(crate) fn instances(&self) -> Arc<Vec<Arc<Instance>>> {
        self.instances.load_full()
    }

    /// Chooses among the instances that may be offered.
    pub(crate) fn balancer(&self) -> &Arc<Balancer<Arc<Instance>>> {
        &self.balancer
    }

    /// Healthy instances are offered. An agent that is cut off cannot tell a dead node from its own dead link: when it
    /// has nothing healthy, it offers what worked before it lost touch.
    pub(super) fn publish(&self, instances: Vec<Arc<Instance>>, isolated: bool) {
        let offered = |status| {
            let of_status = instances.iter().filter(move |instance| instance.status == status);
            of_status.map(target).collect::<Vec<_>>()
        };
        let mut targets = offered(InstanceStatus::Healthy);
        if targets.is_empty() && isolated {
            targets = instances
                .iter()
                .filter(|instance| instance.down_since.is_some())
                .filter(|instance| instance.health == hobnob_membership::record::Health::Passing)
                .map(target)
                .collect();
        }
        self.balancer.update(targets);
        self.instances.store(Arc::new(instances));
    }
}

/// The id is the same on every agent, so that keys land alike everywhere.
fn target(instance: &Arc<Instance>) -> Target<Arc<Instance>> {
    Target {
        id: format!("{}/{}", instance.origin, instance.id).into(),
        weight: instance.service.weight,
        item: instance.clone(),
    }
}
