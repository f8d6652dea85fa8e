//! The door: which peers are let in, and what they see before.

use hobnob_keys::{Certificate, Revocations, Roles};
use hobnob_membership::record::Health;
use hobnob_membership::testing::sealed::{
    SealedCluster, TOKEN_MS, WALL_MS, node_id, node_key, public_key,
};
use hobnob_membership::testing::{Link, Network, health, identity, instance};
use hobnob_membership::wire::{Credentials, Frame};
use hobnob_membership::{Epoch, Event, Input, Node, Output, StreamId, Time};
use std::net::SocketAddr;
use std::time::Duration;

use crate::fixtures::{S, cluster_and, join, newcomer, present, refusals};

#[test]
fn a_newcomer_with_a_token_gets_the_generation_at_the_door_and_joins() {
    let (cluster, mut net) = cluster_and(2, 1);
    net.write(0, instance("web-1"));
    join(&mut net, 2);
    net.run_for(S(2));
    assert!(net.nodes.iter().all(|node| node.active_members() == 3), "not joined");
    assert!(net.is_converged());
    assert_eq!(present(&net, 2), Some(cluster.generation(1, 7).id()));
    assert!(net.events[2].contains(&Event::KeysChanged));
    net.write(2, health("x", Health::Passing));
    net.run_for(S(60));
    assert!(net.is_converged() && net.is_without_streams());
    let counters = net.nodes[0].counters();
    assert_eq!((counters.doors_refused, counters.doors_stalled), (0, 0));
}

#[test]
fn a_newcomer_opens_one_stream_to_enter_and_has_no_news_for_anybody() {
    let (_, mut net) = cluster_and(8, 1);
    let before: Vec<u64> =
        net.nodes.iter().map(|node| node.counters().key_streams_opened).collect();
    join(&mut net, 8);
    net.run_for(S(10));
    assert!(net.nodes.iter().all(|node| node.active_members() == 9), "not joined");
    let ran = net
        .nodes
        .iter()
        .zip(before)
        .map(|(node, before)| node.counters().key_streams_opened - before);
    assert_eq!(ran.collect::<Vec<u64>>(), [0, 0, 0, 0, 0, 0, 0, 0, 1]);
}

#[test]
fn a_founder_has_no_news_for_those_that_enter_after_it() {
    let (cluster, mut net) = cluster_and(0, 4);
    net.handle(0, Input::Rotate(cluster.generation(1, 7)));
    (1..4).for_each(|n| join(&mut net, n));
    net.run_for(S(10));
    assert!(net.nodes.iter().all(|node| node.active_members() == 4), "not joined");
    let ran = net.nodes.iter().map(|node| node.counters().key_streams_opened);
    assert_eq!(ran.collect::<Vec<u64>>(), [0, 1, 1, 1]);
}

#[test]
fn a_newcomer_waits_for_a_slow_seed_before_it_tries_again_there() {
    let cluster = SealedCluster::default();
    let certificate = cluster.certificate(&cluster.token(2, Roles::NONE), 1);
    let nodes = vec![cluster.node(0), newcomer(&cluster, 1, certificate)];
    let slow = Link { handshake: Duration::from_millis(450), ..Link::default() };
    let mut net = Network::new(nodes, slow, Time::ZERO);
    join(&mut net, 1);
    net.run_for(S(5));
    assert!(net.nodes.iter().all(|node| node.active_members() == 2), "not joined");
    assert_eq!(net.nodes[1].counters().key_streams_opened, 1);
    // Nobody answers at this one.
    let certificate = cluster.certificate(&cluster.token(2, Roles::NONE), 1);
    let nodes = vec![cluster.node(0), newcomer(&cluster, 1, certificate)];
    let silent = Link { handshake: S(3_600), ..Link::default() };
    let mut net = Network::new(nodes, silent, Time::ZERO);
    join(&mut net, 1);
    net.run_for(Duration::from_millis(4_900));
    assert_eq!(
        net.nodes[1].counters().key_streams_opened,
        2,
        "a second one, should the first be lost"
    );
    net.run_for(S(60));
    let tries = net.nodes[1].counters().key_streams_opened;
    assert!((20..30).contains(&tries), "{tries}: it goes on, two at a time of five seconds each");
}

