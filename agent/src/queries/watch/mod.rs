//! Watches: a service now, or all services, then their changes.

mod building;
mod building_members;
#[cfg(test)]
mod law;
mod members;
mod memory;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use hobnob_api::{
    ApiError, Changes, Consistency, Datacenters, Grade, MemberChanges, Reset, ServiceSettings,
    WatchAllQuery, WatchQuery,
};
use hobnob_membership::NodeId;
use hobnob_membership::record::Text;
use hobnob_membership::view::{Instance, InstanceStatus};
use tokio::time::Instant;

use super::asked::{check, check_datacenters, service_key};
use crate::budget::{Budget, Exhausted, Held};
use crate::consistency::refuse_strong;
use crate::services::{
    AllSince, Entry, Instances, Registry, Service, ServiceKey, Shown, Since, Subscription,
};

use building::Building;
use memory::Memory;

pub(crate) use members::{MembersWatch, member_answer_bytes, member_bytes};

/// After a change was told, the next ones are collected for this long. The first after a quiet time is told at once.
const COALESCE: Duration = Duration::from_millis(5);
/// An event of more bytes is told in parts, so that any number of instances fits and no part is long to write.
const MAX_PART_BYTES: usize = 1 << 20;
/// The revision of a part that others follow. A watch that resumes there starts over.
const UNFINISHED: u64 = 0;
/// Bytes of a watch that has told nothing.
const WATCH_BYTES: usize = 2 << 10;
/// Bytes that a watch keeps of each instance that it told.
const TOLD_BYTES: usize = 32;

/// An event of a watch, or a part of one.
#[derive(Debug)]
pub(crate) enum Event {
    /// All instances, or as many as fit a part: [`Event::Changes`] tell the others.
    Instances(hobnob_api::Instances<Shown>),
    /// The instances that changed since the last event.
    Changes(Changes<Shown>),
    /// All members that are not gone.
    Members(hobnob_api::Members),
    /// The members that changed since the last event.
    MemberChanges(MemberChanges),
}

/// An event, with what it takes while it waits to be written.
#[derive(Debug)]
pub(crate) struct Told {
    pub(crate) event: Event,
    /// The reason why it is the whole picture, although its client knew one before.
    pub(crate) reset: Option<Reset>,
    /// Whether further parts of the same event follow.
    pub(crate) more: bool,
    pub(crate) held: Arc<Held>,
}

/// The instances that a watch follows.
#[derive(Clone, Debug)]
enum Subject {
    Service(ServiceKey),
    All {
        /// Only services of this namespace.
        namespace: Option<String>,
    },
}

/// Follows a service, whether or not it exists, or all services. It sleeps until one of them changes.
pub(crate) struct Watch {
    registry: Arc<Registry>,
    subject: Subject,
    /// Only instances of these datacenters are told.
    datacenters: Datacenters,
    /// Only healthy instances are offered.
    strict: bool,
    subscription: Subscription,
    /// The grade that was offered among them when it was told last, of a watch of one service.
    offered: Option<Grade>,
    /// The settings of the service as they were told last, of a watch of one service; `None` before that.
    settings: Option<ServiceSettings>,
    /// The revision that the last event was taken from.
    seen: Option<u64>,
    /// Whether `seen` is of another run of the agent.
    is_of_other_run: bool,
    memory: Memory,
    /// The budget of the memory.
    held: Held,
    allowance: Arc<Budget>,
    /// The whole picture that is not finished.
    building: Option<Building>,
    /// The event that is not told to its end.
    rest: Option<Rest>,
    /// The most bytes of a part.
    part_bytes: usize,
    /// When it last looked for an event. The next look has to wait for a change.
    looked_at: Option<Instant>,
    /// A change woke it, and it has not looked since.
    is_woken: bool,
}

