//! The whole picture that a watch begins with, made in slices: between two of them the threads of the doors answer others.

use std::ops::Bound;
use std::sync::Arc;

use hobnob_api::{Grade, Reset};
use hobnob_membership::NodeId;
use hobnob_membership::record::Text;
use imbl::OrdMap;

use super::{Exhausted, Subject, UNFINISHED, Watch, is_within};
use crate::services::{Instances, Service, ServiceKey, Shown};

/// Services and instances that are looked at in one slice.
pub(super) const SLICE: usize = 1_024;

/// A whole picture that is not finished.
pub(super) struct Building {
    /// The services when it began, those that are done included.
    services: Arc<OrdMap<ServiceKey, Arc<Service>>>,
    /// The last of them that was begun.
    begun: Option<ServiceKey>,
    current: Option<Current>,
    shown: Vec<Shown>,
    /// The revision before it began. A change that came since is told again, which does no harm.
    revision: u64,
    reset: Option<Reset>,
}

/// The service whose instances are next.
struct Current {
    all: Instances,
    offered: Option<Grade>,
    /// The last of them that is done.
    done: Option<(Text, NodeId)>,
}

impl Watch {
    /// Begins the whole picture.
    pub(super) fn begin_whole(&mut self, reset: Option<Reset>) -> Building {
        let revision = self.registry.revision();
        self.seen = Some(revision);
        self.memory.clear();
        let (services, current) = match &self.subject {
            Subject::Service(key) => {
                let (all, offered) = self.offer(self.registry.service(key).as_deref());
                self.offered = offered;
                (Arc::default(), Some(Current { all, offered, done: None }))
            }
            Subject::All { .. } => (self.registry.services(), None),
        };
        Building { services, begun: None, current, shown: Vec::new(), revision, reset }
    }

    /// Makes one slice of the whole picture. The last one prepares the event.
    pub(super) fn build(&mut self, mut building: Building) -> Result<(), Exhausted> {
        for _ in 0..SLICE {
            let Some(current) = &mut building.current else {
                if self.begin_service(&mut building) {
                    continue;
                }
                let Building { shown, revision, reset, .. } = building;
                return self.prepare(shown, revision, UNFINISHED, Some(reset));
            };
            let left = beyond(current.done.as_ref());
            let Some((key, entry)) = current.all.range::<_, (Text, NodeId)>(left).next() else {
                building.current = None;
                continue;
            };
            if is_within(&self.datacenters, entry) {
                building.shown.push(self.registry.show(entry, current.offered));
            }
            current.done = Some(key.clone());
        }
        self.building = Some(building);
        Ok(())
    }

    /// Begins the next service, if there is one. One of another namespace has no instances here.
    fn begin_service(&self, building: &mut Building) -> bool {
        let left = beyond(building.begun.as_ref());
        let Some((key, service)) = building.services.range::<_, ServiceKey>(left).next() else {
            return false;
        };
        let is_asked = match &self.subject {
            Subject::All { namespace: Some(namespace) } => *namespace == key.namespace,
            Subject::All { namespace: None } | Subject::Service(_) => true,
        };
        let begun = key.clone();
        building.current = is_asked.then(|| {
            let (all, offered) = self.offer(Some(service));
            Current { all, offered, done: None }
        });
        building.begun = Some(begun);
        true
    }
}

/// The keys beyond one, or all.
fn beyond<K>(last: Option<&K>) -> (Bound<&K>, Bound<&K>) {
    (last.map_or(Bound::Unbounded, Bound::Excluded), Bound::Unbounded)
}
