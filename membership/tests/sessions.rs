//! Sync sessions as a peer sees them, frame by frame.

use std::sync::Arc;
use std::time::Duration;

use hobnob_membership::catalog::{Catalog, Want};
use hobnob_membership::record::{Health, Key, Value};
use hobnob_membership::testing::{Network, health, identity, node, record};
use hobnob_membership::wire::{Frame, Heads, Opening};
use hobnob_membership::{
    ClusterId, Epoch, Identity, Input, Node, NodeId, Output, Protocol, StreamId, Time,
};

const STREAM: StreamId = StreamId::accepted(1);

fn opening(members: u64, catalog: u64) -> Frame {
    let cluster = ClusterId::default().mark();
    Frame::Opening(Opening {
        cluster,
        identity: identity(1),
        members,
        catalog,
        datacenter: hobnob_membership::DatacenterId::UNKNOWN,
        scope: None,
    })
}

/// Gives a node a frame of ours, and returns the frames that it sends, and whether it is done.
fn tell(node: &mut Node, frame: &Frame) -> (Vec<Frame>, bool) {
    let bytes = frame.encode().expect("fits");
    node.handle(Input::StreamFrame { stream: STREAM, bytes: &bytes }, Time::ZERO);
    drain(node)
}

fn drain(node: &mut Node) -> (Vec<Frame>, bool) {
    let mut frames = Vec::new();
    let mut done = false;
    while let Some(output) = node.poll_output() {
        match output {
            Output::StreamFrame { bytes, .. } => frames.push(Frame::decode(&bytes).expect("ours")),
            Output::FinishStream { .. } => done = true,
            Output::ResetStream { .. } => panic!("refused"),
            _ => {}
        }
    }
    (frames, done)
}

fn serving() -> Node {
    let mut node = node(0);
    node.write(health("x", Health::Passing), Time::ZERO).expect("legal");
    node.handle(Input::StreamAccepted { stream: STREAM }, Time::ZERO);
    let (frames, _) = drain(&mut node);
    assert!(frames.is_empty(), "who opened the stream speaks first");
    node
}

#[test]
fn equal_digests_end_it_at_once_and_cost_next_to_nothing() {
    let mut net = Network::joined(2);
    net.run_for(Duration::from_secs(40));
    let last = net.frames.iter().rev().find_map(|bytes| match Frame::decode(bytes) {
        Ok(Frame::Opening(opening)) => Some((bytes.clone(), opening)),
        _ => None,
    });
    let (bytes, opening) = last.expect("they compare now and then");
    let server = usize::from(opening.identity == identity(0));
    let before = net.nodes[server].counters().sessions_equal;
    net.handle(server, Input::StreamAccepted { stream: STREAM });
    let outputs = net.handle(server, Input::StreamFrame { stream: STREAM, bytes: &bytes });
    let [Output::StreamFrame { bytes: end, .. }, Output::FinishStream { .. }] = &outputs[..] else {
        panic!("{outputs:?}");
    };
    assert_eq!(Frame::decode(end).expect("ours"), Frame::End);
    assert_eq!(net.nodes[server].counters().sessions_equal, before + 1);
    assert!(bytes.len() + end.len() + 2 * 4 <= 64, "with the lengths before the frames");
}

#[test]
fn a_peer_that_lacks_nothing_is_sent_nothing() {
    let mut node = serving();
    let all = node.catalog().want(identity(0).node_id);
    let (frames, _) = tell(&mut node, &opening(0, 0));
    assert!(matches!(frames[..], [Frame::Members(_), Frame::Sketch(_)]), "{frames:?}");
    let heads = Frame::Heads(Heads::part(vec![all], vec![], vec![]).whole().last());
    assert_eq!(tell(&mut node, &heads), (vec![Frame::End], false));
    let members = Frame::Members(vec![identity(1)]);
    assert_eq!(tell(&mut node, &members), (vec![], false));
    assert_eq!(tell(&mut node, &Frame::End), (vec![], true), "the members were waited for");
}

#[test]
fn a_peer_that_lacks_something_is_sent_that() {
    let mut node = serving();
    let all = node.catalog().want(identity(0).node_id);
    drop(tell(&mut node, &opening(0, 0)));
    let heads = Heads::part(vec![Want { after: 1, ..all }], vec![], vec![]).last();
    let (frames, _) = tell(&mut node, &Frame::Heads(heads));
    let [Frame::Deltas { deltas, last: true }] = &frames[..] else { panic!("{frames:?}") };
    let keys: Vec<&Key> = deltas.iter().flat_map(|d| &d.entries).map(|entry| &entry.key).collect();
    assert_eq!(keys, [&Key::Health("x".into())]);
}