/// The part of an event that is not told yet.
struct Rest {
    instances: std::vec::IntoIter<Shown>,
    revision: u64,
    /// The revision of parts that others follow: where a watch that breaks off between them has to go on.
    unfinished: u64,
    /// The whole picture begins with it.
    starts_over: bool,
    reset: Option<Reset>,
    held: Arc<Held>,
}

impl Watch {
    /// A watch of a service whose memory and events count in `allowance`.
    ///
    /// # Errors
    /// A name breaks a rule, or there is no room for the watch.
    pub(crate) fn new(
        registry: Arc<Registry>,
        query: WatchQuery,
        allowance: Arc<Budget>,
    ) -> Result<Self, ApiError> {
        let key = service_key(query.namespace, query.service)?;
        let subscription = registry.subscribe(key.clone());
        let WatchQuery { since, run, datacenter, strict, consistency, .. } = query;
        let query = WatchAllQuery { namespace: None, since, run, datacenter, strict, consistency };
        Self::of(registry, Subject::Service(key), query, subscription, allowance)
    }

    /// A watch of all services.
    ///
    /// # Errors
    /// As [`Watch::new`].
    pub(crate) fn all(
        registry: Arc<Registry>,
        query: WatchAllQuery,
        allowance: Arc<Budget>,
    ) -> Result<Self, ApiError> {
        query.namespace.iter().try_for_each(|namespace| check("namespace", namespace))?;
        let subscription = registry.subscribe_to_all();
        let subject = Subject::All { namespace: query.namespace.clone() };
        Self::of(registry, subject, query, subscription, allowance)
    }

    fn of(
        registry: Arc<Registry>,
        subject: Subject,
        query: WatchAllQuery,
        subscription: Subscription,
        allowance: Arc<Budget>,
    ) -> Result<Self, ApiError> {
        let reason = "a watch tells what this agent learns, as it learns it, and is never strong: resolve the service with the consistency `strong` instead, again and again";
        refuse_strong(query.consistency, reason)?;
        check_datacenters(&query.datacenter)?;
        let held = allowance.hold(WATCH_BYTES)?;
        let is_of_other_run =
            query.since.is_some_and(|since| !registry.is_of_this_run(since, query.run.as_deref()));
        Ok(Self {
            registry,
            subject,
            datacenters: query.datacenter,
            strict: query.strict,
            subscription,
            offered: None,
            settings: None,
            seen: query.since,
            is_of_other_run,
            memory: Memory::new(),
            held,
            allowance,
            building: None,
            rest: None,
            part_bytes: MAX_PART_BYTES,
            looked_at: None,
            is_woken: false,
        })
    }

    /// The next event or part of one, as soon as there is one. Dropping the future before it is ready loses nothing.
    ///
    /// # Errors
    /// There is no room for the event, or to remember it. The watch has ended.
    pub(crate) async fn next(&mut self) -> Result<Told, Exhausted> {
        loop {
            if let Some(rest) = self.rest.take() {
                return self.tell_part(rest);
            }
            if let Some(building) = self.building.take() {
                self.build(building)?;
                if self.building.is_some() {
                    tokio::task::yield_now().await;
                }
                continue;
            }
            if let Some(looked_at) = self.looked_at {
                if !self.is_woken {
                    self.subscription.changed().await;
                    self.is_woken = true;
                }
                collect(looked_at).await;
            }
            self.is_woken = false;
            let is_first = self.looked_at.is_none();
            self.looked_at = Some(Instant::now());
            self.subscription.mark_seen();
            self.look(is_first)?;
        }
    }

