//! Other datacenters as the node shows them, and what it tells the room of them about its own pool.

pub(crate) mod shown;

use std::net::SocketAddr;
use std::sync::Arc;

use super::Node;
use super::io::Event;
use super::peers::Pools;
use super::view::{Member, MemberStatus, OriginStatus};
use crate::base::datacenter::{DatacenterId, Gateway};
use crate::base::identity::NodeId;
use crate::base::mutants::{self as mutant, Mutant};
use crate::base::time::Time;
use crate::catalog::record::{Key, NodeRecord, Text};
use crate::datacenters::facts::Fact;
use crate::datacenters::seen::Datacenters;
use crate::datacenters::table::Entry;
use crate::liveness::heard::Sign;
use crate::wire::{Compare, Hello, HomeVerdict, Message};

impl Node {
    /// Keeps messages of other datacenters out of the pool, and returns one that belongs there.
    pub(super) fn sort_out(
        &mut self,
        from: SocketAddr,
        message: Message,
        now: Time,
    ) -> Option<Message> {
        if self.liveness.is_silent() || mutant::is(Mutant::MixDatacenters) {
            return Some(message);
        }
        let own = self.identity().node_id;
        match &message {
            Message::Hello(hello)
                if self.wan.is_remote(hello.datacenter) && hello.identity.node_id != own =>
            {
                self.wan.handle_hello(from, hello);
            }
            Message::Welcome(welcome) if self.wan.takes_hello(welcome) => {
                let token = self.liveness.hello_token();
                self.wan.handle_welcome(from, welcome, token, now);
            }
            Message::Referral(referral) if self.wan.is_remote(referral.datacenter) => {
                if referral.token == self.liveness.hello_token() {
                    self.wan.meet(from, now);
                }
            }
            Message::MemberUpdates(updates) if self.wan.is_remote(updates.datacenter) => {
                self.counters.pool_messages_of_others += 1;
            }
            // A member that moved to another datacenter must look dead in the one that it left.
            Message::Ping(ping) if self.wan.remote(ping.sender).is_some() => {
                self.counters.pool_messages_of_others += 1;
            }
            _ => return Some(message),
        }
        None
    }

    /// Takes what a member of another datacenter says of the catalog, and returns any other message.
    pub(super) fn take_far(
        &mut self,
        from: SocketAddr,
        message: Message,
        now: Time,
    ) -> Option<Message> {
        let sender = match &message {
            Message::Rumors(sender, ..) => *sender,
            Message::Pull(pull) => pull.sender,
            Message::Beat(beat) => beat.sender,
            Message::Confirm(confirm) | Message::Confirmed(confirm) => confirm.sender,
            _ => return Some(message),
        };
        let Some(entry) = self.wan.remote(sender).filter(|_| !self.liveness.is_silent()) else {
            return Some(message);
        };
        let (home, peer) = (entry.home, entry.identity);
        let peers = &mut Pools { liveness: &mut self.liveness, wan: &mut self.wan };
        match message {
            Message::Rumors(sender, deltas, _) => {
                self.spread.handle_far_rumors(sender, home, deltas, peers, now);
            }
            Message::Pull(pull) => {
                peers.heard(home, now);
                self.spread.handle_pull(&peer, &pull, peers, now);
            }
            Message::Beat(beat) => {
                let is_known = peers.wan.handle_beat(from, &beat, now);
                if is_known {
                    self.spread.handle_beat(&peer, home, &beat, peers, now);
                }
            }
            Message::Confirm(confirm) => self.spread.handle_confirm(&peer, &confirm, peers, now),
            Message::Confirmed(confirm) => self.spread.handle_confirmed(&peer, &confirm, now),
            _ => {}
        }
        None
    }

    pub(super) fn handle_compare(&mut self, compare: &Compare, now: Time) {
        self.liveness.handle_compare(compare, now);
        if let Some(peer) = self.liveness.hear(compare.sender, Sign::Members, now) {
            self.wan.compare_with(peer, compare.tables, now);
        }
    }