#[test]
fn a_newcomer_knows_whether_a_member_may_be_about_to_let_it_in() {
    let cluster = SealedCluster::default();
    let outside = |n| newcomer(&cluster, n, cluster.certificate(&cluster.token(2, Roles::NONE), n));
    let slow = Link { handshake: S(4), ..Link::default() };
    for (seed, link, after_s, expected) in [
        // The seed is a member, and busy.
        (cluster.node(0), slow, 3, true),
        // It waits outside, too.
        (outside(0), Link::default(), 3, false),
    ] {
        let mut net = Network::new(vec![seed, outside(1)], link, Time::ZERO);
        assert!(!net.nodes[1].may_be_let_in(net.now));
        join(&mut net, 1);
        net.run_for(S(after_s));
        assert_eq!(net.nodes[1].may_be_let_in(net.now), expected);
    }
    // Nobody is there.
    let mut net = Network::new(vec![outside(0), outside(1)], Link::default(), Time::ZERO);
    net.cut.insert((0, 1));
    join(&mut net, 1);
    net.run_for(S(3));
    assert!(!net.nodes[1].may_be_let_in(net.now));
}

#[test]
fn a_newcomer_shows_another_one_that_it_waits_outside_too() {
    let cluster = SealedCluster::default();
    let certificate = cluster.certificate(&cluster.token(2, Roles::NONE), 0);
    let mut outsider = Outsider::dials(&cluster);
    outsider.node = newcomer(&cluster, 0, certificate);
    outsider.node.handle(Input::StreamAccepted { stream: outsider.stream }, Time::ZERO);
    outsider.secures(1);
    let certificate = cluster.certificate(&cluster.token(2, Roles::NONE), 1);
    let revocations = Revocations::default().digest();
    let shown = Credentials { revocations, ..credentials(&certificate) };
    outsider.says(&Frame::Credentials(shown));
    let outputs: Vec<Output> = std::iter::from_fn(|| outsider.node.poll_output()).collect();
    let is_shown = |o: &Output| matches!(o, Output::StreamFrame { .. });
    let is_finished = |o: &Output| matches!(o, Output::FinishStream { .. });
    assert!(outputs.iter().any(is_shown) && outputs.iter().any(is_finished), "{outputs:?}");
    assert!(!outputs.iter().any(|o| matches!(o, Output::ResetStream { .. })), "{outputs:?}");
}

#[test]
fn an_expired_token_lets_nobody_in_by_the_clock_of_the_member_alone() {
    for (skewed, skew_ms, is_let_in) in [
        // A newcomer's own clock does not matter, nor does that of another member.
        (2, 315_000_000_000, true),
        (2, -315_000_000_000, true),
        (0, TOKEN_MS as i64, false),
        (0, -60_000, false),
    ] {
        let (cluster, mut net) = cluster_and(2, 1);
        net.wall_skew_ms.insert(skewed, skew_ms);
        join(&mut net, 2);
        net.run_for(S(3));
        assert_eq!(net.nodes[2].active_members() == 3, is_let_in, "{skewed} {skew_ms}");
        if is_let_in {
            continue;
        }
        assert_eq!(net.nodes[0].active_members(), 2);
        assert_eq!(present(&net, 2), None, "the secret is not handed out");
        let told = refusals(&net, 2);
        let reason = told.first().expect("it is told why");
        let token = cluster.token(2, Roles::NONE).fingerprint().to_string();
        let until = hobnob_keys::Moment(WALL_MS + TOKEN_MS).to_string();
        assert!(reason.contains(&token) && reason.contains(&until), "{reason}");
        assert!(net.nodes[0].counters().tokens_untimely > 0);
        // As soon as the clock is right, it is let in.
        net.wall_skew_ms.clear();
        net.run_for(S(15));
        assert_eq!(net.nodes[2].active_members(), 3);
    }
}

