//! Exchanging tables over a stream: each side says which tables it holds, and sends those that the other lacks.

use std::collections::{BTreeSet, VecDeque};
use std::net::SocketAddr;
use std::time::Duration;

use super::Wan;
use super::facts::Fact;
use super::merging::Author;
use super::seen::Datacenters;
use crate::base::datacenter::DatacenterId;
use crate::base::identity::{Identity, NodeId};
use crate::base::io::StreamId;
use crate::base::limits::{
    MAX_DATACENTERS, MAX_FRAME_BYTES, MAX_FRAMES_IN_FLIGHT, MAX_ROUND_TRIPS_OF_DATACENTER,
    MAX_TABLE_FRAMES, MAX_TABLE_STREAMS,
};
use crate::base::time::Time;
use crate::codec::encoded_len;
use crate::wire::{Frame, HomeVerdict, Introduction, RemoteMember, TableDigest, Tables};

/// An exchange is dropped after this time.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Reach, orders and round trips in the last frame, of 28 bytes each at most.
const EXTRA_BYTES: usize = MAX_DATACENTERS * (MAX_ROUND_TRIPS_OF_DATACENTER + 2) * 28;
/// Bytes of members in one frame.
const FRAME_BYTES: usize = MAX_FRAME_BYTES - 4_096 - EXTRA_BYTES;
/// A node vouches for its datacenter's list of members after this time.
const SETTLED_AFTER: Duration = Duration::from_secs(10);

/// One exchange of tables.
#[derive(Debug)]
pub(super) struct Exchange {
    peer: Option<Identity>,
    is_opener: bool,
    is_wan: bool,
    /// The address at which the peer was found.
    found_at: Option<SocketAddr>,
    author: Option<Author>,
    is_settled: bool,
    /// Whether the peer sends its own datacenter's members: we hold others.
    lists_home: bool,
    listed: BTreeSet<NodeId>,
    queue: VecDeque<Frame>,
    in_flight: usize,
    frames: usize,
    has_told: bool,
    was_told: bool,
    began: Time,
}

impl Exchange {
    fn new(peer: Option<Identity>, now: Time) -> Self {
        Self {
            is_opener: peer.is_some(),
            peer,
            is_wan: false,
            found_at: None,
            author: None,
            is_settled: false,
            lists_home: false,
            listed: BTreeSet::new(),
            queue: VecDeque::new(),
            in_flight: 0,
            frames: 0,
            has_told: false,
            was_told: false,
            began: now,
        }
    }
}

impl Wan {
    /// Exchanges tables with a member of our own pool, which holds others than we do.
    pub(crate) fn compare_with(&mut self, peer: Identity, tables: [u8; 4], now: Time) {
        if tables != self.tables() && !self.leaving {
            self.open_exchange(peer, false, None, now);
        }
    }

    /// Opens an exchange, unless one with this peer is under way.
    pub(super) fn open_exchange(
        &mut self,
        peer: Identity,
        is_wan: bool,
        found_at: Option<SocketAddr>,
        now: Time,
    ) {
        let mut peers = self.exchanges.values().filter_map(|exchange| exchange.peer);
        if self.table.remote(peer.node_id).is_some_and(|entry| self.is_isolated(entry.home)) {
            return;
        }
        if peer.node_id == self.identity.node_id || peers.any(|it| it.node_id == peer.node_id) {
            return;
        }
        if self.exchanges.len() >= MAX_TABLE_STREAMS {
            self.out.counters.table_exchanges_refused += 1;
            return;
        }
        let stream = self.streams.take();
        self.out.counters.table_exchanges_opened += 1;
        self.out.open(stream, &peer);
        let mut exchange = Exchange::new(Some(peer), now);
        (exchange.is_wan, exchange.found_at) = (is_wan, found_at);
        exchange.queue.push_back(Frame::Datacenter(self.introduction(is_wan, now)));
        self.exchanges.insert(stream, exchange);
    }

    /// Whether a stream is an exchange of ours.
    pub(crate) fn has_stream(&self, stream: StreamId) -> bool {
        self.exchanges.contains_key(&stream)
    }

    /// Serves an exchange on a stream, if there is room.
    pub(crate) fn serve(&mut self, stream: StreamId, now: Time) {
        if self.exchanges.len() >= MAX_TABLE_STREAMS || self.leaving {
            self.out.counters.table_exchanges_refused += 1;
            return self.out.reset(stream);
        }
        self.exchanges.insert(stream, Exchange::new(None, now));
    }

