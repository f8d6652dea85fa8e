//! Which changes of members are events: one for each time that a member comes or goes, and one for many that come at once.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use hobnob_api::EventKind;
use hobnob_membership::view::MemberStatus;
use hobnob_membership::{NodeId, Time};

/// Members that come within this time of the first of them come together.
const TOGETHER: Duration = Duration::from_secs(10);
/// Members that come together and are events of their own. The others make one.
const APART: usize = 8;

/// The members as events told of them: at most two entries for each member that the node remembers, and a few.
#[derive(Debug, Default)]
pub(crate) struct MemberSights {
    lives: BTreeMap<NodeId, bool>,
    /// When the first of those that come together came.
    began: Option<Time>,
    came: usize,
}

impl MemberSights {
    /// Notes the status of a member. Returns the event that it makes. `is_far` says that another datacenter is its home, whose
    /// members come and go as one.
    pub(crate) fn note(
        &mut self,
        member: NodeId,
        status: MemberStatus,
        is_far: bool,
        now: Time,
    ) -> Option<EventKind> {
        let lives = match status {
            MemberStatus::Unreachable => return None,
            MemberStatus::Alive | MemberStatus::Suspect => true,
            _ => false,
        };
        let kind = match (self.lives.insert(member, lives), status) {
            // One that was lost before this agent started is no news.
            (None, _) if !lives => return None,
            (None, _) if is_far => return None,
            (Some(before), _) if before == lives => return None,
            (None, _) => EventKind::MemberJoined,
            (_, MemberStatus::Alive | MemberStatus::Suspect) => EventKind::MemberBack,
            (_, MemberStatus::Left) => EventKind::MemberLeft,
            (_, MemberStatus::ForceLeft) => EventKind::MemberForceLeft,
            (_, MemberStatus::Replaced) => EventKind::MemberReplaced,
            (_, MemberStatus::Revoked) => EventKind::MemberRevoked,
            (_, MemberStatus::Down | MemberStatus::Unreachable) => EventKind::MemberDown,
        };
        if !lives {
            return Some(kind);
        }
        self.began.get_or_insert(now);
        self.came += 1;
        (self.came <= APART).then_some(kind)
    }

    /// Notes that a member was lost in an event that tells of many.
    pub(crate) fn lost(&mut self, member: NodeId) {
        if let Some(lives) = self.lives.get_mut(&member) {
            *lives = false;
        }
    }

    /// The members beyond those that were told of one by one, once no more come with them.
    pub(crate) fn came_together(&mut self, now: Time) -> Option<usize> {
        self.began.filter(|began| now.since(*began) >= TOGETHER)?;
        self.began = None;
        let came = std::mem::take(&mut self.came);
        came.checked_sub(APART).filter(|more| *more > 0)
    }

    /// Forgets members that the node does not remember any more, when there are many of them.
    pub(crate) fn forget(&mut self, remembered: impl ExactSizeIterator<Item = NodeId>) {
        if self.lives.len() > 2 * remembered.len() + 64 {
            let remembered: BTreeSet<NodeId> = remembered.collect();
            self.lives.retain(|member, _| remembered.contains(member));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use MemberStatus::{Alive, Down, ForceLeft, Left, Suspect, Unreachable};

    #[test]
    fn a_member_that_comes_and_goes_is_an_event_each_time() {
        let mut sights = MemberSights::default();
        let mut note = |status| sights.note(NodeId(1), status, false, Time::ZERO);
        for (status, kind) in [
            (Alive, Some(EventKind::MemberJoined)),
            (Suspect, None),
            (Alive, None),
            (Down, Some(EventKind::MemberDown)),
            (ForceLeft, None),
            (Unreachable, None),
            (Alive, Some(EventKind::MemberBack)),
            (Left, Some(EventKind::MemberLeft)),
        ] {
            assert_eq!(note(status), kind, "{status}");
        }
        assert_eq!(sights.note(NodeId(2), Down, false, Time::ZERO), None, "lost before the start");
        assert_eq!(sights.note(NodeId(3), Alive, true, Time::ZERO), None, "far away");
        let down = sights.note(NodeId(3), Down, true, Time::ZERO);
        assert_eq!(down, Some(EventKind::MemberDown));
    }

    #[test]
    fn many_that_come_together_make_one_event() {
        let mut sights = MemberSights::default();
        let told = (0..100).filter_map(|n| sights.note(NodeId(n), Alive, false, Time::ZERO));
        assert_eq!(told.count(), APART);
        assert_eq!(sights.came_together(Time::from_millis(9_999)), None);
        assert_eq!(sights.came_together(Time::from_millis(10_000)), Some(100 - APART));
        assert_eq!(sights.came_together(Time::from_millis(30_000)), None);
        let later = sights.note(NodeId(100), Alive, false, Time::from_millis(30_000));
        assert_eq!(later, Some(EventKind::MemberJoined));
        sights.forget([NodeId(100)].into_iter());
        assert_eq!(sights.lives.len(), 101 - 100);
    }
}