#[test]
fn a_member_is_let_in_again_whatever_the_clocks_say() {
    let (_, mut net) = cluster_and(3, 0);
    net.wall_skew_ms.extend((0..3).map(|n| (n, 315_000_000_000 * (n as i64 - 1))));
    net.cut.extend([(0, 2), (1, 2)]);
    net.run_for(S(30));
    assert_eq!(net.nodes[0].active_members(), 2);
    net.cut.clear();
    net.run_for(S(30));
    assert!(net.nodes.iter().all(|node| node.active_members() == 3));
    assert!((0..3).all(|n| refusals(&net, n).is_empty()));
}

#[test]
fn a_member_that_was_away_for_years_is_back_although_all_tokens_have_expired() {
    let (cluster, mut net) = cluster_and(3, 0);
    // All have met all.
    net.run_for(S(120));
    net.cut.extend([(0, 2), (1, 2)]);
    for number in 2..=5 {
        net.handle(0, Input::Rotate(cluster.generation(number, number as u8)));
        net.run_for(S(60));
    }
    // Its disk kept the first generation, and no member. Its clock is ten years behind.
    let years = 365 * 24 * 3_600 * 1_000;
    net.wall_skew_ms.extend([(0, 2 * years), (1, 2 * years), (2, -10 * years)]);
    let mut config = cluster.config(2);
    // Its counters begin below those of its last life, which sent some hundred datagrams a minute.
    config.identity.epoch = Epoch(identity(2).epoch.0 + 1);
    net.nodes[2] = Node::new(config, net.now).expect("legal records");
    net.cut.clear();
    join(&mut net, 2);
    net.run_for(S(5));
    assert_eq!(present(&net, 2), Some(cluster.generation(5, 5).id()));
    net.run_for(S(15));
    assert!(net.nodes.iter().all(|node| node.active_members() == 3));
    assert!(net.is_converged());
}

#[test]
fn who_holds_an_expired_token_gets_no_secret_from_a_member_that_dials_it() {
    let (cluster, mut net) = cluster_and(1, 1);
    // Node 1 is the outsider: it has a certificate of the CA, and no generation. Node 0 is alone and looks for members.
    net.wall_skew_ms.insert(0, 2 * TOKEN_MS as i64);
    net.handle(0, Input::Rotate(cluster.generation(2, 2)));
    net.handle(0, Input::Join(vec![identity(1).addr]));
    net.run_for(S(60));
    assert_eq!(present(&net, 1), None);
    assert_eq!(net.nodes[0].counters().generations_given, 0);
    assert_eq!(net.nodes[0].active_members(), 1);
}

/// The certificates in the credentials that were sent since the `from`th frame.
fn certificates_shown(net: &Network, from: usize) -> Vec<usize> {
    let shown = net.frames[from..].iter().filter_map(|bytes| match Frame::decode(bytes) {
        Ok(Frame::Credentials(credentials)) => Some(credentials.certificate.len()),
        _ => None,
    });
    shown.collect()
}

#[test]
fn members_that_hold_each_others_certificates_show_them_no_more() {
    let (cluster, mut net) = cluster_and(2, 0);
    // A rotation is told by five streams.
    net.handle(0, Input::Rotate(cluster.generation(2, 2)));
    net.run_for(S(5));
    let from = net.frames.len();
    net.handle(0, Input::Rotate(cluster.generation(3, 3)));
    net.run_for(S(15));
    let shown = certificates_shown(&net, from);
    assert!(shown.len() >= 10 && shown.iter().all(|len| *len == 0), "{shown:?}");
    assert_eq!(present(&net, 1), Some(cluster.generation(3, 3).id()));
    // One that lost what it held is shown the certificate again.
    let mut config = cluster.config(1);
    config.identity.epoch = Epoch(identity(1).epoch.0 + 1);
    net.nodes[1] = Node::new(config, net.now).expect("legal records");
    let from = net.frames.len();
    net.handle(0, Input::Rotate(cluster.generation(4, 4)));
    net.run_for(S(15));
    let shown = certificates_shown(&net, from);
    assert!(shown.contains(&0) && shown.iter().any(|len| *len > 0), "{shown:?}");
    assert_eq!(present(&net, 1), Some(cluster.generation(4, 4).id()));
    assert!((0..2).all(|n| refusals(&net, n).is_empty()), "no word for people");
}

