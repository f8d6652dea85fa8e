//! The instances that a watch has told so far, and which of them a pick may choose.

use std::collections::BTreeMap;
use std::sync::Arc;

use hobnob_balancer::{Layer, Nearness, Place, Selector, Target};

use crate::node_id::NodeId;
use crate::types::{Datacenters, Grade, Instance, InstanceStatus};
use crate::watching::WatchEvent;

/// The agent's datacenter and zone. Preferences are seen from there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Locality {
    pub(super) datacenter: String,
    pub(super) zone: String,
}

/// The instances of the service, and the revision up to which they are known.
#[derive(Debug, Default)]
pub(super) struct Known {
    instances: BTreeMap<(NodeId, String), Arc<Instance>>,
    revision: Option<u64>,
}

impl Known {
    /// The revision from which a watch can go on.
    pub(super) fn revision(&self) -> Option<u64> {
        self.revision
    }

    /// All instances, by node and id.
    pub(super) fn instances(&self) -> Arc<[Arc<Instance>]> {
        self.instances.values().cloned().collect()
    }

    /// Takes what a watch told.
    pub(super) fn take(&mut self, event: WatchEvent) {
        self.revision = Some(event.revision());
        let instances = match event {
            WatchEvent::Instances(now) => {
                self.instances.clear();
                now.instances
            }
            WatchEvent::Changes(changes) => changes.instances,
        };
        for instance in instances {
            let key = (instance.node_id, instance.id.clone());
            if instance.status == InstanceStatus::Gone {
                self.instances.remove(&key);
            } else {
                self.instances.insert(key, Arc::new(instance));
            }
        }
    }
}

/// The instances that a pick may choose, seen from the agent.
#[derive(Debug)]
pub(super) struct Scope {
    pub(super) selector: Selector,
    pub(super) datacenter: Datacenters,
    pub(super) strict: bool,
    pub(super) nearness: Nearness,
    pub(super) locality: Locality,
}

impl Scope {
    /// The targets of each layer, nearest first: the instances of the best grade that is in any layer.
    pub(super) fn layers(&self, instances: &[Arc<Instance>]) -> Vec<Layer<Arc<Instance>>> {
        let within: Vec<_> = instances.iter().filter(|instance| self.matches(instance)).collect();
        let offered = Grade::offered(within.iter().map(|instance| instance.grade()), self.strict);
        let here = Place { datacenter: &self.locality.datacenter, zone: &self.locality.zone };
        let placed = within.into_iter().map(|instance| {
            let there = Place { datacenter: &instance.datacenter, zone: &instance.zone };
            let is_offered = Grade::is_offered(instance.grade(), offered);
            (there, instance.weight, is_offered.then(|| target(instance)))
        });
        self.nearness.arrange(here, placed)
    }

    /// Metadata are labels; a tag is a label with an empty value.
    fn matches(&self, instance: &Instance) -> bool {
        let label = |name: &str| {
            let tag = || instance.tags.contains(name).then_some("");
            instance.meta.get(name).map(String::as_str).or_else(tag)
        };
        self.datacenter.contains(&instance.datacenter) && self.selector.matches(label)
    }
}

