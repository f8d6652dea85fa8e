//! Watches: a service now, then its changes.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use hobnob_api::{Changes, Instances, WatchQuery};
use hobnob_membership::NodeId;
use hobnob_membership::record::Text;
use hobnob_membership::view::InstanceStatus;
use tokio::time::Instant;

use crate::services::{Registry, ServiceKey, Shown, Since, Subscription};

/// After a change was told, the next ones are collected for this long. The first after a quiet time is told at once.
const COALESCE: Duration = Duration::from_millis(5);

/// An event of a watch.
#[derive(Debug)]
pub(crate) enum Event {
    /// All instances of the service.
    Instances(Instances<Shown>),
    /// The instances that changed since the last event.
    Changes(Changes<Shown>),
}

/// Follows a service, whether or not it exists. It sleeps until its service changes.
pub(crate) struct Watch {
    registry: Arc<Registry>,
    key: ServiceKey,
    subscription: Subscription,
    /// The revision that the last event was taken from.
    seen: Option<u64>,
    told: Told,
    /// When it last looked for an event. The next look has to wait for a change.
    looked_at: Option<Instant>,
}

impl Watch {
    pub(crate) fn new(registry: Arc<Registry>, query: WatchQuery) -> Self {
        let key = ServiceKey { namespace: query.namespace, service: query.service };
        let subscription = registry.subscribe(key.clone());
        Self {
            registry,
            key,
            subscription,
            seen: query.since,
            told: Told::default(),
            looked_at: None,
        }
    }

    /// The next event, as soon as there is one. Dropping the future before it is ready loses nothing.
    pub(crate) async fn next(&mut self) -> Event {
        loop {
            if let Some(looked_at) = self.looked_at {
                tokio::time::sleep_until(looked_at + COALESCE).await;
                self.subscription.changed().await;
            }
            let is_first = self.looked_at.is_none();
            self.looked_at = Some(Instant::now());
            self.subscription.mark_seen();
            if let Some(event) = self.look(is_first) {
                return event;
            }
        }
    }

    /// The event that brings the watcher up to date; `None` when it would see no difference. The first look of a resumed
    /// watch has an event in any case, so that its client knows that it is up to date.
    fn look(&mut self, is_first: bool) -> Option<Event> {
        match self.seen.map(|revision| self.registry.changes_since(&self.key, revision)) {
            Some(Since::Changes { revision, instances }) => {
                self.seen = Some(revision);
                let service = self.registry.service(&self.key);
                let last_known = service.is_some_and(|service| service.offers_last_known());
                let shown = instances.iter().map(|entry| self.registry.show(entry, last_known));
                let instances: Vec<_> = shown.filter(|shown| self.told.is_news(shown)).collect();
                let isolated = self.registry.is_isolated();
                (is_first || !instances.is_empty()).then_some(Event::Changes(Changes {
                    revision,
                    isolated,
                    instances,
                }))
            }
            Some(Since::Forgotten) | None => {
                // Read before the instances: a change that comes between is told again, which does no harm.
                let revision = self.registry.revision();
                self.seen = Some(revision);
                let mut instances = Vec::new();
                if let Some(service) = self.registry.service(&self.key) {
                    let last_known = service.offers_last_known();
                    let entries = service.instances();
                    let shown = entries.iter().map(|entry| self.registry.show(entry, last_known));
                    instances.extend(shown);
                }
                self.told.start_over(&instances);
                let isolated = self.registry.is_isolated();
                Some(Event::Instances(Instances { revision, isolated, instances }))
            }
        }
    }
}

/// The instances as the watcher was told of them last. A change of something that no answer shows is no news.
#[derive(Default)]
struct Told(BTreeMap<(NodeId, Text), Shown>);

impl Told {
    fn start_over(&mut self, instances: &[Shown]) {
        self.0.clear();
        for shown in instances {
            self.is_news(shown);
        }
    }

    fn is_news(&mut self, shown: &Shown) -> bool {
        let key = (shown.entry().origin, shown.entry().id.clone());
        if shown.entry().status == InstanceStatus::Gone {
            self.0.remove(&key);
            return true;
        }
        let before = self.0.insert(key, shown.clone());
        before.is_none_or(|before| !before.looks_like(shown))
    }
}

#[cfg(test)]
mod tests {
    use hobnob_membership::record::Health;
    use hobnob_membership::view::Change;
    use tokio::time::timeout;

