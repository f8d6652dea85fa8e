//! Watches: a service now, then its changes.

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use hobnob_api::{ApiError, Changes, Datacenters, Grade, WatchQuery};
use hobnob_membership::view::{Instance, InstanceStatus};
use tokio::time::Instant;
use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::asked::{check_datacenters, service_key};
use crate::budget::{Budget, Exhausted, Held};
use crate::services::{Entry, Instances, Registry, ServiceKey, Shown, Since, Subscription};

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

/// An event of a watch.
#[derive(Debug)]
pub(crate) enum Event {
    /// All instances of the service, or as many as fit a part: [`Event::Changes`] tell the others.
    Instances(hobnob_api::Instances<Shown>),
    /// The instances that changed since the last event.
    Changes(Changes<Shown>),
}

/// An event, with what it takes while it waits to be written.
#[derive(Debug)]
pub(crate) struct Told {
    pub(crate) event: Event,
    pub(crate) held: Arc<Held>,
}

/// Follows a service, whether or not it exists. It sleeps until its service changes.
pub(crate) struct Watch {
    registry: Arc<Registry>,
    key: ServiceKey,
    /// Only instances of these datacenters are told.
    datacenters: Datacenters,
    subscription: Subscription,
    /// The grade that was offered among them when it was told last.
    offered: Option<Grade>,
    /// The revision that the last event was taken from.
    seen: Option<u64>,
    memory: Memory,
    /// The budget of the memory.
    held: Held,
    allowance: Arc<Budget>,
    /// Parts that are not told yet.
    parts: VecDeque<Told>,
    /// When it last looked for an event. The next look has to wait for a change.
    looked_at: Option<Instant>,
}

impl Watch {
    /// A watch whose memory and events count in `allowance`.
    ///
    /// # Errors
    /// A name breaks a rule, or there is no room for the watch.
    pub(crate) fn new(
        registry: Arc<Registry>,
        query: WatchQuery,
        allowance: Arc<Budget>,
    ) -> Result<Self, ApiError> {
        let key = service_key(query.namespace, query.service)?;
        check_datacenters(&query.datacenter)?;
        let held = allowance.hold(WATCH_BYTES)?;
        let subscription = registry.subscribe(key.clone());
        Ok(Self {
            registry,
            key,
            datacenters: query.datacenter,
            subscription,
            offered: None,
            seen: query.since,
            memory: Memory::new(),
            held,
            allowance,
            parts: VecDeque::new(),
            looked_at: None,
        })
    }

    /// The next event, as soon as there is one. Dropping the future before it is ready loses nothing.
    ///
    /// # Errors
    /// There is no room for the event, or to remember it. The watch has ended.
    pub(crate) async fn next(&mut self) -> Result<Told, Exhausted> {
        loop {
            if let Some(part) = self.parts.pop_front() {
                return Ok(part);
            }
            if let Some(looked_at) = self.looked_at {
                tokio::time::sleep_until(looked_at + COALESCE).await;
                self.subscription.changed().await;
            }
            let is_first = self.looked_at.is_none();
            self.looked_at = Some(Instant::now());
            self.subscription.mark_seen();
            self.look(is_first)?;
        }
    }

    /// Adds the event that brings the watcher up to date, in parts; none when it would see no difference. When another grade
    /// is offered, instances that did not change themselves are told too. The first look of a resumed watch has an event in
    /// any case, so that its client knows that it is up to date.
    fn look(&mut self, is_first: bool) -> Result<(), Exhausted> {
        match self.seen.map(|revision| (revision, self.registry.changes_since(&self.key, revision)))
        {
            Some((seen, Since::Changes { revision, instances: mut entries, regraded })) => {
                self.seen = Some(revision);
                let (all, offered) = self.offer();
                // The log knows of grades of the whole service. Of a part of it, a resumed watch has forgotten the last one.
                let regraded = match self.datacenters.is_all() {
                    true => regraded,
                    false => is_first || offered != self.offered,
                };
                self.offered = offered;
                if regraded {
                    let may_differ = |entry: &&Arc<Entry>| {
                        entry.grade().is_some() && is_within(&self.datacenters, entry)
                    };
                    entries.extend(all.values().filter(may_differ).cloned());
                }
                let mut instances = Vec::new();
                for entry in entries {
                    let shown = if is_within(&self.datacenters, &entry) {
                        self.registry.show(&entry, offered)
                    } else if is_first || self.memory.knows(&entry) {
                        // Its node may have been in one of the datacenters before.
                        self.registry.show(&gone(&entry), offered)
                    } else {
                        continue;
                    };
                    if self.memory.is_news(&shown) {
                        instances.push(shown);
                    }
                }
                if is_first || !instances.is_empty() {
                    self.tell(instances, revision, seen, false)?;
                }
            }
            Some((_, Since::Forgotten)) | None => {
                // Read before the instances: a change that comes between is told again, which does no harm.
                let revision = self.registry.revision();
                self.seen = Some(revision);
                let (all, offered) = self.offer();
                self.offered = offered;
                let within = all.values().filter(|entry| is_within(&self.datacenters, entry));
                let instances: Vec<_> =
                    within.map(|entry| self.registry.show(entry, offered)).collect();
                self.memory.start_over(&instances);
                self.tell(instances, revision, UNFINISHED, true)?;
            }
        }
        self.held.resize(WATCH_BYTES + self.memory.len() * TOLD_BYTES)
    }

