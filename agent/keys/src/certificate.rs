//! Membership certificates: a part that the CA signed for a token, and a part that the token signed for a node.
//!
//! A certificate does not expire. It is signed, hashed and passed on as the bytes that came, never as fields written anew.

use std::fmt;

use crate::bytes::{DecodeError, Reader, put_prefixed};
use crate::key::{ClusterId, Fingerprint, NodeId, PublicKey, SIGNATURE_BYTES, SigningKey};
use crate::limits::{Limits, MAX_LIMITS_BYTES};
use crate::names::Name;
use crate::tlv::{self, Elements};
use crate::trust::Trust;

/// The most bytes of a part: a key, its limits with their length, a signature.
const MAX_PART_BYTES: usize = 32 + 2 + MAX_LIMITS_BYTES + SIGNATURE_BYTES;
/// The most bytes of a certificate.
pub const MAX_CERTIFICATE_BYTES: usize = 1 + 2 * MAX_PART_BYTES;

const FORMAT: u8 = 1;
const WHAT: &str = "the certificate";
const NODE_WHAT: &str = "the node part of the certificate";

/// The beginnings of the signed bytes, so that no signature passes for another.
const TOKEN_CONTEXT: &[u8] = b"hobnob token part 1\0";
const NODE_CONTEXT: &[u8] = b"hobnob node part 1\0";

/// Kinds of elements of the node part. 0x10 is reserved for signed states.
mod kind {
    pub(super) const NAME: u8 = 0x81;
    pub(super) const DATACENTER: u8 = 0x82;
}

/// The part that the CA signed: the public key of a token, and what it allows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TokenPart {
    bytes: Vec<u8>,
    public_key: PublicKey,
    limits: Limits,
}

impl TokenPart {
    /// Signs the limits of a new token.
    pub(crate) fn sign(
        ca: &SigningKey,
        cluster: ClusterId,
        public_key: PublicKey,
        limits: Limits,
    ) -> Result<Self, DecodeError> {
        let mut bytes = part(&public_key, &limits.encode()?)?;
        bytes.extend(ca.sign(&[TOKEN_CONTEXT, &cluster.0, &bytes]));
        Ok(Self { bytes, public_key, limits })
    }

    /// Reads the part of this public key, which is not among the bytes.
    pub(crate) fn read_rest(
        public_key: PublicKey,
        reader: &mut Reader<'_>,
    ) -> Result<Self, DecodeError> {
        let limits = reader.prefixed(MAX_LIMITS_BYTES)?;
        let mut bytes = part(&public_key, limits)?;
        bytes.extend_from_slice(reader.take(SIGNATURE_BYTES)?);
        Ok(Self { bytes, public_key, limits: Limits::decode(limits)? })
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let public_key = PublicKey(reader.array()?);
        Self::read_rest(public_key, reader)
    }

    /// All bytes after the public key.
    pub(crate) fn rest(&self) -> &[u8] {
        &self.bytes[32..]
    }

    pub(crate) fn limits(&self) -> &Limits {
        &self.limits
    }

    /// The trusted CA key that signed it.
    pub(crate) fn authority(&self, trust: &Trust) -> Option<PublicKey> {
        let (signed, signature) = self.bytes.split_at(self.bytes.len() - SIGNATURE_BYTES);
        let parts = [TOKEN_CONTEXT, &trust.cluster().0, signed];
        trust.authorities().find(|authority| authority.verifies(trust.suite(), &parts, signature))
    }
}

/// A public key, and limits with their length.
fn part(public_key: &PublicKey, limits: &[u8]) -> Result<Vec<u8>, DecodeError> {
    let mut bytes = public_key.0.to_vec();
    put_prefixed(&mut bytes, WHAT, limits)?;
    Ok(bytes)
}

/// A membership certificate as it was read. Nothing in it counts before [`Certificate::verify`].
#[derive(Clone, PartialEq, Eq)]
pub struct Certificate {
    bytes: Vec<u8>,
    token: TokenPart,
    node: NodePart,
}

#[derive(Clone, PartialEq, Eq)]
struct NodePart {
    public_key: PublicKey,
    name: Name,
    datacenter: Name,
}

