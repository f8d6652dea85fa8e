//! What clients tell of calls that they picked for by themselves, and how much of it counts.
//!
//! A client whose every call fails has lost its own way, or asks for what no instance can give: that says nothing of an
//! instance. So a failure counts only for a client that another instance of the service has answered of late. How slowly
//! failures count, and what ends that, is for the balancer to say: see [`hobnob_balancer::Balancer::observe`].

use std::collections::BTreeMap;
use std::time::Duration;

use hobnob_api::{ApiError, ErrorCode, InstanceCalls, ServiceCalls};
use hobnob_balancer::Observed;
use hobnob_membership::Time;

use super::asked::{check, service_key};
use crate::services::{Registry, ServiceKey, Taken};

/// Instances in one call, over all services.
const MAX_INSTANCES: usize = 256;
/// Services of which a caller's last answers are remembered. Beyond it they are forgotten.
const MAX_SERVICES: usize = 16;
/// An answer of another instance makes a failure count for this long.
const ANSWERED_WITHIN: Duration = Duration::from_secs(10);

/// The last answers that one caller had, by service.
#[derive(Default)]
pub(crate) struct Observations {
    services: BTreeMap<ServiceKey, Answered>,
}

/// The two instances that answered last.
#[derive(Debug, Default)]
struct Answered {
    last: Option<(String, Time)>,
    other: Option<(String, Time)>,
}

impl Answered {
    /// Takes an answer of an instance.
    fn by(&mut self, id: &str, now: Time) {
        if !matches!(&self.last, Some((last, _)) if last == id) {
            self.other = self.last.take();
        }
        self.last = Some((id.to_owned(), now));
    }

    /// Whether an instance other than this one has answered of late.
    fn by_another_than(&self, id: &str, now: Time) -> bool {
        let mut answers = [&self.last, &self.other].into_iter().flatten();
        answers.any(|(by, at)| by != id && now.since(*at) <= ANSWERED_WITHIN)
    }
}

impl Observations {
    /// Feeds the balancers of the services with these calls. Returns how many of the instances are known, and offered.
    ///
    /// # Errors
    /// There are too many, or a name breaks a rule. Nothing was taken.
    pub(crate) fn take(
        &mut self,
        registry: &Registry,
        calls: Vec<ServiceCalls>,
    ) -> Result<usize, ApiError> {
        let instances: usize = calls.iter().map(|calls| calls.instances.len()).sum();
        if instances > MAX_INSTANCES || calls.len() > MAX_SERVICES {
            let message = format!(
                "calls of {instances} instances of {} services in one report: at most {MAX_INSTANCES} instances of \
                 {MAX_SERVICES} services",
                calls.len()
            );
            return Err(ApiError::new(ErrorCode::OutOfRange, message));
        }
        let mut taken = Vec::new();
        for ServiceCalls { service, namespace, instances } in calls {
            instances.iter().try_for_each(|one| check("instance id", &one.id))?;
            taken.push((service_key(namespace, service)?, instances));
        }
        Ok(taken.into_iter().map(|(key, instances)| self.feed(registry, key, &instances)).sum())
    }

