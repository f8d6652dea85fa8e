//! Members that are lost together. When a large part of the cluster vanishes within seconds, that is one event: a cut, a
//! power failure, a switch. People need not read of each member. The event lasts until most of the members are back.

use std::collections::BTreeSet;
use std::time::Duration;

use super::Node;
use super::io::Event;
use super::view::MemberStatus;
use crate::base::identity::NodeId;
use crate::base::mutants::{self as mutant, Mutant};
use crate::base::time::Time;
use crate::base::timers::Timer;

/// Members that are lost within this time of each other are lost together. Those that come back so are told together.
const TOGETHER: Duration = Duration::from_secs(2);
/// A group is told this long after its first member, though others may follow.
const TOLD_WITHIN: Duration = TOGETHER.saturating_mul(3);
/// Fewer losses than this are told one by one, and make no group.
const MIN_GROUP: usize = 2;
/// So many losses, and more, are a large part if they are a fifth of all. Fewer have to be half of all.
const MIN_OF_MANY: usize = 3;
/// One in this many members that are lost together is a large part.
const LARGE_PART: usize = 5;
/// A mass loss is over once no more than one in this many of its members is missing.
const FEW_MISSING: usize = 4;
/// Mass losses that are remembered while they last. Beyond this the oldest is forgotten, and its members are lost one by one.
const MAX_MASS_LOSSES: usize = 8;

/// Whether so many members, of so many, are such a large part that they were probably cut off, or that we were: a fifth
/// of all and three at least, or half of all.
#[must_use]
pub fn is_probably_a_cut(lost: usize, of: usize) -> bool {
    let is_fifth = lost >= MIN_OF_MANY && lost.saturating_mul(LARGE_PART) >= of;
    let is_half = lost >= MIN_GROUP && lost.saturating_mul(2) >= of;
    is_fifth || is_half
}

/// A large part of the members that was lost at once, while many of them are missing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MassLoss {
    /// When the first of them was lost.
    pub since: Time,
    /// The members that are still lost.
    pub missing: BTreeSet<NodeId>,
    /// The number of members that were lost.
    pub lost: usize,
    /// The number of members before, this one included.
    pub of: usize,
    /// The number of lost members that came back.
    pub back: usize,
    /// The number of lost members whose processes are known to have exited. A cut ends no process.
    pub exited: usize,
    /// Some came back or are gone for good, and were not told yet.
    is_changed: bool,
}

impl MassLoss {
    fn new(nodes: BTreeSet<NodeId>, of: usize, since: Time) -> Self {
        let lost = nodes.len();
        Self { since, missing: nodes, lost, of, back: 0, exited: 0, is_changed: false }
    }

    /// Whether most of the members are back, or gone for good.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.missing.len() * FEW_MISSING <= self.lost
    }
}

/// The members that were lost lately, and the groups that were lost before.
#[derive(Debug, Default)]
pub(super) struct Losses {
    /// Lost lately, until no more follow.
    lately: BTreeSet<NodeId>,
    since: Option<Time>,
    /// When the first came back of those that are not told.
    back_since: Option<Time>,
    /// The oldest first.
    groups: Vec<MassLoss>,
}

impl Node {
    /// The mass losses that are not over, the oldest first.
    #[must_use]
    pub fn mass_losses(&self) -> &[MassLoss] {
        &self.losses.groups
    }

    /// The mass loss because of which a member is missing.
    #[must_use]
    pub fn mass_loss_of(&self, node: NodeId) -> Option<&MassLoss> {
        self.losses.groups.iter().rev().find(|group| group.missing.contains(&node))
    }

    /// Whether members were lost lately, and others may follow: what they have in common is not told yet.
    #[must_use]
    pub fn may_lose_more(&self) -> bool {
        self.timers.get(Timer::Losses).is_some()
    }

    /// Notes what became of a member that we showed as `before`. `None` is a member that we forgot.
    pub(super) fn note_loss(
        &mut self,
        node: NodeId,
        before: Option<MemberStatus>,
        status: Option<MemberStatus>,
        now: Time,
    ) {
        if status == Some(MemberStatus::Down) {
            if before == Some(MemberStatus::Alive) {
                let since = *self.losses.since.get_or_insert(now);
                self.losses.lately.insert(node);
                self.timers.set(Timer::Losses, told_at(since, now));
            }
            return;
        }
        self.losses.lately.remove(&node);
        if mutant::is(Mutant::KeepMassLosses) {
            return;
        }
        for group in &mut self.losses.groups {
            if group.missing.remove(&node) {
                group.back += usize::from(status == Some(MemberStatus::Alive));
                group.is_changed = true;
                let since = *self.losses.back_since.get_or_insert(now);
                self.timers.set(Timer::Returns, told_at(since, now));
            }
        }
    }

