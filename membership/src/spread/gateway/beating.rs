//! Beats to other datacenters, and what the beats of others show.

use std::time::Duration;

use super::super::Spread;
use super::super::peers::Peers;
use crate::base::datacenter::DatacenterId;
use crate::base::identity::Identity;
use crate::base::limits::MAX_BEAT_DATACENTERS;
use crate::base::mutants::{self as mutant, Mutant};
use crate::base::time::Time;
use crate::base::timers::Timer;
use crate::catalog::Scope;
use crate::datacenters::facts::WantedBeat;
use crate::gateways::beats::{Due, Role, has_summary};
use crate::gateways::gaps::MAX_PULLED;
use crate::gateways::parts::{PARTS, repairer};
use crate::gateways::repair::Shown;
use crate::wire::{Beat, Message, PartDigest, RemoteMember, Summary};

/// After so long without a summary, the next one is the first sign of life. The second gateway gets one each two seconds.
const SILENT_AFTER: Duration = Duration::from_millis(2_200);
/// The same for the primary, which gets one each half second. It asks a datacenter that is silent for a little longer, and the answer
/// MUST be the first sign of life: the gateways there may not reach us, and then no beat follows it.
const PRIMARY_SILENT_AFTER: Duration = Duration::from_millis(1_700);
/// Time in which a gap that a beat shows may close by itself.
const PULL_AFTER: Duration = Duration::from_millis(3);

/// What a beat says beside its sign of life.
#[derive(Default)]
struct Content {
    asks: bool,
    has_summary: bool,
    updates: Vec<RemoteMember>,
}

impl Spread {
    /// Sends the beats that are due.
    pub(super) fn handle_beat_deadline(&mut self, peers: &mut dyn Peers, now: Time) {
        if !self.timers.is_expired(Timer::Beat, now) {
            return;
        }
        let due = self.gateways.beats.take_due(|to| role(to, peers), now);
        for Due { to, turn, is_news } in due {
            let receivers = if is_news {
                told_of_news(to, turn, peers).map(|peer| (peer, true)).into_iter().collect()
            } else {
                counterparts(to, turn, peers)
            };
            for (peer, has_summary) in receivers {
                let content = Content { has_summary, ..Content::default() };
                self.send_beat(&peer, to, content, peers, now);
            }
        }
    }

    /// Sends a beat that the room of datacenters wants sent. A question of the primary has a summary, so that repair begins with the
    /// first sign of life.
    pub(crate) fn send_wanted_beat(&mut self, beat: WantedBeat, peers: &mut dyn Peers, now: Time) {
        let WantedBeat { datacenter, to, asks, updates } = beat;
        let has_summary = asks && role(datacenter, peers) == Role::Primary;
        let receivers = match to {
            Some(peer) => vec![peer],
            None => counterparts(datacenter, 0, peers).into_iter().map(|(peer, _)| peer).collect(),
        };
        for peer in receivers {
            let content = Content { asks, has_summary, updates: updates.clone() };
            self.send_beat(&peer, datacenter, content, peers, now);
        }
    }

    fn send_beat(
        &mut self,
        peer: &Identity,
        to: DatacenterId,
        content: Content,
        peers: &mut dyn Peers,
        now: Time,
    ) {
        let presence = peers.present(to, peer.node_id, now);
        let summary = content.has_summary.then(|| Summary {
            members: presence.members,
            datacenters: presence.datacenters,
            ..self.summary(to, peers, now)
        });
        self.out.counters.beats_sent += 1;
        self.out.counters.summaries_sent += u64::from(summary.is_some());
        let beat = Beat {
            sender: self.own,
            datacenter: peers.own(),
            number: presence.number,
            echo: presence.echo,
            asks: content.asks,
            updates: content.updates,
            summary,
        };
        let sent = self.out.send_to(peer.addr, peer.node_id, &Message::Beat(beat));
        self.budget.spend(sent, now);
        peers.sent(to, sent, now);
    }

    /// What we hold, for a datacenter, without the hashes of members.
    fn summary(&self, to: DatacenterId, peers: &dyn Peers, now: Time) -> Summary {
        let own = peers.own();
        let catalog = &self.catalog;
        // What a breaker holds back is not pulled either.
        let links = &self.gateways.links;
        let is_named =
            |origin| catalog.datacenter_of(origin) == Some(own) && !links.holds(to, origin, now);
        let recent = self.recent.settled(now, is_named).filter_map(|origin| catalog.head(origin));
        let recent = recent.collect();
        let mut lacks: Vec<DatacenterId> =
            peers.others().into_iter().filter(|other| peers.is_out_of_reach(*other)).collect();
        lacks.truncate(MAX_BEAT_DATACENTERS);
        let mut wanted = self.gateways.beats.lacks(to).to_vec();
        wanted.extend(lacks.iter().copied());
        wanted.sort_unstable();
        wanted.dedup();
        wanted.retain(|part| *part != to && *part != own);
        wanted.truncate(MAX_BEAT_DATACENTERS);
        let digest = |part: DatacenterId| catalog.digest_of(Scope::Datacenter(part));
        let others = wanted.into_iter();
        let others = others.map(|part| PartDigest { datacenter: part, digest: digest(part) });
        Summary {
            home: digest(own),
            members: 0,
            datacenters: [0; 4],
            recent,
            lacks,
            others: others.collect(),
        }
    }

