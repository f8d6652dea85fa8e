//! One exit case: what we and others find of a member whose process may have exited.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::base::identity::{Identity, NodeId};
use crate::base::limits::REACH_STAYS_OPEN;
use crate::base::mutants::{self as mutant, Mutant};
use crate::base::time::Time;
use crate::wire::ExitVote;

/// A case without a verdict is dropped this long after the member has missed all pings, counted anew after a stall of our
/// own loop.
pub(super) const CASE_LASTS: Duration = Duration::from_millis(950);
/// However often our own loop stalls, a case is dropped after this time.
const CASE_LASTS_AT_MOST: Duration = Duration::from_secs(5);
/// When the member is pinged, counted from the beginning of the case. The last ping reaches a member that restarted
/// meanwhile.
const PINGS: [Duration; 3] = [Duration::ZERO, Duration::from_millis(25), Duration::from_millis(37)];
/// When we try to connect, until a connection is refused. The first ones may meet a listener that is about to be closed.
/// One more comes at the [last look](LAST_LOOK).
const REACHES: [Duration; 4] = [
    Duration::from_millis(2),
    Duration::from_millis(6),
    Duration::from_millis(14),
    Duration::from_millis(30),
];
/// A member whose answers are fast has missed all pings after this time.
const LEAST_PATIENCE: Duration = Duration::from_millis(50);
/// The same, however long its answers take.
const MOST_PATIENCE: Duration = Duration::from_millis(500);
/// Beyond two round trips, the time for an answer that is a little late.
const LEEWAY: Duration = Duration::from_millis(20);
/// The last attempt to connect comes this long after half of the patience, whether an earlier one was refused or not.
const LAST_LOOK: Duration = Duration::from_millis(15);
/// While an attempt to connect is under way, nothing is decided for so long: a connection may stay open.
const UNDER_WAY_AT_MOST: Duration = REACH_STAYS_OPEN.saturating_add(Duration::from_millis(15));
/// When we tell our vote, counted from the time at which the member has missed all pings. The later ones make up for
/// datagrams that were lost.
const VOTES: [Duration; 6] = [
    Duration::ZERO,
    Duration::from_millis(25),
    Duration::from_millis(60),
    Duration::from_millis(150),
    Duration::from_millis(300),
    Duration::from_millis(550),
];
/// The vote that also goes to nodes beyond the monitors.
const ASK_MORE_AT: usize = 1;
/// From this time on, counted likewise, closed connections are enough where nothing answers a new one.
const WITHOUT_REFUSALS_AFTER: Duration = Duration::from_millis(150);
/// Monitors whose own connections must have closed.
const CLOSED_AT_LEAST: usize = 2;
/// From this time on, counted likewise, our own connection is enough beside refusals, if a FIN closed it. The processes of all
/// other monitors may have exited together with that of the member, so nobody else can tell of a closed connection.
const ONE_CLOSED_AFTER: Duration = Duration::from_millis(150);
/// Votes of others that a case keeps.
const MAX_VOTES: usize = 16;

/// A step of a case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Ping the member.
    Ping,
    /// Try to connect to the member.
    Reach,
    /// Tell our vote, if we have evidence, and look whether the votes are enough. `ask_more` also asks nodes beyond the
    /// monitors.
    Vote { ask_more: bool },
    /// Nobody decided: drop the case.
    Over,
}

/// The evidence of one node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Evidence {
    /// The connection that it held is over, without a goodbye.
    closed: bool,
    /// It was closed, and not reset.
    by_fin: bool,
    /// A new connection was refused.
    refused: bool,
}

impl Evidence {
    fn is_enough_to_vote(self) -> bool {
        self.refused || self.by_fin || (self.closed && mutant::is(Mutant::ConvictByReset))
    }
}

/// The time in which a member with this round trip can answer: two round trips and some leeway.
fn patience(round_trip: Option<Duration>) -> Duration {
    let needed = round_trip.map_or(Duration::ZERO, |round_trip| 2 * round_trip + LEEWAY);
    needed.clamp(LEAST_PATIENCE, MOST_PATIENCE)
}

