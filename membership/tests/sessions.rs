//! Sync sessions as a peer sees them, frame by frame.

mod common;

use hobnob_membership::catalog::{Catalog, Want};
use hobnob_membership::limits::MAX_FRAMES_IN_FLIGHT;
use hobnob_membership::record::{Health, Key};
use hobnob_membership::wire::{Frame, Opening};
use hobnob_membership::{ClusterId, Epoch, Input, Node, NodeId, Output, StreamId, Time};

use common::{health, identity};

const STREAM: StreamId = StreamId::accepted(1);

fn opening(members: u64, catalog: u64) -> Frame {
    let cluster = ClusterId::default().mark();
    Frame::Opening(Opening { cluster, identity: identity(1), members, catalog })
}

/// Gives a node a frame of ours, and returns the frames that it sends, and whether it is done.
fn tell(node: &mut Node, frame: &Frame) -> (Vec<Frame>, bool) {
    let bytes = frame.encode().expect("fits");
    node.handle(Input::StreamFrame { stream: STREAM, bytes: &bytes }, Time::ZERO);
    drain(node)
}

fn written(node: &mut Node) -> (Vec<Frame>, bool) {
    node.handle(Input::StreamWritten { stream: STREAM }, Time::ZERO);
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
    let mut node = common::node(0);
    node.handle(Input::Write(health("x", Health::Passing)), Time::ZERO);
    node.handle(Input::StreamAccepted { stream: STREAM }, Time::ZERO);
    let (frames, _) = drain(&mut node);
    assert!(frames.is_empty(), "who opened the stream speaks first");
    node
}

#[test]
fn equal_digests_end_it_at_once() {
    let mut node = serving();
    let mut twin = serving();
    let (frames, _) = tell(&mut twin, &opening(0, 0));
    let Some(Frame::Opening(Opening { members, catalog, .. })) = frames.first() else {
        panic!("{frames:?}");
    };
    let (frames, done) = tell(&mut node, &opening(*members, *catalog));
    assert!(matches!(frames[..], [Frame::Opening(_)]) && done);
}

#[test]
fn a_peer_that_lacks_nothing_is_sent_nothing_although_it_ends_first() {
    let mut node = serving();
    let all = node.catalog().want(identity(0).node_id);
    let (frames, _) = tell(&mut node, &opening(0, 0));
    assert_eq!(frames.len(), MAX_FRAMES_IN_FLIGHT, "no more until one is written");
    for frame in [Frame::Heads(vec![all]), Frame::HeadsEnd, Frame::End] {
        assert_eq!(tell(&mut node, &frame), (vec![], false));
    }
    assert_eq!(written(&mut node), (vec![Frame::End], true));
}

#[test]
fn a_peer_that_lacks_something_is_sent_that() {
    let mut node = serving();
    let all = node.catalog().want(identity(0).node_id);
    drop(tell(&mut node, &opening(0, 0)));
    drop(tell(&mut node, &Frame::Heads(vec![Want { after: 1, ..all }])));
    drop(tell(&mut node, &Frame::HeadsEnd));
    drop(tell(&mut node, &Frame::End));
    let (mut frames, _) = written(&mut node);
    let (more, done) = written(&mut node);
    frames.extend(more);
    let [Frame::Deltas(deltas), Frame::End] = &frames[..] else { panic!("{frames:?}") };
    assert!(done);
    let keys: Vec<&Key> = deltas.iter().flat_map(|d| &d.entries).map(|entry| &entry.key).collect();
    assert_eq!(keys, [&Key::Health("x".into())]);
}

#[test]
fn a_session_that_was_cut_goes_on_where_it_stopped() {
    let origin = NodeId(7);
    let mut other = Catalog::new(origin, Epoch(1));
    let node_record = common::record(7);
    let records = (0..200).flat_map(|n| health(&format!("i{n}"), Health::Passing));
    let records = [(Key::Node, Some(node_record))].into_iter().chain(records).collect();
    other.write(records).expect("within the limits");
    let mut node = serving();
    let part = other.answer(&node.catalog().want(origin), 500).expect("a part");
    drop(tell(&mut node, &opening(0, 0)));
    drop(tell(&mut node, &Frame::Deltas(vec![part.clone()])));
    assert!(node.catalog().origin(origin).and_then(|origin| origin.current()).is_none());
    node.handle(Input::StreamClosed { stream: STREAM }, Time::ZERO);
    node.handle(Input::StreamAccepted { stream: STREAM }, Time::ZERO);
    let (frames, _) = tell(&mut node, &opening(0, 0));
    let heads = frames.iter().find_map(|frame| match frame {
        Frame::Heads(heads) => heads.iter().find(|head| head.origin == origin),
        _ => None,
    });
    assert_eq!(heads.map(|head| head.after), Some(part.to));
}
