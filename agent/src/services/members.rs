//! The members as watches tell them, and the latest of their changes.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use hobnob_api::{LostTogether, MassLoss, Member, MemberEventKind, MemberStatus};
use hobnob_membership::{NodeId, Time};
use tokio::sync::watch;

/// Changes of members that are kept. The oldest one gives way.
pub(super) const MAX_MEMBER_CHANGES: usize = 4_096;

/// A member, with the times from which ages in an answer count.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct KnownMember {
    pub(crate) member: Member,
    /// When it went down.
    pub(crate) down_since: Option<Time>,
    /// When it last answered this agent, while the agent's own link to it is broken.
    pub(crate) link_silent_since: Option<Time>,
}

impl KnownMember {
    /// Whether another one is told as the same. Ages are no news.
    fn is_told_as(&self, other: &Self) -> bool {
        let told = |known: &Self| {
            let Member { name, gossip_address, status, datacenter, zone, epoch, .. } =
                known.member.clone();
            let is_broken = known.link_silent_since.is_some();
            (name, gossip_address, status, datacenter, zone, epoch, known.down_since, is_broken)
        };
        told(self) == told(other)
    }

    /// The member for an answer at `now`.
    pub(crate) fn shown(&self, now: Time) -> Member {
        let ago = |since: Time| crate::clock::millis(now.since(since));
        Member {
            down_ago_ms: self.down_since.map(ago),
            link_silent_ms: self.link_silent_since.map(ago),
            ..self.member.clone()
        }
    }
}

/// A mass loss that is not over, with the time from which its age in an answer counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct KnownLoss {
    /// The loss. Its age is 0.
    pub(crate) loss: MassLoss,
    pub(crate) since: Time,
}

/// The mass losses that are not over, the oldest first.
pub(crate) type KnownLosses = Arc<[KnownLoss]>;

/// Mass losses for an answer at `now`.
pub(crate) fn shown_losses(losses: &KnownLosses, now: Time) -> Vec<MassLoss> {
    let shown = |known: &KnownLoss| {
        let ago_ms = crate::clock::millis(now.since(known.since));
        MassLoss { ago_ms, ..known.loss }
    };
    losses.iter().map(shown).collect()
}

/// A change of the members.
#[derive(Clone, Debug)]
pub(crate) enum MemberNews {
    /// The member now, and before, if it was listed.
    Changed(MemberEventKind, Arc<KnownMember>, Option<Arc<KnownMember>>),
    LostTogether(LostTogether),
    /// The mass losses that are not over, which changed.
    MassLosses(KnownLosses),
}

/// All members that are not gone.
pub(crate) type KnownMembers = imbl::OrdMap<NodeId, Arc<KnownMember>>;

/// The members, and the latest [`MAX_MEMBER_CHANGES`] of their changes. The driver is the only writer.
pub(super) struct MemberLog {
    state: Mutex<State>,
    wake: watch::Sender<()>,
}

struct State {
    members: KnownMembers,
    mass_losses: KnownLosses,
    kept: VecDeque<(u64, MemberNews)>,
    /// The most changes that are kept.
    limit: usize,
    /// The latest change, kept or not.
    latest: u64,
    /// The latest change that was dropped.
    dropped_to: u64,
}

/// The changes of members since a revision.
pub(crate) enum MembersSince {
    Changes(Vec<MemberNews>),
    /// The changes since then are no longer kept.
    Forgotten,
}

impl MemberLog {
    pub(super) fn new(first_revision: u64) -> Self {
        let state = State {
            members: KnownMembers::new(),
            mass_losses: KnownLosses::default(),
            kept: VecDeque::new(),
            limit: MAX_MEMBER_CHANGES,
            latest: first_revision,
            dropped_to: first_revision,
        };
        Self { state: Mutex::new(state), wake: watch::Sender::new(()) }
    }

