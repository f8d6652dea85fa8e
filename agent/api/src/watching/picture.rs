//! What a client knows by the events of a watch.

use std::collections::BTreeMap;

use super::{MembersEvent, WatchEvent};
use crate::NodeId;
use crate::types::{Instance, InstanceStatus, Member};

/// The instances that a watch has told.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Picture {
    instances: BTreeMap<(NodeId, String), Instance>,
}

impl Picture {
    /// Takes an event. Returns the instances that vanished without an event of their own: those that were known, and are not
    /// in the whole picture that a watch starts over with.
    pub fn take(&mut self, event: &WatchEvent) -> Vec<Instance> {
        let (told, mut before) = match event {
            WatchEvent::Instances(now) => (&now.instances, std::mem::take(&mut self.instances)),
            WatchEvent::Changes(changes) => (&changes.instances, BTreeMap::new()),
        };
        for instance in told {
            let key = (instance.node_id, instance.id.clone());
            before.remove(&key);
            if instance.status == InstanceStatus::Gone {
                self.instances.remove(&key);
            } else {
                self.instances.insert(key, instance.clone());
            }
        }
        before.into_values().collect()
    }

    /// The instances, by node and id.
    pub fn instances(&self) -> impl Iterator<Item = &Instance> {
        self.instances.values()
    }
}

/// The members that a watch has told.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct MemberPicture {
    members: BTreeMap<NodeId, Member>,
}

impl MemberPicture {
    /// Takes an event. Returns the members that vanished without an event of their own.
    pub fn take(&mut self, event: &MembersEvent) -> Vec<Member> {
        match event {
            MembersEvent::Members(now) => {
                let mut before = std::mem::take(&mut self.members);
                for member in &now.members {
                    before.remove(&member.node_id);
                    self.members.insert(member.node_id, member.clone());
                }
                before.into_values().collect()
            }
            MembersEvent::MemberChanges(changes) => {
                for change in &changes.changes {
                    let id = change.member.node_id;
                    if change.event.is_gone() {
                        self.members.remove(&id);
                    } else {
                        self.members.insert(id, change.member.clone());
                    }
                }
                Vec::new()
            }
        }
    }

    /// The members, by node id.
    pub fn members(&self) -> impl Iterator<Item = &Member> {
        self.members.values()
    }
}
