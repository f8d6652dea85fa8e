//! Answers that are too long for one reply, in pages of one moment.
//!
//! The views of the registry are immutable, so the pages hold the view that the question met. One answer in pages goes on at a
//! time for each connection, and what it holds counts in the memory of its connection.

use std::mem;
use std::sync::Arc;
use std::vec::IntoIter;

use hobnob_api::{
    Consistency, Instances, MassLoss, Member, Members, Response, ServiceSettings, Services,
};

use super::{Snapshot, summary};
use crate::budget::{Budget, Exhausted, Held};
use crate::queries::watch::{member_answer_bytes, member_bytes};
use crate::services::Shown;

/// A page ends when it has as many bytes, so that no page is long to write.
pub(crate) const PAGE_BYTES: usize = 1 << 20;
/// Bytes of a service around its texts.
const AROUND_BYTES: usize = 256;

/// The pages that are not told yet. There is at least one.
pub(crate) struct Pages {
    revision: u64,
    isolated: bool,
    consistency: Consistency,
    rest: Rest,
    _held: Held,
}

enum Rest {
    Instances(IntoIter<Shown>, Option<Box<ServiceSettings>>),
    Services(IntoIter<Snapshot>),
    Members(IntoIter<Member>, Vec<MassLoss>),
}

impl Pages {
    /// The pages of a list of instances. They count in `allowance`.
    ///
    /// # Errors
    /// There is no room for them.
    pub(crate) fn of_instances(
        list: Instances<Shown>,
        allowance: &Arc<Budget>,
    ) -> Result<Self, Exhausted> {
        let Instances { revision, isolated, consistency, settings, instances } = list;
        let held = allowance.hold(instances.len() * size_of::<Shown>())?;
        let rest = Rest::Instances(instances.into_iter(), settings.map(Box::new));
        Ok(Self { revision, isolated, consistency, rest, _held: held })
    }

    /// The pages of the list of services.
    ///
    /// # Errors
    /// There is no room for them.
    pub(crate) fn of_services(
        services: Vec<Snapshot>,
        revision: u64,
        isolated: bool,
        allowance: &Arc<Budget>,
    ) -> Result<Self, Exhausted> {
        let held = allowance.hold(services.len() * AROUND_BYTES)?;
        Ok(Self {
            revision,
            isolated,
            consistency: Consistency::Eventual,
            rest: Rest::Services(services.into_iter()),
            _held: held,
        })
    }

    /// The pages of the list of members.
    ///
    /// # Errors
    /// There is no room for them.
    pub(crate) fn of_members(list: Members, allowance: &Arc<Budget>) -> Result<Self, Exhausted> {
        let Members { revision, isolated, members, mass_losses } = list;
        let held = allowance.hold(members.iter().map(member_bytes).sum())?;
        Ok(Self {
            revision,
            isolated,
            consistency: Consistency::Eventual,
            rest: Rest::Members(members.into_iter(), mass_losses),
            _held: held,
        })
    }

    /// The next page, and whether others follow it.
    pub(crate) fn next(&mut self) -> (Response<Shown>, bool) {
        let (revision, isolated) = (self.revision, self.isolated);
        let consistency = self.consistency;
        match &mut self.rest {
            Rest::Instances(rest, settings) => {
                let instances = page(rest, |shown| {
                    let bytes = shown.answer_bytes();
                    (shown, bytes)
                });
                let more = !rest.as_slice().is_empty();
                // The first page tells the settings.
                let settings = settings.take().map(|settings| *settings);
                let page = Instances { revision, isolated, consistency, settings, instances };
                (Response::Instances(page), more)
            }
            Rest::Services(rest) => {
                let services = page(rest, |snapshot| {
                    let summary = summary(&snapshot);
                    let tags: usize = summary.tags.iter().map(|tag| tag.len() + 3).sum();
                    let names = summary.service.len() + summary.namespace.len();
                    (summary, AROUND_BYTES + 6 * names + 6 * tags)
                });
                let more = !rest.as_slice().is_empty();
                (Response::Services(Services { revision, isolated, services }), more)
            }
            Rest::Members(rest, mass_losses) => {
                let members = page(rest, |member| {
                    let bytes = member_answer_bytes(&member);
                    (member, bytes)
                });
                let more = !rest.as_slice().is_empty();
                // The first page tells the losses.
                let mass_losses = mem::take(mass_losses);
                (Response::Members(Members { revision, isolated, members, mass_losses }), more)
            }
        }
    }
}

/// Takes items until they have the bytes of a page.
fn page<T, U>(rest: &mut IntoIter<T>, mut show: impl FnMut(T) -> (U, usize)) -> Vec<U> {
    let (mut items, mut bytes) = (Vec::new(), 0);
    while bytes < PAGE_BYTES
        && let Some(item) = rest.next()
    {
        let (shown, more) = show(item);
        bytes += more;
        items.push(shown);
    }
    items
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::budget::MAX_CONNECTION_BYTES;
    use crate::services::testing;

    fn member(number: usize) -> Member {
        let name = format!("{number:05}").repeat(20);
        testing::member(&name, number as u64, hobnob_api::MemberStatus::Alive)
    }

    #[test]
    fn all_members_come_once_and_in_order_in_pages_that_are_not_long() {
        const COUNT: usize = 10_000;
        let members: Vec<_> = (0..COUNT).map(member).collect();
        let list = Members {
            revision: 7,
            isolated: false,
            members: members.clone(),
            mass_losses: Vec::new(),
        };
        let budget = Budget::new(MAX_CONNECTION_BYTES);
        let mut pages = Pages::of_members(list, &budget).expect("room");
        assert!(budget.held() > COUNT * (256 + members[0].name.len()), "texts count");
        let mut told = Vec::new();
        for number in 1.. {
            let (Response::Members(page), more) = pages.next() else { panic!("members") };
            assert_eq!(page.revision, 7);
            assert!(serde_json::to_vec(&page).expect("JSON").len() < PAGE_BYTES + 2_048);
            told.extend(page.members);
            if !more {
                assert!(number > 1);
                break;
            }
        }
        assert_eq!(told, members);
        drop(pages);
        assert_eq!(budget.held(), 0);
    }

    #[test]
    fn an_empty_list_has_one_page() {
        let list =
            Members { revision: 7, isolated: false, members: Vec::new(), mass_losses: Vec::new() };
        let budget = Budget::new(MAX_CONNECTION_BYTES);
        let mut pages = Pages::of_members(list, &budget).expect("room");
        assert!(!pages.next().1);
    }
}
