//! A cluster's CA, and what follows from it: tokens, certificates, generations and revocations.

use std::sync::Arc;

use hobnob_keys::suite::{AwsLc, Suite};
use hobnob_keys::{
    CaKey, Certificate, Command, Generation, Limits, Name, NodeKey, OperatorCredential, PublicKey,
    Revoked, Roles, SignedCommand, Succession, Token, Trust, Validity,
};
use xxhash_rust::xxh3::xxh3_128_with_seed;

use super::Seal;
use super::suite::Fast;

/// A year, in milliseconds.
const YEAR_MS: u64 = 365 * 86_400_000;
/// Ordinary tokens are valid for a month before and after the start of the run.
const MONTH_MS: u64 = 30 * 86_400_000;
/// The start of the run, in milliseconds since 1970.
const START_MS: u64 = super::super::clock::WALL_START_MS as u64;

/// 32 bytes that follow from a seed and a purpose.
pub(super) fn bytes_of(seed: u64, purpose: &str, number: u64) -> [u8; 32] {
    let text = format!("{purpose} {number}");
    let halves = [seed, !seed].map(|seed| xxh3_128_with_seed(text.as_bytes(), seed).to_le_bytes());
    let mut bytes = [0; 32];
    bytes.copy_from_slice(halves.as_flattened());
    bytes
}

/// A kind of token.
#[derive(Clone, Copy, Debug)]
pub(super) enum Which {
    Ordinary,
    Expired,
    Restricted,
    /// Made with the second CA key, which none but the succession proves.
    OfSuccessor,
}

/// The CA of a sealed cluster, with an operator that sits at none of the hosts.
pub(super) struct Authority {
    trust: Trust,
    /// The keys that every host is given.
    token: Token,
    /// A token that expired nine years ago.
    expired: Token,
    /// A token that allows no service which clients register.
    restricted: Token,
    /// The keys that hosts are given that are new after the succession.
    of_successor: Token,
    succession: Succession,
    trust_in_successor: Trust,
    pub(super) operator: OperatorCredential,
    pub(super) first: Generation,
}

fn name(text: &str) -> Name {
    text.parse().expect("a legal name")
}

impl Authority {
    pub(super) fn new(cluster: &str, seed: u64, seal: Seal) -> Self {
        let ca = CaKey::found(name(cluster), &bytes_of(seed, cluster, 0));
        let suite: Arc<dyn Suite> = match seal {
            Seal::Real => Arc::new(AwsLc),
            Seal::None | Seal::Fake => Arc::new(Fast::default()),
        };
        let successor = ca.successor(&bytes_of(seed, "successor", 0));
        let trust = ca.trust().with_suite(suite.clone());
        let signed = |ca: &CaKey, purpose, roles, services: &[&str], from_ms, until_ms| {
            let limits = Limits {
                cluster_name: ca.cluster_name().clone(),
                name: None,
                services: services.iter().map(|glob| glob.parse().expect("a glob")).collect(),
                datacenter: None,
                roles,
                no_gateway: false,
                validity: Validity { from_ms, until_ms },
            };
            let key = bytes_of(seed, purpose, 0);
            ca.token(&key, limits, Vec::new()).expect("legal limits")
        };
        let token = |purpose, roles, services: &[&str], from_ms, until_ms| {
            signed(&ca, purpose, roles, services, from_ms, until_ms)
        };
        let (before, after) = (START_MS - MONTH_MS, START_MS + MONTH_MS);
        let operators = token("operator token", Roles::OPERATOR, &[], before, after);
        let key = NodeKey::from_seed(&bytes_of(seed, "operator", 0));
        let certificate = operators.certificate(key.public_key(), &name("operator"), &name("dc1"));
        let certificate = certificate.expect("the token has no such limits");
        let operator =
            OperatorCredential::new(key, certificate, &trust).expect("the token has the role");
        let secret = bytes_of(seed, "generation", 1);
        let first = Generation::order(1, secret, &operator).expect("an operator may");
        Self {
            token: token("token", Roles::NONE, &[], before, after),
            expired: token(
                "expired token",
                Roles::NONE,
                &[],
                START_MS - 11 * YEAR_MS,
                START_MS - 9 * YEAR_MS,
            ),
            restricted: token("restricted token", Roles::NONE, &["of-nobody-*"], before, after),
            of_successor: signed(&successor, "successor's token", Roles::NONE, &[], before, after),
            succession: ca.succession(&successor).expect("two keys"),
            trust_in_successor: successor.trust().with_suite(suite),
            trust,
            operator,
            first,
        }
    }

    /// The CA key that a host with such a token trusts at first.
    pub(super) fn trust(&self, which: Which) -> Trust {
        match which {
            Which::Ordinary | Which::Expired | Which::Restricted => self.trust.clone(),
            Which::OfSuccessor => self.trust_in_successor.clone(),
        }
    }

    pub(super) fn succession(&self) -> &Succession {
        &self.succession
    }

    /// The certificate that a host issues for its key.
    pub(super) fn certificate(
        &self,
        key: PublicKey,
        host: &str,
        datacenter: &str,
        which: Which,
    ) -> Certificate {
        let token = match which {
            Which::Ordinary => &self.token,
            Which::Expired => &self.expired,
            Which::Restricted => &self.restricted,
            Which::OfSuccessor => &self.of_successor,
        };
        token.certificate(key, &name(host), &name(datacenter)).expect("the token has no limits")
    }

    pub(super) fn revoke(&self, key: PublicKey) -> SignedCommand {
        self.operator.sign(&Command::Revoke(Revoked::Key(key))).expect("an operator may")
    }
}