    /// Handles a frame of an exchange.
    pub(crate) fn handle_frame(&mut self, stream: StreamId, bytes: &[u8], now: Time) {
        let Some(exchange) = self.exchanges.get_mut(&stream) else { return };
        exchange.frames += 1;
        let is_over = exchange.frames > MAX_TABLE_FRAMES || exchange.was_told;
        let is_introduced = exchange.author.is_some();
        match Frame::decode(bytes) {
            _ if is_over => self.fail(stream),
            Ok(Frame::Datacenter(introduction)) if !is_introduced => {
                self.take_introduction(stream, &introduction, now);
            }
            Ok(Frame::Tables(tables)) if is_introduced => self.take_tables(stream, &tables, now),
            _ => self.fail(stream),
        }
        self.complete(stream, now);
    }

    fn fail(&mut self, stream: StreamId) {
        self.out.counters.messages_invalid += 1;
        self.drop_exchange(stream);
    }

    fn drop_exchange(&mut self, stream: StreamId) {
        if self.exchanges.remove(&stream).is_some() {
            self.out.reset(stream);
        }
    }

    /// Drops the exchanges with a datacenter.
    pub(super) fn drop_exchanges_with(&mut self, home: DatacenterId) {
        let table = &self.table;
        let is_of = |peer: &Identity| table.remote(peer.node_id).is_some_and(|it| it.home == home);
        let with = self.exchanges.iter().filter(|(_, it)| it.peer.as_ref().is_some_and(is_of));
        let with: Vec<StreamId> = with.map(|(stream, _)| *stream).collect();
        with.into_iter().for_each(|stream| self.drop_exchange(stream));
    }

    fn take_introduction(&mut self, stream: StreamId, theirs: &Introduction, now: Time) {
        let Some(exchange) = self.exchanges.get(&stream) else { return };
        let (is_opener, is_wan) = (exchange.is_opener, exchange.is_wan);
        let (found_at, expected) = (exchange.found_at, exchange.peer);
        if theirs.cluster != self.out.mark()
            || theirs.identity.node_id == self.identity.node_id
            || expected.is_some_and(|peer| peer.node_id != theirs.identity.node_id)
        {
            self.out.counters.sessions_other_cluster += 1;
            return self.drop_exchange(stream);
        }
        let home = DatacenterId::named(&theirs.datacenter);
        if self.is_isolated(home) {
            self.out.counters.isolated_ignored += 1;
            return self.drop_exchange(stream);
        }
        let entry = self.table.get(theirs.identity.node_id);
        let is_mate = entry.is_some_and(|it| it.home == self.own);
        if home == self.own && !is_mate && (is_wan || theirs.is_wan) {
            let address = found_at.unwrap_or(theirs.identity.addr);
            self.meet_own_name(address, &theirs.identity);
            return self.drop_exchange(stream);
        }
        if let Some(address) = found_at.filter(|_| home != self.own)
            && self.seeds.met.remove(&address)
        {
            self.out.tell(Fact::OtherDatacenter { address, name: theirs.datacenter.clone() });
        }
        let ours = self.introduction(is_wan, now);
        let withdrawn = self.withdrawn_of(home, now);
        let tables = self.tables_for(home, theirs, withdrawn);
        let known = theirs.tables.iter().find(|table| table.datacenter == home);
        let lists_home = known.is_none_or(|table| table.members != self.members_hash(home));
        let Some(exchange) = self.exchanges.get_mut(&stream) else { return };
        exchange.author = Some(if home == self.own { Author::Pool } else { Author::Other(home) });
        exchange.peer = Some(expected.unwrap_or(theirs.identity));
        exchange.is_settled = theirs.is_settled;
        exchange.lists_home = lists_home && home != self.own;
        if !is_opener {
            exchange.queue.push_back(Frame::Datacenter(ours));
        }
        exchange.queue.extend(tables.into_iter().map(Frame::Tables));
        exchange.has_told = true;
    }

    fn take_tables(&mut self, stream: StreamId, tables: &Tables, now: Time) {
        let Some(exchange) = self.exchanges.get_mut(&stream) else { return };
        let (Some(peer), Some(author)) = (exchange.peer, exchange.author) else { return };
        let is_opener = exchange.is_opener;
        let is_of_home = |member: &&RemoteMember| author == Author::Other(member.home());
        let listed = tables.members.iter().filter(is_of_home);
        exchange.listed.extend(listed.map(|member| member.identity.node_id));
        exchange.was_told = tables.last;
        let is_whole = tables.last && exchange.is_settled && exchange.lists_home;
        let listed = if is_whole { std::mem::take(&mut exchange.listed) } else { BTreeSet::new() };
        let entry = self.table.get(peer.node_id);
        let is_mate =
            entry.is_some_and(|it| it.home == self.own && it.verdict == HomeVerdict::Alive);
        if author == Author::Pool && !is_mate && !is_opener {
            // A newcomer that our pool does not know yet gets tables, and changes none.
            self.out.counters.strangers_ignored += 1;
            return;
        }
        self.merge(&tables.members, author, now);
        if let Author::Other(home) = author {
            self.heard(home, now);
            if is_whole {
                self.review_unlisted(home, peer.node_id, |node| listed.contains(&node), now);
            }
        } else {
            tables.reach.iter().for_each(|reach| self.take_reach(reach, now));
            for order in &tables.isolations {
                self.take_isolation(order, now);
            }
            tables.round_trips.iter().for_each(|told| self.take_round_trip(told));
        }
    }

