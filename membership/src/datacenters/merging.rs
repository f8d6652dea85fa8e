//! Taking what others say of members, and telling our pool what is news.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use super::Wan;
use super::facts::Fact;
use super::table::{Entry, Merged};
use crate::base::datacenter::DatacenterId;
use crate::base::identity::{Identity, NodeId};
use crate::base::time::Time;
use crate::base::timers::Timer;
use crate::wire::{HomeVerdict, Reach, RemoteMember, Update};

/// News that came together and are told to our pool one by one. Of more the members learn by comparing hashes.
const MAX_NEWS_TOLD: usize = 256;

/// A member that only one member of its home was heard not to list is taken for down after this time. The others may be gone.
const UNLISTED_FOR: Duration = Duration::from_secs(10);
/// A member that two members of its home were heard not to list is taken for down after this time. In a home that was cut up,
/// both may have heard of the same verdict, and the member's answer to it is still on its way.
const UNLISTED_BY_TWO_FOR: Duration = Duration::from_secs(5);
/// That a member was not listed counts for this time. While tables differ, they are exchanged each few seconds.
const UNLISTED_COUNTS_FOR: Duration = Duration::from_secs(30);

/// The author of an entry that was handed in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Author {
    /// A member of our own pool.
    Pool,
    /// A member of this other datacenter.
    Other(DatacenterId),
}

impl Wan {
    /// Takes entries of the table. Our pool is told of the news. A datacenter is believed about its own members alone; of those of
    /// a third one it can only tell that they are there.
    pub(super) fn merge(&mut self, members: &[RemoteMember], author: Author, now: Time) {
        let mut news = Vec::new();
        for member in members {
            let node = member.identity.node_id;
            if node == self.identity.node_id || member.home() == self.own {
                self.out.counters.remote_verdicts_ignored += 1;
                if author != Author::Pool {
                    self.note_accused(member, now);
                }
                continue;
            }
            if self.is_forgotten(member.home())
                || (author != Author::Pool && self.is_isolated(member.home()))
            {
                self.out.counters.isolated_ignored += 1;
                continue;
            }
            if let Author::Other(home) = author
                && member.home() != home
                && (self.table.get(node).is_some() || member.verdict != HomeVerdict::Alive)
            {
                continue;
            }
            match self.table.merge(member, now) {
                Merged::News => news.push(node),
                Merged::Known if author == Author::Other(member.home()) => {
                    self.note_withdrawn(member, now);
                }
                Merged::Known => {}
                Merged::Own => self.out.counters.remote_verdicts_ignored += 1,
                Merged::Baseless => self.out.counters.remote_verdicts_baseless += 1,
                Merged::Full => self.out.counters.remote_members_refused += 1,
            }
        }
        self.is_changed |= !news.is_empty();
        let is_told = news.len() <= MAX_NEWS_TOLD;
        if let Author::Other(home) = author {
            self.drop_replaced(&news, home, now);
        }
        for node in news {
            self.unlisted.remove(&node);
            self.out.tell(Fact::Member(node));
            if let Some(entry) = self.table.get(node).filter(|_| is_told) {
                self.out.tell(Fact::Tell(Update::Remote(self.table.told(entry))));
            }
        }
    }

    /// Takes an update that a member of our pool told.
    pub(crate) fn take_update(&mut self, update: &Update, now: Time) {
        match update {
            Update::Remote(member) => self.merge(std::slice::from_ref(member), Author::Pool, now),
            Update::Reach(reach) => self.take_reach(reach, now),
            Update::Isolation(order) => {
                self.take_isolation(order, now);
            }
            Update::RoundTrip(told) => self.take_round_trip(told),
            Update::Alive(_) | Update::Down(_) => {}
        }
    }

    pub(super) fn take_reach(&mut self, reach: &Reach, now: Time) {
        let was_out = self.reaches.out_since(reach.target).is_some();
        if !self.reaches.merge(self.own, reach, now) {
            return;
        }
        self.is_changed = true;
        self.out.tell(Fact::Tell(Update::Reach(*reach)));
        let is_out = self.reaches.out_since(reach.target).is_some();
        // What is known of one that was forgotten is no news, and no sign of a cut.
        if reach.observer == self.own && is_out != was_out && !self.is_forgotten(reach.target) {
            self.note_reach(reach.target, is_out, now);
            self.out.tell(Fact::Reach(reach.target));
        }
    }

