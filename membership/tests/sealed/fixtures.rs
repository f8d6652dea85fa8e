//! Sealed clusters, and what is asked of them.

use hobnob_keys::{
    Certificate, Command, Generation, GenerationId, OperatorCredential, Revoked, Roles,
    SignedCommand,
};
use hobnob_membership::testing::sealed::{SealedCluster, node_id, node_key};
use hobnob_membership::testing::{Link, Network, config, identity};
use hobnob_membership::view::MemberStatus;
use hobnob_membership::{Config, Event, Input, Node, Sealing, Time};
use std::time::Duration;

pub(crate) const S: fn(u64) -> Duration = Duration::from_secs;

/// A node with this certificate and nothing else.
pub(crate) fn newcomer(cluster: &SealedCluster, n: usize, certificate: Certificate) -> Node {
    let sealing = Sealing::new(cluster.trust(), certificate).expect("it counts");
    let config = Config { sealing: Some(Box::new(sealing)), ..config(n) };
    Node::new(config, Time::ZERO).expect("legal records")
}

/// The cluster, and some nodes that hold the first generation and joined, with others that know nothing of them.
pub(crate) fn cluster_and(joined: usize, newcomers: usize) -> (SealedCluster, Network) {
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

pub(crate) fn present(net: &Network, n: usize) -> Option<GenerationId> {
    let held = net.nodes[n].generations(net.now);
    held.iter().find(|(_, in_use)| *in_use).map(|(generation, _)| generation.id())
}

pub(crate) fn status(net: &Network, of: usize, at: usize) -> Option<MemberStatus> {
    let members = net.nodes[at].members();
    members.into_iter().find(|member| member.identity.node_id == node_id(of)).map(|m| m.status)
}

pub(crate) fn join(net: &mut Network, n: usize) {
    net.handle(n, Input::Join(vec![identity(0).addr]));
}

pub(crate) fn refusals(net: &Network, n: usize) -> Vec<&str> {
    let told = net.events[n].iter().filter_map(|event| match event {
        Event::Refused { reason } => Some(&**reason),
        _ => None,
    });
    told.collect()
}

/// An operator with a token of its own.
pub(crate) fn operator(cluster: &SealedCluster, seed: u8) -> OperatorCredential {
    let (key, name) =
        (node_key(200 + usize::from(seed)), |text: &str| text.parse().expect("legal"));
    let token = cluster.token(seed, Roles::OPERATOR);
    let certificate = token.certificate(key.public_key(), &name("operator"), &name("dc1"));
    OperatorCredential::new(key, certificate.expect("no limits"), &cluster.trust()).expect("one")
}

pub(crate) fn order(operator: &OperatorCredential, number: u64) -> Generation {
    Generation::order(number, [number as u8; 32], operator).expect("an operator")
}

/// The order of one operator that revokes the token of another one.
pub(crate) fn revoke_operator(
    cluster: &SealedCluster,
    by: &OperatorCredential,
    seed: u8,
) -> SignedCommand {
    let token = cluster.token(seed, Roles::OPERATOR).fingerprint();
    by.sign(&Command::Revoke(Revoked::Token(token))).expect("an operator")
}
