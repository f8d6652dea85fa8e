//! Keys, tokens, certificates and sealed datagrams, as networks, disks and people hand them in.
//!
//! The corpus holds genuine forms of the cluster of fixed keys below. Whatever else counts in that cluster is a forgery.

pub mod certificate;
pub mod generation;
pub mod revocations;
pub mod sealed;
pub mod short;
pub mod succession;
pub mod token;

use std::sync::LazyLock;

use hobnob_keys::seal::DatagramKeys;
use hobnob_keys::{
    CaKey, Certificate, Command, Generation, Limits, Name, NodeId, NodeKey, OperatorCredential,
    Revoked, Roles, SignedCommand, Succession, Token, Validity,
};

/// A genuine form.
struct Cluster {
    ca: CaKey,
    token: Token,
    certificate: Certificate,
    revocation: SignedCommand,
    generation: Generation,
    succession: Succession,
    keys: DatagramKeys,
    sender: NodeId,
    receiver: NodeId,
}

static CLUSTER: LazyLock<Cluster> = LazyLock::new(|| {
    let name = |name: &str| name.parse::<Name>().expect("a name");
    let ca = CaKey::found(name("prod"), &[1; 32]);
    let limits = Limits {
        cluster_name: name("prod"),
        name: None,
        services: vec!["web-*".parse().expect("a glob")],
        datacenter: None,
        roles: Roles::OPERATOR,
        no_gateway: true,
        validity: Validity { from_ms: 0, until_ms: 1 },
    };
    let token = ca.token(&[2; 32], limits, vec![]).expect("a token");
    let key = NodeKey::from_seed(&[3; 32]);
    let certificate =
        token.certificate(key.public_key(), &name("a"), &name("eu")).expect("allowed");
    let (sender, receiver) = (key.node_id(), NodeKey::from_seed(&[8; 32]).node_id());
    let revoked = Revoked::Token(token.fingerprint());
    let operator =
        OperatorCredential::new(key, certificate.clone(), &ca.trust()).expect("an operator");
    let revocation = operator.sign(&Command::Revoke(revoked)).expect("allowed");
    let generation = Generation::order(1, [7; 32], &operator).expect("allowed");
    let keys = DatagramKeys::of(&generation);
    let succession = ca.succession(&ca.successor(&[6; 32])).expect("two keys");
    Cluster { ca, token, certificate, revocation, generation, succession, keys, sender, receiver }
});

/// The beginnings of the corpus: the name of a target, and a genuine form.
#[must_use]
pub fn genuine() -> Vec<(&'static str, Vec<u8>)> {
    let cluster = &*CLUSTER;
    let mut revocations = hobnob_keys::Revocations::default();
    revocations.add(&cluster.ca.trust(), cluster.revocation.clone()).expect("it counts");
    vec![
        ("token", token::genuine()),
        ("certificate", cluster.certificate.as_bytes().to_vec()),
        ("generation", cluster.generation.encode().to_vec()),
        ("revocations", revocations.encode()),
        ("succession", cluster.succession.encode()),
        ("sealed", sealed::genuine()),
        ("short", short::genuine()),
    ]
}
