//! A suspicion: an accused member, the referees that are asked for votes, and the rules for a verdict.
//!
//! A verdict rests on *silence*: neither the accuser nor a referee had a sign of life for the whole suspicion timeout.
//! Each vote says how long ago the referee last heard the suspect, and the timeout runs from the latest sign of life.
//! When the timeout ends, a quorum must say once more that it has heard nothing.
//!
//! Fixed monitors come from Rapid (Suresh et al., "Stable and Consistent Membership at Scale with Rapid", 2018). Rapid,
//! too, removes a process only when several of its observers agree.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::base::identity::{Identity, NodeId};
use crate::base::mutants::{self as mutant, Mutant};
use crate::base::time::Time;
use crate::wire::{LocalHealth, Vote};

use super::ANSWERS_WITHIN;
use super::electorate::Electorate;
use super::local_health::{
    SUSPICION_TIMEOUT_STALLED, SUSPICION_TIMEOUT_UNKNOWN, SUSPICION_TIMEOUT_UNPROVEN,
};

/// A local health that the suspect told this long before a later one is outdated. A node that does not watch the suspect
/// may remember one of long ago, as of the suspect's first seconds. Until this long, the higher one counts: a vote does
/// not say how long it took to arrive.
const OUTDATED_AFTER: Duration = Duration::from_secs(5);
/// Minimum probing time before a vote counts.
const PROBED_AT_LEAST: Duration = Duration::from_millis(600);
/// A referee that has not voted is asked again after this time.
const ASK_GAP: Duration = Duration::from_millis(150);
/// Times that a referee without a vote is asked before the suspicion timeout ends.
const QUICK_ASKS: u32 = 3;
/// When every referee has voted, the suspicion is looked at again after this time, or when the suspicion timeout ends.
const SLOW_ASK_GAP: Duration = Duration::from_millis(600);
/// Time between two polls of all referees, once the suspicion timeout has ended.
const POLL_GAP: Duration = Duration::from_millis(40);
/// Polls with [`POLL_GAP`] between them. Later ones are [`SLOW_POLL_GAP`] apart.
const QUICK_POLLS: u32 = 5;
const SLOW_POLL_GAP: Duration = Duration::from_millis(300);
/// Referees of one suspicion at one time. Referees that turn out to be silent give way to others.
const MAX_ASKED: usize = 14;
/// Where no other member has a vote, the accuser decides alone, and not before this time. It is as long as it takes to
/// find out that one is cut off oneself.
const SUSPICION_TIMEOUT_ALONE: Duration = Duration::from_secs(5);
/// Without a quorum, one vote of a referee is enough after twice the suspicion timeout and this much more.
const LAST_RESORT: Duration = Duration::from_secs(2);

/// A member that is asked for its vote.
#[derive(Debug, Default)]
struct Referee {
    asked: u32,
    first_asked: Option<Time>,
    answered: bool,
    /// When it last voted that it had probed for long enough and heard nothing new.
    agreed: Option<Time>,
    replaced: bool,
}

/// Effect of an incoming vote.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Word {
    /// The sender heard the suspect after the unanswered ping.
    Alive,
    /// The vote is noted, and there may be enough of them for a verdict.
    Noted,
}

#[derive(Debug)]
pub(super) struct Suspicion {
    pub(super) suspect: Identity,
    /// When the first unanswered ping was sent.
    opened: Time,
    accused: Time,
    last_sign: Time,
    /// The suspect's local health, and when it told that.
    local_health: Option<(Time, LocalHealth)>,
    stalled: bool,
    quorum: usize,
    referees: BTreeMap<NodeId, Referee>,
    /// Places of referees that turned out to be silent, and that nobody has taken yet.
    vacancies: usize,
    polls: u32,
    next_look: Time,
}

