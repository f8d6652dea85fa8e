//! The view of a node: the join of membership and catalog.
//!
//! | origin | checks | status |
//! |---|---|---|
//! | alive or suspect | passing, with a warning or without, or none | healthy |
//! | alive or suspect | not yet run, or overdue | unknown |
//! | down | passing when last known, or none | unknown |
//! | down | not yet run, or overdue | unknown |
//! | alive, suspect or down | failing, or failing when last known | unhealthy |
//! | left, was forced to leave, was replaced or revoked | any | gone |
//!
//! In a sealed cluster an instance is hidden if its origin may not serve it.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use imbl::OrdMap;

use crate::base::identity::{Identity, NodeId};
#[cfg(feature = "testing")]
use crate::base::shared_map::SharedMap;
use crate::base::time::Time;
use crate::catalog::record::{Health, InstanceScope, Key, NodeRecord, ServiceRecord, Text, Value};
use crate::catalog::{Catalog, Replica};

/// The status of a member, as this node believes it to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MemberStatus {
    /// The member is active.
    Alive,
    /// The member does not answer this node's pings, and may still show a sign of life.
    Suspect,
    /// The member is down, and did not leave.
    Down,
    /// The member left on purpose.
    Left,
    /// An operator forced the member to leave, after it had gone down.
    ForceLeft,
    /// The member is down, and another node answers at its address.
    Replaced,
    /// An operator revoked the member.
    Revoked,
    /// The member was alive when its datacenter went out of reach.
    Unreachable,
}

impl MemberStatus {
    /// Whether the member is gone for good, as far as we know, and not only silent.
    #[must_use]
    pub fn is_gone(self) -> bool {
        matches!(self, Self::Left | Self::ForceLeft | Self::Replaced | Self::Revoked)
    }
}

impl fmt::Display for MemberStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Alive => "alive",
            Self::Suspect => "suspect",
            Self::Down => "down",
            Self::Left => "left",
            Self::ForceLeft => "force_left",
            Self::Replaced => "replaced",
            Self::Revoked => "revoked",
            Self::Unreachable => "unreachable",
        })
    }
}

/// A member, as this node believes it to be.
#[derive(Clone, Debug, PartialEq)]
pub struct Member {
    /// The identity of the member.
    pub identity: Identity,
    /// The node record of the member; `None` while the record has not arrived.
    pub node: Option<Arc<NodeRecord>>,
    /// The status of the member.
    pub status: MemberStatus,
}

/// A change of a member's status, identity or node record. A suspicion begins and ends without such a change.
#[derive(Clone, Debug, PartialEq)]
pub struct MemberChange {
    /// The member as it is now.
    pub member: Member,
}

/// The status of an instance, by which clients decide whether to use it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum InstanceStatus {
    /// The node is alive, and the checks pass.
    Healthy,
    /// The checks fail, or failed when they were last known.
    Unhealthy,
    /// The node is down, or the checks have not run or are overdue.
    Unknown,
    /// The instance was deregistered, or its node is gone for good.
    Gone,
}

impl InstanceStatus {
    /// The status of an instance whose node did not leave. A check that failed is not forgotten when the node is lost.
    #[must_use]
    pub const fn of(health: Health, is_node_down: bool) -> Self {
        match (health, is_node_down) {
            (Health::Failing, _) => Self::Unhealthy,
            (Health::Passing | Health::Warning, false) => Self::Healthy,
            (Health::Passing | Health::Warning, true) | (Health::Unknown, _) => Self::Unknown,
        }
    }
}

/// A service instance, as this node believes it to be.
#[derive(Clone, Debug, PartialEq)]
pub struct Instance {
    /// The node that the instance is registered with.
    pub origin: NodeId,
    /// The id of the instance on that node.
    pub id: Text,
    /// The node record of that node.
    pub node: Arc<NodeRecord>,
    /// The definition of the instance.
    pub service: Arc<ServiceRecord>,
    /// The result of the instance's checks.
    pub health: Health,
    /// The status of the instance, by its health and its node.
    pub status: InstanceStatus,
    /// When the node went down; `None` while it is alive.
    pub down_since: Option<Time>,
}

/// A change of an instance.
#[derive(Clone, Debug, PartialEq)]
pub struct Change {
    /// The instance as it is now, or as it was before it became [`InstanceStatus::Gone`].
    pub instance: Arc<Instance>,
}

/// The status of an origin, for the status of its instances.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OriginStatus {
    Active,
    Down {
        since: Time,
    },
    /// The origin is gone for good, for a reason that the status of its member tells.
    Gone(MemberStatus),
}

