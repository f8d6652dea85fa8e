//! What nodes tell their owners.

use hobnob_membership::{Event, Time};

use super::{World, host_of};

/// What a node told its owner.
#[derive(Clone, Debug)]
pub struct NodeEvent {
    /// When.
    pub at: Time,
    /// On which host.
    pub host: usize,
    /// In which of the host's lives.
    pub life: u32,
    /// What.
    pub kind: Event,
}

/// Somebody who looks on.
pub trait Observer {
    /// A node told its owner something. The world is as it was right after.
    fn on_event(&mut self, world: &World, event: &NodeEvent);
}

/// Looks at nothing.
impl Observer for () {
    fn on_event(&mut self, _: &World, _: &NodeEvent) {}
}

/// An event in a few words.
pub(super) fn describe(event: &Event) -> String {
    match event {
        Event::Instance(change) => {
            let instance = &change.instance;
            let origin = host_of(instance.origin);
            format!("sees instance {} of n{origin} {:?}", instance.id, instance.status)
        }
        Event::Member(change) => {
            let identity = &change.member.identity;
            let (host, epoch) = (host_of(identity.node_id), identity.epoch);
            format!("sees member n{host} {:?} in epoch {epoch}", change.member.status)
        }
        other => format!("says {other:?}"),
    }
}