impl Suspicion {
    /// Accuses a member that `monitors` members watch, ourselves included. The first unanswered ping was sent at
    /// `opened`, the member last answered us at `heard`, and `referees` are asked first.
    pub(super) fn new(
        suspect: Identity,
        opened: Time,
        heard: Option<Time>,
        local_health: Option<LocalHealth>,
        monitors: usize,
        referees: Vec<NodeId>,
        now: Time,
    ) -> Self {
        Self {
            suspect,
            opened,
            accused: now,
            last_sign: heard.unwrap_or(opened),
            local_health: local_health.map(|told| (heard.unwrap_or(Time::ZERO), told)),
            stalled: false,
            // A majority of the monitors, ourselves included: three of five.
            quorum: monitors / 2 + 1,
            vacancies: monitors.saturating_sub(1 + referees.len()),
            referees: referees.into_iter().map(|node| (node, Referee::default())).collect(),
            polls: 0,
            next_look: now,
        }
    }

    /// Collects the votes anew after a stall of our own loop: answers may be waiting unread.
    pub(super) fn begin_anew(&mut self, now: Time) {
        self.accused = now;
        self.polls = 0;
        self.referees.values_mut().for_each(|referee| referee.agreed = None);
        self.next_look = now + PROBED_AT_LEAST;
    }

    pub(super) fn next_deadline(&self) -> Time {
        self.next_look
    }

    /// Since when the member is accused without a sign of life, our own stalls left out.
    pub(super) fn accused(&self) -> Time {
        self.accused
    }

    /// When the suspicion timeout ends.
    pub(super) fn due(&self) -> Time {
        let suspicion_timeout =
            self.local_health.map_or(SUSPICION_TIMEOUT_UNKNOWN, |(_, local_health)| {
                local_health.suspicion_timeout()
            });
        // Without a referee we decide alone, so we wait longer to be sure.
        let alone = if self.quorum == 1 { SUSPICION_TIMEOUT_UNPROVEN } else { Duration::ZERO };
        let stands_still = self.stalled && !mutant::is(Mutant::IgnoreTcpProbe);
        let stalled = if stands_still { SUSPICION_TIMEOUT_STALLED } else { Duration::ZERO };
        self.last_sign + suspicion_timeout.max(alone).max(stalled)
    }

    /// Whether the suspect's host answered a TCP probe.
    pub(super) fn is_stalled(&self) -> bool {
        self.stalled
    }

    /// Notes whether the suspect's host answered a TCP probe, of ours or of a referee. One answer is enough.
    pub(super) fn note_tcp_probe(&mut self, tcp_probe_answered: bool) {
        self.stalled |= tcp_probe_answered;
    }

    /// Notes a local health that the suspect told at `told`.
    fn note_local_health(&mut self, told: Time, local_health: LocalHealth) {
        let known = self.local_health;
        self.local_health = match known {
            Some((at, _)) if at.since(told) >= OUTDATED_AFTER => known,
            Some((at, known)) if told.since(at) < OUTDATED_AFTER => {
                Some((at.max(told), known.max(local_health)))
            }
            _ => Some((told, local_health)),
        };
    }

    /// Takes a vote. The vote of a node that is no referee counts only if it has a sign of life after the unanswered
    /// ping.
    pub(super) fn vote(&mut self, vote: &Vote, now: Time) -> Word {
        let sign = vote.silence().map(|silence| {
            Time::from_micros(now.as_micros().saturating_sub(silence.as_micros() as u64))
        });
        if sign.is_some_and(|sign| sign > self.opened) && !mutant::is(Mutant::NeverAcquit) {
            return Word::Alive;
        }
        let Some(referee) = self.referees.get_mut(&vote.sender) else { return Word::Noted };
        referee.answered = true;
        if vote.probed() >= PROBED_AT_LEAST {
            referee.agreed = Some(now);
        }
        let sign = sign.unwrap_or(Time::ZERO);
        self.last_sign = self.last_sign.max(sign);
        if let Some(local_health) = vote.local_health {
            self.note_local_health(sign, local_health);
        }
        self.note_tcp_probe(vote.tcp_probe_answered);
        Word::Noted
    }

