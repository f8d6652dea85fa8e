//! Questions that are under way, bundled by voter: what is asked while an earlier question is under way goes out with the next one.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::base::identity::NodeId;
use crate::base::time::Time;
use crate::codec::encoded_len;
use crate::quorum::chain::Chain;
use crate::quorum::message::{Ask, MAX_PARTS, MESSAGE_BYTES, Part};

/// Questions to one voter that are under way at once.
const MAX_CALLS_TO_VOTER: usize = 4;
/// A question that has no answer after this long is given up.
const CALL_LASTS: Duration = Duration::from_secs(2);
/// A question is asked again after this long, which doubles up to [`ASKED_AGAIN_AT_LAST`].
const ASKED_AGAIN_AFTER: Duration = Duration::from_millis(150);
const ASKED_AGAIN_AT_LAST: Duration = Duration::from_millis(1_200);

/// The questions under way. `E` says what the answer to each part is for.
#[derive(Debug)]
pub(crate) struct Calls<E> {
    under_way: BTreeMap<u64, Call<E>>,
    open: BTreeMap<NodeId, usize>,
    outgoing: BTreeMap<NodeId, Vec<(Part, E)>>,
}

#[derive(Debug)]
struct Call<E> {
    to: NodeId,
    errands: Vec<E>,
    until: Time,
}

impl<E> Default for Calls<E> {
    fn default() -> Self {
        let (under_way, open, outgoing) = Default::default();
        Self { under_way, open, outgoing }
    }
}

impl<E> Calls<E> {
    /// Whether a voter may be asked more now.
    pub(crate) fn has_room(&self, to: NodeId) -> bool {
        let is_open = self.open.get(&to).is_none_or(|open| *open < MAX_CALLS_TO_VOTER);
        is_open && self.outgoing.get(&to).is_none_or(|parts| parts.len() < MAX_PARTS)
    }

    /// The number of questions under way.
    pub(crate) fn len(&self) -> usize {
        self.under_way.len()
    }

    /// Asks a voter, with the next bundle.
    pub(crate) fn put(&mut self, to: NodeId, part: Part, errand: E) {
        self.outgoing.entry(to).or_default().push((part, errand));
    }

    /// Takes the bundles that go out now.
    pub(crate) fn take_bundles(
        &mut self,
        chain: Option<&Chain>,
        now: Time,
        mut draw: impl FnMut() -> u64,
    ) -> Vec<(NodeId, Ask)> {
        let mut bundles = Vec::new();
        for (to, parts) in std::mem::take(&mut self.outgoing) {
            let mut parts = parts.into_iter().peekable();
            while parts.peek().is_some() {
                let (mut asked, mut errands, mut bytes) = (Vec::new(), Vec::new(), 0);
                let fits = |bytes, (part, _): &(Part, E)| {
                    bytes == 0 || bytes + encoded_len(part) <= MESSAGE_BYTES
                };
                while let Some((part, errand)) = parts.next_if(|it| fits(bytes, it)) {
                    bytes += encoded_len(&part);
                    asked.push(part);
                    errands.push(errand);
                }
                let number = draw();
                self.under_way.insert(number, Call { to, errands, until: now + CALL_LASTS });
                *self.open.entry(to).or_default() += 1;
                bundles.push((to, Ask { number, chain: chain.cloned(), parts: asked }));
            }
        }
        bundles
    }

    /// Takes what the answers of a voter are for.
    pub(crate) fn take(&mut self, number: u64, from: NodeId) -> Option<Vec<E>> {
        if self.under_way.get(&number)?.to != from {
            return None;
        }
        let call = self.under_way.remove(&number)?;
        self.close(from);
        Some(call.errands)
    }

    fn close(&mut self, to: NodeId) {
        if let Some(open) = self.open.get_mut(&to) {
            *open -= 1;
            if *open == 0 {
                self.open.remove(&to);
            }
        }
    }

    /// Gives up questions whose time is over.
    pub(crate) fn expire(&mut self, now: Time) {
        let over = self.under_way.extract_if(.., |_, call| call.until <= now);
        for to in over.map(|(_, call)| call.to).collect::<Vec<_>>() {
            self.close(to);
        }
    }

    /// When the next question is given up.
    pub(crate) fn next_deadline(&self) -> Option<Time> {
        self.under_way.values().map(|call| call.until).min()
    }
}

/// When one voter is asked again about one thing.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Pace {
    at: Option<Time>,
    tries: u32,
}

impl Pace {
    /// Whether the voter is to be asked now. If so, the next time is later.
    pub(crate) fn is_due(&mut self, now: Time) -> bool {
        let is_due = self.at.is_none_or(|at| at <= now);
        if is_due {
            let again = ASKED_AGAIN_AFTER * (1 << self.tries.min(4));
            self.at = Some(now + again.min(ASKED_AGAIN_AT_LAST));
            self.tries += 1;
        }
        is_due
    }

    /// The voter has answered, and may be asked the next thing at once.
    pub(crate) fn answered(&mut self) {
        *self = Self::default();
    }

    /// When the voter is asked again.
    pub(crate) fn deadline(&self) -> Option<Time> {
        self.at
    }
}