/// A member whose process may have exited.
#[derive(Debug)]
pub(super) struct Case {
    /// The member. A case is about one epoch and one address.
    pub(super) suspect: Identity,
    /// The nonce of the pings and of the attempts to connect.
    pub(super) nonce: [u8; 4],
    /// When the case was opened, or begun anew after a stall of our own loop.
    opened: Time,
    /// The time from then until the member has missed all pings.
    patience: Duration,
    /// When the case is dropped at the latest.
    over: Time,
    ours: Evidence,
    votes: BTreeMap<NodeId, Evidence>,
    pings: usize,
    reaches: usize,
    /// Attempts to connect of which we do not know the outcome yet.
    under_way: usize,
    /// The number of times that our vote was due.
    votes_due: usize,
    told_to: BTreeSet<NodeId>,
}

impl Case {
    /// A case about a member with this round trip, if we know it.
    pub(super) fn new(
        suspect: Identity,
        nonce: [u8; 4],
        round_trip: Option<Duration>,
        now: Time,
    ) -> Self {
        Self {
            suspect,
            nonce,
            opened: now,
            patience: patience(round_trip),
            over: now + CASE_LASTS_AT_MOST,
            ours: Evidence::default(),
            votes: BTreeMap::new(),
            pings: 0,
            reaches: 0,
            under_way: 0,
            votes_due: 0,
            told_to: BTreeSet::new(),
        }
    }

    /// Asks the member once more after a stall of our own loop: answers may be waiting unread.
    pub(super) fn begin_anew(&mut self, now: Time) {
        self.opened = now;
        (self.pings, self.reaches, self.votes_due) = (0, 0, 0);
    }

    /// Notes that the connection that we held is over: by a FIN, or by a reset.
    pub(super) fn note_hint(&mut self, by_fin: bool) {
        self.ours.closed = true;
        self.ours.by_fin |= by_fin;
    }

    /// Notes that an attempt to connect has an outcome.
    pub(super) fn note_outcome(&mut self) {
        self.under_way = self.under_way.saturating_sub(1);
    }

    /// Notes that a new connection was refused.
    pub(super) fn note_refused(&mut self) {
        self.ours.refused = true;
    }

    /// Notes the vote of another node.
    pub(super) fn note_vote(&mut self, vote: &ExitVote) {
        if self.votes.len() < MAX_VOTES || self.votes.contains_key(&vote.sender) {
            let ExitVote { closed, by_fin, refused, .. } = *vote;
            self.votes.insert(vote.sender, Evidence { closed, by_fin: by_fin && closed, refused });
        }
    }

    /// Whether the connection that we held is over.
    pub(super) fn has_hint(&self) -> bool {
        self.ours.closed
    }

    /// Whether we have evidence of our own that the process exited.
    pub(super) fn has_evidence(&self) -> bool {
        self.ours.is_enough_to_vote()
    }

    /// Notes that these nodes are told our vote.
    pub(super) fn note_told(&mut self, nodes: &BTreeSet<NodeId>) {
        self.told_to.extend(nodes);
    }

    /// The nodes that know of this case from us, or that told us of it.
    pub(super) fn acquainted(&self) -> BTreeSet<NodeId> {
        self.told_to.iter().copied().chain(self.voters()).collect()
    }