    /// Exchanges tables with a member that welcomed us, if it holds others than we do.
    pub(super) fn compare_tables(&mut self, from: SocketAddr, welcome: &Hello, now: Time) {
        if welcome.token == self.liveness.hello_token() && welcome.tables != [0; 4] {
            let mut peer = welcome.identity;
            peer.addr.set_ip(from.ip());
            self.wan.compare_with(peer, welcome.tables, now);
        }
    }

    /// Tells the room of datacenters what became of a member of our own pool.
    pub(super) fn review_home(&mut self, node: NodeId, now: Time) {
        let own = *self.identity();
        let peer = self.liveness.members().get(node).copied();
        let identity = if node == own.node_id { Some(own) } else { peer.map(|peer| peer.identity) };
        let entry = identity.map(|identity| {
            let status = match node == own.node_id {
                true if self.leaving.is_some() => OriginStatus::Gone(MemberStatus::Left),
                true => OriginStatus::Active,
                false => self.pool_status(node),
            };
            let verdict = match status {
                OriginStatus::Active => HomeVerdict::Alive,
                // A node that hears its pool no more holds all members down, without a verdict on any.
                OriginStatus::Down { .. } if self.liveness.belief(node).is_none() => {
                    HomeVerdict::Alive
                }
                OriginStatus::Gone(MemberStatus::Left) => HomeVerdict::Left,
                OriginStatus::Down { .. } | OriginStatus::Gone(_) => HomeVerdict::Down,
            };
            let belief = self.liveness.belief(node).filter(|_| verdict != HomeVerdict::Alive);
            let entry = Entry {
                identity,
                home: self.wan.own(),
                // Nobody relies on a member whose record has not arrived.
                gateway: self.spread.description(node).map_or(Gateway::Never, |node| node.gateway),
                verdict,
            };
            (entry, belief.map(|belief| belief.verdict.accuser))
        });
        let accuser = entry.and_then(|(_, accuser)| accuser);
        self.wan.set_own(node, entry.map(|(entry, _)| entry), accuser, now);
    }

    /// Shows a member as it is believed to be now, and the instances of it.
    pub(super) fn review_member(&mut self, node: NodeId, now: Time) {
        let peers = Pools { liveness: &mut self.liveness, wan: &mut self.wan };
        self.spread.review_origin_tombstone(node, &peers, now);
        self.refresh(node, &[Key::Node]);
        self.refresh_member(node, now);
    }

    pub(super) fn take_wan_fact(&mut self, fact: Fact, now: Time) {
        match fact {
            Fact::Member(node) => {
                let later = self.wan.remote(node).map(|entry| entry.identity.epoch);
                let here = self.liveness.members().active(node).map(|here| here.epoch);
                if here.is_some_and(|here| later.is_some_and(|later| later > here)) {
                    self.liveness.note_moved(node, now);
                }
                let is_alive = |entry| self.wan.table().believed(entry) == HomeVerdict::Alive;
                if !self.wan.remote(node).is_some_and(is_alive) {
                    self.requests.member_lost(node);
                }
                self.review_member(node, now);
            }
            Fact::Forgotten(node) => {
                self.requests.member_lost(node);
                self.review_member(node, now);
                self.spread.prune(node);
            }
            Fact::Accused { node, epoch, accuser } => {
                self.liveness.pass_accusation(node, epoch, accuser, now);
            }
            Fact::Beat(beat) => {
                let peers = &mut Pools { liveness: &mut self.liveness, wan: &mut self.wan };
                self.spread.send_wanted_beat(beat, peers, now);
            }
            Fact::Tell(update) => self.liveness.tell_remote(update, now),
            Fact::Reach(datacenter) => {
                if self.wan.is_isolated(datacenter) {
                    return;
                }
                let name = self.datacenter_name(datacenter);
                let event = match self.wan.out_since(datacenter) {
                    Some(since) => Event::DatacenterUnreachable { name, datacenter, since },
                    None => Event::DatacenterReachable { name, datacenter },
                };
                if self.wan.table().home(datacenter).is_some() {
                    self.emit(event);
                }
                self.review_members_of(datacenter, now);
            }
            Fact::Isolation { datacenter, by } => {
                let name = self.datacenter_name(datacenter);
                if self.wan.is_isolated(datacenter) {
                    self.spread.drop_sessions_with(datacenter);
                    self.emit(Event::DatacenterIsolated { name, datacenter, by });
                } else {
                    self.emit(Event::DatacenterRejoined { name, datacenter, by });
                }
                self.review_members_of(datacenter, now);
            }
            Fact::CutOff { lost, of } => {
                let lost = lost.into_iter().map(|lost| self.datacenter_name(lost)).collect();
                self.emit(Event::CutOff { lost, of });
            }
            Fact::Unanswered { address } => {
                self.with_guard(|guard| _ = guard.ask_at(address, now), now);
            }
            Fact::SameDatacenter { address } => self.emit(Event::SameDatacenter { address }),
            Fact::OtherDatacenter { address, name } => {
                self.emit(Event::OtherDatacenter { address, name });
            }
        }
    }

