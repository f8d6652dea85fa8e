//! A second CA key, and how members learn of it.

use hobnob_keys::{PublicKey, Roles, Succession};
use hobnob_membership::record::Health;
use hobnob_membership::testing::sealed::SealedCluster;
use hobnob_membership::testing::{Link, Network, config, health, identity, instance};
use hobnob_membership::{Config, Epoch, Event, Input, Node, Sealing, Time};

use super::fixtures::{S, present};

/// Two CA keys of one cluster, the second one of which succeeds.
fn cas() -> (SealedCluster, SealedCluster) {
    let first = SealedCluster::default();
    let second = first.with_successor(6);
    (first, second)
}

/// Members of the first CA key, which have joined, and others that know nothing of them, each of one CA key.
fn cluster_and(joined: usize, newcomers: &[&SealedCluster]) -> Network {
    let (first, _) = cas();
    let mut nodes: Vec<Node> = (0..joined).map(|n| first.node(n)).collect();
    nodes.extend(newcomers.iter().enumerate().map(|(at, ca)| newcomer(ca, joined + at)));
    let mut net = Network::new(nodes, Link::default(), Time::ZERO);
    for n in 1..joined {
        join(&mut net, n, 0);
    }
    net.run_for(S(5));
    assert!((0..joined).all(|n| net.nodes[n].active_members() == joined));
    net
}

/// A node with a token of this CA key, and nothing else.
fn newcomer(ca: &SealedCluster, n: usize) -> Node {
    let certificate = ca.certificate(&ca.token(3, Roles::NONE), n);
    let sealing = Sealing::new(ca.trust(), certificate).expect("it counts");
    Node::new(Config { sealing: Some(Box::new(sealing)), ..config(n) }, Time::ZERO)
        .expect("legal records")
}

fn join(net: &mut Network, n: usize, at: usize) {
    net.handle(n, Input::Join(vec![identity(at).addr]));
}

fn authorities(node: &Node) -> Vec<PublicKey> {
    node.trust().expect("sealed").authorities().collect()
}

fn keys(succession: &Succession) -> Vec<PublicKey> {
    vec![succession.old(), succession.new_key()]
}

#[test]
fn a_succession_reaches_everybody_and_then_newcomers_of_the_new_key_are_let_in() {
    let (first, second) = cas();
    let mut net = cluster_and(6, &[&second]);
    join(&mut net, 6, 0);
    net.run_for(S(5));
    assert_eq!(net.nodes[0].active_members(), 6, "its CA key is not trusted yet");
    let succession = first.succession(&second);
    net.events.iter_mut().for_each(Vec::clear);
    net.handle(3, Input::Succeed(succession.clone()));
    net.run_for(S(5));
    for n in 0..6 {
        assert_eq!(authorities(&net.nodes[n]), keys(&succession), "{n}");
        assert!(net.events[n].contains(&Event::KeysChanged), "{n}");
    }
    // The newcomer learns at the door that the key of the members counts, too.
    net.write(6, instance("web-1"));
    net.run_for(S(20));
    assert!(net.nodes.iter().all(|node| node.active_members() == 7));
    assert_eq!(authorities(&net.nodes[6]), keys(&succession));
    net.write(0, health("x", Health::Passing));
    net.run_for(S(10));
    assert!(net.is_converged());
    assert!((0..7).all(|n| net.nodes[n].instances().len() == 1), "it is hidden");
}

#[test]
fn a_member_that_was_away_learns_of_the_new_key_at_the_door_of_either_side() {
    for it_dials in [true, false] {
        let (first, second) = cas();
        let mut net = cluster_and(3, &[]);
        net.cut.extend([(0, 2), (1, 2)]);
        net.run_for(S(30));
        let succession = first.succession(&second);
        net.handle(0, Input::Succeed(succession.clone()));
        net.run_for(S(10));
        // All that it meets have certificates of the new key, and it restarts with what its disk kept.
        for n in [0, 1] {
            let certificate = second.certificate(&second.token(3, Roles::NONE), n);
            let trust = net.nodes[n].trust().expect("sealed").clone();
            let sealing = Sealing::new(trust, certificate).expect("it counts");
            restart(&mut net, n, sealing.with_generation(first.generation(1, 7), true));
        }
        restart(&mut net, 2, first.sealing(2).with_generation(first.generation(1, 7), true));
        assert_eq!(authorities(&net.nodes[2]).len(), 1);
        net.cut.clear();
        join(&mut net, 1, 0);
        if it_dials {
            join(&mut net, 2, 0);
        } else {
            join(&mut net, 0, 2);
        }
        net.run_for(S(30));
        assert_eq!(authorities(&net.nodes[2]), keys(&succession), "{it_dials}");
        assert!(net.nodes.iter().all(|node| node.active_members() == 3), "{it_dials}");
    }
}

fn restart(net: &mut Network, n: usize, sealing: Sealing) {
    let mut config = Config { sealing: Some(Box::new(sealing)), ..config(n) };
    config.identity.epoch = Epoch(identity(n).epoch.0 + 1);
    net.nodes[n] = Node::new(config, net.now).expect("legal records");
}