    /// The nodes that told us their votes.
    pub(super) fn voters(&self) -> impl Iterator<Item = NodeId> + '_ {
        self.votes.keys().copied()
    }

    /// Our vote.
    pub(super) fn vote(&self, sender: NodeId) -> ExitVote {
        let Evidence { closed, by_fin, refused } = self.ours;
        let Identity { node_id: suspect, epoch, .. } = self.suspect;
        ExitVote { sender, suspect, epoch, alive: false, closed, by_fin, refused }
    }

    fn ping_at(&self) -> Option<Time> {
        PINGS.get(self.pings).map(|after| self.opened + *after)
    }

    /// The number of the next attempt to connect, and its time.
    fn next_reach(&self) -> Option<(usize, Time)> {
        let enough = if self.ours.refused { REACHES.len() } else { 0 };
        let next = self.reaches.max(enough);
        let after = match REACHES.get(next) {
            Some(after) => *after,
            None if next == REACHES.len() => self.patience / 2 + LAST_LOOK,
            None => return None,
        };
        Some((next, self.opened + after))
    }

    /// When votes begin to count.
    fn decided_from(&self) -> Time {
        let waiting = if self.under_way > 0 { UNDER_WAY_AT_MOST } else { Duration::ZERO };
        self.opened + self.patience + waiting
    }

    fn vote_at(&self) -> Option<Time> {
        let at = self.opened + self.patience + *VOTES.get(self.votes_due)?;
        Some(at.max(self.decided_from()))
    }

    pub(super) fn next_deadline(&self) -> Time {
        let reach_at = self.next_reach().map(|(_, at)| at);
        let steps = [self.ping_at(), reach_at, self.vote_at()];
        steps.into_iter().flatten().min().unwrap_or(self.ends()).min(self.over)
    }

    fn ends(&self) -> Time {
        self.opened + self.patience + CASE_LASTS
    }

    /// The next step, if one is due.
    pub(super) fn step(&mut self, now: Time) -> Option<Step> {
        let is_due = |at: Option<Time>| at.is_some_and(|at| at <= now);
        if self.over <= now {
            Some(Step::Over)
        } else if is_due(self.ping_at()) {
            self.pings += 1;
            Some(Step::Ping)
        } else if let Some((reach, at)) = self.next_reach()
            && at <= now
        {
            self.reaches = reach + 1;
            self.under_way += 1;
            Some(Step::Reach)
        } else if is_due(self.vote_at()) {
            // Votes that the same wait held up are one.
            let waited = |after: &Duration| self.opened + self.patience + *after <= now;
            self.votes_due = (self.votes_due + 1).max(VOTES.partition_point(waited));
            Some(Step::Vote { ask_more: self.votes_due > ASK_MORE_AT })
        } else if self.ends() <= now {
            Some(Step::Over)
        } else {
            None
        }
    }

    /// The nodes that agree with us, if their evidence and ours are enough for a verdict. `majority` counts us, and is
    /// smaller where there are fewer nodes to ask.
    pub(super) fn verdict(&self, majority: usize, now: Time) -> Option<Vec<NodeId>> {
        let age = now.since(self.opened);
        if !self.ours.closed || now < self.decided_from() {
            return None;
        }
        let all = || self.votes.values().chain([&self.ours]);
        let count = |holds: fn(&Evidence) -> bool| all().filter(|one| holds(one)).count();
        let refused = count(|one| one.refused);
        let closed = count(|one| one.closed);
        let by_fin = count(|one| one.by_fin || (one.closed && mutant::is(Mutant::ConvictByReset)));
        let ours_alone = age >= self.patience + ONE_CLOSED_AFTER && self.ours.by_fin;
        let has_closed = ours_alone || closed >= CLOSED_AT_LEAST.min(majority);
        let with_refusals = refused >= majority && has_closed;
        let without = age >= self.patience + WITHOUT_REFUSALS_AFTER && by_fin >= majority;
        let agrees = |one: &Evidence| one.is_enough_to_vote();
        let agreeing = self.votes.iter().filter(|(_, one)| agrees(one)).map(|(node, _)| *node);
        (with_refusals || without).then(|| agreeing.collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_member_far_away_gets_the_time_of_two_round_trips() {
        let ms = Duration::from_millis;
        for (round_trip, expected) in [(0, 50), (15, 50), (16, 52), (120, 260), (400, 500)] {
            assert_eq!(patience(Some(ms(round_trip))), ms(expected), "{round_trip} ms");
        }
        assert_eq!(patience(None), LEAST_PATIENCE);
    }

    #[test]
    fn the_last_connection_shows_whether_it_stays_open_before_anything_is_decided() {
        for round_trip in 0..=240 {
            let round_trip = Duration::from_millis(round_trip);
            let patience = patience(Some(round_trip));
            let known = patience / 2 + LAST_LOOK + round_trip + REACH_STAYS_OPEN;
            let late = Duration::from_millis(10);
            assert!(known + late <= patience + UNDER_WAY_AT_MOST, "{round_trip:?}");
        }
    }
}
