//! A watch of the members.

use std::cell::LazyCell;
use std::sync::Arc;

use hobnob_api::{
    ApiError, Datacenters, Member, MemberChange, MemberChanges, MemberEventKind, Members, Reset,
    WatchMembersQuery,
};
use tokio::sync::watch;
use tokio::time::Instant;

use super::building_members::BuildingMembers;
use super::{Event, MAX_PART_BYTES, Told, WATCH_BYTES, collect};
use crate::budget::{Budget, Exhausted, Held};
use crate::queries::asked::check_datacenters;
use crate::queries::members::NameConflicts;
use crate::services::{KnownMember, MemberNews, MembersSince, Registry, shown_losses};

/// Bytes of a member, its texts aside.
const AROUND_MEMBER_BYTES: usize = 256;

/// Follows the members. It sleeps until one of them changes.
pub(crate) struct MembersWatch {
    pub(super) registry: Arc<Registry>,
    pub(super) datacenters: Datacenters,
    woken: watch::Receiver<()>,
    /// The revision that the last event was taken from.
    pub(super) seen: Option<u64>,
    is_of_other_run: bool,
    _held: Held,
    pub(super) allowance: Arc<Budget>,
    /// The whole picture that is not finished.
    pub(super) building: Option<BuildingMembers>,
    /// The event that is not told to its end.
    rest: Option<Rest>,
    looked_at: Option<Instant>,
    /// A change woke it, and it has not looked since.
    is_woken: bool,
}

/// The part of an event that is not told yet.
struct Rest {
    news: std::vec::IntoIter<News>,
    revision: u64,
    unfinished: u64,
    /// The whole picture begins with it.
    starts_over: bool,
    reset: Option<Reset>,
    held: Arc<Held>,
}

/// Something to be told.
pub(super) enum News {
    Present(Member),
    News(MemberNews),
}

impl News {
    /// The bytes that it takes while it is not told.
    fn bytes(&self) -> usize {
        match self {
            Self::Present(member) => member_bytes(member),
            // The member is shared with the registry.
            Self::News(_) => AROUND_MEMBER_BYTES,
        }
    }
}

impl MembersWatch {
    /// A watch whose events count in `allowance`.
    ///
    /// # Errors
    /// A name breaks a rule, or there is no room for the watch.
    pub(crate) fn new(
        registry: Arc<Registry>,
        query: WatchMembersQuery,
        allowance: Arc<Budget>,
    ) -> Result<Self, ApiError> {
        check_datacenters(&query.datacenter)?;
        let held = allowance.hold(WATCH_BYTES)?;
        let is_of_other_run =
            query.since.is_some_and(|since| !registry.is_of_this_run(since, query.run.as_deref()));
        let woken = registry.subscribe_to_members();
        Ok(Self {
            registry,
            datacenters: query.datacenter,
            woken,
            seen: query.since,
            is_of_other_run,
            _held: held,
            allowance,
            building: None,
            rest: None,
            looked_at: None,
            is_woken: false,
        })
    }

    /// The next event or part of one, as soon as there is one. Dropping the future before it is ready loses nothing.
    ///
    /// # Errors
    /// There is no room for the event. The watch has ended.
    pub(crate) async fn next(&mut self) -> Result<Told, Exhausted> {
        loop {
            if let Some(rest) = self.rest.take() {
                return Ok(self.tell_part(rest));
            }
            if let Some(building) = self.building.take() {
                self.build(building)?;
                if self.building.is_some() {
                    tokio::task::yield_now().await;
                }
                continue;
            }
            if let Some(looked_at) = self.looked_at {
                if !self.is_woken {
                    // The sender lives as long as the registry.
                    let _ = self.woken.changed().await;
                    self.is_woken = true;
                }
                collect(looked_at).await;
            }
            self.is_woken = false;
            let is_first = self.looked_at.is_none();
            self.looked_at = Some(Instant::now());
            self.woken.mark_unchanged();
            self.look(is_first)?;
        }
    }