    /// Takes the beat of a member of another datacenter, and repairs what it shows.
    pub(crate) fn handle_beat(
        &mut self,
        peer: &Identity,
        home: DatacenterId,
        beat: &Beat,
        peers: &mut dyn Peers,
        now: Time,
    ) {
        let own = peers.own();
        if self.gateways.beats.is_idle() {
            self.review_datacenters(peers, now);
        }
        if beat.asks {
            let content = Content { has_summary: true, ..Content::default() };
            self.send_beat(peer, home, content, peers, now);
        }
        let Some(summary) = &beat.summary else { return };
        let role = role(home, peers);
        let silence = if role == Role::Primary { PRIMARY_SILENT_AFTER } else { SILENT_AFTER };
        let before = self.gateways.beaten.insert(home, now);
        let is_first = beat.asks || before.is_none_or(|at| now.since(at) > silence);
        let mut lacks = summary.lacks.clone();
        lacks.truncate(MAX_BEAT_DATACENTERS);
        self.gateways.beats.note_lacks(home, lacks);
        let ours = self.catalog.digest_of(Scope::Datacenter(home));
        let is_equal = ours == summary.home;
        *if is_equal {
            &mut self.out.counters.beats_equal
        } else {
            &mut self.out.counters.beats_different
        } += 1;
        if mutant::is(Mutant::NeverRepair) {
            return;
        }
        let mut is_explained = false;
        for head in summary.recent.iter().filter(|_| !is_equal) {
            self.compare_epoch(head.origin, head.epoch, peers, now);
            let missing = self.missing(*head);
            if (1..=MAX_PULLED).contains(&missing) {
                is_explained |= self.note_far_gap(*head, home, peer.node_id, now + PULL_AFTER);
            }
        }
        let rank = match role {
            Role::Primary => Some(0),
            // Our gateways do not reach the sender, and it is not a cut: another member has to do.
            _ if beat.asks && !peers.is_out_of_reach(home) => Some(0),
            Role::Second => Some(1),
            Role::Third | Role::None => beat.asks.then_some(1),
        };
        let shown = Shown { ours, theirs: summary.home, rank, is_explained, is_first };
        if self.gateways.repair.judge(home, shown, now) {
            self.open_far_session(peer, home, home, (ours, summary.home), peers, now);
        }
        for PartDigest { datacenter: part, digest: theirs } in &summary.others {
            // The records of a third datacenter come from its own gateways, as long as we reach them.
            // Those of an isolated one are not wanted at all.
            let is_lost = peers.is_out_of_reach(*part)
                && !peers.is_isolated(*part)
                && peers.is_silent_here(*part, now);
            if *part == own || *part == home || !is_lost {
                continue;
            }
            let ours = self.catalog.digest_of(Scope::Datacenter(*part));
            let shown = Shown { ours, theirs: *theirs, rank, is_explained: false, is_first: false };
            if self.gateways.repair.judge(*part, shown, now) {
                self.open_far_session(peer, home, *part, (ours, *theirs), peers, now);
            }
        }
    }
}

/// Our role in the pair of our own datacenter and another one.
fn role(other: DatacenterId, peers: &dyn Peers) -> Role {
    match (0..PARTS).find(|place| has_place(*place, other, peers)) {
        Some(0) => Role::Primary,
        Some(1) => Role::Second,
        Some(_) => Role::Third,
        None => Role::None,
    }
}

/// Whether we have a place among the gateways of our own datacenter in the pair with another one.
fn has_place(place: usize, other: DatacenterId, peers: &dyn Peers) -> bool {
    let ours = peers.identity().node_id;
    repairer(peers, peers.own(), other, place).is_some_and(|it| it.node_id == ours)
}

/// The gateways of the other side in our places, to which we beat at rest, and whether they get a summary. In a datacenter of few
/// members one has several places. So each gateway on either side hears one of the other.
fn counterparts(to: DatacenterId, turn: usize, peers: &dyn Peers) -> Vec<(Identity, bool)> {
    let mut found: Vec<(Identity, bool)> = Vec::new();
    for place in (0..PARTS).filter(|place| has_place(*place, to, peers)) {
        let peer = repairer(peers, to, peers.own(), place);
        let is_new = |peer: &Identity| found.iter().all(|(other, _)| other != peer);
        if let Some(peer) = peer.filter(is_new) {
            found.push((peer, has_summary(place, turn)));
        }
    }
    found
}

/// The gateway that a beat of the primary after news goes to: the primary of the other side, in every second turn another one.
fn told_of_news(to: DatacenterId, turn: usize, peers: &dyn Peers) -> Option<Identity> {
    if turn.is_multiple_of(2) {
        return repairer(peers, to, peers.own(), 0);
    }
    let other = repairer(peers, to, peers.own(), 1 + turn / 2 % (PARTS - 1));
    other.or_else(|| peers.candidate(to, 0))
}