    /// The referees that agree, if they are enough for a verdict. `probing_since` is when we began to probe the
    /// suspect. `voters` is the number of other members that have a vote: where they are fewer than the quorum, all of
    /// them are enough.
    pub(super) fn verdict(
        &self,
        probing_since: Time,
        voters: usize,
        now: Time,
    ) -> Option<Vec<NodeId>> {
        let due = self.due();
        if now < due || now.since(probing_since) < PROBED_AT_LEAST {
            return None;
        }
        let voters = if mutant::is(Mutant::CountTheSilent) { usize::MAX } else { voters };
        let quorum = self.quorum.min(voters.saturating_add(1));
        let suddenly_alone = quorum == 1 && self.quorum > 1;
        if suddenly_alone && now < self.last_sign + SUSPICION_TIMEOUT_ALONE {
            return None;
        }
        let agreed: Vec<NodeId> = self
            .referees
            .iter()
            .filter(|(_, referee)| referee.agreed.is_some_and(|at| at >= due))
            .map(|(node, _)| *node)
            .collect();
        let suspicion_timeout = due.since(self.last_sign);
        let last_resort = now.since(self.accused) >= suspicion_timeout * 2 + LAST_RESORT;
        let enough = agreed.len() + 1 >= quorum || (last_resort && !agreed.is_empty());
        enough.then_some(agreed)
    }

    /// The referees to ask now. Members of `electorate` stand in for referees that are silent.
    pub(super) fn step(&mut self, electorate: &Electorate, now: Time) -> Vec<NodeId> {
        if self.next_look > now {
            return Vec::new();
        }
        let due = self.due();
        self.replace_silent(electorate, now);
        let polling = now >= due;
        let asked: Vec<NodeId> = self
            .referees
            .iter()
            .filter(|(_, referee)| !referee.answered || polling)
            .filter(|(_, referee)| referee.asked < QUICK_ASKS || referee.answered || polling)
            .map(|(node, _)| *node)
            .collect();
        for node in &asked {
            if let Some(referee) = self.referees.get_mut(node) {
                referee.asked += 1;
                referee.first_asked.get_or_insert(now);
            }
        }
        let gap = if polling {
            self.polls += 1;
            if self.polls <= QUICK_POLLS { POLL_GAP } else { SLOW_POLL_GAP }
        } else if self.referees.values().all(|referee| referee.answered) {
            SLOW_ASK_GAP
        } else {
            ASK_GAP
        };
        self.next_look = now + gap;
        if !polling {
            self.next_look = self.next_look.min(due);
        }
        asked
    }

    /// Adds a substitute for each referee that does not vote in time or is silent, as long as there are candidates and
    /// there is room.
    fn replace_silent(&mut self, electorate: &Electorate, now: Time) {
        let vacancies = &mut self.vacancies;
        self.referees.retain(|node, referee| {
            let is_out = electorate.is_out(*node);
            *vacancies += usize::from(is_out && !referee.replaced);
            !is_out
        });
        let late = |referee: &Referee| {
            let late = |at: Time| now.since(at) >= ANSWERS_WITHIN;
            !referee.answered && !referee.replaced && referee.first_asked.is_some_and(late)
        };
        let silent = self.referees.values().filter(|referee| late(referee)).count();
        let room = MAX_ASKED.saturating_sub(self.referees.len());
        let wanted = (silent + self.vacancies).min(room);
        if wanted == 0 {
            return;
        }
        let suspect = self.suspect.node_id;
        let fresh: Vec<NodeId> = electorate
            .candidates(suspect)
            .filter(|node| !self.referees.contains_key(node))
            .take(wanted)
            .collect();
        let filled = self.vacancies.min(fresh.len());
        self.vacancies -= filled;
        let replaced = self.referees.values_mut().filter(|referee| late(referee));
        replaced.take(fresh.len() - filled).for_each(|referee| referee.replaced = true);
        self.referees.extend(fresh.into_iter().map(|node| (node, Referee::default())));
    }
}

#[cfg(test)]
mod tests;
