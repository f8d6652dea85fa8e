//! What this node heard of other datacenters, and when.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use crate::base::datacenter::DatacenterId;
use crate::base::identity::NodeId;
use crate::base::time::Time;

/// Silence after which a gateway asks: three beats are missing.
pub(crate) const SILENT_AFTER: Duration = Duration::from_millis(1_750);
/// A node that stood still for this long may have missed beats.
pub(crate) const STOOD_STILL: Duration = Duration::from_secs(1);

/// A member that told no hashes for this long is not compared any more. The second gateway tells them each two seconds.
const DIFFERS_LASTS: Duration = Duration::from_millis(2_200);
/// Members of a datacenter of which a gateway notes that they tell other hashes. Three gateways beat, or three of each part.
const MAX_DIFFERING: usize = 16;

/// A member of another datacenter that tells other hashes than ours.
#[derive(Clone, Copy, Debug)]
struct Differing {
    since: Time,
    heard: Time,
    exchanged: Option<Time>,
}

/// The look of a gateway at one other datacenter.
#[derive(Clone, Debug)]
pub(crate) struct Look {
    /// When it was heard last; `None` if never.
    pub(crate) heard: Option<Time>,
    /// Silence counts from here, or from when it was heard last.
    pub(crate) from: Time,
    /// Since when we ask without an answer.
    pub(crate) asking_since: Option<Time>,
    /// Since when it has answered without a break, while it is out of reach.
    pub(crate) answering_since: Option<Time>,
    /// The number of questions.
    pub(crate) turn: usize,
    /// The votes of other gateways: when they came, how long the silence was, how long they had asked.
    pub(crate) votes: BTreeMap<NodeId, (Time, Duration, Duration)>,
    /// When a member that is no gateway told that it is asked from there.
    pub(crate) heard_elsewhere: Option<Time>,
    /// When our votes are due again.
    pub(crate) vote_due: Time,
    /// Returns lately.
    pub(crate) returns: u32,
    /// The last return.
    pub(crate) returned_at: Option<Time>,
    /// The time of an answer of a gateway there, smoothed.
    pub(crate) round_trip: Option<Duration>,
    /// Members of it that tell other hashes than ours. When a datacenter is split, its parts tell different ones.
    differing: BTreeMap<NodeId, Differing>,
    /// The number of the last beat sent there.
    pub(crate) number: u8,
    /// The last beats sent there: number, receiver, time.
    pub(crate) sent: VecDeque<(u8, NodeId, Time)>,
    /// The last beat that came from there: sender, number, time.
    pub(crate) came: Option<(NodeId, u8, Time)>,
    /// The earliest time of the next exchange because of that.
    pub(crate) exchange_not_before: Time,
    /// Exchanges since then.
    pub(crate) exchanged: usize,
    /// Bytes sent there, and received from there.
    pub(crate) bytes: (u64, u64),
}

impl Look {
    pub(crate) fn new(now: Time) -> Self {
        Self {
            heard: None,
            from: now,
            asking_since: None,
            answering_since: None,
            turn: 0,
            votes: BTreeMap::new(),
            heard_elsewhere: None,
            vote_due: now,
            returns: 0,
            returned_at: None,
            round_trip: None,
            differing: BTreeMap::new(),
            number: 0,
            sent: VecDeque::new(),
            came: None,
            exchange_not_before: now,
            exchanged: 0,
            bytes: (0, 0),
        }
    }

    /// Notes whether a member of the datacenter tells our hashes.
    pub(crate) fn note_hashes(&mut self, by: NodeId, is_equal: bool, now: Time) {
        self.differing.retain(|_, differing| now.since(differing.heard) < DIFFERS_LASTS);
        if is_equal {
            self.differing.remove(&by);
        } else if self.differing.len() < MAX_DIFFERING || self.differing.contains_key(&by) {
            let new = Differing { since: now, heard: now, exchanged: None };
            self.differing.entry(by).or_insert(new).heard = now;
        }
    }

    /// The member with which tables are to be exchanged now: of those that have differed for so long the one with which we did so longest
    /// ago.
    pub(crate) fn take_differing(&mut self, at_least: Duration, now: Time) -> Option<NodeId> {
        if self.differing.is_empty() {
            self.exchanged = 0;
        }
        let differing = self.differing.iter_mut();
        let old = differing.filter(|(_, it)| it.heard.since(it.since) >= at_least);
        let (node, differing) = old.min_by_key(|(_, differing)| differing.exchanged)?;
        differing.exchanged = Some(now);
        Some(*node)
    }

    /// The time for which nothing was heard.
    pub(crate) fn silence(&self, now: Time) -> Duration {
        now.since(self.heard.map_or(self.from, |heard| heard.max(self.from)))
    }

    /// The time for which we have asked in vain.
    pub(crate) fn asked(&self, now: Time) -> Duration {
        self.asking_since.map_or(Duration::ZERO, |since| now.since(since))
    }
}

/// The looks at all other datacenters.
#[derive(Debug, Default)]
pub(crate) struct Looks {
    looks: BTreeMap<DatacenterId, Look>,
}

impl Looks {
    pub(crate) fn get(&self, datacenter: DatacenterId) -> Option<&Look> {
        self.looks.get(&datacenter)
    }

    pub(crate) fn get_mut(&mut self, datacenter: DatacenterId) -> Option<&mut Look> {
        self.looks.get_mut(&datacenter)
    }

    /// The look at a datacenter, which begins now if there was none. The caller looks at datacenters of the table alone, so there are
    /// no more looks than datacenters.
    pub(crate) fn at(&mut self, datacenter: DatacenterId, now: Time) -> &mut Look {
        self.looks.entry(datacenter).or_insert_with(|| Look::new(now))
    }

    pub(crate) fn retain(&mut self, keep: impl Fn(DatacenterId) -> bool) {
        self.looks.retain(|datacenter, _| keep(*datacenter));
    }

    /// Notes a sign of life.
    pub(crate) fn heard(&mut self, datacenter: DatacenterId, now: Time) {
        let look = self.at(datacenter, now);
        look.heard = Some(now);
        look.asking_since = None;
        look.answering_since.get_or_insert(now);
        look.votes.clear();
    }

    /// Begins all silences anew: we could hear nobody until now.
    pub(crate) fn begin_anew(&mut self, now: Time) {
        for look in self.looks.values_mut() {
            look.from = now;
            look.asking_since = None;
            look.answering_since = None;
        }
    }
}
