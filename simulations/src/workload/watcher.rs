//! A client that watches, and picks with the real balancer from what it has seen.

use std::collections::BTreeMap;
use std::sync::Arc;

use hobnob_balancer::{Balancer, Config, Picker, Strategy, Target};
use hobnob_membership::record::Text;
use hobnob_membership::view::{Instance, InstanceStatus};
use hobnob_membership::{Event, NodeId};

use crate::world::{NodeEvent, World};

type InstanceKey = (NodeId, Text);

/// A watching client of one host.
pub struct Watcher {
    host: usize,
    life: u32,
    healthy: BTreeMap<InstanceKey, Arc<Instance>>,
    pools: BTreeMap<String, Pool>,
    changed: bool,
}

struct Pool {
    balancer: Arc<Balancer<InstanceKey>>,
    picker: Picker<InstanceKey>,
    current: bool,
}

impl Pool {
    fn new() -> Self {
        let balancer = Arc::new(Balancer::new(Config::default()));
        Self { picker: balancer.picker(), balancer, current: false }
    }
}

impl Watcher {
    /// A client of this host that has seen nothing yet.
    #[must_use]
    pub fn new(host: usize) -> Self {
        Self { host, life: 0, healthy: BTreeMap::new(), pools: BTreeMap::new(), changed: false }
    }

    /// The host.
    #[must_use]
    pub fn host(&self) -> usize {
        self.host
    }

    /// Follows this life of the agent. Reports of earlier lives are dropped.
    pub fn attach(&mut self, life: u32) {
        if life != self.life {
            self.life = life;
            self.healthy.clear();
            self.changed = true;
        }
    }

    /// Begins with what the agent holds, of which it reported nothing.
    pub fn settle(&mut self, world: &World) {
        let Some(node) = world.node(self.host) else { return };
        self.attach(world.host(self.host).lives());
        let healthy = node.instances().filter(|it| it.status == InstanceStatus::Healthy);
        self.healthy = healthy.map(|it| ((it.origin, it.id.clone()), Arc::clone(it))).collect();
        self.changed = true;
    }

    /// The agent reported an event.
    pub fn on_event(&mut self, event: &NodeEvent) {
        if event.host != self.host {
            return;
        }
        self.attach(event.life);
        let Event::Instance(change) = &event.kind else { return };
        let instance = &change.instance;
        let key = (instance.origin, instance.id.clone());
        if instance.status == InstanceStatus::Healthy {
            self.healthy.insert(key, Arc::clone(instance));
        } else {
            self.healthy.remove(&key);
        }
        self.changed = true;
    }

    /// The healthy instances of a service.
    #[must_use]
    pub fn query(&self, service: &str) -> Vec<InstanceKey> {
        let all = self.healthy.iter();
        let found = all.filter(|(_, instance)| instance.service.service == service);
        found.map(|(key, _)| key.clone()).collect()
    }

    /// Picks an instance from the balancer's snapshot of what the agent reported.
    pub fn pick(&mut self, service: &str) -> Option<InstanceKey> {
        if std::mem::take(&mut self.changed) {
            self.pools.values_mut().for_each(|pool| pool.current = false);
        }
        let targets = self.query(service);
        let pool = self.pools.entry(service.to_owned()).or_insert_with(Pool::new);
        if !pool.current {
            let targets = targets.into_iter().map(|key| Target {
                id: format!("{}/{}", key.0, key.1).into(),
                weight: 1,
                item: key,
            });
            pool.balancer.update(targets.collect());
            pool.current = true;
        }
        let pick = pool.picker.pick(Strategy::RoundRobin, None)?;
        Some(pick.item().clone())
    }
}
