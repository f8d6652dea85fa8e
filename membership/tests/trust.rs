//! The door of a sealed cluster, rotation and revocation, with the real cryptography.

use std::net::SocketAddr;
use std::time::Duration;

use hobnob_keys::{
    Certificate, Command, Generation, GenerationId, OperatorCredential, Revoked, Roles,
    SignedCommand,
};
use hobnob_membership::record::Health;
use hobnob_membership::testing::sealed::{
    SealedCluster, TOKEN_MS, WALL_MS, node_id, node_key, public_key,
};
use hobnob_membership::testing::{Link, Network, config, health, identity, instance};
use hobnob_membership::view::MemberStatus;
use hobnob_membership::wire::{Credentials, Frame};
use hobnob_membership::{
    Config, Epoch, Event, Input, Node, OrderError, OrderKind, Output, Sealing, StreamId, Time,
};

const S: fn(u64) -> Duration = Duration::from_secs;

/// A node with this certificate and nothing else.
fn newcomer(cluster: &SealedCluster, n: usize, certificate: Certificate) -> Node {
    let sealing = Sealing::new(cluster.trust(), certificate).expect("it counts");
    let config = Config { sealing: Some(Box::new(sealing)), ..config(n) };
    Node::new(config, Time::ZERO).expect("legal records")
}

/// The cluster, and some nodes that hold the first generation and joined, with others that know nothing of them.
fn cluster_and(joined: usize, newcomers: usize) -> (SealedCluster, Network) {
    let cluster = SealedCluster::default();
    let token = cluster.token(2, Roles::NONE);
    let new = |n| newcomer(&cluster, n, cluster.certificate(&token, n));
    let nodes = (0..joined).map(|n| cluster.node(n));
    let nodes = nodes.chain((joined..joined + newcomers).map(new)).collect();
    let mut net = Network::new(nodes, Link::default(), Time::ZERO);
    for n in 1..joined {
        net.handle(n, Input::Join(vec![identity(0).addr]));
    }
    net.run_for(S(5));
    for n in 0..joined {
        assert_eq!(net.nodes[n].active_members(), joined, "{n}");
    }
    (cluster, net)
}

fn present(net: &Network, n: usize) -> Option<GenerationId> {
    let held = net.nodes[n].generations(net.now);
    held.iter().find(|(_, in_use)| *in_use).map(|(generation, _)| generation.id())
}

fn status(net: &Network, of: usize, at: usize) -> Option<MemberStatus> {
    let members = net.nodes[at].members();
    members.into_iter().find(|member| member.identity.node_id == node_id(of)).map(|m| m.status)
}

fn join(net: &mut Network, n: usize) {
    net.handle(n, Input::Join(vec![identity(0).addr]));
}

fn refusals(net: &Network, n: usize) -> Vec<&str> {
    let told = net.events[n].iter().filter_map(|event| match event {
        Event::Refused { reason } => Some(&**reason),
        _ => None,
    });
    told.collect()
}

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
fn a_rotation_reaches_everybody_and_nobody_goes_down_meanwhile() {
    let (cluster, mut net) = cluster_and(6, 0);
    let next = cluster.generation(2, 9);
    net.events.iter_mut().for_each(Vec::clear);
    net.handle(3, Input::Rotate(next.clone()));
    net.run_for(S(5));
    let holds = |net: &Network, n: usize| {
        net.nodes[n].generations(net.now).iter().any(|(held, _)| held.id() == next.id())
    };
    assert!((0..6).all(|n| holds(&net, n)), "not all have it after five seconds");
    let from = net.datagrams.len();
    net.write(0, health("x", Health::Passing));
    net.run_for(S(60));
    assert!((0..6).all(|n| present(&net, n) == Some(next.id())));
    assert!(net.datagrams[from..].iter().rev().take(100).all(|bytes| bytes[1] == 2));
    assert!(net.is_converged());
    for n in 0..6 {
        assert_eq!(net.nodes[n].active_members(), 6);
        let changed = |event: &&Event| matches!(event, Event::Member(_));
        assert_eq!(net.events[n].iter().filter(changed).count(), 0, "{n}");
        let counters = net.nodes[n].counters();
        assert_eq!(counters.datagrams_forged + counters.datagrams_of_unknown_generation, 0);
    }
}