    fn feed(&mut self, registry: &Registry, key: ServiceKey, instances: &[InstanceCalls]) -> usize {
        let Some(service) = registry.service(&key) else {
            instances.iter().for_each(|one| registry.told().count(one, Taken::Nothing));
            return 0;
        };
        if self.services.len() >= MAX_SERVICES && !self.services.contains_key(&key) {
            self.services.clear();
        }
        let answered = self.services.entry(key).or_default();
        let (now, target) =
            (registry.now(), |one: &InstanceCalls| format!("{}/{}", one.node_id, one.id));
        for one in instances.iter().filter(|one| one.successes > 0) {
            answered.by(&target(one), now);
        }
        let known = instances.iter().filter(|one| {
            let id = target(one);
            let (failures, taken) = match answered.by_another_than(&id, now) {
                true => (one.failures, Taken::Whole),
                false => (0, Taken::Successes),
            };
            let latency = (one.latency_us > 0).then(|| Duration::from_micros(one.latency_us));
            let observed = Observed { successes: one.successes, failures, latency };
            let is_known = registry.observe(&service, &id, &observed);
            registry.told().count(one, if is_known { taken } else { Taken::Nothing });
            is_known
        });
        known.count()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use hobnob_balancer::Circuit;
    use hobnob_membership::view::{Change, InstanceStatus};

    use super::*;
    use crate::services::testing::{OWN, instance, registry};
    use crate::services::{Writer, target_id};

    /// An instance of a service with a breaker.
    fn add(writer: &mut Writer, id: &str) {
        let Change { instance } = instance(OWN, id, InstanceStatus::Healthy);
        let mut instance = (*instance).clone();
        Arc::make_mut(&mut instance.service).balancing.failure_threshold = Some(4);
        writer.apply(Change { instance: Arc::new(instance) });
        writer.publish();
    }

    fn calls(of: &[(&str, u32, u32)]) -> Vec<ServiceCalls> {
        let one = |&(id, successes, failures): &(&str, u32, u32)| InstanceCalls {
            node_id: hobnob_api::NodeId(OWN.0),
            id: id.to_owned(),
            successes,
            failures,
            latency_us: 0,
        };
        let instances = of.iter().map(one).collect();
        vec![ServiceCalls { service: "web".into(), namespace: "default".into(), instances }]
    }

    /// Whether the circuit of an instance is closed after so many seconds in which each of the clients told its calls once.
    async fn is_closed_after(seconds: u32, told: &[&[(&str, u32, u32)]]) -> bool {
        let (registry, mut writer) = registry();
        tokio::spawn(registry.clone().advance());
        ["a", "b"].iter().for_each(|id| add(&mut writer, id));
        let mut clients: Vec<_> = told.iter().map(|told| (Observations::default(), told)).collect();
        for _ in 0..seconds {
            for (client, told) in &mut clients {
                let known = client.take(&registry, calls(told)).expect("taken");
                assert_eq!(known, told.len());
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        let service = registry.services().values().next().cloned().expect("one");
        let id = target_id(&instance(OWN, "a", InstanceStatus::Healthy).instance);
        service.whole().standing(&id).expect("offered").circuit == Circuit::Closed
    }

    #[tokio::test(start_paused = true)]
    async fn an_instance_that_fails_a_client_whom_another_answers_is_avoided() {
        assert!(!is_closed_after(4, &[&[("a", 0, 50), ("b", 50, 0)]]).await);
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_whose_every_call_fails_says_nothing_of_an_instance() {
        assert!(is_closed_after(20, &[&[("a", 0, 50), ("b", 0, 50)]]).await);
        assert!(is_closed_after(20, &[&[("a", 0, 50)]]).await);
    }

    #[tokio::test(start_paused = true)]
    async fn one_success_of_another_client_a_second_outweighs_all_failures_of_one() {
        let broken: &[_] = &[("a", 0, 5_000), ("b", 50, 0)];
        assert!(is_closed_after(30, &[broken, &[("a", 1, 0)]]).await);
        assert!(is_closed_after(30, &[&[("a", 1, 0)], broken]).await);
        assert!(!is_closed_after(4, &[broken, &[("b", 1, 0)]]).await, "it says nothing of `a`");
    }

    #[test]
    fn an_answer_of_another_instance_counts_for_ten_seconds() {
        let mut answered = Answered::default();
        let at = |seconds: u64| Time::from_millis(seconds * 1_000);
        assert!(!answered.by_another_than("a", at(0)));
        answered.by("b", at(1));
        answered.by("a", at(5));
        answered.by("a", at(6));
        assert!(answered.by_another_than("a", at(11)) && !answered.by_another_than("a", at(12)));
        assert!(answered.by_another_than("b", at(16)) && !answered.by_another_than("b", at(17)));
    }

    #[tokio::test]
    async fn too_much_is_refused_and_what_is_unknown_is_told() {
        let (registry, mut writer) = registry();
        let mut client = Observations::default();
        assert_eq!(client.take(&registry, calls(&[("a", 1, 1)])), Ok(0));
        add(&mut writer, "b");
        assert_eq!(client.take(&registry, calls(&[("a", 1, 0), ("b", 0, 1)])), Ok(1));
        // Only `a` has answered, so that `b` is another one. Then `b` alone fails.
        let mut other = Observations::default();
        assert_eq!(other.take(&registry, calls(&[("b", 2, 4)])), Ok(1));
        assert_eq!(registry.told().read(), [10, 6, 4, 3], "all, failed, doubted, unknown");
        let many: Vec<_> = vec![("a", 1, 0); MAX_INSTANCES + 1];
        let refused = client.take(&registry, calls(&many)).expect_err("too many");
        assert_eq!(refused.code, ErrorCode::OutOfRange);
        let refused = client.take(&registry, calls(&[("", 1, 0)])).expect_err("no name");
        assert_eq!(refused.code, ErrorCode::NameInvalid);
    }
}
