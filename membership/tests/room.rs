//! The room that the records of others take, where somebody makes up origins.

use std::time::Duration;

use hobnob_membership::catalog::{Delta, Entry, Replica, Slot};
use hobnob_membership::detector::{Cause, Verdict};
use hobnob_membership::limits::{MAX_ORIGINS, MAX_UNVOUCHED_BYTES, MAX_UNVOUCHED_ORIGINS};
use hobnob_membership::record::{Health, Key, RawValue, Value};
use hobnob_membership::testing::{Link, Network, bounds, identity, instance, large, node, record};
use hobnob_membership::wire::{
    Ages, DatagramBuilder, Envelope, Frame, MemberUpdates, Message, Opening, Update,
};
use hobnob_membership::{ClusterId, Epoch, Identity, Input, Node, NodeId, StreamId, Time};

/// A whole state with these records and a node record.
fn whole(origin: NodeId, epoch: Epoch, records: Vec<(Key, Value)>) -> Delta {
    let node = (Key::Node, Value::Node(record(0).into()));
    let records = std::iter::once(node).chain(records).zip(1..);
    let entries: Vec<Entry> = records
        .map(|((key, value), version)| Entry { version, key, value: Some(value.into()) })
        .collect();
    let to = entries.len() as u64;
    Delta { origin, epoch, after: 0, to, head: to, gc_floor: 0, entries }
}

/// A part of a state of which the beginning never comes.
fn half(origin: NodeId) -> Delta {
    let value = Some(Value::Health(Health::Passing).into());
    let entry = Entry { version: 5, key: Key::Health("x".into()), value };
    Delta { origin, epoch: Epoch(1), after: 4, to: 5, head: 5, gc_floor: 0, entries: vec![entry] }
}

fn invented(n: usize) -> NodeId {
    NodeId(1_000_000 + n as u64)
}

/// A record of almost 4 kB.
fn large_record(n: usize) -> (Key, Value) {
    (Key::Service(format!("large-{n}").into()), Value::Service(large(7).into()))
}

fn tell(node: &mut Node, message: &Message, now: Time) {
    let mut datagram = DatagramBuilder::new(Envelope::clear(ClusterId::default()));
    datagram.push(message).expect("fits");
    node.handle(Input::Datagram { from: identity(1).addr, bytes: &datagram.finish() }, now);
}

/// A node to which a peer opened a session.
struct Served {
    node: Node,
    stream: StreamId,
}

impl Served {
    fn by(peer: Identity) -> Self {
        let mut this = Self { node: node(0), stream: StreamId::accepted(1) };
        this.node.handle(Input::StreamAccepted { stream: this.stream }, Time::ZERO);
        let cluster = ClusterId::default().mark();
        let opening = Opening {
            cluster,
            identity: peer,
            members: 0,
            catalog: 0,
            datacenter: hobnob_membership::DatacenterId::UNKNOWN,
            scope: None,
        };
        this.send(&Frame::Opening(opening));
        this
    }

    fn send(&mut self, frame: &Frame) {
        let bytes = frame.encode().expect("fits");
        self.node.handle(Input::StreamFrame { stream: self.stream, bytes: &bytes }, Time::ZERO);
        while self.node.poll_output().is_some() {}
    }

    fn send_deltas(&mut self, deltas: impl Iterator<Item = Delta>, at_once: usize) {
        let deltas: Vec<Delta> = deltas.collect();
        for deltas in deltas.chunks(at_once) {
            self.send(&Frame::Deltas { deltas: deltas.to_vec(), last: false });
        }
    }

    fn holds(&self, origin: NodeId) -> bool {
        self.node.catalog().origin(origin).is_some()
    }
}