/// A certificate does not count.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CertificateError {
    /// No trusted CA signed its token.
    #[error("no trusted CA signed the token {token} of this certificate for this cluster")]
    UnknownAuthority {
        /// The token.
        token: Fingerprint,
    },
    /// The token did not sign the rest of it.
    #[error("the token {token} did not sign this certificate of node {node}")]
    Forged {
        /// The token.
        token: Fingerprint,
        /// The node that it names.
        node: NodeId,
    },
    /// The token does not allow this name.
    #[error("the token allows names that match `{glob}`, and the node is named `{name}`")]
    Name {
        /// The name of the node.
        name: Name,
        /// The pattern or the name that the token allows.
        glob: String,
    },
    /// The token does not allow this datacenter.
    #[error("the token allows the datacenter `{allowed}`, and the node is in `{datacenter}`")]
    Datacenter {
        /// The datacenter of the node.
        datacenter: Name,
        /// The pattern or the name that the token allows.
        allowed: Name,
    },
}

impl Certificate {
    /// Issues a certificate. `token` is the key of the token that `part` is of.
    pub(crate) fn issue(
        token: &SigningKey,
        part: &TokenPart,
        cluster: ClusterId,
        node: NodeDescription<'_>,
    ) -> Result<Self, IssueError> {
        allow(part.limits(), node.name, node.datacenter)?;
        Ok(Self::sign(token, part, cluster, node)?)
    }

    /// Signs a certificate, whatever the token allows.
    fn sign(
        token: &SigningKey,
        part: &TokenPart,
        cluster: ClusterId,
        node: NodeDescription<'_>,
    ) -> Result<Self, DecodeError> {
        let mut limits = vec![];
        tlv::put(&mut limits, kind::NAME, NODE_WHAT, node.name.as_str().as_bytes())?;
        tlv::put(&mut limits, kind::DATACENTER, NODE_WHAT, node.datacenter.as_str().as_bytes())?;
        let signed = self::part(&node.public_key, &limits)?;
        let signature = token.sign(&[NODE_CONTEXT, &cluster.0, &part.bytes, &signed]);
        let bytes = [&[FORMAT][..], &part.bytes, &signed, &signature].concat();
        Self::decode(&bytes)
    }

    /// Reads a certificate.
    ///
    /// # Errors
    /// It is malformed, of another format, or has an unknown critical element.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(WHAT, bytes);
        reader.format(FORMAT)?;
        let token = TokenPart::read(&mut reader)?;
        let public_key = PublicKey(reader.array()?);
        let limits = reader.prefixed(MAX_LIMITS_BYTES)?;
        reader.take(SIGNATURE_BYTES)?;
        reader.end()?;
        let (name, datacenter) = node_limits(limits)?;
        Ok(Self { bytes: bytes.to_vec(), token, node: NodePart { public_key, name, datacenter } })
    }

    /// The bytes as they were read.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The name that it gives the node.
    pub(crate) fn name(&self) -> &Name {
        &self.node.name
    }

    /// Checks both signatures and that the node keeps to the limits of the token. Does not ask for the time.
    ///
    /// # Errors
    /// It does not count in the cluster of `trust`.
    pub fn verify(self, trust: &Trust) -> Result<Membership, CertificateError> {
        let token = self.token.public_key.fingerprint();
        let authority = self.token.authority(trust);
        let authority = authority.ok_or(CertificateError::UnknownAuthority { token })?;
        let (signed, signature) = self.bytes.split_at(self.bytes.len() - SIGNATURE_BYTES);
        let parts = [NODE_CONTEXT, &trust.cluster().0, &signed[1..]];
        if !self.token.public_key.verifies(trust.suite(), &parts, signature) {
            let node = self.node.public_key.node_id();
            return Err(CertificateError::Forged { token, node });
        }
        allow(&self.token.limits, &self.node.name, &self.node.datacenter)?;
        Ok(Membership { certificate: self, token, authority })
    }
}

/// A node that a token is to certify.
#[derive(Clone, Copy)]
pub(crate) struct NodeDescription<'a> {
    pub(crate) public_key: PublicKey,
    pub(crate) name: &'a Name,
    pub(crate) datacenter: &'a Name,
}

