//! Members that are lost together. When a large part of the cluster vanishes within seconds, that is one event: a cut, a
//! power failure, a switch. People need not read of each member.

use std::collections::BTreeSet;
use std::time::Duration;

use super::Node;
use super::io::Event;
use super::view::MemberStatus;
use crate::base::identity::NodeId;
use crate::base::mutants::{self as mutant, Mutant};
use crate::base::time::Time;
use crate::base::timers::Timer;

/// Members that are lost within this time of each other are lost together.
const TOGETHER: Duration = Duration::from_secs(2);
/// Fewer losses than this are told one by one, and make no group.
pub(crate) const MIN_GROUP: usize = 3;
/// One in this many members that are lost together is a large part.
const LARGE_PART: usize = 5;

/// The members that were lost lately, until no more follow.
pub(super) type Losses = BTreeSet<NodeId>;

/// Whether so many members, of so many, are such a large part that they were probably cut off, or that we were.
#[must_use]
pub fn is_probably_a_cut(lost: usize, of: usize) -> bool {
    lost >= MIN_GROUP && lost * LARGE_PART >= of
}

impl Node {
    /// Notes what became of a member that we showed as `before`.
    pub(super) fn note_loss(
        &mut self,
        node: NodeId,
        before: Option<MemberStatus>,
        status: MemberStatus,
        now: Time,
    ) {
        if matches!(status, MemberStatus::Alive | MemberStatus::Left) {
            self.losses.remove(&node);
        } else if status == MemberStatus::Down && before == Some(MemberStatus::Alive) {
            self.losses.insert(node);
            self.timers.set(Timer::Losses, now + TOGETHER);
        }
    }

    /// Tells of the members that were lost together, once no more follow. An isolated node has told that it is.
    pub(super) fn handle_losses_deadline(&mut self, now: Time) {
        if !self.timers.is_expired(Timer::Losses, now) {
            return;
        }
        self.timers.stop(Timer::Losses);
        let lost = std::mem::take(&mut self.losses);
        let is_group = lost.len() >= MIN_GROUP && !mutant::is(Mutant::NeverGroupLosses);
        if is_group && self.is_connected() {
            let of = self.active_members() + lost.len();
            self.emit(Event::LostTogether { nodes: lost.into_iter().collect(), of });
        }
    }
}