    /// Takes a member as it is now. `number` gives the revision of a change.
    pub(super) fn apply(&self, node: NodeId, now: KnownMember, number: impl FnOnce() -> u64) {
        let mut state = self.lock();
        let before = state.members.get(&node).cloned();
        if before.as_ref().is_some_and(|before| before.is_told_as(&now)) {
            return;
        }
        let status_before = before.as_ref().map(|before| before.member.status);
        let Some(kind) = kind(status_before, now.member.status) else {
            return;
        };
        let now = Arc::new(now);
        if kind.is_gone() {
            state.members.remove(&node);
        } else {
            state.members.insert(node, now.clone());
        }
        state.keep(number(), MemberNews::Changed(kind, now, before));
        self.wake.send_replace(());
    }

    /// Takes all members that are not gone, as they are now. Those that are not among them were forgotten.
    pub(super) fn reconcile(
        &self,
        now: BTreeMap<NodeId, KnownMember>,
        mut number: impl FnMut() -> u64,
    ) {
        let forgotten: Vec<_> = {
            let mut state = self.lock();
            let gone = state.members.iter().filter(|(node, _)| !now.contains_key(node));
            let gone: Vec<_> = gone.map(|(node, known)| (*node, known.clone())).collect();
            for (node, _) in &gone {
                state.members.remove(node);
            }
            gone
        };
        for (_, known) in forgotten {
            let before = Some(known.clone());
            let news = MemberNews::Changed(MemberEventKind::Forgotten, known, before);
            self.lock().keep(number(), news);
            self.wake.send_replace(());
        }
        for (node, known) in now {
            self.apply(node, known, &mut number);
        }
    }

    /// Notes that members were lost together.
    pub(super) fn lost_together(&self, lost: LostTogether, number: impl FnOnce() -> u64) {
        self.lock().keep(number(), MemberNews::LostTogether(lost));
        self.wake.send_replace(());
    }

    /// Takes the mass losses that are not over, as they are now.
    pub(super) fn set_mass_losses(&self, losses: KnownLosses, number: impl FnOnce() -> u64) {
        let mut state = self.lock();
        if state.mass_losses != losses {
            state.mass_losses = losses.clone();
            state.keep(number(), MemberNews::MassLosses(losses));
            self.wake.send_replace(());
        }
    }

    /// The mass losses that are not over.
    pub(super) fn mass_losses(&self) -> KnownLosses {
        self.lock().mass_losses.clone()
    }

    /// All members that are not gone, with the revision up to which they are known.
    pub(super) fn all(&self) -> (KnownMembers, u64) {
        let state = self.lock();
        (state.members.clone(), state.latest)
    }

    pub(super) fn since(&self, revision: u64) -> (MembersSince, u64) {
        let state = self.lock();
        if revision < state.dropped_to {
            return (MembersSince::Forgotten, state.latest);
        }
        let start = state.kept.partition_point(|(at, _)| *at <= revision);
        let news = state.kept.range(start..).map(|(_, news)| news.clone()).collect();
        (MembersSince::Changes(news), state.latest.max(revision))
    }

    pub(super) fn subscribe(&self) -> watch::Receiver<()> {
        self.wake.subscribe()
    }

