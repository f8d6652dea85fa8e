//! Which services of which members are shown in a sealed cluster.

use std::sync::Arc;
use std::time::Duration;

use hobnob_keys::{Certificate, Roles, Token};
use hobnob_membership::catalog::WriteError;
use hobnob_membership::record::{Key, NodeRecord, Value};
use hobnob_membership::testing::sealed::{SealedCluster, node_id};
use hobnob_membership::testing::{Link, Network, config, identity, instance, record, web};
use hobnob_membership::wire::{Ages, DatagramBuilder, Envelope, Message};
use hobnob_membership::{Config, Hidden, Input, Node, NodeId, Sealing, Time};

const S: fn(u64) -> Duration = Duration::from_secs;

/// A node that joined with this token.
fn node_with(cluster: &SealedCluster, token: &Token, n: usize) -> Node {
    let certificate = cluster.certificate(token, n);
    let sealing = Sealing::new(cluster.trust(), certificate).expect("it counts");
    let sealing = sealing.with_generation(cluster.generation(1, 7), true);
    let config = Config { sealing: Some(Box::new(sealing)), ..config(n) };
    Node::new(config, Time::ZERO).expect("legal records")
}

fn joined(nodes: Vec<Node>) -> Network {
    let count = nodes.len();
    let mut net = Network::new(nodes, Link::default(), Time::ZERO);
    for n in 1..count {
        net.handle(n, Input::Join(vec![identity(0).addr]));
    }
    net.run_for(S(5));
    assert!(net.nodes.iter().all(|node| node.active_members() == count), "not joined");
    net
}

fn ids(node: &Node) -> Vec<&str> {
    node.instances().map(|instance| &*instance.id).collect()
}

/// Why the only hidden instance is hidden.
fn hidden(node: &Node) -> Option<Hidden> {
    let only = node.hidden_instances().next()?;
    assert_eq!((node.hidden_instances().len(), node.load().instances_hidden_now), (1, 1));
    node.hidden_because(only)
}

#[test]
fn the_node_record_shows_the_certificate_and_every_member_remembers_it() {
    let cluster = SealedCluster::default();
    let net = joined((0..4).map(|n| cluster.node(n)).collect());
    for node in &net.nodes {
        // A member had no stream with most others.
        assert_eq!(node.certificates().len(), 3);
        for n in 0..4 {
            let record = node.description(node_id(n)).expect("it is known");
            let certificate = Certificate::decode(&record.certificate).expect("whole");
            let member = certificate.verify(&cluster.trust()).expect("it counts");
            assert_eq!((member.name().as_str(), member.node_id().0), (&*record.name, node_id(n).0));
        }
    }
}

#[test]
fn a_node_refuses_to_serve_what_its_token_does_not_allow() {
    let cluster = SealedCluster::default();
    let token = cluster.token_for(5, &["api-*", "db"]);
    let mut node = node_with(&cluster, &token, 0);
    let refused = node.check_write(&instance("web-1")).expect_err("`web` is not allowed");
    assert_eq!(node.write(instance("web-1"), Time::ZERO), Err(refused.clone()));
    assert_eq!(node.instances().len(), 0);
    let words = refused.to_string();
    let fingerprint = token.fingerprint().to_string();
    for part in ["`web`", "`api-*`, `db`", fingerprint.as_str()] {
        assert!(words.contains(part), "{words}");
    }
    assert!(matches!(refused, WriteError::NotAllowed { .. }));
    let mut api = web();
    api.service = "api-eu".into();
    let api = vec![(Key::Service("a".into()), Some(Value::Service(api.into())))];
    node.write(api, Time::ZERO).expect("`api-*` is allowed");
    // Not at the start either.
    let sealing = Sealing::new(cluster.trust(), cluster.certificate(&token, 1)).expect("counts");
    assert!(sealing.check_service(&"web".into()).is_err());
    assert!(sealing.check_service(&"db".into()).is_ok());
    let records = vec![(Key::Service("w".into()), Value::Service(web().into()))];
    let config = Config { sealing: Some(Box::new(sealing)), records, ..config(1) };
    assert!(matches!(Node::new(config, Time::ZERO), Err(WriteError::NotAllowed { .. })));
}