#[test]
fn a_newcomer_is_seen_where_somebody_made_up_more_origins_than_there_are_places() {
    let mut net = Network::new((0..4).map(node).collect(), Link::default(), Time::ZERO);
    for n in 1..3 {
        net.handle(n, Input::Join(vec![identity(0).addr]));
    }
    net.run_for(Duration::from_secs(3));
    let origins: Vec<usize> = (0..MAX_ORIGINS + 100).collect();
    for origins in origins.chunks(25) {
        let deltas = origins.iter().map(|n| half(invented(*n))).collect();
        let rumors = Message::Rumors(identity(1).node_id, deltas, Ages::default());
        tell(&mut net.nodes[0], &rumors, net.now);
    }
    let load = net.nodes[0].load();
    assert_eq!(load.unvouched_origins, MAX_UNVOUCHED_ORIGINS);
    assert!(net.nodes[0].counters().origins_refused > 0);
    net.handle(3, Input::Join(vec![identity(0).addr]));
    net.write(3, instance("new"));
    net.run_for(Duration::from_secs(5));
    for node in &net.nodes[..3] {
        assert_eq!(node.instances_of(identity(3).node_id).count(), 1);
        bounds::check(node, &[]);
    }
}

#[test]
fn what_is_made_up_takes_few_bytes_and_leaves_members_theirs() {
    let mut served = Served::by(identity(7));
    let records = || (0..15).map(large_record).collect();
    let forged = MAX_UNVOUCHED_BYTES / 50_000 + 200;
    served.send_deltas((0..forged).map(|n| whole(invented(n), Epoch(1), records())), 1);
    let values = |node: &Node| -> usize {
        let replicas = node.catalog().origins().filter_map(|(_, origin)| origin.current());
        replicas
            .flat_map(Replica::slots)
            .filter_map(Slot::raw)
            .map(RawValue::bytes)
            .map(<[u8]>::len)
            .sum()
    };
    let held = values(&served.node);
    assert!((MAX_UNVOUCHED_BYTES / 2..=MAX_UNVOUCHED_BYTES).contains(&held), "{held} bytes");
    assert!(served.node.counters().records_refused >= 150);
    // The peer tells its members in the session, too.
    served.send(&Frame::Members(vec![identity(7), identity(8)]));
    let member = identity(8);
    served.send_deltas(std::iter::once(whole(member.node_id, member.epoch, records())), 1);
    assert_eq!(served.node.instances_of(member.node_id).count(), 15);
    let load = served.node.load();
    assert!(load.record_bytes > MAX_UNVOUCHED_BYTES && load.unvouched_origins > 400, "{load:?}");
    bounds::check(&served.node, &[]);
}

#[test]
fn where_all_places_are_taken_the_made_up_origins_yield_before_the_dead() {
    let mut served = Served::by(identity(1));
    let count = MAX_ORIGINS - 1 - MAX_UNVOUCHED_ORIGINS;
    let members: Vec<Identity> = (1..=count).map(identity).collect();
    for members in members.chunks(2_000) {
        served.send(&Frame::Members(members.to_vec()));
    }
    let states = members.iter().map(|member| whole(member.node_id, member.epoch, vec![]));
    served.send_deltas(states, 500);
    served.send_deltas(
        (0..MAX_UNVOUCHED_ORIGINS + 1).map(|n| whole(invented(n), Epoch(1), vec![])),
        500,
    );
    assert_eq!(served.node.catalog().origins().count(), MAX_ORIGINS);
    assert_eq!(served.node.counters().origins_refused, 1);
    // A member dies, another comes.
    let (dead, newcomer, sender) = (identity(2), identity(MAX_ORIGINS), identity(1).node_id);
    let verdict = Verdict {
        node: dead.node_id,
        epoch: dead.epoch,
        cause: Cause::Silence,
        accuser: sender,
        referees: vec![identity(3).node_id],
        exited: false,
    };
    let updates = vec![Update::Down(verdict), Update::Alive(newcomer)];
    let updates =
        MemberUpdates { sender, updates, datacenter: hobnob_membership::DatacenterId::UNKNOWN };
    tell(&mut served.node, &Message::MemberUpdates(updates), Time::ZERO);
    assert!(served.node.down_since(dead.node_id).is_some());
    served.send_deltas(std::iter::once(whole(newcomer.node_id, newcomer.epoch, vec![])), 1);
    assert!(served.holds(newcomer.node_id), "a member has no place");
    assert!(served.holds(dead.node_id), "a dead member yielded before an origin that nobody knows");
    assert_eq!(served.node.counters().origins_yielded, 1);
    assert_eq!(served.node.load().unvouched_origins, MAX_UNVOUCHED_ORIGINS - 1);
}