    fn review_members_of(&mut self, datacenter: DatacenterId, now: Time) {
        let members = self.wan.table().members_of(datacenter);
        let members: Vec<NodeId> = members.map(|entry| entry.identity.node_id).collect();
        for node in members {
            self.review_member(node, now);
        }
    }

    fn datacenter_name(&self, datacenter: DatacenterId) -> Text {
        self.wan.table().home(datacenter).map(|home| home.name.clone()).unwrap_or_default()
    }

    /// A member of another datacenter.
    pub(super) fn remote_member(
        &self,
        node: NodeId,
        record: Option<Arc<NodeRecord>>,
    ) -> Option<Member> {
        let entry = self.wan.remote(node)?;
        let is_out = self.wan.out_since(entry.home).is_some();
        let status = match self.remote_status(node)? {
            OriginStatus::Active => MemberStatus::Alive,
            OriginStatus::Gone(status) => status,
            OriginStatus::Down { .. }
                if is_out
                    && self.wan.table().down(node).is_none()
                    && !mutant::is(Mutant::UnreachableIsDown) =>
            {
                MemberStatus::Unreachable
            }
            OriginStatus::Down { .. } => MemberStatus::Down,
        };
        Some(Member { identity: entry.identity, node: record, status })
    }

    /// When a member of another datacenter was known to be down, or its datacenter to be out of reach.
    pub(super) fn remote_down_since(&self, node: NodeId) -> Option<Time> {
        let entry = self.wan.remote(node)?;
        let down = self.wan.table().down(node).map(|down| down.since);
        down.or_else(|| self.wan.out_since(entry.home))
    }

    /// The status of an origin of another datacenter; `None` if the node is none.
    pub(super) fn remote_status(&self, node: NodeId) -> Option<OriginStatus> {
        let entry = self.wan.remote(node)?;
        let has_left = self.catalog().left(node).is_some_and(|left| entry.identity.epoch <= left);
        let since = self.wan.table().down(node).map_or(Time::ZERO, |down| down.since);
        Some(match self.wan.table().believed(entry) {
            _ if self.is_revoked(node) => OriginStatus::Gone(MemberStatus::Revoked),
            _ if has_left => OriginStatus::Gone(MemberStatus::Left),
            HomeVerdict::Left => OriginStatus::Gone(MemberStatus::Left),
            HomeVerdict::Down => OriginStatus::Down { since },
            HomeVerdict::Alive => match self.wan.out_since(entry.home) {
                Some(since) => OriginStatus::Down { since },
                None => OriginStatus::Active,
            },
        })
    }
}