#[test]
fn of_two_successions_all_take_the_one_with_the_lower_key_in_whatever_order() {
    let (first, _) = cas();
    let [one, other] = [6, 9].map(|seed| first.succession(&first.with_successor(seed)));
    let (lower, higher) = if one.new_key() < other.new_key() { (one, other) } else { (other, one) };
    let mut net = cluster_and(6, &[]);
    // Operators on both sides of a partition hand in one each.
    net.cut.extend((0..3).flat_map(|a| (3..6).map(move |b| (a, b))));
    net.run_for(S(20));
    net.handle(0, Input::Succeed(lower.clone()));
    net.handle(4, Input::Succeed(higher.clone()));
    net.run_for(S(5));
    assert_eq!(authorities(&net.nodes[5]), keys(&higher));
    net.cut.clear();
    net.run_for(S(60));
    for n in 0..6 {
        assert_eq!(authorities(&net.nodes[n]), keys(&lower), "{n}");
        assert_eq!(net.nodes[n].active_members(), 6, "{n}");
    }
}

#[test]
fn members_of_a_successor_that_another_one_outdid_are_let_in_no_more_and_show_nothing() {
    let (first, _) = cas();
    let [one, other] = [6, 9].map(|seed| first.with_successor(seed));
    let key = |ca: &SealedCluster| first.succession(ca).new_key();
    let (lower, higher) = if key(&one) < key(&other) { (one, other) } else { (other, one) };
    let mut net = cluster_and(2, &[&higher]);
    net.handle(0, Input::Succeed(first.succession(&higher)));
    net.run_for(S(2));
    join(&mut net, 2, 0);
    net.run_for(S(5));
    net.write(2, instance("web-1"));
    net.run_for(S(10));
    assert_eq!(net.nodes[0].instances().len(), 1);
    net.handle(1, Input::Succeed(first.succession(&lower)));
    net.run_for(S(10));
    for n in [0, 1] {
        assert_eq!(authorities(&net.nodes[n]), keys(&first.succession(&lower)));
        assert_eq!(net.nodes[n].instances().len(), 0, "{n}");
    }
    // It has a certificate of the one that counts no more, and gets no later secret.
    net.handle(0, Input::Rotate(first.generation(2, 9)));
    net.run_for(S(60));
    let newest =
        |n: usize| net.nodes[n].generations(net.now).iter().map(|(g, _)| g.id().number).max();
    assert_eq!((newest(1), newest(2)), (Some(2), Some(1)));
}

#[test]
fn a_generation_of_an_operator_whose_ca_key_another_one_outdid_gives_way() {
    let (first, _) = cas();
    let [one, other] = [6, 9].map(|seed| first.with_successor(seed));
    let key = |ca: &SealedCluster| first.succession(ca).new_key();
    let (lower, higher) = if key(&one) < key(&other) { (one, other) } else { (other, one) };
    // Of two with one number the lower hash would count, and that is the one that most members refuse.
    let [counts, refused] = {
        let of_first = first.generation(2, 9);
        let mut secrets = 10..u8::MAX;
        let wins =
            secrets.find(|secret| higher.generation(2, *secret).id().replaces(&of_first.id()));
        [of_first, higher.generation(2, wins.expect("one of many"))]
    };
    let mut net = cluster_and(6, &[]);
    net.cut.extend((0..3).flat_map(|a| (3..6).map(move |b| (a, b))));
    net.run_for(S(20));
    net.handle(0, Input::Succeed(first.succession(&lower)));
    net.handle(0, Input::Rotate(counts.clone()));
    net.handle(4, Input::Succeed(first.succession(&higher)));
    net.run_for(S(1));
    net.handle(4, Input::Rotate(refused.clone()));
    net.run_for(S(20));
    assert_eq!(present(&net, 5), Some(refused.id()));
    net.cut.clear();
    net.run_for(S(90));
    for n in 0..6 {
        assert_eq!(present(&net, n), Some(counts.id()), "{n}");
        assert_eq!(net.nodes[n].active_members(), 6, "{n}");
    }
}

#[test]
fn a_succession_that_the_trusted_key_did_not_sign_is_refused() {
    let (first, second) = cas();
    let mut net = cluster_and(2, &[]);
    let stranger = SealedCluster::founded(8);
    let foreign = stranger.succession(&stranger.with_successor(9));
    let unknown = second.succession(&first.with_successor(9));
    for succession in [foreign, unknown] {
        net.handle(0, Input::Succeed(succession));
    }
    net.run_for(S(5));
    assert_eq!(authorities(&net.nodes[0]).len(), 1);
    assert_eq!(net.nodes[0].counters().successions_refused, 2);
}

#[test]
fn a_survey_tells_which_members_trust_both_keys() {
    let (first, second) = cas();
    let mut net = cluster_and(3, &[]);
    net.cut.extend([(0, 2), (1, 2)]);
    net.handle(0, Input::Succeed(first.succession(&second)));
    net.run_for(S(1));
    net.handle(0, Input::Survey);
    net.run_for(S(4));
    let has = |net: &Network| {
        let status = net.nodes[0].key_status(net.now).expect("sealed");
        status.members.iter().filter(|member| member.has_authorities).count()
    };
    assert_eq!(has(&net), 1);
    net.cut.clear();
    net.handle(0, Input::Survey);
    net.run_for(S(4));
    assert_eq!(has(&net), 2);
}