/// The instances and members as some node of a simulation shows them.
#[cfg(feature = "testing")]
#[derive(Debug, Default)]
pub(super) struct SharedView {
    instances: SharedMap<(NodeId, Text), Arc<Instance>>,
    members: SharedMap<NodeId, Member>,
}

/// Every instance that is not gone, and every member as the owner was last told of it.
#[derive(Clone, Debug, Default)]
pub(crate) struct View {
    /// Simulated nodes share the parts of this map and of the next one that are equal.
    instances: OrdMap<(NodeId, Text), Arc<Instance>>,
    /// Instances that would be there if their origins were allowed to serve them.
    hidden: BTreeMap<(NodeId, Text), Arc<Instance>>,
    /// Instances that became hidden.
    times_hidden: u64,
    members: OrdMap<NodeId, Member>,
}

impl View {
    pub(crate) fn instances(&self) -> impl ExactSizeIterator<Item = &Arc<Instance>> {
        self.instances.values()
    }

    pub(crate) fn instance(&self, origin: NodeId, id: &Text) -> Option<&Arc<Instance>> {
        self.instances.get(&(origin, id.clone()))
    }

    /// Replaces the parts that are equal to those of other nodes by theirs.
    #[cfg(feature = "testing")]
    pub(super) fn share(&mut self, shared: &mut SharedView) {
        shared.instances.share(&mut self.instances);
        shared.members.share(&mut self.members);
    }

    pub(crate) fn instances_of(&self, origin: NodeId) -> impl Iterator<Item = &Arc<Instance>> {
        let from = self.instances.range((origin, Text::default())..);
        // The keys lie side by side; each instance lies somewhere else.
        from.take_while(move |((of, _), _)| *of == origin).map(|(_, instance)| instance)
    }

    /// Instances that are hidden because their origins may not serve them.
    pub(crate) fn hidden(&self) -> impl ExactSizeIterator<Item = &Arc<Instance>> {
        self.hidden.values()
    }

    /// Instances that became hidden so far.
    pub(crate) fn times_hidden(&self) -> u64 {
        self.times_hidden
    }

    /// The status under which a member was told last.
    pub(crate) fn status_of(&self, node: NodeId) -> Option<MemberStatus> {
        self.members.get(&node).map(|member| member.status)
    }

    /// Takes a member as it is now, or `None` if there is none, and returns the change to tell the owner.
    pub(crate) fn refresh_member(
        &mut self,
        node: NodeId,
        now: Option<Member>,
    ) -> Option<MemberChange> {
        let Some(member) = now else {
            self.members.remove(&node);
            return None;
        };
        let told = self.members.insert(node, member.clone());
        (told.as_ref() != Some(&member)).then_some(MemberChange { member })
    }

    /// Updates the instances of an origin that these keys belong to, and returns the changes. [`Key::Node`] stands for
    /// all instances of the origin. Instances of services that the origin may not serve are hidden.
    pub(crate) fn refresh(
        &mut self,
        catalog: &Catalog,
        origin: NodeId,
        status: OriginStatus,
        keys: &[Key],
        may_serve: impl Fn(&Text) -> bool,
    ) -> Vec<Change> {
        let replica = catalog.origin(origin).and_then(|origin| origin.current());
        let mut ids: Vec<Text> = keys.iter().filter_map(Key::instance).cloned().collect();
        if keys.contains(&Key::Node) {
            let slots = replica.into_iter().flat_map(Replica::slots);
            ids.extend(slots.filter_map(|slot| slot.key().instance()).cloned());
            let from = (origin, Text::default());
            let shown = self.instances.range(from.clone()..).map(|(key, _)| key);
            let hidden = self.hidden.range(from..).map(|(key, _)| key);
            let of = |(node, _): &&(NodeId, Text)| *node == origin;
            ids.extend(shown.take_while(of).chain(hidden.take_while(of)).map(|(_, id)| id.clone()));
        }
        ids.sort_unstable();
        ids.dedup();
        let joined = ids.into_iter().map(|id| {
            let instance = replica.and_then(|replica| join(replica, origin, status, &id));
            // A member of an earlier version passes on what it should withhold.
            let instance = instance.filter(|instance| {
                instance.service.scope == InstanceScope::Global || catalog.is_home(origin)
            });
            ((origin, id), instance.map(Arc::new))
        });
        let mut changes = Vec::new();
        for (key, instance) in joined {
            let shown = self.hide(&key, instance, &may_serve);
            changes.extend(self.refresh_one(key, shown));
        }
        changes
    }

