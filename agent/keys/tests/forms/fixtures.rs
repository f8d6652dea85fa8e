//! A cluster of fixed keys.

use hobnob_keys::seal::{Counter, DatagramKeys, Ping, Pong, QuietDigest, Sealed};
use hobnob_keys::{
    CaKey, Certificate, ClusterId, Command, Generation, HeldConnection, HoldKey, HoldWords, Limits,
    Membership, Name, NodeKey, OperatorCredential, Revocations, Revoked, Roles, Seed,
    SignedCommand, Succession, Token, Trust, Validity,
};

/// The secret of the generation.
pub(crate) const SECRET: [u8; 32] = [7; 32];

pub(crate) fn name(name: &str) -> Name {
    name.parse().unwrap()
}

pub(crate) fn ca() -> CaKey {
    CaKey::found(name("prod"), &[1; 32])
}

pub(crate) fn trust() -> Trust {
    ca().trust()
}

/// The CA key that succeeds.
pub(crate) fn second_ca() -> CaKey {
    ca().successor(&[6; 32])
}

pub(crate) fn succession() -> Succession {
    ca().succession(&second_ca()).unwrap()
}

pub(crate) fn cluster() -> ClusterId {
    ca().cluster()
}

/// Limits that limit nothing but the time.
pub(crate) fn open_limits(roles: Roles) -> Limits {
    Limits {
        cluster_name: name("prod"),
        name: None,
        services: vec![],
        datacenter: None,
        roles,
        no_gateway: false,
        validity: Validity { from_ms: 1_700_000_000_000, until_ms: 1_700_000_600_000 },
    }
}

/// Limits of every kind.
pub(crate) fn limits() -> Limits {
    Limits {
        name: Some("web-*".parse().unwrap()),
        services: vec!["web".parse().unwrap(), "api-*".parse().unwrap()],
        datacenter: Some(name("eu")),
        no_gateway: true,
        ..open_limits(Roles::NONE)
    }
}

pub(crate) fn seed(address: &str, wan: bool) -> Seed {
    use hobnob_keys::SeedAddress;
    let socket = address.parse().map(|address: std::net::SocketAddr| address.into());
    Seed { address: socket.unwrap_or_else(|_| SeedAddress::Name(name(address))), wan }
}

pub(crate) fn token() -> Token {
    let seeds = vec![seed("10.0.0.9:7946", false), seed("seed.example:7946", true)];
    ca().token(&[2; 32], limits(), seeds).unwrap()
}

pub(crate) fn node() -> NodeKey {
    NodeKey::from_seed(&[3; 32])
}

pub(crate) fn certificate() -> Certificate {
    token().certificate(node().public_key(), &name("web-1"), &name("eu")).unwrap()
}

pub(crate) fn member() -> Membership {
    certificate().verify(&trust()).unwrap()
}

/// The credential of a node that joined with a token of these roles.
pub(crate) fn credential(ca: &CaKey, roles: Roles) -> OperatorCredential {
    let token = ca.token(&[4; 32], open_limits(roles), vec![]).unwrap();
    let key = NodeKey::from_seed(&[5; 32]);
    let certificate = token.certificate(key.public_key(), &name("op"), &name("eu")).unwrap();
    OperatorCredential::new(key, certificate, &ca.trust()).unwrap()
}

pub(crate) fn operator() -> OperatorCredential {
    credential(&ca(), Roles::OPERATOR)
}

pub(crate) fn generation() -> Generation {
    Generation::order(0x0203, SECRET, &operator()).unwrap()
}

pub(crate) fn revoke(revoked: Revoked) -> SignedCommand {
    operator().sign(&Command::Revoke(revoked)).unwrap()
}

pub(crate) fn revocations() -> Revocations {
    let mut revocations = Revocations::default();
    let token = Revoked::Token(token().fingerprint());
    revocations.add(&trust(), revoke(Revoked::Key(node().public_key()))).unwrap();
    revocations.add(&trust(), revoke(token)).unwrap();
    revocations
}

pub(crate) fn keys() -> DatagramKeys {
    DatagramKeys::of(&generation())
}

/// The node that datagrams are for.
pub(crate) fn receiver() -> hobnob_keys::NodeId {
    NodeKey::from_seed(&[8; 32]).node_id()
}

/// The words of a held connection.
pub(crate) fn words() -> HoldWords {
    HoldKey::of(&generation()).words(&HeldConnection {
        monitor: node().node_id(),
        member: receiver(),
        monitor_nonce: [1, 2, 3, 4, 5, 6, 7, 8],
        member_nonce: [11, 12, 13, 14, 15, 16, 17, 18],
    })
}

pub(crate) const MESSAGES: &[u8] = b"messages";

pub(crate) fn sealed() -> Vec<u8> {
    let counter = Counter::of_epoch(1_700_000_000_000).next();
    let mut datagram = vec![];
    let sealed = Sealed { sender: node().node_id(), counter, messages: MESSAGES };
    sealed.seal(&keys(), &mut datagram).unwrap();
    datagram
}

pub(crate) fn ping() -> Ping {
    let counter = Counter::of_epoch(1_700_000_000_000).next();
    Ping { sender: node().node_id(), counter, nonce: [1, 2, 3, 4] }
}

/// A counter that the receiver of the ping knows.
pub(crate) fn near() -> Counter {
    Counter::of_epoch(1_700_000_000_000)
}

pub(crate) fn pong() -> Pong {
    Pong { tag: [1, 2, 3, 4], members: [5, 6, 7, 8], local_health: 9 }
}

pub(crate) fn digest() -> QuietDigest {
    let counter = Counter::of_epoch(1_700_000_000_000);
    let catalog = 0x1817_1615_1413_1211;
    QuietDigest { sender: node().node_id(), counter, catalog, local_health: 9 }
}