/// The id is the one that agents use, so that a key lands on the same instance in every process.
fn target(instance: &Arc<Instance>) -> Target<Arc<Instance>> {
    Target {
        id: format!("{}/{}", instance.node_id, instance.id).into(),
        weight: instance.weight,
        item: instance.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::instances;
    use super::*;
    use crate::testing::instance;
    use crate::types::{Basis, Changes};
    use hobnob_balancer::Prefer;

    fn scope(prefer: Prefer) -> Scope {
        Scope {
            selector: Selector::default(),
            datacenter: Datacenters::All,
            strict: false,
            nearness: Nearness::listed(prefer, []),
            locality: Locality { datacenter: "dc1".to_owned(), zone: "z1".to_owned() },
        }
    }

    fn offered(scope: &Scope, known: &Known) -> Vec<Vec<String>> {
        let layers = scope.layers(&known.instances());
        let ids = |layer: &Layer<Arc<Instance>>| {
            layer.targets.iter().map(|target| target.item.id.clone()).collect()
        };
        layers.iter().map(ids).collect()
    }

    #[test]
    fn changes_add_replace_and_remove() {
        let mut known = Known::default();
        known.take(WatchEvent::Instances(instances(4, vec![instance("a"), instance("b")])));
        let unhealthy = Instance { status: InstanceStatus::Unhealthy, ..instance("a") };
        let gone = Instance { status: InstanceStatus::Gone, ..instance("b") };
        let changed = vec![unhealthy, gone, instance("c")];
        known.take(WatchEvent::Changes(Changes {
            revision: 7,
            isolated: false,
            settings: None,
            instances: changed,
        }));
        assert_eq!(known.revision(), Some(7));
        assert_eq!(known.instances().len(), 2);
        assert_eq!(offered(&scope(Prefer::Any), &known), [["c"]]);

        known.take(WatchEvent::Instances(instances(9, vec![instance("d")])));
        assert_eq!(offered(&scope(Prefer::Any), &known), [["d"]], "it starts over");
    }

    fn unknown(id: &str, basis: Basis) -> Instance {
        Instance { status: InstanceStatus::Unknown, basis, ..instance(id) }
    }

    #[test]
    fn a_healthy_instance_whose_node_does_not_answer_the_agent_comes_last_of_the_healthy_ones() {
        let (any, strict) = (scope(Prefer::Zone), Scope { strict: true, ..scope(Prefer::Any) });
        let mut known = Known::default();
        let unanswered = Instance { basis: Basis::Unanswered, ..instance("unanswered") };
        let far = Instance { datacenter: "dc2".to_owned(), ..instance("far") };
        let all = vec![unanswered.clone(), far, unknown("lost", Basis::LastKnown)];
        known.take(WatchEvent::Instances(instances(1, all)));
        let none: &[&str] = &[];
        assert_eq!(offered(&any, &known), [none, &["far"]]);
        assert_eq!(offered(&strict, &known), [["far"]]);
        let all = vec![unanswered, unknown("lost", Basis::LastKnown)];
        known.take(WatchEvent::Instances(instances(2, all)));
        assert_eq!(offered(&any, &known), [&["unanswered"]]);
        assert_eq!(offered(&strict, &known), [["unanswered"]]);
    }

    #[test]
    fn the_best_grade_that_is_left_is_offered_and_strictly_nothing_but_healthy_instances() {
        let (any, strict) = (scope(Prefer::Any), Scope { strict: true, ..scope(Prefer::Any) });
        let mut known = Known::default();
        let lost = unknown("lost", Basis::LastKnown);
        let untried = unknown("untried", Basis::NotYetChecked);
        let failed = Instance { status: InstanceStatus::Unhealthy, ..lost.clone() };
        let failed = Instance { id: "failed".to_owned(), ..failed };
        let all = vec![lost, untried, failed, instance("healthy")];
        known.take(WatchEvent::Instances(instances(1, all)));
        assert_eq!(offered(&any, &known), [["healthy"]]);
        assert_eq!(offered(&strict, &known), [["healthy"]]);
        let mut change = |revision, instance| {
            let changes =
                Changes { revision, isolated: false, settings: None, instances: vec![instance] };
            known.take(WatchEvent::Changes(changes));
            assert_eq!(offered(&strict, &known), [[""; 0]]);
            offered(&any, &known)
        };
        assert_eq!(change(2, unknown("healthy", Basis::LastKnown)), [["healthy", "lost"]]);
        let gone = |id| Instance { status: InstanceStatus::Gone, ..instance(id) };
        assert_eq!(change(3, gone("healthy")), [["lost"]]);
        assert_eq!(change(4, gone("lost")), [["untried"]]);
        assert_eq!(change(5, gone("untried")), [[""; 0]]);
    }

    #[test]
    fn a_healthy_instance_far_away_comes_before_one_nearby_that_passed_last() {
        let far = Instance { datacenter: "dc2".to_owned(), ..instance("far") };
        let near = unknown("near", Basis::LastKnown);
        let mut known = Known::default();
        known.take(WatchEvent::Instances(instances(1, vec![far, near])));
        let none: &[&str] = &[];
        assert_eq!(offered(&scope(Prefer::Zone), &known), [none, &["far"]]);
    }

    #[test]
    fn near_instances_come_first_and_labels_select() {
        let far = Instance { datacenter: "dc2".to_owned(), ..instance("far") };
        let next_door = Instance { zone: "z2".to_owned(), ..instance("next-door") };
        let mut known = Known::default();
        known.take(WatchEvent::Instances(instances(1, vec![far, instance("near"), next_door])));
        let near_first = scope(Prefer::Zone);
        assert_eq!(offered(&near_first, &known), [["near"], ["next-door"], ["far"]]);
        let selected = Scope { selector: "v1,tier=gold".parse().unwrap(), ..scope(Prefer::Any) };
        assert_eq!(offered(&selected, &known)[0].len(), 3, "a tag and a metadata entry");
        let none = Scope { selector: "!v1".parse().unwrap(), ..scope(Prefer::Any) };
        assert!(offered(&none, &known).is_empty());
        let elsewhere = Scope { datacenter: Datacenters::one("dc2"), ..scope(Prefer::Any) };
        assert_eq!(offered(&elsewhere, &known), [["far"]]);
    }
}
