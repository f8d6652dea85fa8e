//! Questions that wait until their subject has changed since an index.

use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout_at};

use crate::services::{Registry, ServiceKey, Subscription};

/// A question about many services or members looks at most this often whether its answer has changed.
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// It takes one part in so many of a core at most, however long its answer is.
const LOOK_SHARE: u32 = 20;

/// The subject of a question.
#[derive(Clone, Debug)]
pub(super) enum Subject {
    /// One service, whether or not it is there.
    Service(ServiceKey),
    Services,
    Members,
    /// Services and members.
    All,
}

impl Subject {
    /// Its index: the revision of its latest change. It only grows, over restarts too.
    pub(super) fn index(&self, registry: &Registry) -> u64 {
        match self {
            Self::Service(key) => registry.index_of(key),
            Self::Services => registry.index_of_services(),
            Self::Members => registry.members().1,
            Self::All => registry.index_of_services().max(registry.members().1),
        }
    }

    /// Waits until the subject has changed since an index, or until a time. An index that this run of the agent never gave is
    /// answered at once. With `answer`, which stands for what the asker would see, changes that it would not see do not count.
    pub(super) async fn wait<T: PartialEq>(
        &self,
        registry: &Registry,
        index: u64,
        until: Instant,
        answer: Option<&(dyn Fn() -> T + Sync)>,
    ) {
        let mut wake = self.subscribe(registry);
        let (mut index, mut seen, mut pause) = (index, None, LOOK_EVERY);
        let look = |answer: &(dyn Fn() -> T + Sync)| {
            let (began, looked) = (Instant::now(), answer());
            (looked, LOOK_EVERY.max(began.elapsed() * LOOK_SHARE))
        };
        loop {
            wake.mark_seen();
            let publication = registry.publication();
            let now = self.index(registry);
            if index > registry.revision() {
                return;
            }
            match (answer, &seen) {
                // The subject is as the asker knows it.
                (Some(answer), None) if now <= index => {
                    let (looked, after) = look(answer);
                    (seen, pause) = (Some(looked), after);
                    // Changes that are half shown are in this answer, and not in the index that the asker knows.
                    if !registry.is_still(publication) || self.index(registry) > index {
                        return;
                    }
                }
                (Some(answer), Some(known)) if now > index => {
                    let (looked, after) = look(answer);
                    if *known != looked {
                        return;
                    }
                    (index, pause) = (now, after);
                }
                (_, None) if now > index => return,
                _ => {}
            }
            if timeout_at(until, wake.changed()).await.is_err() {
                return;
            }
            if answer.is_some() {
                sleep(pause.min(until.saturating_duration_since(Instant::now()))).await;
            }
        }
    }

    fn subscribe(&self, registry: &Registry) -> Wake {
        match self {
            Self::Service(key) => Wake::of(Some(registry.subscribe(key.clone())), None),
            Self::Services => Wake::of(Some(registry.subscribe_to_all()), None),
            Self::Members => Wake::of(None, Some(registry.subscribe_to_members())),
            Self::All => {
                Wake::of(Some(registry.subscribe_to_all()), Some(registry.subscribe_to_members()))
            }
        }
    }
}

/// Wakes for changes of services, of members, or of both.
struct Wake {
    services: Option<Subscription>,
    members: Option<watch::Receiver<()>>,
}

impl Wake {
    fn of(services: Option<Subscription>, members: Option<watch::Receiver<()>>) -> Self {
        Self { services, members }
    }

    fn mark_seen(&mut self) {
        if let Some(services) = &mut self.services {
            services.mark_seen();
        }
        if let Some(members) = &mut self.members {
            members.mark_unchanged();
        }
    }

    async fn changed(&mut self) {
        let services = async {
            match &mut self.services {
                Some(services) => services.changed().await,
                None => std::future::pending().await,
            }
        };
        let members = async {
            match &mut self.members {
                // The registry outlives its askers.
                Some(members) => drop(members.changed().await),
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = services => {}
            () = members => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use hobnob_membership::view::InstanceStatus;

    use super::*;
    use crate::services::testing::{FIRST_REVISION, OWN, instance, key, of_service, registry, web};

    const NO_ANSWER: Option<&(dyn Fn() -> u64 + Sync)> = None;

    fn waiting(
        registry: &Arc<Registry>,
        subject: Subject,
        index: u64,
    ) -> tokio::task::JoinHandle<Duration> {
        let registry = registry.clone();
        tokio::spawn(async move {
            let began = Instant::now();
            let until = began + Duration::from_secs(60);
            subject.wait(&registry, index, until, NO_ANSWER).await;
            began.elapsed()
        })
    }

    #[tokio::test(start_paused = true)]
    async fn a_question_wakes_for_its_service_and_for_no_other() {
        let (registry, mut writer) = registry();
        writer.apply(instance(OWN, "a", InstanceStatus::Healthy));
        writer.publish();
        let of_web = Subject::Service(web());
        let index = of_web.index(&registry);
        let quiet = waiting(&registry, of_web.clone(), index);
        let absent = waiting(&registry, Subject::Service(key("absent")), index);
        for id in ["b", "c"] {
            sleep(Duration::from_secs(1)).await;
            writer.apply(of_service("api", id));
            writer.publish();
        }
        sleep(Duration::from_secs(1)).await;
        assert!(!quiet.is_finished() && !absent.is_finished());
        assert_eq!(of_web.index(&registry), index);
        writer.apply(instance(OWN, "a", InstanceStatus::Unhealthy));
        writer.publish();
        assert_eq!(quiet.await.expect("no panic"), Duration::from_secs(3));
        assert!(of_web.index(&registry) > index);
        assert_eq!(absent.await.expect("no panic"), Duration::from_secs(60), "the time limit");
    }

    #[tokio::test(start_paused = true)]
    async fn an_index_that_is_old_or_was_never_given_is_answered_at_once() {
        let (registry, mut writer) = registry();
        writer.apply(instance(OWN, "a", InstanceStatus::Healthy));
        writer.publish();
        for index in [1, FIRST_REVISION, registry.revision() + 1, u64::MAX] {
            let waited = waiting(&registry, Subject::Service(web()), index).await;
            assert_eq!(waited.expect("no panic"), Duration::ZERO, "{index}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_question_about_all_services_goes_on_while_its_answer_is_the_same() {
        let (registry, mut writer) = registry();
        writer.apply(instance(OWN, "a", InstanceStatus::Healthy));
        writer.publish();
        let asked = tokio::spawn({
            let registry = registry.clone();
            async move {
                let index = Subject::Services.index(&registry);
                let names = || registry.services().len();
                let until = Instant::now() + Duration::from_secs(60);
                Subject::Services.wait(&registry, index, until, Some(&names)).await;
            }
        });
        sleep(Duration::from_secs(1)).await;
        writer.apply(instance(OWN, "a", InstanceStatus::Unhealthy));
        writer.publish();
        sleep(Duration::from_secs(1)).await;
        assert!(!asked.is_finished());
        let before = Instant::now();
        writer.apply(of_service("api", "b"));
        writer.publish();
        asked.await.expect("no panic");
        assert_eq!(before.elapsed(), LOOK_EVERY);
    }
}
