//! What a template may ask for, and what is known of it.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use hobnob_api::{Instance, Member};

/// Something that a template asks for, and that is followed for it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Topic {
    /// The instances of one service.
    Service(ServiceKey),
    /// All services, with their instances.
    Services,
    /// The members.
    Members,
}

/// The name of a service in its namespace.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct ServiceKey {
    pub(super) namespace: String,
    pub(super) service: String,
}

/// What the agent told of a topic.
#[derive(Clone, Debug)]
pub(super) enum Known {
    /// The instances of services. A service that is not in it has none.
    Services(Arc<BTreeMap<ServiceKey, Vec<Arc<Instance>>>>),
    /// The members, by name and node id.
    Members(Arc<[Member]>),
}

impl Known {
    /// Instances, by service; of each by id and member.
    pub(super) fn instances(all: impl Iterator<Item = Instance>) -> Self {
        let mut services = BTreeMap::<ServiceKey, Vec<Arc<Instance>>>::new();
        for instance in all {
            let (namespace, service) = (instance.namespace.clone(), instance.service.clone());
            services.entry(ServiceKey { namespace, service }).or_default().push(instance.into());
        }
        for instances in services.values_mut() {
            instances.sort_by(|a, b| (&a.id, &a.node, a.node_id).cmp(&(&b.id, &b.node, b.node_id)));
        }
        Self::Services(services.into())
    }

    /// Members.
    pub(super) fn members(all: impl Iterator<Item = Member>) -> Self {
        let mut members: Vec<_> = all.collect();
        members.sort_by(|a, b| (&a.name, a.node_id).cmp(&(&b.name, b.node_id)));
        Self::Members(members.into())
    }
}

/// What is known for one rendering: for each topic that is followed the answer, or the reason why the agent refuses one. What is
/// not in it is not known yet.
pub(super) type View = HashMap<Topic, Result<Known, String>>;