    /// Tells of the members that were lost together, and of those that came back, once no more follow. An isolated node
    /// has told that it is.
    pub(super) fn handle_losses_deadlines(&mut self, now: Time) {
        if self.timers.is_expired(Timer::Returns, now) {
            self.timers.stop(Timer::Returns);
            self.losses.back_since = None;
            self.tell_of_returns(now);
        }
        if !self.timers.is_expired(Timer::Losses, now) {
            return;
        }
        self.timers.stop(Timer::Losses);
        let since = self.losses.since.take().unwrap_or(now);
        let lost = std::mem::take(&mut self.losses.lately);
        if lost.len() < MIN_GROUP || mutant::is(Mutant::NeverGroupLosses) {
            return;
        }
        let of = self.active_members() + lost.len();
        let exited = lost.iter().filter(|node| self.has_exited(**node)).count();
        if is_probably_a_cut(lost.len(), of) {
            self.counters.mass_losses += 1;
            if self.losses.groups.len() >= MAX_MASS_LOSSES {
                self.losses.groups.remove(0);
            }
            let group = MassLoss { exited, ..MassLoss::new(lost.clone(), of, since) };
            self.losses.groups.push(group);
        }
        if self.is_connected() {
            self.emit(Event::LostTogether { nodes: lost.into_iter().collect(), of, exited });
        }
    }

    /// Whether a member is down because its process exited.
    fn has_exited(&self, node: NodeId) -> bool {
        self.belief(node).is_some_and(|belief| belief.verdict.exited)
    }

    fn tell_of_returns(&mut self, now: Time) {
        let changed = self.losses.groups.iter_mut().filter(|group| group.is_changed);
        let told: Vec<MassLoss> = changed
            .map(|group| {
                group.is_changed = false;
                group.clone()
            })
            .collect();
        self.losses.groups.retain(|group| !group.is_over());
        for group in told {
            let lost_for = now.since(group.since);
            self.counters.mass_losses_ended += u64::from(group.is_over());
            self.emit(Event::BackTogether { loss: group, lost_for });
        }
    }
}

/// When a group is told whose first member changed then, and the last one now.
fn told_at(since: Time, now: Time) -> Time {
    (now + TOGETHER).min(since + TOLD_WITHIN)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::cluster::ClusterId;
    use crate::testing::node_of;

    #[test]
    fn a_fifth_of_many_and_half_of_few_are_probably_cut_off() {
        for (lost, of, is_cut) in [
            (1, 2, false),
            (2, 3, true),
            (2, 4, true),
            (2, 5, false),
            (3, 15, true),
            (3, 16, false),
            (58, 60, true),
            (11, 60, false),
        ] {
            assert_eq!(is_probably_a_cut(lost, of), is_cut, "{lost} of {of}");
        }
    }

    #[test]
    fn a_mass_loss_is_over_when_three_quarters_are_back() {
        for (lost, missing, is_over) in [(2, 1, false), (2, 0, true), (12, 4, false), (12, 3, true)]
        {
            let loss = MassLoss {
                missing: (0..missing).map(NodeId).collect(),
                ..MassLoss::new((0..lost).map(NodeId).collect(), 20, Time::ZERO)
            };
            assert_eq!(loss.is_over(), is_over, "{missing} of {lost} are missing");
        }
    }

    struct Losing(Node);

    impl Losing {
        fn lose(&mut self, nodes: impl IntoIterator<Item = u64>, at_ms: u64) {
            let (before, now) = (Some(MemberStatus::Alive), Time::from_millis(at_ms));
            for node in nodes {
                self.0.handle_losses_deadlines(now);
                self.0.note_loss(NodeId(node), before, Some(MemberStatus::Down), now);
            }
        }

        /// The numbers of members that each group lost.
        fn groups_at(&mut self, ms: u64) -> Vec<usize> {
            self.0.handle_losses_deadlines(Time::from_millis(ms));
            self.0.mass_losses().iter().map(|loss| loss.lost).collect()
        }
    }

    #[test]
    fn members_that_come_back_do_not_delay_a_loss_that_goes_on() {
        let mut node = Losing(node_of(ClusterId::default(), 0));
        node.lose([10, 11, 12], 0);
        assert_eq!(node.groups_at(2_000), [3]);
        node.lose([20, 21, 22], 10_000);
        let (before, now) = (Some(MemberStatus::Down), Time::from_millis(11_900));
        node.0.note_loss(NodeId(10), before, Some(MemberStatus::Alive), now);
        assert!(node.0.may_lose_more());
        assert_eq!(node.groups_at(11_999), [3]);
        assert_eq!(node.groups_at(12_000), [3, 3]);
        assert!(!node.0.may_lose_more());
    }

    #[test]
    fn a_loss_that_goes_on_is_told_after_six_seconds() {
        let mut node = Losing(node_of(ClusterId::default(), 0));
        for second in 0..6 {
            node.lose([10 + second], 1_000 * second);
        }
        assert_eq!(node.groups_at(5_999), []);
        assert_eq!(node.groups_at(6_000), [6]);
    }
}