    /// What changed of the members of our own datacenter, for another one that knows our members by this hash. This is what a
    /// gateway's beats may carry.
    pub(crate) fn table_updates(&self, nodes: &[NodeId]) -> Vec<RemoteMember> {
        let entries = nodes.iter().filter_map(|node| self.table.get(*node));
        entries.filter(|entry| entry.home == self.own).map(|entry| self.table.told(entry)).collect()
    }

    /// The hash of the living members of a datacenter, as we know them.
    pub(crate) fn members_hash(&self, datacenter: DatacenterId) -> u64 {
        self.table.home(datacenter).map_or(0, |home| home.hash)
    }

    /// Takes what a member of another datacenter tells of the members of that datacenter.
    pub(crate) fn merge_told(&mut self, members: &[RemoteMember], by: DatacenterId, now: Time) {
        self.merge(members, Author::Other(by), now);
    }

    /// Takes a whole list of the living members of another datacenter, from a member of it. A member that two of its members do not
    /// list for some time, or one for long, is taken for down: nobody vouches for it.
    pub(super) fn review_unlisted(
        &mut self,
        home: DatacenterId,
        by: NodeId,
        listed: impl Fn(NodeId) -> bool,
        now: Time,
    ) {
        let living = self.table.members_of(home).filter(|it| it.verdict == HomeVerdict::Alive);
        let living: Vec<NodeId> = living.map(|entry| entry.identity.node_id).collect();
        let mut unvouched = Vec::new();
        for node in living {
            if listed(node) {
                self.unlisted.remove(&node);
                continue;
            }
            let first = self.unlisted.entry(node).or_insert((by, now));
            // Somebody did not list it long ago, and nobody was asked since: it was news then.
            if now.since(first.1) >= UNLISTED_COUNTS_FOR {
                *first = (by, now);
            }
            let (first, since) = *first;
            let wait = if first == by { UNLISTED_FOR } else { UNLISTED_BY_TWO_FOR };
            if now.since(since) >= wait {
                unvouched.push(node);
            }
        }
        self.drop_unvouched(unvouched, home, now);
    }

    /// Takes members of another datacenter for down, because nobody there vouches for them.
    fn drop_unvouched(&mut self, nodes: Vec<NodeId>, home: DatacenterId, now: Time) {
        let entries = nodes.into_iter().filter_map(|node| self.table.get(node));
        let told = entries.map(|entry| self.table.told(entry));
        let down = told.map(|member| RemoteMember { verdict: HomeVerdict::Down, ..member });
        let down: Vec<RemoteMember> = down.collect();
        self.out.counters.remote_members_unvouched += down.len() as u64;
        if !down.is_empty() {
            self.merge(&down, Author::Other(home), now);
        }
    }

    /// Takes members of another datacenter for down at whose addresses others of it began to live later: their hosts lost their disks.
    fn drop_replaced(&mut self, news: &[NodeId], home: DatacenterId, now: Time) {
        let alive = news.iter().filter_map(|node| self.table.get(*node));
        let alive = alive.filter(|entry| entry.is_alive() && entry.home == home);
        let begun: BTreeMap<SocketAddr, Identity> =
            alive.map(|entry| (entry.identity.addr, entry.identity)).collect();
        if begun.is_empty() {
            return;
        }
        let living = self.table.members_of(home).filter(|entry| entry.is_alive());
        let replaced = living.map(|entry| entry.identity).filter(|older| {
            begun
                .get(&older.addr)
                .is_some_and(|newer| newer.node_id != older.node_id && newer.epoch > older.epoch)
        });
        let replaced = replaced.map(|older| older.node_id).collect();
        self.drop_unvouched(replaced, home, now);
    }

    pub(super) fn believe_held(&mut self, now: Time) {
        if !self.timers.is_expired(Timer::WanHeld, now) {
            return;
        }
        for node in self.table.believe_held(now) {
            self.out.tell(Fact::Member(node));
        }
        self.timers.put(Timer::WanHeld, self.table.next_held());
    }

    /// A member of another datacenter, as it is shown.
    pub(crate) fn remote(&self, node: NodeId) -> Option<&Entry> {
        self.table.remote(node)
    }
}
