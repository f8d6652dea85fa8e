//! A watch of the members.

use std::sync::Arc;

use hobnob_api::{
    ApiError, Datacenters, Member, MemberChange, MemberChanges, Members, Reset, WatchMembersQuery,
};
use tokio::sync::watch;
use tokio::time::Instant;

use super::{Event, MAX_PART_BYTES, Told, UNFINISHED, WATCH_BYTES, collect};
use crate::budget::{Budget, Exhausted, Held};
use crate::queries::asked::check_datacenters;
use crate::services::{MemberNews, MembersSince, Registry};

/// Bytes of a member in an answer, its texts aside.
const AROUND_MEMBER_BYTES: usize = 256;

/// Follows the members. It sleeps until one of them changes.
pub(crate) struct MembersWatch {
    registry: Arc<Registry>,
    datacenters: Datacenters,
    woken: watch::Receiver<()>,
    /// The revision that the last event was taken from.
    seen: Option<u64>,
    is_of_other_run: bool,
    _held: Held,
    allowance: Arc<Budget>,
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

enum News {
    Present(Member),
    News(MemberNews),
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
                    let is_asked = |news: &MemberNews| match news {
                        MemberNews::Changed(_, known) => {
                            self.datacenters.contains(&known.member.datacenter)
                        }
                        MemberNews::LostTogether(_) => true,
                    };
                    let news: Vec<_> = news.into_iter().filter(is_asked).map(News::News).collect();
                    if is_first || !news.is_empty() {
                        self.prepare(news, revision, seen, None)?;
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
        let (members, revision) = self.registry.members();
        self.seen = Some(revision);
        let now = self.registry.now();
        let asked =
            members.values().filter(|known| self.datacenters.contains(&known.member.datacenter));
        let mut present: Vec<Member> = asked.map(|known| known.shown(now)).collect();
        present.sort_by(|a, b| (&a.name, a.node_id).cmp(&(&b.name, b.node_id)));
        let present = present.into_iter().map(News::Present).collect();
        self.prepare(present, revision, UNFINISHED, Some(reset))
    }

    fn prepare(
        &mut self,
        news: Vec<News>,
        revision: u64,
        unfinished: u64,
        whole: Option<Option<Reset>>,
    ) -> Result<(), Exhausted> {
        let held = Arc::new(self.allowance.hold(news.len() * AROUND_MEMBER_BYTES)?);
        let (starts_over, reset) = (whole.is_some(), whole.flatten());
        let news = news.into_iter();
        self.rest = Some(Rest { news, revision, unfinished, starts_over, reset, held });
        Ok(())
    }

    /// Tells as much of an event as fits a part.
    fn tell_part(&mut self, mut rest: Rest) -> Told {
        let now = self.registry.now();
        let isolated = self.registry.is_isolated();
        let (mut members, mut changes, mut lost_together) = (Vec::new(), Vec::new(), Vec::new());
        let mut bytes = 0;
        while bytes < MAX_PART_BYTES
            && let Some(news) = rest.news.next()
        {
            bytes += AROUND_MEMBER_BYTES;
            match news {
                News::Present(member) if rest.starts_over => {
                    bytes += member_bytes(&member);
                    members.push(member);
                }
                // Of the whole picture, after its first part.
                News::Present(member) => {
                    bytes += member_bytes(&member);
                    let event = hobnob_api::MemberEventKind::Changed;
                    changes.push(MemberChange { event, member });
                }
                News::News(MemberNews::Changed(event, known)) => {
                    let member = known.shown(now);
                    bytes += member_bytes(&member);
                    changes.push(MemberChange { event, member });
                }
                News::News(MemberNews::LostTogether(lost)) => lost_together.push(lost),
            }
        }
        let more = !rest.news.as_slice().is_empty();
        let revision = if more { rest.unfinished } else { rest.revision };
        let (held, reset) = (rest.held.clone(), rest.reset.take());
        let event = if std::mem::take(&mut rest.starts_over) {
            Event::Members(Members { revision, isolated, members, mass_losses: Vec::new() })
        } else {
            Event::MemberChanges(MemberChanges { revision, isolated, changes, lost_together })
        };
        self.rest = more.then_some(rest);
        Told { event, reset, more, held }
    }
}

fn member_bytes(member: &Member) -> usize {
    // Each byte of a text takes six at most, as in `\u001b`.
    let texts = [&member.name, &member.gossip_address, &member.datacenter, &member.zone];
    6 * texts.iter().map(|text| text.len()).sum::<usize>()
}