    /// Keeps no more than so many changes from now on.
    #[cfg(test)]
    pub(super) fn keep_changes(&self, limit: usize) {
        self.lock().limit = limit;
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn keep(&mut self, revision: u64, news: MemberNews) {
        self.latest = revision;
        self.kept.push_back((revision, news));
        if self.kept.len() > self.limit
            && let Some((oldest, _)) = self.kept.pop_front()
        {
            self.dropped_to = oldest;
        }
    }
}

/// The kind of a change from one status to another; `None` if it concerns no member that is listed.
fn kind(before: Option<MemberStatus>, now: MemberStatus) -> Option<MemberEventKind> {
    use MemberEventKind as Event;
    use MemberStatus::{Alive, Down, ForceLeft, Left, Replaced, Suspect, Unknown, Unreachable};
    Some(match (before, now) {
        (None, Left | ForceLeft | Replaced) => return None,
        (_, Left) => Event::Left,
        (_, ForceLeft) => Event::ForceLeft,
        (_, Replaced) => Event::Replaced,
        (None, Alive | Suspect | Unknown) => Event::Joined,
        (Some(Down), Down) | (Some(Unreachable), Unreachable) => Event::Changed,
        (_, Down) => Event::Down,
        (_, Unreachable) => Event::Unreachable,
        (Some(Down | Unreachable), Alive | Suspect | Unknown) => Event::Back,
        (Some(_), Alive | Suspect | Unknown) => Event::Changed,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::services::testing;

    fn member(node: u64, status: MemberStatus) -> KnownMember {
        let member = testing::member(&format!("a{node}"), node, status);
        KnownMember { member, down_since: None, link_silent_since: None }
    }

    fn kinds(log: &MemberLog, since: u64) -> Option<Vec<MemberEventKind>> {
        let (MembersSince::Changes(news), _) = log.since(since) else { return None };
        let kind = |news| match news {
            MemberNews::Changed(kind, ..) => Some(kind),
            MemberNews::LostTogether(_) | MemberNews::MassLosses(_) => None,
        };
        Some(news.into_iter().filter_map(kind).collect())
    }

    #[test]
    fn each_change_of_a_status_has_a_name() {
        use MemberEventKind as Event;
        use MemberStatus::{Alive, Down, ForceLeft, Left, Replaced, Unreachable};
        let log = MemberLog::new(10);
        let mut revision = 10;
        let table = [
            (Left, None),
            (Alive, Some(Event::Joined)),
            (Alive, None),
            (Down, Some(Event::Down)),
            (Alive, Some(Event::Back)),
            (Unreachable, Some(Event::Unreachable)),
            (Alive, Some(Event::Back)),
            (Replaced, Some(Event::Replaced)),
            (Down, Some(Event::Down)),
            (ForceLeft, Some(Event::ForceLeft)),
            (ForceLeft, None),
            (Alive, Some(Event::Joined)),
            (Left, Some(Event::Left)),
        ];
        for (status, expected) in table {
            let before = revision;
            log.apply(NodeId(1), member(1, status), || {
                revision += 1;
                revision
            });
            let told = kinds(&log, before).expect("kept");
            assert_eq!(told, Vec::from_iter(expected), "{status:?}");
            assert_eq!(
                log.all().0.is_empty(),
                expected.is_none_or(Event::is_gone) && status != Alive
            );
        }
    }

    #[test]
    fn a_member_that_is_no_longer_known_is_told_as_forgotten() {
        let log = MemberLog::new(0);
        let mut revision = 0;
        let mut number = || {
            revision += 1;
            revision
        };
        log.apply(NodeId(1), member(1, MemberStatus::Alive), &mut number);
        log.apply(NodeId(2), member(2, MemberStatus::Down), &mut number);
        let now = BTreeMap::from([(NodeId(1), member(1, MemberStatus::Alive))]);
        log.reconcile(now, &mut number);
        assert_eq!(kinds(&log, 2), Some(vec![MemberEventKind::Forgotten]));
        assert!(log.all().0.keys().eq([&NodeId(1)]));
    }

    #[test]
    fn the_oldest_changes_give_way_and_a_revision_before_them_is_forgotten() {
        let log = MemberLog::new(0);
        let mut revision = 0;
        for round in 0..=MAX_MEMBER_CHANGES {
            let status = if round % 2 == 0 { MemberStatus::Alive } else { MemberStatus::Down };
            log.apply(NodeId(1), member(1, status), || {
                revision += 1;
                revision
            });
        }
        assert_eq!(kinds(&log, 0), None);
        assert_eq!(kinds(&log, 1).map(|told| told.len()), Some(MAX_MEMBER_CHANGES));
    }
}
