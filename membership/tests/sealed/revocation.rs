//! Revocation of members and tokens, and orders that do not count.

use hobnob_keys::Roles;
use hobnob_membership::testing::sealed::{SealedCluster, node_id};
use hobnob_membership::testing::{Link, Network, instance};
use hobnob_membership::view::MemberStatus;
use hobnob_membership::{Event, Input, Time};

use crate::fixtures::{S, cluster_and, join, newcomer, present, refusals, status};

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
        assert!(
            net.nodes[n].counters().datagrams_of_revoked_sender > 0,
            "{n}: what it seals is opened"
        );
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