/// What a member that lies puts in place of the node record of node 1, with an instance of the service `web`, as the others
/// hear it.
fn shown(cluster: &SealedCluster, record: NodeRecord, wait: Duration) -> Network {
    let mut net = joined(vec![cluster.node(0), cluster.node(1)]);
    // A life of node 1 that it does not know of, so that it does not object before we have looked.
    let epoch = hobnob_membership::Epoch(identity(1).epoch.0 + 1);
    let entries = [
        (Key::Node, Value::Node(Arc::new(record))),
        (Key::Service("web-1".into()), Value::Service(web().into())),
    ];
    let mut origin = hobnob_membership::catalog::Catalog::new(node_id(1), epoch);
    let records = entries.into_iter().map(|(key, value)| (key, Some(value))).collect();
    origin.write(records).expect("legal");
    let want = hobnob_membership::catalog::Want {
        origin: node_id(1),
        epoch: hobnob_membership::Epoch(0),
        after: 0,
        gc_floor: 0,
    };
    let delta = origin.answer(&want, usize::MAX).expect("records");
    deliver(&mut net, cluster, &Message::Rumors(node_id(1), vec![delta], Ages::default()));
    net.run_for(wait);
    net
}

/// Hands node 0 a datagram of node 1.
fn deliver(net: &mut Network, cluster: &SealedCluster, message: &Message) {
    use hobnob_keys::seal::{Counter, DatagramKeys, Sealed};
    let mut clear = DatagramBuilder::new(Envelope::clear(Default::default()));
    clear.push(message).expect("it fits");
    let clear = clear.finish();
    let keys = DatagramKeys::of(&cluster.generation(1, 7));
    let sender = hobnob_keys::NodeId(node_id(1).0);
    let counter = Counter::of_epoch(1_000_000_000);
    let mut bytes = Vec::new();
    Sealed { sender, counter, messages: &clear[7..] }.seal(&keys, &mut bytes).expect("not empty");
    net.handle(0, Input::Datagram { from: identity(1).addr, bytes: &bytes });
}

#[test]
fn instances_outside_the_globs_or_without_a_certificate_that_counts_are_hidden_with_the_reason() {
    let cluster = SealedCluster::default();
    let any = cluster.token(2, Roles::NONE);
    let api = cluster.token_for(5, &["api-*"]);
    let with = |certificate: &[u8]| NodeRecord { certificate: certificate.to_vec(), ..record(1) };
    let certificate = cluster.certificate(&any, 1);
    let mut forged = certificate.as_bytes().to_vec();
    *forged.last_mut().expect("not empty") ^= 1;
    let foreign = SealedCluster::founded(2);
    let foreign = foreign.certificate(&foreign.token(2, Roles::NONE), 1);
    let of_another = cluster.certificate(&any, 0);
    type Is = fn(&Option<Hidden>) -> bool;
    let cases: [(NodeRecord, Is); 8] = [
        (with(certificate.as_bytes()), |hidden| hidden.is_none()),
        (with(cluster.certificate(&api, 1).as_bytes()), |hidden| {
            matches!(hidden, Some(Hidden::Service { service, allowed, .. })
                if service == "web" && allowed == "`api-*`")
        }),
        (with(&[]), |hidden| *hidden == Some(Hidden::NoCertificate)),
        (with(&[7; 40]), |hidden| matches!(hidden, Some(Hidden::Certificate { .. }))),
        (with(&forged), |hidden| matches!(hidden, Some(Hidden::Certificate { .. }))),
        (with(foreign.as_bytes()), |hidden| matches!(hidden, Some(Hidden::Certificate { .. }))),
        (with(of_another.as_bytes()), |hidden| {
            *hidden == Some(Hidden::OtherNode { of: node_id(0) })
        }),
        (
            NodeRecord { name: "n7".into(), ..with(certificate.as_bytes()) },
            |hidden| matches!(hidden, Some(Hidden::Name { told, certified }) if told == "n7" && certified == "n1"),
        ),
    ];
    for (n, (record, is_right)) in cases.into_iter().enumerate() {
        let net = shown(&cluster, record, Duration::ZERO);
        let reason = hidden(&net.nodes[0]);
        assert!(is_right(&reason), "{n}: {reason:?}");
        let is_shown = ids(&net.nodes[0]) == ["web-1"];
        assert_eq!(is_shown, reason.is_none(), "{n}");
        assert_eq!(net.nodes[0].counters().instances_hidden, u64::from(!is_shown), "{n}");
    }
    let elsewhere = NodeRecord { datacenter: "dc9".into(), ..with(certificate.as_bytes()) };
    let net = shown(&cluster, elsewhere, Duration::ZERO);
    assert!(matches!(hidden(&net.nodes[0]), Some(Hidden::Datacenter { .. })));
}

