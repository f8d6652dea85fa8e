//! Tokens: what lets a host join a cluster.

mod seeds;
mod text;

use std::collections::BTreeSet;
use std::fmt;

use zeroize::Zeroizing;

use crate::bytes::{DecodeError, Reader};
use crate::certificate::{Certificate, IssueError, NodeDescription, TokenPart};
use crate::command::{CredentialError, OperatorCredential};
use crate::glob::Glob;
use crate::key::{ClusterId, Fingerprint, NodeKey, PublicKey, SigningKey};
use crate::limits::{Limits, Untimely};
use crate::names::Name;
use crate::tlv::{self, Elements};
use crate::trust::Trust;

pub use seeds::{Seed, SeedAddress};
pub use text::{MAX_TOKEN_CHARS, TokenError};

const WHAT: &str = "the token";
/// The name in the certificate of a credential, where the token allows any name.
const OPERATOR: &str = "operator";

/// Kinds of elements of a token beside those of seeds.
mod kind {
    pub(super) const CLUSTER: u8 = 0x85;
}

/// A key that certifies nodes within limits which the CA signed, and where to find the cluster. Zeroed on drop.
///
/// The text of a token is a secret: everybody who has it can join until it expires.
pub struct Token {
    key: SigningKey,
    part: TokenPart,
    trust: Trust,
    authority: PublicKey,
    seeds: Vec<Seed>,
}

impl Token {
    /// A new token with a seed of random bytes for its key.
    pub(crate) fn issue(
        ca: &SigningKey,
        cluster: ClusterId,
        seed: &[u8; 32],
        limits: Limits,
        mut seeds: Vec<Seed>,
    ) -> Result<Self, DecodeError> {
        let key = SigningKey::from_seed(seed);
        let part = TokenPart::sign(ca, cluster, key.public_key(), limits)?;
        let authority = ca.public_key();
        let mut known = BTreeSet::new();
        seeds.retain(|seed| known.insert(seed.clone()));
        seeds.sort_by_key(Seed::kind);
        let token = Self { key, part, trust: Trust::new(cluster, authority), authority, seeds };
        text::check_length(&token.body()?)?;
        Ok(token)
    }

    /// Reads the text of a token, and checks that its CA signed its limits. White space around it is ignored.
    ///
    /// # Errors
    /// It is no token, or not all of one, or of another version; or a character is wrong.
    pub fn parse(text: &str) -> Result<Self, TokenError> {
        let token = Self::read(&text::decode(text)?)?;
        if token.part.authority(&token.trust).is_some() {
            Ok(token)
        } else {
            Err(TokenError::Forged)
        }
    }

    /// The text of the token, which [`Token::parse`] reads. It is shorter than [`MAX_TOKEN_CHARS`].
    ///
    /// # Panics
    /// Never: a token whose text would be too long is neither issued nor read.
    #[must_use]
    pub fn to_text(&self) -> Zeroizing<String> {
        text::encode(&self.body().expect("it was encoded before, or read"))
    }

    /// The certificate of a node that joins with this token.
    ///
    /// # Errors
    /// The token does not allow the name or the datacenter.
    pub fn certificate(
        &self,
        public_key: PublicKey,
        name: &Name,
        datacenter: &Name,
    ) -> Result<Certificate, IssueError> {
        let node = NodeDescription { public_key, name, datacenter };
        Certificate::issue(&self.key, &self.part, self.trust.cluster(), node)
    }

    /// A credential for orders, with a key that is used for nothing else. Its certificate has the name `operator`, or another
    /// one that the token allows.
    ///
    /// # Errors
    /// The token has neither the role operator nor founder.
    ///
    /// # Panics
    /// Never: whatever is a glob is a name, too.
    pub fn credential(&self, key: NodeKey) -> Result<OperatorCredential, CredentialError> {
        let limits = self.limits();
        // Every glob matches itself.
        let glob = limits.name.as_ref().filter(|glob| !glob.matches(OPERATOR)).map(Glob::as_str);
        let name: Name = glob.unwrap_or(OPERATOR).parse().expect("a legal name");
        let datacenter = limits.datacenter.as_ref().unwrap_or(&name);
        let issued = self.certificate(key.public_key(), &name, datacenter);
        let certificate = issued.map_err(|error| match error {
            IssueError::NotAllowed(error) => CredentialError::Certificate(error),
            IssueError::TooLong(error) => CredentialError::TooLong(error),
        })?;
        OperatorCredential::new(key, certificate, &self.trust)
    }

    /// The short name of the token, which certificates and revocations carry, too.
    #[must_use]
    pub fn fingerprint(&self) -> Fingerprint {
        self.key.public_key().fingerprint()
    }

    /// The limits of the token.
    #[must_use]
    pub fn limits(&self) -> &Limits {
        self.part.limits()
    }

    /// Whether a newcomer may be let in with this token at this time of the wall clock.
    ///
    /// # Errors
    /// It is too early or too late.
    pub fn valid_at(&self, now_ms: u64) -> Result<(), Untimely> {
        self.limits().validity.at(now_ms)
    }

    /// The cluster and the CA key of this token.
    #[must_use]
    pub fn trust(&self) -> &Trust {
        &self.trust
    }

    /// The members to join at.
    #[must_use]
    pub fn seeds(&self) -> &[Seed] {
        &self.seeds
    }

    /// The signing key, the CA key, the limits and their signature, and elements: seeds, and the cluster id if it is not that of
    /// the CA key.
    fn body(&self) -> Result<Zeroizing<Vec<u8>>, DecodeError> {
        // Room for all of it from the beginning, so that no copy of the key is left behind by growth.
        let mut body = Zeroizing::new(Vec::with_capacity(2 * MAX_TOKEN_CHARS));
        body.extend(self.key.seed());
        body.extend(self.authority.0);
        body.extend(self.part.rest());
        for seed in &self.seeds {
            seed.put(&mut body)?;
        }
        let cluster = self.trust.cluster();
        if cluster != ClusterId::of(&self.authority) {
            tlv::put(&mut body, kind::CLUSTER, WHAT, &cluster.0)?;
        }
        Ok(body)
    }

    fn read(body: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(WHAT, body);
        let key = SigningKey::from_seed(&Zeroizing::new(reader.array()?));
        let authority = PublicKey(reader.array()?);
        let part = TokenPart::read_rest(key.public_key(), &mut reader)?;
        let (mut cluster, mut seeds) = (ClusterId::of(&authority), vec![]);
        let mut elements = Elements::new(WHAT, reader.rest());
        while let Some((kind, value)) = elements.next(Seed::is_kind)? {
            match kind {
                kind::CLUSTER => cluster = ClusterId(tlv::array(WHAT, value)?),
                kind => match Seed::read(kind, value)? {
                    Some(seed) => seeds.push(seed),
                    None => elements.unknown(kind)?,
                },
            }
        }
        Ok(Self { key, part, trust: Trust::new(cluster, authority), authority, seeds })
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Token({})", self.fingerprint())
    }
}