    /// Prepares the event that brings the watcher up to date; none when it would see no difference. When another grade
    /// is offered, instances that did not change themselves are told too. The first look of a resumed watch has an event in
    /// any case, so that its client knows that it is up to date.
    fn look(&mut self, is_first: bool) -> Result<(), Exhausted> {
        let reset = match self.seen {
            None => None,
            Some(_) if std::mem::take(&mut self.is_of_other_run) => Some(Reset::OtherRun),
            Some(seen) => match self.changes_since(seen, is_first) {
                Some((revision, shown)) => {
                    self.seen = Some(revision);
                    let instances = self.memory.news(shown);
                    if is_first || !instances.is_empty() || self.other_settings().is_some() {
                        let held = self.allowance.hold(0)?;
                        self.prepare(instances, held, (revision, seen), None)?;
                    }
                    return Ok(());
                }
                None if is_first => Some(Reset::TooOld),
                None => Some(Reset::FellBehind),
            },
        };
        if matches!(reset, Some(Reset::TooOld | Reset::FellBehind)) {
            self.registry.count_watch_reset();
        }
        self.building = Some(self.begin_whole(reset)?);
        Ok(())
    }

    /// The settings of the service, where they differ from those that were told.
    fn other_settings(&self) -> Option<ServiceSettings> {
        let Subject::Service(key) = &self.subject else { return None };
        let settings = self.registry.service(key).map(|service| service.settings());
        let settings = settings.unwrap_or_default();
        (self.settings.as_ref() != Some(&settings)).then_some(settings)
    }

    /// The instances that changed since a revision, or may look different since then; `None` when that is forgotten.
    fn changes_since(&mut self, seen: u64, is_first: bool) -> Option<(u64, Vec<Shown>)> {
        match self.subject.clone() {
            Subject::Service(key) => {
                let Since::Changes { revision, instances, regraded } =
                    self.registry.changes_since(&key, seen)
                else {
                    return None;
                };
                let (all, offered) = self.offer(self.registry.service(&key).as_deref());
                // The log knows of grades of the whole service. Of a part of it, a resumed watch has forgotten the last one.
                let regraded = match self.datacenters.is_all() {
                    true => regraded,
                    false => is_first || offered != self.offered,
                };
                self.offered = offered;
                Some((revision, self.shown(instances, &all, offered, regraded, is_first)))
            }
            Subject::All { namespace } => {
                let AllSince::Changes { revision, instances, regraded } =
                    self.registry.all_changes_since(seen)
                else {
                    return None;
                };
                let mut of_service: BTreeMap<ServiceKey, Vec<Arc<Entry>>> = BTreeMap::new();
                for entry in instances {
                    let key = ServiceKey::of(&entry);
                    if namespace.as_ref().is_none_or(|namespace| *namespace == key.namespace) {
                        of_service.entry(key).or_default().push(entry);
                    }
                }
                let mut shown = Vec::new();
                // An instance that moved to another service went from the first one: its end is told before.
                let mut come = Vec::new();
                for (key, entries) in of_service {
                    let (all, offered) = self.offer(self.registry.service(&key).as_deref());
                    // The memory leaves out those that look as before.
                    let regraded = regraded.contains(&key) || !self.datacenters.is_all();
                    let these = self.shown(entries, &all, offered, regraded, is_first);
                    let (gone, there): (Vec<_>, Vec<_>) = these
                        .into_iter()
                        .partition(|one| one.entry().status == InstanceStatus::Gone);
                    shown.extend(gone);
                    come.extend(there);
                }
                shown.extend(come);
                Some((revision, shown))
            }
        }
    }

    /// The changed instances of a service as they are shown, and with `regraded` the others that may look different.
    fn shown(
        &self,
        mut entries: Vec<Arc<Entry>>,
        all: &Instances,
        offered: Option<Grade>,
        regraded: bool,
        is_first: bool,
    ) -> Vec<Shown> {
        if regraded {
            let told: BTreeSet<_> =
                entries.iter().map(|entry| (entry.id.clone(), entry.origin)).collect();
            let may_differ = |(id, entry): &(&(Text, NodeId), &Arc<Entry>)| {
                entry.grade().is_some()
                    && is_within(&self.datacenters, entry)
                    && !told.contains(*id)
            };
            entries.extend(all.iter().filter(may_differ).map(|(_, entry)| entry.clone()));
        }
        let show = |entry: Arc<Entry>| {
            if is_within(&self.datacenters, &entry) {
                Some(self.registry.show(&entry, offered))
            } else if is_first || self.memory.knows(&entry) {
                // Its node may have been in one of the datacenters before.
                Some(self.registry.show(&gone(&entry), offered))
            } else {
                None
            }
        };
        entries.into_iter().filter_map(show).collect()
    }