    fn look(&mut self, is_first: bool) -> Result<(), Exhausted> {
        let reset = match self.seen {
            None => None,
            Some(_) if std::mem::take(&mut self.is_of_other_run) => Some(Reset::OtherRun),
            Some(seen) => match self.registry.members_since(seen) {
                (MembersSince::Changes(news), revision) => {
                    self.seen = Some(revision);
                    let asked = news.into_iter().filter_map(|news| self.as_asked(news));
                    let news: Vec<_> = asked.map(News::News).collect();
                    if is_first || !news.is_empty() {
                        let held = self.allowance.hold(0)?;
                        self.prepare(news, held, (revision, seen), None)?;
                    }
                    return Ok(());
                }
                (MembersSince::Forgotten, _) if is_first => Some(Reset::TooOld),
                (MembersSince::Forgotten, _) => Some(Reset::FellBehind),
            },
        };
        if matches!(reset, Some(Reset::TooOld | Reset::FellBehind)) {
            self.registry.count_watch_reset();
        }
        self.building = Some(self.begin_whole(reset)?);
        Ok(())
    }

    /// The news as a watch of these datacenters tells it; `None` if it does not. A member that moved to another datacenter is
    /// told once more, as it was.
    fn as_asked(&self, news: MemberNews) -> Option<MemberNews> {
        let MemberNews::Changed(kind, now, before) = news else { return Some(news) };
        let is_asked =
            |known: &Arc<KnownMember>| self.datacenters.contains(&known.member.datacenter);
        if is_asked(&now) {
            return Some(MemberNews::Changed(kind, now, before));
        }
        let before = before.filter(is_asked)?;
        let kind = if kind.is_gone() { kind } else { MemberEventKind::Forgotten };
        Some(MemberNews::Changed(kind, before, None))
    }

    pub(super) fn prepare(
        &mut self,
        news: Vec<News>,
        mut held: Held,
        (revision, unfinished): (u64, u64),
        whole: Option<Option<Reset>>,
    ) -> Result<(), Exhausted> {
        held.resize(news.iter().map(News::bytes).sum())?;
        let held = Arc::new(held);
        let (starts_over, reset) = (whole.is_some(), whole.flatten());
        let news = news.into_iter();
        self.rest = Some(Rest { news, revision, unfinished, starts_over, reset, held });
        Ok(())
    }

    /// Tells as much of an event as fits a part.
    fn tell_part(&mut self, mut rest: Rest) -> Told {
        let now = self.registry.now();
        let isolated = self.registry.is_isolated();
        // The members of a whole picture are marked already.
        let conflicts = LazyCell::new(|| {
            let known = self.registry.members().0;
            NameConflicts::among(known.values().map(|known| &known.member))
        });
        let (mut members, mut changes, mut lost_together) = (Vec::new(), Vec::new(), Vec::new());
        let mut mass_losses = None;
        let mut bytes = 0;
        while bytes < MAX_PART_BYTES
            && let Some(news) = rest.news.next()
        {
            match news {
                News::Present(member) if rest.starts_over => {
                    bytes += member_answer_bytes(&member);
                    members.push(member);
                }
                // Of the whole picture, after its first part.
                News::Present(member) => {
                    bytes += member_answer_bytes(&member);
                    let event = MemberEventKind::Changed;
                    changes.push(MemberChange { event, member });
                }
                News::News(MemberNews::Changed(event, known, _)) => {
                    let mut member = known.shown(now);
                    if !event.is_gone() {
                        conflicts.mark(&mut member);
                    }
                    bytes += member_answer_bytes(&member);
                    changes.push(MemberChange { event, member });
                }
                News::News(MemberNews::LostTogether(lost)) => {
                    bytes += AROUND_MEMBER_BYTES;
                    lost_together.push(lost);
                }
                News::News(MemberNews::MassLosses(losses)) => {
                    bytes += AROUND_MEMBER_BYTES * losses.len();
                    mass_losses = Some(shown_losses(&losses, now));
                }
            }
        }
        let more = !rest.news.as_slice().is_empty();
        let revision = if more { rest.unfinished } else { rest.revision };
        let (held, reset) = (rest.held.clone(), rest.reset.take());
        let event = if std::mem::take(&mut rest.starts_over) {
            let mass_losses = shown_losses(&self.registry.mass_losses(), now);
            Event::Members(Members { revision, isolated, members, mass_losses })
        } else {
            let changes = MemberChanges { revision, isolated, changes, lost_together, mass_losses };
            Event::MemberChanges(changes)
        };
        self.rest = more.then_some(rest);
        Told { event, reset, more, held }
    }
}

