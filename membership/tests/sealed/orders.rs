//! Signed orders about one member.

use hobnob_keys::{Command, Roles};
use hobnob_membership::testing::sealed::{SealedCluster, node_id};
use hobnob_membership::testing::{Network, instance};
use hobnob_membership::view::MemberStatus;
use hobnob_membership::{DatacenterId, Input, OrderError, OrderKind};

use crate::fixtures::{S, cluster_and, status};

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

#[test]
fn a_signed_order_to_isolate_counts_for_its_datacenters_and_its_turn_alone() {
    let (cluster, mut net) = cluster_and(1, 0);
    let (home, us) = (net.nodes[0].own_datacenter(), DatacenterId::named("us"));
    let sign = |home: DatacenterId, datacenter: DatacenterId, number| {
        let command = Command::Isolate { home: home.0, datacenter: datacenter.0, number };
        cluster.operator().sign(&command).expect("an operator")
    };
    let judged = |net: &Network, order, is_isolated| {
        net.nodes[0].check_isolation_order(us, is_isolated, &order)
    };
    let earlier = |named, known| Err(OrderError::EarlierOrder { named, known });
    assert_eq!(judged(&net, sign(home, us, 1), true), Ok(()));
    for other in [sign(home, us, 1), sign(us, home, 2), sign(home, home, 2)] {
        assert_eq!(judged(&net, other, false), Err(OrderError::OtherOrder));
    }
    assert_eq!(judged(&net, sign(home, us, 3), true), earlier(3, 0), "not its turn");
    net.handle(0, Input::Isolate { datacenter: us, is_isolated: true, forgets: false });
    assert_eq!(net.nodes[0].isolation_orders(us), 1);
    assert_eq!(judged(&net, sign(home, us, 1), true), Ok(()), "it changes nothing");
    assert_eq!(judged(&net, sign(home, us, 2), false), Ok(()));
    net.handle(0, Input::Isolate { datacenter: us, is_isolated: false, forgets: false });
    assert_eq!(judged(&net, sign(home, us, 1), true), earlier(1, 2), "a copy of an old order");
}
