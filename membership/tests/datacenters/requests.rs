//! Requests to members of other datacenters, their answers, and what comes of neither.

use std::time::Duration;

use hobnob_membership::limits::{MAX_REQUEST_BYTES, MAX_REQUESTS_ASKED, MAX_REQUESTS_OF_MEMBER};
use hobnob_membership::testing::Network;
use hobnob_membership::wire::{Answer, Frame, Request, Taken};
use hobnob_membership::{
    ClusterId, Event, Input, NodeId, Output, RequestError, RequestId, StreamId,
};

const SECOND: Duration = Duration::from_secs(1);
const WITHIN: Duration = Duration::from_secs(5);

fn ask(net: &mut Network, n: usize, to: usize, body: &[u8]) -> Result<RequestId, RequestError> {
    let (to, now) = (net.id(to), net.now);
    let request = net.nodes[n].request(to, body.to_vec(), WITHIN, now);
    net.flush(n);
    request
}

/// The requests that the owner of a node was told of.
fn requested(net: &Network, n: usize) -> Vec<(RequestId, NodeId, Vec<u8>)> {
    let told = net.events[n].iter().filter_map(|event| match event {
        Event::Requested { request, from, bytes } => Some((*request, *from, bytes.clone())),
        _ => None,
    });
    told.collect()
}

fn answered(net: &Network, n: usize) -> Vec<(RequestId, Result<Vec<u8>, RequestError>)> {
    let told = net.events[n].iter().filter_map(|event| match event {
        Event::Answered { request, result } => Some((*request, result.clone())),
        _ => None,
    });
    told.collect()
}

fn request(sender: NodeId, receiver: NodeId, cluster: ClusterId) -> Request {
    let (cluster, body) = (cluster.mark(), b"x".to_vec());
    Request { cluster, sender, receiver, within_ms: u32::MAX, body }
}

/// Begins a stream to the first node with a frame.
fn begin(net: &mut Network, n: u64, bytes: &[u8]) -> Vec<Output> {
    let stream = StreamId::accepted(1_000_000 + n);
    net.handle(0, Input::StreamAccepted { stream });
    net.handle(0, Input::StreamFrame { stream, bytes })
}

#[test]
fn a_request_to_another_datacenter_is_answered_over_its_own_stream() {
    let mut net = Network::of_datacenters(&[3, 3]);
    let request = ask(&mut net, 4, 1, b"please").expect("sent");
    net.run_for(SECOND);
    let told = requested(&net, 1);
    let [(there, from, body)] = &told[..] else { panic!("{told:?}") };
    assert_eq!((*from, &body[..]), (net.id(4), &b"please"[..]));
    assert!(net.nodes[1].is_awaited(*there));
    net.handle(1, Input::Answer { request: *there, bytes: b"done".to_vec() });
    net.run_for(SECOND);
    assert_eq!(answered(&net, 4), [(request, Ok(b"done".to_vec()))]);
    let is_idle = |n: usize| net.nodes[n].load().requests == 0;
    assert!(is_idle(1) && is_idle(4) && !net.nodes[1].is_awaited(*there));
    // A second answer goes nowhere.
    let again = net.handle(1, Input::Answer { request: *there, bytes: Vec::new() });
    assert!(again.is_empty(), "{again:?}");
    assert!(net.is_whole());
}

#[test]
fn a_member_of_the_own_datacenter_is_asked_in_the_same_way() {
    let mut net = Network::of_datacenters(&[3, 1]);
    let request = ask(&mut net, 0, 2, b"mate").expect("sent");
    net.run_for(SECOND);
    let (there, ..) = requested(&net, 2)[0].clone();
    net.handle(2, Input::Answer { request: there, bytes: Vec::new() });
    net.run_for(SECOND);
    assert_eq!(answered(&net, 0), [(request, Ok(Vec::new()))]);
}

#[test]
fn a_request_that_nobody_answers_is_given_up_by_both_sides() {
    let mut net = Network::of_datacenters(&[3, 3]);
    let request = ask(&mut net, 3, 0, b"slow").expect("sent");
    net.run_for(WITHIN - SECOND);
    assert!(answered(&net, 3).is_empty());
    net.run_for(2 * SECOND);
    assert_eq!(answered(&net, 3), [(request, Err(RequestError::TimedOut))]);
    let (there, ..) = requested(&net, 0)[0].clone();
    assert!(!net.nodes[0].is_awaited(there));
    net.handle(0, Input::Answer { request: there, bytes: b"late".to_vec() });
    net.run_for(SECOND);
    assert_eq!(answered(&net, 3).len(), 1, "told once");
    assert!(RequestError::TimedOut.is_in_doubt() && !RequestError::Busy.is_in_doubt());
    assert_eq!(net.nodes[3].counters().requests_timed_out, 1);
}