    /// Returns an instance, unless it is to be hidden.
    fn hide(
        &mut self,
        key: &(NodeId, Text),
        instance: Option<Arc<Instance>>,
        may_serve: impl Fn(&Text) -> bool,
    ) -> Option<Arc<Instance>> {
        match instance {
            Some(instance) if !may_serve(&instance.service.service) => {
                let before = self.hidden.insert(key.clone(), instance);
                self.times_hidden += u64::from(before.is_none());
                None
            }
            shown => {
                self.hidden.remove(key);
                shown
            }
        }
    }

    fn refresh_one(&mut self, key: (NodeId, Text), now: Option<Arc<Instance>>) -> Vec<Change> {
        let before = self.instances.get(&key);
        if before == now.as_ref() {
            return Vec::new();
        }
        let moved = match (before, &now) {
            (Some(before), Some(now)) => {
                (&before.service.namespace, &before.service.service)
                    != (&now.service.namespace, &now.service.service)
            }
            (Some(_), None) => true,
            (None, _) => false,
        };
        let gone = before.filter(|_| moved).map(|before| Change {
            instance: Arc::new(Instance { status: InstanceStatus::Gone, ..(**before).clone() }),
        });
        let changed = now.clone().map(|instance| Change { instance });
        match now {
            Some(instance) => self.instances.insert(key, instance),
            None => self.instances.remove(&key),
        };
        gone.into_iter().chain(changed).collect()
    }
}