    /// The tables that a node of a datacenter lacks: of all others that it knows differently, or not at all; and of its own what we hold
    /// against its word.
    fn tables_for(
        &self,
        home: DatacenterId,
        theirs: &Introduction,
        withdrawn: Vec<RemoteMember>,
    ) -> Vec<Tables> {
        let knows = |datacenter: DatacenterId| {
            let table = theirs.tables.iter().find(|table| table.datacenter == datacenter);
            table.is_some_and(|table| table.members == self.members_hash(datacenter))
        };
        let differing: Vec<DatacenterId> =
            self.table.homes().map(|(id, _)| id).filter(|id| *id != home && !knows(*id)).collect();
        let mut frames = vec![Tables::default()];
        let mut bytes = 0;
        let entries = differing.into_iter().flat_map(|id| self.table.members_of(id));
        for member in withdrawn.into_iter().chain(entries.map(|entry| self.table.told(entry))) {
            let added = encoded_len(&member);
            bytes += added;
            if bytes > FRAME_BYTES {
                frames.push(Tables::default());
                bytes = added;
            }
            if let Some(frame) = frames.last_mut() {
                frame.members.push(member);
            }
        }
        if let Some(frame) = frames.last_mut() {
            if home == self.own && theirs.reach != self.reach_hash() {
                let ours = self.reaches.iter().filter(|reach| reach.observer == self.own);
                frame.reach = ours.collect();
                frame.isolations = self.isolations.iter().collect();
                frame.round_trips = self.round_trips.iter().collect();
            }
            frame.last = true;
        }
        frames
    }

    fn introduction(&self, is_wan: bool, now: Time) -> Introduction {
        let tables = self
            .table
            .homes()
            .map(|(datacenter, home)| TableDigest { datacenter, members: home.hash });
        Introduction {
            cluster: self.out.mark(),
            identity: self.identity,
            datacenter: self.table.home(self.own).map(|home| home.name.clone()).unwrap_or_default(),
            is_wan,
            is_settled: now.since(self.began) >= SETTLED_AFTER,
            tables: tables.collect(),
            reach: self.reach_hash(),
        }
    }

    /// Notes that the transport wrote one of our frames.
    pub(crate) fn stream_written(&mut self, stream: StreamId, now: Time) {
        if let Some(exchange) = self.exchanges.get_mut(&stream) {
            exchange.in_flight = exchange.in_flight.saturating_sub(1);
            self.complete(stream, now);
        }
    }

    /// Notes that a stream is over.
    pub(crate) fn stream_closed(&mut self, stream: StreamId) {
        self.exchanges.remove(&stream);
    }

    /// Hands frames to the transport, as far as it has room.
    pub(super) fn pump_exchanges(&mut self) {
        for (stream, exchange) in &mut self.exchanges {
            while exchange.in_flight < MAX_FRAMES_IN_FLIGHT
                && let Some(frame) = exchange.queue.pop_front()
            {
                exchange.in_flight += 1;
                self.out.send_frame(*stream, &frame);
            }
        }
    }

    fn complete(&mut self, stream: StreamId, now: Time) {
        self.pump_exchanges();
        let is_complete = |it: &Exchange| it.has_told && it.was_told && it.queue.is_empty();
        if self.exchanges.get(&stream).is_some_and(is_complete) {
            self.exchanges.remove(&stream);
            self.out.counters.table_exchanges_completed += 1;
            self.out.finish(stream);
            self.settle(now);
        }
    }

    pub(super) fn exchange_deadline(&self) -> Option<Time> {
        self.exchanges.values().map(|exchange| exchange.began + TIMEOUT).min()
    }

    pub(super) fn drop_stalled_exchanges(&mut self, now: Time) {
        let stalled = self.exchanges.iter().filter(|(_, exchange)| exchange.began + TIMEOUT <= now);
        let stalled: Vec<StreamId> = stalled.map(|(stream, _)| *stream).collect();
        stalled.into_iter().for_each(|stream| self.drop_exchange(stream));
    }
}
