//! Members that go by this node's own name. People name members by their names, and a command such as force-leave would
//! find several.

use std::collections::BTreeMap;
use std::time::Duration;

use super::Node;
use super::io::Event;
use super::view::{Member, MemberStatus};
use crate::base::identity::{Identity, NodeId};
use crate::base::limits::MAX_NAMESAKES;
use crate::base::time::Time;
use crate::base::timers::Timer;

/// A member that is alive under our name for this long has a conflict with us. A host that was rebuilt at another
/// address takes over the name of its earlier life, and it takes a moment until that is known to be down.
const CONFLICT_AFTER: Duration = Duration::from_secs(5);
/// Time until a member is looked at again that is suspect when its conflict would be told.
const SUSPECT_AGAIN_AFTER: Duration = Duration::from_secs(1);

/// Other members with our name, and when the conflict with each is to be told; `None` once it was told.
pub(super) type Namesakes = BTreeMap<NodeId, Option<Time>>;

impl Node {
    /// The living members that have had this node's name for some time.
    #[must_use]
    pub fn name_conflicts(&self) -> Vec<Identity> {
        let told = self.namesakes.iter().filter(|(_, due)| due.is_none());
        told.filter_map(|(node, _)| self.liveness.members().active(*node).copied()).collect()
    }

    /// Reviews a member that came, went or changed: whether its name is ours. An earlier life at our own address has
    /// our name for a good reason.
    pub(super) fn review_name(&mut self, node: NodeId, member: Option<&Member>, now: Time) {
        let own = self.identity();
        let own_name = self.spread.description(own.node_id).map(|record| &record.name);
        let is_namesake = member.is_some_and(|member| {
            let name = member.node.as_ref().map(|record| &record.name);
            node != own.node_id && member.identity.addr != own.addr && name == own_name
        });
        let is_alive = member.is_some_and(|member| member.status == MemberStatus::Alive);
        let is_told = self.namesakes.get(&node).is_some_and(Option::is_none);
        if is_namesake && is_alive {
            if self.namesakes.len() < MAX_NAMESAKES || self.namesakes.contains_key(&node) {
                self.namesakes.entry(node).or_insert(Some(now + CONFLICT_AFTER));
            } else {
                self.counters.namesakes_ignored += 1;
            }
        } else if !is_namesake || !is_told {
            self.namesakes.remove(&node);
        }
        self.set_namesakes_timer();
    }

    /// Tells of the members that have been alive under our name for long enough. Each is told once while it is known.
    pub(super) fn handle_namesakes_deadline(&mut self, now: Time) {
        if !self.timers.is_expired(Timer::Namesakes, now) {
            return;
        }
        let due: Vec<NodeId> = self
            .namesakes
            .iter()
            .filter(|(_, due)| due.is_some_and(|due| due <= now))
            .map(|(node, _)| *node)
            .collect();
        for node in due {
            if self.liveness.detector().is_suspect(node) {
                self.namesakes.insert(node, Some(now + SUSPECT_AGAIN_AFTER));
                continue;
            }
            self.namesakes.insert(node, None);
            if let Some(other) = self.liveness.members().active(node).copied() {
                self.emit(Event::NameConflict { other });
            }
        }
        self.set_namesakes_timer();
    }

    fn set_namesakes_timer(&mut self) {
        self.timers.put(Timer::Namesakes, self.namesakes.values().copied().flatten().min());
    }
}
