//! Events that nodes report, and those who observe them.

use hobnob_membership::{Event, Time};

use super::World;
use super::ids::Ids;

/// An event that a node reported.
#[derive(Clone, Debug)]
pub struct NodeEvent {
    /// When it was reported.
    pub at: Time,
    /// The host of the node.
    pub host: usize,
    /// The life of the host in which it happened; lives are counted from 1.
    pub life: u32,
    /// The event.
    pub kind: Event,
}

/// Observes the events of all nodes.
pub trait Observer {
    /// A node reported an event. `world` is as it was right after.
    fn on_event(&mut self, world: &World, event: &NodeEvent);
}

/// Observes nothing.
impl Observer for () {
    fn on_event(&mut self, _: &World, _: &NodeEvent) {}
}

/// An event as a line of the trace shows it.
pub(super) fn describe(event: &Event, ids: &Ids) -> String {
    match event {
        Event::Instance(change) => {
            let instance = &change.instance;
            let origin = ids.name_of(instance.origin);
            format!("sees instance {} of {origin} {:?}", instance.id, instance.status)
        }
        Event::Member(change) => {
            let identity = &change.member.identity;
            let (host, epoch) = (ids.name_of(identity.node_id), identity.epoch);
            format!("sees member {host} {:?} in epoch {epoch}", change.member.status)
        }
        other => format!("says {other:?}"),
    }
}