#[test]
fn a_member_that_missed_rotations_gets_the_last_one_and_is_back() {
    let (cluster, mut net) = cluster_and(4, 0);
    net.cut.extend((0..3).map(|n| (n, 3)));
    net.run_for(S(30));
    for number in 2..=4 {
        net.handle(0, Input::Rotate(cluster.generation(number, number as u8)));
        net.run_for(S(60));
    }
    assert!((0..3).all(|n| present(&net, n) == Some(cluster.generation(4, 4).id())));
    assert_eq!(present(&net, 3).map(|id| id.number), Some(1));
    net.cut.clear();
    net.run_for(S(15));
    assert_eq!(present(&net, 3), Some(cluster.generation(4, 4).id()));
    assert!(net.nodes.iter().all(|node| node.active_members() == 4));
    net.run_for(S(20));
    assert!(net.is_converged());
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

#[test]
fn two_halves_that_rotated_apart_end_up_with_one_generation() {
    let (cluster, mut net) = cluster_and(4, 0);
    net.cut.extend([(0, 2), (0, 3), (1, 2), (1, 3)]);
    net.run_for(S(30));
    let (left, right) = (cluster.generation(2, 1), cluster.generation(2, 2));
    net.handle(0, Input::Rotate(left.clone()));
    net.handle(2, Input::Rotate(right.clone()));
    net.run_for(S(120));
    assert_ne!(present(&net, 0), present(&net, 2));
    net.cut.clear();
    net.run_for(S(60));
    let winner = if left.id().replaces(&right.id()) { left.id() } else { right.id() };
    assert!((0..4).all(|n| present(&net, n) == Some(winner)));
    assert!(net.nodes.iter().all(|node| node.active_members() == 4));
    assert!(net.is_converged());
}

/// An operator with a token of its own.
fn operator(cluster: &SealedCluster, seed: u8) -> OperatorCredential {
    let (key, name) =
        (node_key(200 + usize::from(seed)), |text: &str| text.parse().expect("legal"));
    let token = cluster.token(seed, Roles::OPERATOR);
    let certificate = token.certificate(key.public_key(), &name("operator"), &name("dc1"));
    OperatorCredential::new(key, certificate.expect("no limits"), &cluster.trust()).expect("one")
}

fn order(operator: &OperatorCredential, number: u64) -> Generation {
    Generation::order(number, [number as u8; 32], operator).expect("an operator")
}

/// The order of one operator that revokes the token of another one.
fn revoke_operator(cluster: &SealedCluster, by: &OperatorCredential, seed: u8) -> SignedCommand {
    let token = cluster.token(seed, Roles::OPERATOR).fingerprint();
    by.sign(&Command::Revoke(Revoked::Token(token))).expect("an operator")
}

#[test]
fn halves_agree_though_the_operator_of_the_newest_generation_was_revoked_meanwhile() {
    let (cluster, mut net) = cluster_and(4, 0);
    let (one, other) = (operator(&cluster, 10), operator(&cluster, 11));
    net.cut.extend([(0, 2), (0, 3), (1, 2), (1, 3)]);
    net.run_for(S(30));
    net.handle(0, Input::Rotate(order(&one, 2)));
    net.handle(0, Input::Rotate(order(&one, 3)));
    net.handle(2, Input::Revoke(revoke_operator(&cluster, &other, 10)));
    net.handle(2, Input::Rotate(order(&other, 2)));
    net.run_for(S(120));
    assert_eq!(present(&net, 0), Some(order(&one, 3).id()));
    net.cut.clear();
    net.run_for(S(60));
    let winner = order(&other, 2).id();
    assert!((0..4).all(|n| present(&net, n) == Some(winner)));
    assert!(net.nodes.iter().all(|node| node.active_members() == 4));
}

#[test]
fn operators_who_revoke_each_other_end_no_cluster() {
    let (cluster, mut net) = cluster_and(4, 0);
    let (one, other) = (operator(&cluster, 10), operator(&cluster, 11));
    net.handle(0, Input::Revoke(revoke_operator(&cluster, &one, 11)));
    net.handle(0, Input::Rotate(order(&one, 2)));
    net.handle(2, Input::Revoke(revoke_operator(&cluster, &other, 10)));
    net.handle(2, Input::Rotate(order(&other, 2)));
    net.run_for(S(120));
    let agreed = present(&net, 0);
    assert!(agreed.is_some() && (0..4).all(|n| present(&net, n) == agreed), "{agreed:?}");
    assert!(net.nodes.iter().all(|node| node.active_members() == 4));
    net.handle(1, Input::Rotate(order(&operator(&cluster, 12), 3)));
    net.run_for(S(60));
    assert!((0..4).all(|n| present(&net, n).is_some_and(|id| id.number == 3)));
}

#[test]
fn a_revoked_member_is_out_everywhere_and_does_not_come_back() {
    let (cluster, mut net) = cluster_and(5, 0);
    net.write(4, instance("evil"));
    net.run_for(S(2));
    let shows = |net: &Network, n: usize| net.nodes[n].instances().any(|i| &*i.id == "evil");
    assert!((0..5).all(|n| shows(&net, n)));
    net.handle(0, Input::Revoke(cluster.revoke(4)));
    assert_eq!(status(&net, 4, 0), Some(MemberStatus::Revoked));
    // It goes on to ping the others with the generation that it holds.
    net.run_for(S(3));
    for n in 0..4 {
        assert!(net.nodes[n].counters().datagrams_revoked > 0, "{n}: what it seals is opened");
    }
    net.handle(0, Input::Rotate(cluster.generation(2, 9)));
    net.run_for(S(5));
    for _ in 0..3 {
        for n in 0..4 {
            assert!(net.nodes[n].is_revoked(node_id(4)), "{n}");
            assert_eq!(status(&net, 4, n), Some(MemberStatus::Revoked), "{n}");
            assert_eq!(net.nodes[n].active_members(), 4, "{n}");
            assert!(!shows(&net, n), "{n}");
        }
        net.run_for(S(60));
    }
    assert!(net.events[4].contains(&Event::Revoked), "it is told that it is revoked");
    // A new life of it, with all that it held, and with the token that is still valid.
    net.nodes[4] = cluster.node(4);
    join(&mut net, 4);
    net.run_for(S(60));
    assert!((0..4).all(|n| net.nodes[n].active_members() == 4));
    assert!(present(&net, 4).is_none_or(|id| id.number == 1), "it got the new secret");
    assert!(!refusals(&net, 4).is_empty() || net.nodes[0].counters().doors_refused > 0);
}

#[test]
fn a_revoked_token_takes_all_with_it_that_joined_with_it_and_lets_nobody_in() {
    let cluster = SealedCluster::default();
    let bad = cluster.token(3, Roles::NONE);
    let nodes = vec![
        cluster.node(0),
        cluster.node(1),
        newcomer(&cluster, 2, cluster.certificate(&bad, 2)),
        newcomer(&cluster, 3, cluster.certificate(&bad, 3)),
    ];
    let mut net = Network::new(nodes, Link::default(), Time::ZERO);
    join(&mut net, 1);
    join(&mut net, 2);
    net.run_for(S(40));
    assert!((0..3).all(|n| net.nodes[n].active_members() == 3));
    net.handle(1, Input::Revoke(cluster.revoke_token(bad.fingerprint())));
    net.run_for(S(5));
    assert!((0..2).all(|n| status(&net, 2, n) == Some(MemberStatus::Revoked)));
    join(&mut net, 3);
    net.run_for(S(5));
    assert_eq!((net.nodes[0].active_members(), present(&net, 3)), (2, None));
    assert!(refusals(&net, 3).iter().any(|reason| reason.contains("revoked")));
}

#[test]
fn what_an_ordinary_member_orders_does_not_count() {
    let (cluster, mut net) = cluster_and(2, 0);
    let other = SealedCluster::founded(2);
    net.handle(0, Input::Rotate(other.generation(2, 9)));
    net.handle(0, Input::Revoke(other.revoke(1)));
    net.run_for(S(20));
    assert_eq!(present(&net, 0), Some(cluster.generation(1, 7).id()));
    assert!(net.nodes[0].revocations().is_empty());
    let counters = net.nodes[0].counters();
    assert_eq!((counters.generations_refused, counters.revocations_refused), (1, 1));
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

/// The members that hold the newest generation and all revocations, as a node knows.
fn current(net: &Network, at: usize) -> Vec<usize> {
    let status = net.nodes[at].key_status(net.now).expect("sealed");
    let has_all = |n: &usize| {
        let of = status.members.iter().find(|member| member.node == node_id(*n));
        of.is_some_and(|member| member.has_newest && member.has_revocations)
    };
    (0..net.nodes.len()).filter(has_all).collect()
}

#[test]
fn a_survey_tells_which_members_hold_the_keys_and_gives_them_to_those_that_lack_them() {
    let (cluster, mut net) = cluster_and(6, 0);
    net.handle(0, Input::Survey);
    net.run_for(S(3));
    assert_eq!(current(&net, 0), [1, 2, 3, 4, 5]);
    let status = net.nodes[0].key_status(net.now).expect("sealed");
    assert!(!status.is_surveying);
    assert_eq!((status.present, status.revocations), (Some(cluster.generation(1, 7).id()), 0));
    assert!(status.members.iter().all(|member| member.present == status.present));
    // Members that are known to hold all are not asked again.
    let opened = net.streams_opened;
    net.handle(0, Input::Survey);
    net.run_for(Duration::from_millis(10));
    assert_eq!(net.streams_opened, opened);
    // Node 5 is out of reach of all but node 1, and stays a member.
    net.cut.extend([(0, 5), (2, 5), (3, 5), (4, 5)]);
    net.run_for(S(2));
    let next = cluster.generation(2, 9);
    net.handle(0, Input::Rotate(next.clone()));
    net.handle(0, Input::Revoke(cluster.revoke(9)));
    let status = net.nodes[0].key_status(net.now).expect("sealed");
    assert_eq!((status.newest, status.newest_since), (Some(next.id()), Some(net.now)));
    assert_eq!(current(&net, 0), [] as [usize; 0], "nobody is known to have them");
    net.run_for(S(4));
    net.handle(0, Input::Survey);
    net.run_for(S(10));
    assert_eq!(current(&net, 0), [1, 2, 3, 4]);
    let status = net.nodes[0].key_status(net.now).expect("sealed");
    let cut = status.members.iter().find(|member| member.node == node_id(5)).expect("a member");
    assert!(!status.is_surveying && cut.present == Some(cluster.generation(1, 7).id()));
    net.cut.clear();
    net.handle(0, Input::Survey);
    net.run_for(S(3));
    assert_eq!(current(&net, 0), [1, 2, 3, 4, 5]);
}

/// A network of two nodes of which the second is down for the first, and which had registered an instance.
fn with_one_dead() -> (SealedCluster, Network) {
    let (cluster, mut net) = cluster_and(3, 0);
    net.write(2, instance("web-1"));
    net.run_for(S(2));
    net.cut.extend([(0, 2), (1, 2)]);
    net.run_for(S(30));
    assert_eq!(status(&net, 2, 0), Some(MemberStatus::Down));
    (cluster, net)
}

#[test]
fn a_member_is_forced_to_leave_by_a_signed_order_for_its_last_life_alone() {
    let (cluster, mut net) = with_one_dead();
    let node = node_id(2);
    let epoch = net.nodes[0].last_epoch(node).expect("it is known").0;
    let node_of = |n: usize| hobnob_keys::NodeId(node_id(n).0);
    let force_leave = |n, epoch| Command::ForceLeave { node_id: node_of(n), epoch };
    let prune = Command::Prune { node_id: node_of(2), epoch };
    let sign = |command| Some(cluster.operator().sign(&command).expect("an operator"));
    let foreign = SealedCluster::founded(2).operator().sign(&force_leave(2, epoch)).ok();
    let refused =
        [None, foreign, sign(prune), sign(force_leave(1, epoch)), sign(force_leave(2, epoch - 1))];
    for (n, order) in refused.into_iter().enumerate() {
        let told = net.nodes[0].check_order(OrderKind::ForceLeave, node, order.as_ref());
        assert_eq!(matches!(told, Err(OrderError::Unsigned)), order.is_none(), "{n}: {told:?}");
        assert!(told.is_err(), "{n}");
        net.handle(0, Input::ForceLeave { node, order });
        assert_eq!(status(&net, 2, 0), Some(MemberStatus::Down), "{n}");
        assert_eq!(net.nodes[0].counters().orders_refused, n as u64 + 1);
    }
    let order = sign(force_leave(2, epoch));
    net.handle(0, Input::ForceLeave { node, order });
    net.run_for(S(5));
    assert!((0..2).all(|n| status(&net, 2, n) == Some(MemberStatus::ForceLeft)));
    assert!((0..2).all(|n| net.nodes[n].instances().len() == 0));
}

#[test]
fn a_member_is_pruned_by_a_signed_order_and_not_by_one_of_a_revoked_operator() {
    let (cluster, mut net) = with_one_dead();
    let (node, now) = (node_id(2), net.now);
    let epoch = net.nodes[0].last_epoch(node).expect("it is known").0;
    let command = Command::Prune { node_id: hobnob_keys::NodeId(node.0), epoch };
    let order = cluster.operator().sign(&command).expect("an operator");
    assert!(!net.nodes[0].prune(node, None, now));
    let revoke = |token: hobnob_keys::Token| cluster.revoke_token(token.fingerprint());
    net.handle(1, Input::Revoke(revoke(cluster.token(99, Roles::OPERATOR))));
    net.nodes[1].prune(node, Some(&order), now);
    assert_eq!(net.nodes[1].counters().orders_refused, 1);
    assert!(status(&net, 2, 1).is_some());
    assert!(net.nodes[0].prune(node, Some(&order), now));
    assert_eq!(status(&net, 2, 0), None);
}