/// A token issues no certificate for a node.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum IssueError {
    /// The token does not allow it.
    #[error(transparent)]
    NotAllowed(#[from] CertificateError),
    /// It would be too long.
    #[error(transparent)]
    TooLong(#[from] DecodeError),
}

fn allow(limits: &Limits, name: &Name, datacenter: &Name) -> Result<(), CertificateError> {
    if let Some(glob) = limits.name.as_ref().filter(|_| !limits.allows_name(name)) {
        let glob = glob.to_string();
        return Err(CertificateError::Name { name: name.clone(), glob });
    }
    if let Some(allowed) = limits.datacenter.as_ref().filter(|only| *only != datacenter) {
        let (datacenter, allowed) = (datacenter.clone(), allowed.clone());
        return Err(CertificateError::Datacenter { datacenter, allowed });
    }
    Ok(())
}

fn node_limits(bytes: &[u8]) -> Result<(Name, Name), DecodeError> {
    let (mut name, mut datacenter) = (None, None);
    let mut elements = Elements::new(NODE_WHAT, bytes);
    while let Some((kind, value)) = elements.next(|_| false)? {
        match kind {
            kind::NAME => name = Some(tlv::text(NODE_WHAT, value)?),
            kind::DATACENTER => datacenter = Some(tlv::text(NODE_WHAT, value)?),
            unknown => elements.unknown(unknown)?,
        }
    }
    let missing = |what| DecodeError::invalid(NODE_WHAT, &format_args!("{what} is missing"));
    let name = name.ok_or_else(|| missing("the name"))?;
    Ok((name, datacenter.ok_or_else(|| missing("the datacenter"))?))
}

impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Certificate({} {})", self.node.name, self.node.public_key.fingerprint())
    }
}

/// A certificate that [`Certificate::verify`] accepted. Whether it is revoked is another question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Membership {
    certificate: Certificate,
    token: Fingerprint,
    authority: PublicKey,
}

impl Membership {
    /// The certificate.
    #[must_use]
    pub fn certificate(&self) -> &Certificate {
        &self.certificate
    }

    /// The public key of the node.
    #[must_use]
    pub fn public_key(&self) -> PublicKey {
        self.certificate.node.public_key
    }

    /// The id of the node.
    #[must_use]
    pub fn node_id(&self) -> NodeId {
        self.public_key().node_id()
    }

    /// The name of the node.
    #[must_use]
    pub fn name(&self) -> &Name {
        &self.certificate.node.name
    }

    /// The datacenter of the node.
    #[must_use]
    pub fn datacenter(&self) -> &Name {
        &self.certificate.node.datacenter
    }

    /// The limits of the token.
    #[must_use]
    pub fn limits(&self) -> &Limits {
        &self.certificate.token.limits
    }

    /// The fingerprint of the token that the node joined with.
    #[must_use]
    pub fn token(&self) -> Fingerprint {
        self.token
    }

    /// The CA key that signed the token.
    #[must_use]
    pub fn authority(&self) -> PublicKey {
        self.authority
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::{Roles, Validity};

    /// A holder of a token can sign what it likes with the token's key.
    #[test]
    fn a_certificate_outside_the_limits_is_refused_although_the_token_signed_it() {
        let name = |name: &str| name.parse::<Name>().unwrap();
        let (ca, token) = (SigningKey::from_seed(&[1; 32]), SigningKey::from_seed(&[2; 32]));
        let cluster = ClusterId::of(&ca.public_key());
        let limits = Limits {
            cluster_name: name("prod"),
            name: Some("web-*".parse().unwrap()),
            services: vec![],
            datacenter: Some(name("eu")),
            roles: Roles::NONE,
            no_gateway: false,
            validity: Validity { from_ms: 0, until_ms: 1 },
        };
        let part = TokenPart::sign(&ca, cluster, token.public_key(), limits).unwrap();
        let verified = |named: &str, datacenter: &str| {
            let (named, datacenter) = (name(named), name(datacenter));
            let public_key = SigningKey::from_seed(&[3; 32]).public_key();
            let node = NodeDescription { public_key, name: &named, datacenter: &datacenter };
            let certificate = Certificate::sign(&token, &part, cluster, node).unwrap();
            certificate.verify(&Trust::new(cluster, ca.public_key()))
        };
        assert!(verified("web-1", "eu").is_ok());
        assert!(matches!(verified("db-1", "eu"), Err(CertificateError::Name { .. })));
        assert!(matches!(verified("web-1", "us"), Err(CertificateError::Datacenter { .. })));
    }

    #[test]
    fn an_unknown_element_of_a_node_is_refused_if_it_is_critical() {
        let known = [&[kind::NAME, 1, b'a'][..], &[kind::DATACENTER, 1, b'b']].concat();
        // 0x10 is where signed states will be.
        assert!(node_limits(&[&known[..], &[0x10, 1, 9]].concat()).is_ok());
        let error = node_limits(&[&known[..], &[0x90, 1, 9]].concat()).unwrap_err();
        assert_eq!(error, DecodeError::UnknownCritical { what: NODE_WHAT, kind: 0x90 });
        for (bytes, says) in
            [(&known[..3], "the datacenter is missing"), (&known[3..], "the name is missing")]
        {
            let error = node_limits(bytes).unwrap_err().to_string();
            assert!(error.ends_with(says), "{error}");
        }
    }
}