/// The bytes of a member in memory.
pub(crate) fn member_bytes(member: &Member) -> usize {
    AROUND_MEMBER_BYTES + texts(member)
}

/// The most bytes of a member in an answer.
pub(crate) fn member_answer_bytes(member: &Member) -> usize {
    // Each byte of a text takes six at most, as in `\u001b`.
    AROUND_MEMBER_BYTES + 6 * texts(member)
}

fn texts(member: &Member) -> usize {
    let texts = [&member.name, &member.gossip_address, &member.datacenter, &member.zone];
    texts.iter().map(|text| text.len()).sum()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use hobnob_api::{MassLoss, MemberStatus};
    use hobnob_membership::{NodeId, Time};
    use tokio::time::timeout;

    use super::*;
    use crate::budget::MAX_CONNECTION_BYTES;
    use crate::services::KnownLoss;
    use crate::services::testing::{self, registry};

    fn member(number: u64, name: &str, datacenter: &str) -> (NodeId, KnownMember) {
        let known = testing::member(name, number, MemberStatus::Alive);
        let gossip_address = format!("127.0.0.1:{number}");
        let member = Member { gossip_address, datacenter: datacenter.to_owned(), ..known };
        (NodeId(number), KnownMember { member, down_since: None, link_silent_since: None })
    }

    fn watch(registry: &Arc<Registry>, datacenter: Datacenters) -> MembersWatch {
        let query = WatchMembersQuery { datacenter, ..WatchMembersQuery::default() };
        let allowance = Budget::new(MAX_CONNECTION_BYTES);
        MembersWatch::new(registry.clone(), query, allowance).expect("room")
    }

    async fn next(watch: &mut MembersWatch) -> Event {
        let told = timeout(Duration::from_secs(60), watch.next()).await;
        told.expect("an event").expect("room").event
    }

    /// The next changes: the event, the name, the datacenter and whether another one has the name.
    async fn changes(watch: &mut MembersWatch) -> Vec<(MemberEventKind, String, String, bool)> {
        let Event::MemberChanges(told) = next(watch).await else { panic!("changes") };
        let told = told.changes.into_iter().map(|change| {
            let Member { name, datacenter, name_conflict, .. } = change.member;
            (change.event, name, datacenter, name_conflict)
        });
        told.collect()
    }

    #[tokio::test(start_paused = true)]
    async fn a_member_that_moves_to_a_datacenter_that_is_not_asked_for_is_forgotten() {
        let (registry, writer) = registry();
        writer.reconcile_members([member(1, "a", "dc1"), member(2, "b", "dc2")].into());
        let mut watch = watch(&registry, Datacenters::named(["dc1"]).expect("one"));
        let Event::Members(first) = next(&mut watch).await else { panic!("members") };
        assert_eq!(first.members.len(), 1);
        writer.reconcile_members([member(1, "a", "dc3"), member(2, "b", "dc1")].into());
        let told = |kind, name: &str| (kind, name.to_owned(), "dc1".to_owned(), false);
        let moved = [told(MemberEventKind::Forgotten, "a"), told(MemberEventKind::Changed, "b")];
        assert_eq!(changes(&mut watch).await, moved);
        writer.reconcile_members([member(1, "c", "dc3"), member(2, "d", "dc1")].into());
        let left = [told(MemberEventKind::Changed, "d")];
        assert_eq!(changes(&mut watch).await, left, "and never again");
    }

    #[tokio::test(start_paused = true)]
    async fn broken_links_and_mass_losses_are_told_as_members_tells_them() {
        let (registry, writer) = registry();
        let at = |ms: u64| Time::from_millis(ms);
        let broken = |since: Option<Time>| {
            let (node, known) = member(1, "a", "dc1");
            (node, KnownMember { link_silent_since: since, ..known })
        };
        let now = registry.now();
        let (node, whole) = broken(None);
        writer.apply_member(node, whole);
        let [mut first_watch, mut later_watch] =
            [(); 2].map(|()| watch(&registry, Datacenters::default()));
        let Event::Members(first) = next(&mut first_watch).await else { panic!("members") };
        assert_eq!((first.members[0].link_silent_ms, first.mass_losses.len()), (None, 0));

        let (node, known) = broken(Some(at(0)));
        writer.apply_member(node, known.clone());
        writer.apply_member(node, known);
        let Event::MemberChanges(told) = next(&mut first_watch).await else { panic!("changes") };
        assert_eq!(told.changes.len(), 1, "it is told once");
        let silent = told.changes[0].member.link_silent_ms.expect("broken");
        assert!(silent >= crate::clock::millis(now.since(at(0))), "{silent} ms");
        assert_eq!(told.mass_losses, None);

        let loss = MassLoss { ago_ms: 0, lost: 4, of: 8, back: 1, missing: 3, exited: 0 };
        writer.set_mass_losses([KnownLoss { loss, since: at(0) }].into());
        let Event::MemberChanges(told) = next(&mut first_watch).await else { panic!("changes") };
        let lasting = told.mass_losses.expect("changed");
        assert_eq!((lasting.len(), lasting[0].missing), (1, 3));
        let Event::Members(first) = next(&mut later_watch).await else { panic!("members") };
        assert_eq!((first.mass_losses.len(), first.mass_losses[0].back), (1, 1));
        assert!(first.members[0].link_silent_ms.is_some());

        writer.set_mass_losses([].into());
        let Event::MemberChanges(told) = next(&mut first_watch).await else { panic!("changes") };
        assert_eq!(told.mass_losses, Some(Vec::new()), "it is over");
    }

    #[tokio::test(start_paused = true)]
    async fn a_name_that_two_living_members_have_is_told_as_a_conflict() {
        let (registry, writer) = registry();
        writer.reconcile_members([member(1, "a", "dc1"), member(2, "a", "dc2")].into());
        let mut watch = watch(&registry, Datacenters::named(["dc1"]).expect("one"));
        let Event::Members(first) = next(&mut watch).await else { panic!("members") };
        assert!(first.members[0].name_conflict, "with one of another datacenter");
        for (name, conflicts) in [("b", false), ("a", true)] {
            writer.reconcile_members([member(1, name, "dc1"), member(2, "a", "dc2")].into());
            let told = changes(&mut watch).await;
            assert_eq!((told[0].1.as_str(), told[0].3), (name, conflicts));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_first_answer_is_made_in_slices_between_which_others_are_answered() {
        const MEMBERS: u64 = 5_000;
        let (registry, writer) = registry();
        let name = |number: u64| format!("m{}", MEMBERS - number);
        writer.reconcile_members((0..MEMBERS).map(|one| member(one, &name(one), "dc1")).collect());
        let mut watch = watch(&registry, Datacenters::All);
        let first = tokio::spawn(async move {
            let mut names = Vec::new();
            loop {
                let told = watch.next().await.expect("room");
                match told.event {
                    Event::Members(all) => {
                        names.extend(all.members.into_iter().map(|one| one.name));
                    }
                    Event::MemberChanges(more) => {
                        names.extend(more.changes.into_iter().map(|one| one.member.name));
                    }
                    _ => panic!("another event"),
                }
                if !told.more {
                    return names;
                }
            }
        });
        let mut answered = 0;
        while !first.is_finished() {
            answered += 1;
            tokio::task::yield_now().await;
        }
        let names = first.await.expect("no panic");
        assert_eq!(names.len(), MEMBERS as usize);
        assert!(names.is_sorted(), "by name");
        // Each member is looked at twice.
        let slices = 2 * MEMBERS as usize / super::super::building::SLICE;
        assert!(answered >= slices, "{answered} others before the first answer");
    }
}