    /// All instances of the service, with the grade that is offered among those of the datacenters.
    fn offer(&self) -> (Instances, Option<Grade>) {
        let service = self.registry.service(&self.key);
        let (all, offered) = service.map(|service| service.offer()).unwrap_or_default();
        if self.datacenters.is_all() {
            return (all, offered);
        }
        let within = all.values().filter(|entry| is_within(&self.datacenters, entry));
        let offered = Grade::offered(within.map(|entry| entry.grade()), false);
        (all, offered)
    }

    /// Cuts an event into parts. Only the last one carries its revision; the others carry `unfinished`, which is where a
    /// watch that breaks off between them has to go on.
    fn tell(
        &mut self,
        instances: Vec<Shown>,
        revision: u64,
        unfinished: u64,
        starts_over: bool,
    ) -> Result<(), Exhausted> {
        let isolated = self.registry.is_isolated();
        let held = Arc::new(self.allowance.hold(instances.len() * size_of::<Shown>())?);
        let mut parts = parts(instances).into_iter().peekable();
        let mut starts_over = starts_over;
        while let Some(instances) = parts.next() {
            let revision = if parts.peek().is_some() { unfinished } else { revision };
            let event = if std::mem::take(&mut starts_over) {
                Event::Instances(hobnob_api::Instances { revision, isolated, instances })
            } else {
                Event::Changes(Changes { revision, isolated, instances })
            };
            self.parts.push_back(Told { event, held: held.clone() });
        }
        Ok(())
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

/// The instances in their order, in at least one part.
fn parts(instances: Vec<Shown>) -> Vec<Vec<Shown>> {
    let (mut parts, mut last, mut bytes) = (Vec::new(), Vec::new(), 0);
    for shown in instances {
        let more = shown.answer_bytes();
        if bytes + more > MAX_PART_BYTES && !last.is_empty() {
            parts.push(std::mem::take(&mut last));
            bytes = 0;
        }
        bytes += more;
        last.push(shown);
    }
    parts.push(last);
    parts
}

/// The looks of each instance when it was told last, as hashes that all watchers share. A change of something that no
/// answer shows is no news.
struct Memory {
    looks: BTreeMap<u64, u64>,
    /// Nobody can make up two instances with one hash.
    seed: u64,
}

impl Memory {
    fn new() -> Self {
        Self { looks: BTreeMap::new(), seed: rand::random() }
    }

    fn len(&self) -> usize {
        self.looks.len()
    }

    fn start_over(&mut self, instances: &[Shown]) {
        self.looks.clear();
        for shown in instances {
            self.is_news(shown);
        }
    }

    /// Whether an instance was told, and has not gone since.
    fn knows(&self, entry: &Entry) -> bool {
        self.looks.contains_key(&self.key(entry))
    }

    fn key(&self, entry: &Entry) -> u64 {
        xxh3_64_with_seed(entry.id.as_bytes(), self.seed ^ entry.origin.0)
    }

    fn is_news(&mut self, shown: &Shown) -> bool {
        let entry = shown.entry();
        let key = self.key(entry);
        if entry.status == InstanceStatus::Gone {
            self.looks.remove(&key);
            return true;
        }
        let looks = shown.looks();
        self.looks.insert(key, looks) != Some(looks)
    }
}
