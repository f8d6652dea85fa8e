//! The one writer of the registry: collects changes, then publishes the services that they touch.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use hobnob_api::{Grade, LostTogether};
use hobnob_membership::record::{Balancing, Text};
use hobnob_membership::view::{Change, InstanceStatus};
use hobnob_membership::{DatacenterId, NodeId, Time};

use super::service::Instances;
use super::{Entry, KnownLosses, KnownMember, Registry, ServiceKey};

/// Writes what the driver learns. Nothing is visible before [`Writer::publish`], then each service at once. A change costs
/// the logarithm of the instances of its service: the balancers follow when somebody picks.
pub(crate) struct Writer {
    registry: Arc<Registry>,
    services: BTreeMap<ServiceKey, Written>,
    /// The services that were applied to since the last publication.
    touched: BTreeSet<ServiceKey>,
    /// Every pick after the next publication must know of it.
    is_urgent: bool,
    changes: Vec<(ServiceKey, Arc<Entry>)>,
    /// The origins that have not answered this agent for long.
    unanswered: BTreeSet<NodeId>,
}

/// One service as it was written so far.
#[derive(Default)]
struct Written {
    instances: Instances,
    /// The instances that say how to balance.
    speakers: BTreeSet<(Text, NodeId)>,
    /// The instances that drain.
    draining: BTreeSet<(Text, NodeId)>,
    /// How many instances have each grade.
    grades: BTreeMap<Grade, usize>,
    /// The grade that was published last.
    published: Option<Grade>,
}

impl Written {
    fn apply(&mut self, entry: &Arc<Entry>) {
        let id = (entry.id.clone(), entry.origin);
        let is_gone = entry.status == InstanceStatus::Gone;
        if is_gone || entry.service.balancing == Balancing::default() {
            self.speakers.remove(&id);
        } else {
            self.speakers.insert(id.clone());
        }
        if is_gone || entry.fall().is_none() {
            self.draining.remove(&id);
        } else {
            self.draining.insert(id.clone());
        }
        let before = if is_gone {
            self.instances.remove(&id)
        } else {
            self.count(entry.grade());
            self.instances.insert(id, entry.clone())
        };
        self.discount(before.and_then(|before| before.grade()));
    }

    fn count(&mut self, grade: Option<Grade>) {
        if let Some(grade) = grade {
            *self.grades.entry(grade).or_default() += 1;
        }
    }

    fn discount(&mut self, grade: Option<Grade>) {
        let Some(count) = grade.and_then(|grade| self.grades.get_mut(&grade)) else { return };
        *count -= 1;
        self.grades.retain(|_, count| *count > 0);
    }

    /// The grade of the instances that are offered.
    fn offered(&self) -> Option<Grade> {
        Grade::offered(self.grades.keys().copied().map(Some), false)
    }

    /// Of the instances that say how to balance, the first by id and node speaks for the service.
    fn speaker(&self) -> Option<&Arc<Entry>> {
        self.speakers.first().and_then(|id| self.instances.get(id))
    }

    fn balancing(&self) -> Balancing {
        let speaker = self.speaker();
        speaker.map(|speaker| speaker.service.balancing.clone()).unwrap_or_default()
    }
}

impl Writer {
    pub(super) fn new(registry: Arc<Registry>) -> Self {
        Self {
            registry,
            services: BTreeMap::new(),
            touched: BTreeSet::new(),
            is_urgent: false,
            changes: Vec::new(),
            unanswered: BTreeSet::new(),
        }
    }

    pub(crate) fn apply(&mut self, Change { instance }: Change) {
        let key = ServiceKey::of(&instance);
        let is_unanswered = self.unanswered.contains(&instance.origin);
        let written = self.services.entry(key.clone()).or_default();
        let before = written.instances.get(&(instance.id.clone(), instance.origin));
        let now = self.registry.clock.now();
        let entry =
            Entry::new(instance, is_unanswered).draining(before.map(|before| &**before), now);
        let entry = Arc::new(entry);
        written.apply(&entry);
        self.touched.insert(key.clone());
        self.changes.push((key, entry));
    }

    /// Sets the origins that have not answered this agent for long. Returns those that changed: their instances must be
    /// applied again.
    #[must_use]
    pub(crate) fn set_unanswered(&mut self, origins: BTreeSet<NodeId>) -> Vec<NodeId> {
        let changed = self.unanswered.symmetric_difference(&origins).copied().collect();
        self.unanswered = origins;
        changed
    }