#[test]
fn a_request_to_a_member_that_is_gone_or_cut_off_fails() {
    let mut net = Network::of_datacenters(&[3, 3]);
    net.cut_between(0, 1);
    let request = ask(&mut net, 3, 0, b"cut").expect("not known yet");
    net.run_for(SECOND);
    assert_eq!(answered(&net, 3), [(request, Err(RequestError::Lost))]);
    net.run_for(30 * SECOND);
    assert_eq!(ask(&mut net, 3, 0, b"out"), Err(RequestError::OutOfReach));
    let now = net.now;
    let nobody = net.nodes[3].request(NodeId(5), Vec::new(), WITHIN, now);
    assert_eq!(nobody, Err(RequestError::OutOfReach));
    assert_eq!(ask(&mut net, 3, 3, b"me"), Err(RequestError::OutOfReach));
}

#[test]
fn a_member_that_leaves_takes_no_request() {
    let mut net = Network::of_datacenters(&[3, 3]);
    net.handle(0, Input::Leave);
    let late = request(net.id(3), net.id(0), ClusterId::default());
    let told = begin(&mut net, 1, &Frame::Request(late).encode().expect("fits"));
    let refusal = Frame::Answer(Answer { taken: Taken::Refused, body: Vec::new() });
    let refusal = refusal.encode().expect("fits");
    assert!(
        matches!(&told[..], [Output::StreamFrame { bytes, .. }, Output::FinishStream { .. }] if *bytes == refusal),
        "{told:?}"
    );
    assert!(requested(&net, 0).is_empty());
    let request = ask(&mut net, 3, 0, b"late").expect("it is not known there yet");
    net.run_for(SECOND);
    assert!(matches!(answered(&net, 3)[..], [(of, Err(_))] if of == request));
}

#[test]
fn requests_have_limits_on_both_sides() {
    let mut net = Network::of_datacenters(&[2, 2]);
    assert_eq!(ask(&mut net, 2, 0, &vec![0; MAX_REQUEST_BYTES + 1]), Err(RequestError::TooLarge));
    for _ in 0..MAX_REQUESTS_ASKED {
        ask(&mut net, 2, 0, &vec![7; MAX_REQUEST_BYTES]).expect("sent");
    }
    assert_eq!(ask(&mut net, 2, 0, b""), Err(RequestError::TooMany));
    net.run_for(SECOND);
    assert_eq!(requested(&net, 0).len(), MAX_REQUESTS_OF_MEMBER);
    let busy = answered(&net, 2);
    assert!(busy.iter().all(|(_, result)| *result == Err(RequestError::Busy)), "{busy:?}");
    assert_eq!(busy.len(), MAX_REQUESTS_ASKED - MAX_REQUESTS_OF_MEMBER);
    net.run_for(10 * SECOND);
    assert!((0..4).all(|n| net.nodes[n].load().requests == 0));
}

#[test]
fn strangers_others_and_those_who_say_more_than_one_frame_are_turned_away() {
    let mut net = Network::of_datacenters(&[2, 2]);
    let (own, mate) = (net.id(0), net.id(1));
    let ours = ClusterId::default();
    let hostile = [
        request(NodeId(99), own, ours),
        request(own, own, ours),
        request(mate, NodeId(99), ours),
        request(mate, own, ClusterId::named("another")),
    ];
    for (n, request) in (0..).zip(hostile) {
        begin(&mut net, n, &Frame::Request(request).encode().expect("fits"));
    }
    let legal = Frame::Request(request(mate, own, ours)).encode().expect("fits");
    for len in 1..legal.len() {
        begin(&mut net, 100 + len as u64, &legal[..len]);
    }
    assert!(requested(&net, 0).is_empty());
    assert_eq!(net.nodes[0].load().requests, 0);
    begin(&mut net, 10, &legal);
    assert_eq!(requested(&net, 0).len(), 1);
    let stream = StreamId::accepted(1_000_010);
    let more = net.handle(0, Input::StreamFrame { stream, bytes: &legal });
    assert!(matches!(more[..], [Output::ResetStream { .. }]), "{more:?}");
    assert_eq!(net.nodes[0].load().requests, 0);
    net.run_for(SECOND);
    assert!(net.is_whole());
}