#[test]
fn a_peer_that_does_not_say_that_it_holds_our_certificate_is_shown_it() {
    let cluster = SealedCluster::default();
    let certificate = cluster.certificate(&cluster.token(2, Roles::NONE), 9);
    for holds in [None, Some(1)] {
        let mut outsider = Outsider::dials(&cluster);
        outsider.secures(9);
        outsider.says(&Frame::Credentials(Credentials { holds, ..credentials(&certificate) }));
        let (frames, _) = outsider.hears();
        let Some(Frame::Credentials(shown)) = frames.first() else { panic!("{frames:?}") };
        assert!(!shown.certificate.is_empty() && shown.holds.is_some(), "{shown:?}");
    }
}

/// One stream from an outsider to a node.
struct Outsider {
    node: Node,
    stream: StreamId,
}

impl Outsider {
    fn dials(cluster: &SealedCluster) -> Self {
        let mut node = cluster.node(0);
        let stream = StreamId::accepted(1);
        node.handle(Input::StreamAccepted { stream }, Time::ZERO);
        Self { node, stream }
    }

    fn secures(&mut self, n: usize) {
        let (stream, peer) = (self.stream, public_key(n));
        let input = Input::StreamSecured { stream, peer, binding: [5; 32], wall_ms: WALL_MS };
        self.node.handle(input, Time::ZERO);
    }

    fn says(&mut self, frame: &Frame) {
        let bytes = frame.encode().expect("it fits");
        let input = Input::StreamFrame { stream: self.stream, bytes: &bytes };
        self.node.handle(input, Time::ZERO);
    }

    /// The frames that the node answered with, and whether it ended the stream.
    fn hears(&mut self) -> (Vec<Frame>, bool) {
        let outputs: Vec<Output> = std::iter::from_fn(|| self.node.poll_output()).collect();
        let frames = outputs.iter().filter_map(|output| match output {
            Output::StreamFrame { bytes, .. } => Some(Frame::decode(bytes).expect("ours")),
            _ => None,
        });
        let is_end =
            |o: &Output| matches!(o, Output::ResetStream { .. } | Output::FinishStream { .. });
        (frames.collect(), outputs.iter().any(is_end))
    }
}

fn credentials(certificate: &Certificate) -> Credentials {
    Credentials {
        certificate: certificate.as_bytes().to_vec(),
        generations: vec![],
        proof: [0; 16],
        revocations: [0; 16],
        began: 1,
        counter: 1,
        succession: vec![],
        holds: None,
    }
}

#[test]
fn a_stream_shows_nothing_before_its_peer_has_shown_who_it_is() {
    let cluster = SealedCluster::default();
    let mut outsider = Outsider::dials(&cluster);
    outsider.secures(9);
    assert_eq!(outsider.hears(), (vec![], false));
    outsider.says(&Frame::End);
    assert_eq!(outsider.hears(), (vec![], true));
    let mut early = Outsider::dials(&cluster);
    early.says(&Frame::Credentials(credentials(
        &cluster.certificate(&cluster.token(2, Roles::NONE), 9),
    )));
    assert_eq!(early.hears(), (vec![], true), "before the stream is secured");
}

#[test]
fn certificates_that_do_not_count_or_are_of_another_key_are_refused() {
    let cluster = SealedCluster::default();
    let (own, foreign) = (cluster.token(2, Roles::NONE), SealedCluster::founded(2));
    let certificate = cluster.certificate(&own, 9);
    let mut damaged = certificate.as_bytes().to_vec();
    *damaged.last_mut().expect("not empty") ^= 1;
    let forged = Credentials { certificate: damaged, ..credentials(&certificate) };
    let cases = [
        credentials(&foreign.certificate(&foreign.token(2, Roles::NONE), 9)),
        credentials(&cluster.certificate(&own, 8)),
        forged,
        Credentials { certificate: vec![7; 100], ..credentials(&certificate) },
    ];
    for case in cases {
        let mut outsider = Outsider::dials(&cluster);
        outsider.secures(9);
        outsider.says(&Frame::Credentials(case));
        let (frames, is_over) = outsider.hears();
        assert!(matches!(frames[..], [Frame::Refusal(_)]) && is_over, "{frames:?}");
        assert_eq!(outsider.node.counters().certificates_refused, 1);
        assert_eq!(outsider.node.counters().generations_given, 0);
    }
    // The right one gets the generation.
    let mut outsider = Outsider::dials(&cluster);
    outsider.secures(9);
    outsider.says(&Frame::Credentials(credentials(&certificate)));
    let (frames, is_over) = outsider.hears();
    assert!(matches!(frames[..], [Frame::Credentials(_), .., Frame::Generations(_)]), "{frames:?}");
    assert!(!is_over);
}