    /// A client waits for what is published next: no pick after its answer may miss it.
    pub(crate) fn hurry(&mut self) {
        self.is_urgent = true;
    }

    /// Shows whether the agent has lost touch with all other members.
    pub(crate) fn set_isolated(&self, isolated: bool) {
        self.registry.isolated.store(isolated, Ordering::Relaxed);
    }

    pub(crate) fn set_last_contact(&self, at: Option<Time>) {
        let micros = at.map_or(u64::MAX, Time::as_micros);
        self.registry.last_contact.store(micros, Ordering::Relaxed);
    }

    /// Takes the round trips to other datacenters. Picks follow their order.
    pub(crate) fn set_round_trips(&mut self, round_trips: Vec<(String, Duration)>) {
        if self.registry.locality.measure(round_trips) {
            self.touched.extend(self.services.keys().cloned());
        }
    }

    /// Shows the bytes a second to and from each other datacenter.
    pub(crate) fn set_traffic(&self, traffic: BTreeMap<DatacenterId, [u64; 2]>) {
        self.registry.traffic.store(Arc::new(traffic));
    }

    /// Shows when each origin last lived, in the order of their ids.
    pub(crate) fn set_last_alive(&self, origins: Vec<(NodeId, Time)>) {
        self.registry.last_alive.store(Arc::new(origins));
    }

    /// Takes a member as it is now.
    pub(crate) fn apply_member(&self, node: NodeId, member: KnownMember) {
        self.registry.members.apply(node, member, || self.registry.changes.number());
    }

    /// Takes all members that are not gone.
    pub(crate) fn reconcile_members(&self, members: BTreeMap<NodeId, KnownMember>) {
        self.registry.members.reconcile(members, || self.registry.changes.number());
    }

    /// Notes that members were lost together.
    pub(crate) fn note_lost_together(&self, lost: LostTogether) {
        self.registry.members.lost_together(lost, || self.registry.changes.number());
    }

    /// Takes the mass losses that are not over, as they are now.
    pub(crate) fn set_mass_losses(&self, losses: KnownLosses) {
        self.registry.members.set_mass_losses(losses, || self.registry.changes.number());
    }

    /// Shows the applied changes.
    pub(crate) fn publish(&mut self) {
        if self.touched.is_empty() {
            return;
        }
        self.registry.publication.fetch_add(1, Ordering::SeqCst);
        let is_urgent = std::mem::take(&mut self.is_urgent);
        let touched = std::mem::take(&mut self.touched);
        let published = self.registry.services.load_full();
        // Copied when the first service comes or goes.
        let mut services = Cow::Borrowed(&*published);
        let (mut regraded, mut ended) = (BTreeSet::new(), BTreeSet::new());
        for key in touched {
            let Some(written) = self.services.get_mut(&key) else { continue };
            let offered = written.offered();
            if std::mem::replace(&mut written.published, offered) != offered {
                regraded.insert(key.clone());
            }
            let (instances, balancing) = (&written.instances, written.balancing());
            let speaker = written.speaker();
            let known = services.get(&key).cloned();
            let kept = known
                .clone()
                .filter(|known| !instances.is_empty() && *known.balancing() == balancing);
            let drains = !written.draining.is_empty();
            if let Some(kept) = kept {
                kept.publish(instances, offered, speaker, is_urgent);
                if drains {
                    self.registry.need_clock(&kept);
                }
                continue;
            }
            let services = services.to_mut();
            if let Some(outdated) = known {
                outdated.retire();
                services.remove(&key);
            }
            if instances.is_empty() {
                self.services.remove(&key);
                ended.insert(key);
                continue;
            }
            let service = self.registry.new_service(balancing);
            service.publish(instances, offered, speaker, is_urgent);
            if drains {
                self.registry.need_clock(&service);
            }
            services.insert(key, service);
        }
        if let Cow::Owned(services) = services {
            self.registry.services.store(Arc::new(services));
        }
        if !self.changes.is_empty() {
            self.registry.changes.append(self.changes.drain(..), &regraded, &ended);
        }
        self.registry.publication.fetch_add(1, Ordering::SeqCst);
    }
}