fn join(replica: &Replica, origin: NodeId, status: OriginStatus, id: &Text) -> Option<Instance> {
    let Some(Value::Service(service)) = replica.get(&Key::Service(id.clone())) else {
        return None;
    };
    let Some(Value::Node(node)) = replica.get(&Key::Node) else { return None };
    let health = match replica.get(&Key::Health(id.clone())) {
        _ if !service.checked => Health::Passing,
        Some(Value::Health(health)) => *health,
        _ => Health::Unknown,
    };
    let down_since = match status {
        OriginStatus::Gone(_) => return None,
        OriginStatus::Down { since } => Some(since),
        OriginStatus::Active => None,
    };
    Some(Instance {
        origin,
        id: id.clone(),
        node: node.clone(),
        service: service.clone(),
        health,
        status: InstanceStatus::of(health, down_since.is_some()),
        down_since,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::identity::Epoch;
    use crate::catalog::record::Support;

    const NODE: NodeId = NodeId(1);
    const ANY: fn(&Text) -> bool = |_| true;
    const DOWN: OriginStatus = OriginStatus::Down { since: Time::from_millis(5) };

    fn service(name: &str, checked: bool) -> Value {
        Value::Service(Arc::new(ServiceRecord {
            service: name.into(),
            namespace: "default".into(),
            address: "127.0.0.1".into(),
            port: 80,
            tags: crate::catalog::record::Tags::default(),
            meta: crate::catalog::record::Meta::default(),
            weight: 1,
            checked,
            balancing: crate::catalog::record::Balancing::default(),
            scope: Default::default(),
            upkeep: Default::default(),
        }))
    }

    fn catalog(records: Vec<(Key, Value)>) -> Catalog {
        let mut catalog = Catalog::new(NODE, Epoch(1));
        let node = NodeRecord {
            name: "a1".into(),
            datacenter: "dc1".into(),
            zone: Text::default(),
            software: "test".into(),
            instance_key_hash: 0,
            left: None,
            support: Support::OURS,
            certificate: Vec::new(),
            gateway: crate::base::datacenter::Gateway::Yes,
        };
        let node = [(Key::Node, Value::Node(Arc::new(node)))];
        let records = node.into_iter().chain(records).map(|(key, value)| (key, Some(value)));
        catalog.write(records.collect()).expect("legal records");
        catalog
    }

    fn key() -> Key {
        Key::Service("x".into())
    }

    fn with_health(checked: bool, health: Option<Health>) -> Catalog {
        let health = health.map(|health| (Key::Health("x".into()), Value::Health(health)));
        catalog([(key(), service("web", checked))].into_iter().chain(health).collect())
    }

    #[test]
    fn the_status_is_the_join_of_the_origin_and_its_checks() {
        use Health::{Failing, Passing, Unknown, Warning};
        use InstanceStatus as Is;
        use OriginStatus::Active;
        const LEFT: OriginStatus = OriginStatus::Gone(MemberStatus::Left);
        const REPLACED: OriginStatus = OriginStatus::Gone(MemberStatus::Replaced);
        let table = [
            (Active, true, Some(Passing), Some(Is::Healthy)),
            (Active, true, Some(Warning), Some(Is::Healthy)),
            (DOWN, true, Some(Warning), Some(Is::Unknown)),
            (Active, true, Some(Failing), Some(Is::Unhealthy)),
            (Active, true, Some(Unknown), Some(Is::Unknown)),
            (Active, true, None, Some(Is::Unknown)),
            (Active, false, None, Some(Is::Healthy)),
            (Active, false, Some(Failing), Some(Is::Healthy)),
            (DOWN, true, Some(Passing), Some(Is::Unknown)),
            (DOWN, true, Some(Failing), Some(Is::Unhealthy)),
            (DOWN, true, Some(Unknown), Some(Is::Unknown)),
            (DOWN, true, None, Some(Is::Unknown)),
            (DOWN, false, None, Some(Is::Unknown)),
            (LEFT, true, Some(Passing), None),
            (LEFT, false, None, None),
            (REPLACED, true, Some(Passing), None),
        ];
        for (origin, checked, health, expected) in table {
            let mut view = View::default();
            view.refresh(&with_health(checked, health), NODE, origin, &[key()], ANY);
            let status = view.instances().next().map(|instance| instance.status);
            assert_eq!(status, expected, "{origin:?} {checked} {health:?}");
        }
    }

    #[test]
    fn only_changes_are_told() {
        let mut view = View::default();
        let catalog = with_health(true, Some(Health::Passing));
        assert_eq!(view.refresh(&catalog, NODE, OriginStatus::Active, &[key()], ANY).len(), 1);
        assert_eq!(view.refresh(&catalog, NODE, OriginStatus::Active, &[key()], ANY), []);
        let down = view.refresh(&catalog, NODE, DOWN, &[Key::Node], ANY);
        assert_eq!(down[0].instance.down_since, Some(Time::from_millis(5)));
        let left =
            view.refresh(&catalog, NODE, OriginStatus::Gone(MemberStatus::Left), &[Key::Node], ANY);
        assert_eq!(left[0].instance.status, InstanceStatus::Gone);
        assert_eq!(view.instances().len(), 0);
    }

    #[test]
    fn an_instance_that_changes_its_service_leaves_the_old_and_appears_in_the_new() {
        let mut view = View::default();
        view.refresh(&with_health(false, None), NODE, OriginStatus::Active, &[key()], ANY);
        let moved = catalog(vec![(key(), service("api", false))]);
        let changes = view.refresh(&moved, NODE, OriginStatus::Active, &[key()], ANY);
        let told: Vec<_> = changes
            .iter()
            .map(|change| (change.instance.service.service.as_str(), change.instance.status))
            .collect();
        assert_eq!(told, [("web", InstanceStatus::Gone), ("api", InstanceStatus::Healthy)]);
    }

    #[test]
    fn an_instance_that_is_no_longer_defined_is_gone() {
        let mut view = View::default();
        view.refresh(&with_health(false, None), NODE, OriginStatus::Active, &[key()], ANY);
        let changes =
            view.refresh(&catalog(Vec::new()), NODE, OriginStatus::Active, &[Key::Node], ANY);
        assert_eq!(changes[0].instance.status, InstanceStatus::Gone);
    }

    #[test]
    fn an_instance_that_its_origin_may_not_serve_is_hidden_and_comes_back_once_it_may() {
        let mut view = View::default();
        let catalog = with_health(false, None);
        let active = OriginStatus::Active;
        assert_eq!(view.refresh(&catalog, NODE, active, &[key()], |_| false), []);
        assert_eq!((view.instances().len(), view.hidden().len()), (0, 1));
        assert_eq!(view.refresh(&catalog, NODE, active, &[Key::Node], |s| s == "api"), []);
        assert_eq!(view.times_hidden(), 1, "it was hidden already");
        let shown = view.refresh(&catalog, NODE, active, &[Key::Node], |s| s == "web");
        assert_eq!(shown[0].instance.status, InstanceStatus::Healthy);
        assert_eq!((view.instances().len(), view.hidden().len()), (1, 0));
        let gone = view.refresh(&catalog, NODE, active, &[key()], |_| false);
        assert_eq!(gone[0].instance.status, InstanceStatus::Gone);
        view.refresh(&catalog, NODE, OriginStatus::Gone(MemberStatus::Left), &[key()], |_| false);
        assert_eq!((view.hidden().len(), view.times_hidden()), (0, 2));
    }
}