#[test]
fn a_proof_of_another_connection_or_of_another_node_is_refused() {
    let cluster = SealedCluster::default();
    let generation = cluster.generation(1, 7);
    let certificate = cluster.certificate(&cluster.token(2, Roles::NONE), 9);
    let (own, other) = (public_key(9), node_key(8).public_key());
    for (binding, prover, is_right) in
        [([5; 32], own, true), ([6; 32], own, false), ([5; 32], other, false)]
    {
        let mut outsider = Outsider::dials(&cluster);
        outsider.secures(9);
        outsider.says(&Frame::Credentials(Credentials {
            generations: vec![generation.id().into()],
            proof: generation.proof(&binding, &prover),
            ..credentials(&certificate)
        }));
        let (frames, is_over) = outsider.hears();
        assert_eq!(is_over, !is_right);
        assert_eq!(frames.is_empty(), !is_right, "{frames:?}");
        assert_eq!(outsider.node.counters().proofs_refused, u64::from(!is_right));
    }
}

#[test]
fn strangers_have_few_places_at_the_door_and_wait_there_not_for_long() {
    let cluster = SealedCluster::default();
    let mut node = cluster.node(0);
    for n in 0..100 {
        let stream = StreamId::accepted(n);
        node.handle(Input::StreamAccepted { stream }, Time::ZERO);
        let peer = node_key(10 + n as usize).public_key();
        let input = Input::StreamSecured { stream, peer, binding: [0; 32], wall_ms: WALL_MS };
        node.handle(input, Time::ZERO);
    }
    let ended = |node: &mut Node| {
        let outputs = std::iter::from_fn(|| node.poll_output());
        outputs.filter(|output| matches!(output, Output::ResetStream { .. })).count()
    };
    assert_eq!(ended(&mut node), 76, "twenty-four strangers are at the door");
    let (mut now, mut stalled) = (Time::ZERO, 0);
    while let Some(due) = node.next_deadline().filter(|due| *due <= Time::from_millis(6_000)) {
        now = due.max(now);
        node.handle(Input::Deadline, now);
        stalled += ended(&mut node);
    }
    assert_eq!((stalled, node.counters().doors_stalled), (24, 24));
}

#[test]
fn a_stream_to_a_member_that_another_node_answers_is_dropped() {
    let (_, mut net) = cluster_and(2, 0);
    let stream = StreamId(1 << 62);
    let from: SocketAddr = identity(1).addr;
    // A datagram of an unknown generation from the address of node 1 makes node 0 open a stream there.
    let bytes = [&[0x02, 77][..], &[0; 40]].concat();
    let outputs = net.handle(0, Input::Datagram { from, bytes: &bytes });
    let opened = outputs.iter().find_map(|output| match output {
        Output::OpenStream { stream, peer, .. } => Some((*stream, *peer)),
        _ => None,
    });
    assert_eq!(opened, Some((stream, node_id(1))));
    let peer = public_key(9);
    let input = Input::StreamSecured { stream, peer, binding: [0; 32], wall_ms: WALL_MS };
    let outputs = net.handle(0, input);
    assert!(matches!(outputs[..], [Output::ResetStream { .. }]), "{outputs:?}");
    // Another such datagram within a second makes it open none.
    let outputs = net.handle(0, Input::Datagram { from, bytes: &bytes });
    assert!(outputs.is_empty(), "{outputs:?}");
}