#[test]
fn what_a_member_shows_again_as_it_may_is_shown_again() {
    let cluster = SealedCluster::default();
    let api = cluster.token_for(5, &["api-*"]);
    let record =
        NodeRecord { certificate: cluster.certificate(&api, 1).as_bytes().to_vec(), ..record(1) };
    // Node 1 hears of a life that it did not lead, takes a new epoch, and tells its own records.
    let mut net = shown(&cluster, record, S(30));
    assert!(net.is_converged());
    net.write(1, instance("web-2"));
    net.run_for(S(2));
    assert_eq!(ids(&net.nodes[0]), ["web-2"]);
    assert_eq!(net.nodes[0].hidden_instances().len(), 0);
}

#[test]
fn records_of_a_revoked_node_that_is_no_member_are_hidden() {
    let cluster = SealedCluster::default();
    let bad = cluster.token(3, Roles::NONE);
    let nodes = vec![cluster.node(0), cluster.node(1), node_with(&cluster, &bad, 2)];
    let mut net = joined(nodes);
    net.write(2, instance("web-1"));
    net.run_for(S(2));
    net.cut.extend([(0, 2), (1, 2)]);
    net.run_for(S(30));
    // A new life of node 0 learns the records from node 1, and never met node 2.
    let mut config = cluster.config(0);
    config.identity.epoch = hobnob_membership::Epoch(identity(0).epoch.0 + 1_000_000);
    net.nodes[0] = Node::new(config, net.now).expect("legal records");
    net.handle(0, Input::Join(vec![identity(1).addr]));
    net.run_for(S(5));
    let unmet: NodeId = node_id(2);
    assert_eq!(ids(&net.nodes[0]), ["web-1"]);
    net.handle(0, Input::Revoke(cluster.revoke_token(bad.fingerprint())));
    assert!(net.nodes[0].is_revoked(unmet), "its token was known by its node record alone");
    assert_eq!(ids(&net.nodes[0]), [] as [&str; 0]);
}

#[test]
fn a_newcomer_to_many_members_verifies_their_certificates_in_turn_and_shows_all_in_the_end() {
    let cluster = SealedCluster::default();
    let count = 40;
    let mut net = joined((0..count).map(|n| cluster.node(n)).collect());
    for n in 0..count {
        net.write(n, instance(&format!("i{n}")));
    }
    net.run_for(S(5));
    assert!(net.nodes.iter().all(|node| node.instances().len() == count));
    let mut config = cluster.config(0);
    config.identity.epoch = hobnob_membership::Epoch(identity(0).epoch.0 + 1_000_000);
    net.nodes[0] = Node::new(config, net.now).expect("legal records");
    net.handle(0, Input::Join(vec![identity(1).addr]));
    net.run_for(S(5));
    let node = &net.nodes[0];
    assert_eq!((node.instances().len(), node.hidden_instances().len()), (count - 1, 0));
    let counters = node.counters();
    assert!(counters.verifications_put_off > 0, "all came at once");
    assert!(counters.instances_hidden > 0, "and were hidden until their turn");
}
