//! The links of this agent that are known to be broken, and members that were lost together: the grades of the instances
//! behind broken links, and the lines of both in the log.

use std::time::Duration;

use hobnob_membership::detector::LinkEnd;
use hobnob_membership::view::{Change, InstanceStatus};
use hobnob_membership::{MassLoss, NodeId, Time};

use super::{Driver, words};

impl Driver {
    /// Applies again the healthy instances of each member that stopped answering this agent, or answers again, since the
    /// last call.
    pub(super) fn show_unanswered(&mut self, now: Time) {
        for origin in self.writer.set_unanswered(self.node.unanswered(now).collect()) {
            for instance in self.node.instances_of(origin) {
                if instance.status == InstanceStatus::Healthy {
                    self.writer.apply(Change { instance: instance.clone() });
                }
            }
        }
    }

    /// Logs that the own link to a member broke.
    pub(super) fn log_broken_link(&self, node: NodeId) {
        let now = self.clock.now();
        let silent_for = self.node.link_broken_for(node, now).unwrap_or_default();
        tracing::warn!(
            name = words::name_of(&self.node, node),
            node_id = %node,
            silent_for_ms = crate::clock::millis(silent_for),
            "the link of this agent to a member is broken: others hear the member, and it does not answer this agent"
        );
    }

    /// Logs that a broken link is none any more.
    pub(super) fn log_end_of_link(&self, node: NodeId, end: LinkEnd) {
        let name = words::name_of(&self.node, node);
        match end {
            LinkEnd::Answered(silent_for) => tracing::info!(
                name,
                node_id = %node,
                silent_for_ms = crate::clock::millis(silent_for),
                "the broken link of this agent to a member is mended: the member answers"
            ),
            LinkEnd::Unwatched => tracing::info!(
                name,
                node_id = %node,
                "the broken link of this agent to a member is watched no longer: the member is gone, or others watch it now"
            ),
        }
    }

    /// Logs how many members of a mass loss are back, and which are not when it is over.
    pub(super) fn log_returns(&self, loss: &MassLoss, lost_for: Duration) {
        let MassLoss { lost, of, back, .. } = loss;
        let seconds = lost_for.as_secs();
        let missing = words::names(&self.node, loss.missing.iter().copied());
        if loss.missing.is_empty() {
            tracing::info!(
                "{back} of {lost} that were lost at once {seconds} s ago, of {of}, are back"
            );
        } else {
            tracing::info!(
                missing,
                "{back} of {lost} that were lost at once {seconds} s ago, of {of}, are back"
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use hobnob_api::Grade;
    use hobnob_membership::record::Key;
    use hobnob_membership::testing::{Network, identity, instance};

    use super::*;
    use crate::driver::OwnChecks;
    use crate::services::{Instances, Registry};
    use crate::testing::IdleDriver;

    /// A node of the network, in the hands of a driver when somebody looks.
    struct Seen {
        net: Network,
        n: usize,
        driver: Driver,
        registry: Arc<Registry>,
    }

    impl Seen {
        async fn of(net: Network, n: usize) -> Self {
            let idle = IdleDriver::restored(n as u64, Vec::new(), OwnChecks::default()).await;
            Self { net, n, driver: idle.driver, registry: idle.registry }
        }

        /// The instances of the one service, and the grade that is offered.
        async fn look_after(&mut self, time: Duration) -> (Instances, Option<Grade>) {
            let Self { net, n, driver, registry } = self;
            net.run_for(time);
            tokio::time::advance(net.now.since(driver.clock.now())).await;
            std::mem::swap(&mut driver.node, &mut net.nodes[*n]);
            net.events[*n].drain(..).for_each(|event| driver.take_event(event));
            driver.drain();
            std::mem::swap(&mut driver.node, &mut net.nodes[*n]);
            registry.services().values().next().expect("the service").offer()
        }
    }

    fn grades(instances: &Instances) -> Vec<(&str, Option<Grade>)> {
        instances.values().map(|one| (one.id.as_str(), one.grade())).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn an_instance_behind_a_broken_link_comes_last_until_its_agent_answers_again() {
        const SECOND: Duration = Duration::from_secs(1);
        const HEALTHY: Option<Grade> = Some(Grade::Healthy);
        const UNANSWERED: Option<Grade> = Some(Grade::Unanswered);
        let mut net = Network::joined(7);
        for (n, id) in [(5, "b"), (6, "a")] {
            net.write(n, instance(id));
        }
        net.run_for(5 * SECOND);
        assert!(net.is_converged());
        let far = identity(6).node_id;
        let monitor = (0..5).find(|n| net.nodes[*n].last_answer(far).is_some()).expect("a monitor");
        let mut seen = Seen::of(net, monitor).await;
        let (before, offered) = seen.look_after(SECOND).await;
        assert_eq!((grades(&before), offered), (vec![("a", HEALTHY), ("b", HEALTHY)], HEALTHY));
        let revision = seen.registry.revision();

        seen.net.cut.insert((monitor, 6));
        seen.look_after(4 * SECOND).await;
        assert_eq!(seen.registry.revision(), revision, "these may be a few losses");
        let (cut, offered) = seen.look_after(3 * SECOND).await;
        assert_eq!((grades(&cut), offered), (vec![("a", UNANSWERED), ("b", HEALTHY)], HEALTHY));
        let b = ("b".into(), identity(5).node_id);
        assert!(Arc::ptr_eq(&before[&b], &cut[&b]), "nothing was learned of it");
        seen.look_after(20 * SECOND).await;
        assert_eq!(seen.registry.revision(), revision + 1, "it is told once");

        seen.net.write(5, vec![(Key::Service("b".into()), None)]);
        let (left, offered) = seen.look_after(SECOND).await;
        assert_eq!((grades(&left), offered), (vec![("a", UNANSWERED)], UNANSWERED));
        seen.net.cut.clear();
        let (after, offered) = seen.look_after(3 * SECOND).await;
        assert_eq!((grades(&after), offered), (vec![("a", HEALTHY)], HEALTHY));
    }
}