    /// All instances of a service, with the grade that is offered among those of the datacenters.
    fn offer(&self, service: Option<&Service>) -> (Instances, Option<Grade>) {
        let (all, offered) = service.map(Service::offer).unwrap_or_default();
        if self.datacenters.is_all() {
            return (all, offered.filter(|offered| offered.is_healthy() || !self.strict));
        }
        let within = all.values().filter(|entry| is_within(&self.datacenters, entry));
        let offered = Grade::offered(within.map(|entry| entry.grade()), self.strict);
        (all, offered)
    }

    /// Prepares an event that brings the watcher to a revision, and to another one until all of its parts are told. With `whole` it is
    /// the whole picture.
    fn prepare(
        &mut self,
        instances: Vec<Shown>,
        mut held: Held,
        (revision, unfinished): (u64, u64),
        whole: Option<Option<Reset>>,
    ) -> Result<(), Exhausted> {
        held.resize(instances.capacity() * size_of::<Shown>())?;
        let held = Arc::new(held);
        let (starts_over, reset) = (whole.is_some(), whole.flatten());
        let instances = instances.into_iter();
        self.rest = Some(Rest { instances, revision, unfinished, starts_over, reset, held });
        Ok(())
    }

    /// The settings that are to be told with the next event. They are then told.
    fn tell_settings(&mut self) -> Option<ServiceSettings> {
        let other = self.other_settings()?;
        self.settings = Some(other.clone());
        Some(other)
    }

    /// Tells as much of an event as fits a part, and remembers that.
    fn tell_part(&mut self, mut rest: Rest) -> Result<Told, Exhausted> {
        let (mut instances, mut bytes) = (Vec::new(), 0);
        while let Some(shown) = rest.instances.as_slice().first() {
            let more = shown.answer_bytes();
            if bytes + more > self.part_bytes && !instances.is_empty() {
                break;
            }
            bytes += more;
            let Some(shown) = rest.instances.next() else { break };
            self.memory.remember(&shown);
            instances.push(shown);
        }
        self.held.resize(WATCH_BYTES + self.memory.len() * TOLD_BYTES)?;
        let isolated = self.registry.is_isolated();
        let more = !rest.instances.as_slice().is_empty();
        let revision = if more { rest.unfinished } else { rest.revision };
        let (held, reset) = (rest.held.clone(), rest.reset.take());
        let event = if std::mem::take(&mut rest.starts_over) {
            self.settings = None;
            let settings = self.tell_settings().filter(|told| *told != ServiceSettings::default());
            let consistency = Consistency::Eventual;
            let whole =
                hobnob_api::Instances { revision, isolated, consistency, settings, instances };
            Event::Instances(whole)
        } else {
            let settings = self.tell_settings();
            Event::Changes(Changes { revision, isolated, settings, instances })
        };
        self.rest = more.then_some(rest);
        Ok(Told { event, reset, more, held })
    }
}

/// Waits until changes soon after the last look have been collected. After a quiet time there is nothing to wait for, and no
/// timer is set.
async fn collect(looked_at: Instant) {
    let until = looked_at + COALESCE;
    if Instant::now() < until {
        tokio::time::sleep_until(until).await;
    }
}

fn is_within(datacenters: &Datacenters, entry: &Entry) -> bool {
    datacenters.contains(&entry.node.datacenter)
}

/// The instance as one that went.
fn gone(entry: &Entry) -> Arc<Entry> {
    let instance = Instance { status: InstanceStatus::Gone, ..Instance::clone(entry) };
    Arc::new(Entry::new(Arc::new(instance), false))
}