    use super::*;
    use crate::services::testing::{OTHER, OWN, instance, of_service, registry};

    /// Longer than anything that a watch waits for by itself.
    const LONG: Duration = Duration::from_secs(60);

    fn watch(registry: &Arc<Registry>, since: Option<u64>) -> Watch {
        let query =
            WatchQuery { service: "web".to_owned(), namespace: "default".to_owned(), since };
        Watch::new(registry.clone(), query)
    }

    fn ids(shown: &[Shown]) -> Vec<&str> {
        shown.iter().map(|shown| shown.entry().id.as_str()).collect()
    }

    async fn instances(watch: &mut Watch) -> Instances<Shown> {
        match timeout(LONG, watch.next()).await.expect("an event") {
            Event::Instances(instances) => instances,
            event => panic!("{event:?}"),
        }
    }

    async fn changes(watch: &mut Watch) -> Changes<Shown> {
        match timeout(LONG, watch.next()).await.expect("an event") {
            Event::Changes(changes) => changes,
            event => panic!("{event:?}"),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_service_is_followed_from_before_it_exists_until_after_it_comes_back() {
        let (registry, mut writer) = registry();
        let mut watch = watch(&registry, None);
        assert_eq!(ids(&instances(&mut watch).await.instances), Vec::<&str>::new());
        for status in [InstanceStatus::Healthy, InstanceStatus::Gone, InstanceStatus::Healthy] {
            writer.apply(instance(OWN, "a", status));
            writer.publish();
            let changes = changes(&mut watch).await;
            assert_eq!(changes.revision, registry.revision());
            assert_eq!(changes.instances[0].entry().status, status);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn changes_soon_after_one_another_are_told_together() {
        let (registry, mut writer) = registry();
        let mut watch = watch(&registry, None);
        instances(&mut watch).await;
        tokio::time::sleep(LONG).await;
        let writing = tokio::spawn(async move {
            for id in ["a", "b", "c"] {
                writer.apply(instance(OWN, id, InstanceStatus::Healthy));
                writer.publish();
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            writer
        });
        let began = Instant::now();
        assert_eq!(ids(&changes(&mut watch).await.instances), ["a"]);
        assert_eq!(began.elapsed(), Duration::ZERO, "the first after a quiet time is told at once");
        assert_eq!(ids(&changes(&mut watch).await.instances), ["b", "c"]);
        assert_eq!(began.elapsed(), COALESCE);
        drop(writing.await.expect("no panic"));
    }

    #[tokio::test(start_paused = true)]
    async fn a_watch_goes_on_after_a_revision() {
        let (registry, mut writer) = registry();
        writer.apply(instance(OWN, "a", InstanceStatus::Healthy));
        writer.publish();
        let seen = registry.revision();
        writer.apply(instance(OTHER, "b", InstanceStatus::Healthy));
        writer.publish();
        let mut resumed = watch(&registry, Some(seen));
        assert_eq!(ids(&changes(&mut resumed).await.instances), ["b"]);
        let mut current = watch(&registry, Some(registry.revision()));
        assert_eq!(ids(&changes(&mut current).await.instances), Vec::<&str>::new());
        let mut unknown = watch(&registry, Some(seen + 1_000));
        assert_eq!(ids(&instances(&mut unknown).await.instances), ["a", "b"], "of another life");
    }

    #[tokio::test(start_paused = true)]
    async fn a_watcher_that_falls_behind_starts_over() {
        let (registry, mut writer) = registry();
        let mut watch = watch(&registry, None);
        instances(&mut watch).await;
        for _ in 0..5_000 {
            writer.apply(instance(OWN, "a", InstanceStatus::Healthy));
        }
        writer.publish();
        assert_eq!(ids(&instances(&mut watch).await.instances), ["a"]);
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_is_told_of_other_services_and_of_changes_that_no_answer_shows() {
        let (registry, mut writer) = registry();
        writer.apply(instance(OWN, "a", InstanceStatus::Healthy));
        writer.publish();
        let mut watch = watch(&registry, None);
        instances(&mut watch).await;
        writer.apply(of_service("api", "b"));
        let Change { instance } = instance(OWN, "a", InstanceStatus::Healthy);
        let unseen =
            hobnob_membership::view::Instance { health: Health::Failing, ..(*instance).clone() };
        writer.apply(Change { instance: Arc::new(unseen) });
        writer.publish();
        assert!(timeout(LONG, watch.next()).await.is_err());
    }
}
