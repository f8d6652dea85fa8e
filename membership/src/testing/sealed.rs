//! A sealed cluster of fixed keys, with the real cryptography.

use hobnob_keys::{
    CaKey, Certificate, Command, Fingerprint, Generation, Limits, Name, NodeKey,
    OperatorCredential, PublicKey, Revoked, Roles, SignedCommand, Succession, Token, Trust,
    Validity,
};

use super::samples::config;
use crate::{Config, Node, NodeId, Sealing, Time};

/// The wall clock of a test begins here, in ms since 1970.
pub const WALL_MS: u64 = 1_700_000_000_000;
/// The tokens of a test are valid for this long, from [`WALL_MS`] on.
pub const TOKEN_MS: u64 = 600_000;

/// A sealed cluster: its CA, and what follows from it.
#[derive(Debug)]
pub struct SealedCluster {
    ca: CaKey,
}

impl Default for SealedCluster {
    fn default() -> Self {
        Self::founded(1)
    }
}

fn name(name: &str) -> Name {
    name.parse().expect("a legal name")
}

impl SealedCluster {
    /// The cluster with this CA key.
    #[must_use]
    pub fn founded(seed: u8) -> Self {
        Self { ca: CaKey::found(name("prod"), &[seed; 32]) }
    }

    /// The same cluster with another CA key, which succeeds if [`SealedCluster::succession`] is handed in.
    #[must_use]
    pub fn with_successor(&self, seed: u8) -> Self {
        Self { ca: self.ca.successor(&[seed; 32]) }
    }

    /// The succession that tells the members of the CA key of the other one.
    ///
    /// # Panics
    /// When both have one CA key.
    #[must_use]
    pub fn succession(&self, other: &Self) -> Succession {
        self.ca.succession(&other.ca).expect("two keys")
    }

    /// The CA keys that the members trust.
    #[must_use]
    pub fn trust(&self) -> Trust {
        self.ca.trust()
    }

    /// A token with these roles. Tokens with different seeds have different fingerprints.
    ///
    /// # Panics
    /// Never: its limits are legal.
    #[must_use]
    pub fn token(&self, seed: u8, roles: Roles) -> Token {
        self.token_with(seed, roles, &[])
    }

    /// A token of an ordinary member that may serve these services.
    ///
    /// # Panics
    /// When one of them is no glob.
    #[must_use]
    pub fn token_for(&self, seed: u8, services: &[&str]) -> Token {
        self.token_with(seed, Roles::NONE, services)
    }

    fn token_with(&self, seed: u8, roles: Roles, services: &[&str]) -> Token {
        let limits = Limits {
            cluster_name: self.ca.cluster_name().clone(),
            name: None,
            services: services.iter().map(|glob| glob.parse().expect("a glob")).collect(),
            datacenter: None,
            roles,
            no_gateway: false,
            validity: Validity { from_ms: WALL_MS, until_ms: WALL_MS + TOKEN_MS },
        };
        self.ca.token(&[seed; 32], limits, Vec::new()).expect("legal limits")
    }

    /// The certificate of the `n`th node from a token.
    ///
    /// # Panics
    /// Never: the token has no limits.
    #[must_use]
    pub fn certificate(&self, token: &Token, n: usize) -> Certificate {
        self.certificate_in(token, n, "dc1")
    }

    /// The certificate of the `n`th node in a datacenter.
    ///
    /// # Panics
    /// Never: the token has no limits.
    #[must_use]
    pub fn certificate_in(&self, token: &Token, n: usize, datacenter: &str) -> Certificate {
        let (key, datacenter) = (public_key(n), name(datacenter));
        token.certificate(key, &name(&format!("n{n}")), &datacenter).expect("within the limits")
    }

    /// An operator, which is no node of the test.
    ///
    /// # Panics
    /// Never: its token has the role.
    #[must_use]
    pub fn operator(&self) -> OperatorCredential {
        let key = node_key(250);
        let token = self.token(99, Roles::OPERATOR);
        let operator = name("operator");
        let certificate =
            token.certificate(key.public_key(), &operator, &name("dc1")).expect("no limits");
        OperatorCredential::new(key, certificate, &self.trust()).expect("an operator")
    }

    /// A generation that the operator orders.
    ///
    /// # Panics
    /// Never: an operator may order it.
    #[must_use]
    pub fn generation(&self, number: u64, secret: u8) -> Generation {
        Generation::order(number, [secret; 32], &self.operator()).expect("an operator")
    }

    /// A revocation of the `n`th node by the operator.
    ///
    /// # Panics
    /// Never: an operator may order it.
    #[must_use]
    pub fn revoke(&self, n: usize) -> SignedCommand {
        let command = Command::Revoke(Revoked::Key(public_key(n)));
        self.operator().sign(&command).expect("an operator")
    }

    /// A revocation of a token by the operator.
    ///
    /// # Panics
    /// Never: an operator may order it.
    #[must_use]
    pub fn revoke_token(&self, token: Fingerprint) -> SignedCommand {
        self.operator().sign(&Command::Revoke(Revoked::Token(token))).expect("an operator")
    }

    /// The membership of the `n`th node with an ordinary token, without a generation.
    ///
    /// # Panics
    /// Never: its certificate counts.
    #[must_use]
    pub fn sealing(&self, n: usize) -> Sealing {
        let certificate = self.certificate(&self.token(2, Roles::NONE), n);
        Sealing::new(self.trust(), certificate).expect("it counts")
    }

    /// The configuration of the `n`th node, which holds the first generation.
    #[must_use]
    pub fn config(&self, n: usize) -> Config {
        let sealing = self.sealing(n).with_generation(self.generation(1, 7), true);
        Config { sealing: Some(Box::new(sealing)), ..config(n) }
    }

    /// The configuration of the `n`th node in a datacenter, which holds the first generation.
    ///
    /// # Panics
    /// When that is no legal name.
    #[must_use]
    pub fn config_in(&self, n: usize, datacenter: &str) -> Config {
        let certificate = self.certificate_in(&self.token(2, Roles::NONE), n, datacenter);
        let sealing = Sealing::new(self.trust(), certificate).expect("it counts");
        let sealing = sealing.with_generation(self.generation(1, 7), true);
        Config { sealing: Some(Box::new(sealing)), ..config(n) }
    }

    /// The `n`th node, which holds the first generation.
    ///
    /// # Panics
    /// Never: its records are legal.
    #[must_use]
    pub fn node(&self, n: usize) -> Node {
        Node::new(self.config(n), Time::ZERO).expect("legal records")
    }
}

/// The key of the `n`th node.
#[must_use]
pub fn node_key(n: usize) -> NodeKey {
    NodeKey::from_seed(&[100_u8.wrapping_add(n as u8); 32])
}

/// The public key of the `n`th node.
#[must_use]
pub fn public_key(n: usize) -> PublicKey {
    node_key(n).public_key()
}

/// The id of the `n`th node.
#[must_use]
pub fn node_id(n: usize) -> NodeId {
    NodeId(public_key(n).node_id().0)
}