#[test]
fn the_side_with_fewer_heads_tells_them_when_asked_for_all() {
    let mut node = serving();
    drop(tell(&mut node, &opening(0, 0)));
    let (frames, _) = tell(&mut node, &Frame::More(0));
    let all = node.catalog().want(identity(0).node_id);
    assert_eq!(frames, [Frame::Heads(Heads::part(vec![all], vec![], vec![]).whole().last())]);
    let wants = Frame::Heads(Heads::part(vec![Want { after: 1, ..all }], vec![], vec![]).last());
    let (frames, _) = tell(&mut node, &wants);
    assert!(matches!(frames[..], [Frame::Deltas { last: true, .. }]), "{frames:?}");
    assert_eq!(tell(&mut node, &Frame::End), (vec![], true));
}

#[test]
fn a_session_that_was_cut_goes_on_where_it_stopped() {
    let origin = NodeId(7);
    let mut other = Catalog::new(origin, Epoch(1));
    let node_record = Value::Node(Arc::new(record(7)));
    let records = (0..200).flat_map(|n| health(&format!("i{n}"), Health::Passing));
    let records = [(Key::Node, Some(node_record))].into_iter().chain(records).collect();
    other.write(records).expect("within the limits");
    let mut node = serving();
    let part = other.answer(&node.catalog().want(origin), 500).expect("a part");
    drop(tell(&mut node, &opening(0, 0)));
    drop(tell(&mut node, &Frame::Deltas { deltas: vec![part.clone()], last: false }));
    assert!(node.catalog().origin(origin).and_then(|origin| origin.current()).is_none());
    node.handle(Input::StreamClosed { stream: STREAM }, Time::ZERO);
    node.handle(Input::StreamAccepted { stream: STREAM }, Time::ZERO);
    drop(tell(&mut node, &opening(0, 0)));
    let heads = vec![other.want(origin)];
    let (frames, _) = tell(&mut node, &Frame::Heads(Heads::part(heads, vec![], vec![]).last()));
    let [Frame::Heads(wants), Frame::End] = &frames[..] else { panic!("{frames:?}") };
    assert_eq!(wants.heads.iter().map(|want| want.after).collect::<Vec<_>>(), [part.to]);
}

#[test]
fn a_second_session_of_the_same_peer_is_refused_until_the_first_is_over_or_of_an_earlier_life() {
    let mut node = serving();
    drop(tell(&mut node, &opening(0, 0)));
    let open = |node: &mut Node, n: u64, epoch: u64| {
        let stream = StreamId::accepted(n);
        let identity = Identity { epoch: Epoch(epoch), ..identity(1) };
        let cluster = ClusterId::default().mark();
        let opening = Opening {
            cluster,
            identity,
            members: 0,
            catalog: 0,
            datacenter: hobnob_membership::DatacenterId::UNKNOWN,
            scope: None,
        };
        let bytes = Frame::Opening(opening).encode().expect("fits");
        node.handle(Input::StreamAccepted { stream }, Time::ZERO);
        node.handle(Input::StreamFrame { stream, bytes: &bytes }, Time::ZERO);
        let outputs: Vec<Output> = std::iter::from_fn(|| node.poll_output()).collect();
        outputs.into_iter().find_map(|output| match output {
            Output::ResetStream { stream } => Some(stream),
            _ => None,
        })
    };
    let life = identity(1).epoch.0;
    assert_eq!(open(&mut node, 2, life), Some(StreamId::accepted(2)));
    assert_eq!(node.counters().sessions_duplicate, 1);
    assert_eq!(open(&mut node, 3, life + 1), Some(STREAM), "the old life's is over");
    node.handle(Input::StreamClosed { stream: StreamId::accepted(3) }, Time::ZERO);
    assert_eq!(open(&mut node, 4, life), None);
}

#[test]
fn a_peer_that_trickles_holds_a_place_no_longer_than_a_silent_one() {
    let mut node = serving();
    let timeout = Protocol::default().session_timeout;
    let frame = Frame::Members(vec![identity(1)]).encode().expect("fits");
    drop(tell(&mut node, &opening(0, 0)));
    let mut now = Time::ZERO;
    while now < Time::from(timeout) {
        assert_eq!(node.load().sessions, 1);
        now = now + timeout / 4;
        node.handle(Input::StreamFrame { stream: STREAM, bytes: &frame }, now);
        node.handle(Input::Deadline, now);
    }
    node.handle(Input::Deadline, now + Duration::from_millis(100));
    assert_eq!(node.load().sessions, 0);
}
