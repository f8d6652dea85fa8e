//! Commands that change the cluster for all, signed by an operator.

use std::fmt;

use crate::bytes::{DecodeError, Reader, put_prefixed};
use crate::certificate::{Certificate, CertificateError, MAX_CERTIFICATE_BYTES, Membership};
use crate::generation::GenerationId;
use crate::key::{ClusterId, Fingerprint, NodeId, NodeKey, PublicKey, SIGNATURE_BYTES};
use crate::limits::Roles;
use crate::trust::Trust;

/// The most voters that a command names.
const MAX_VOTERS: usize = 5;
/// The most bytes of a command.
const MAX_COMMAND_BYTES: usize = 256;
/// The most bytes of a signed command.
pub const MAX_SIGNED_COMMAND_BYTES: usize =
    1 + 32 + 2 + MAX_COMMAND_BYTES + 2 + MAX_CERTIFICATE_BYTES + SIGNATURE_BYTES;

const FORMAT: u8 = 1;
const WHAT: &str = "the signed command";
const COMMAND_WHAT: &str = "the command";
const CONTEXT: &[u8] = b"hobnob command 1\0";

/// Kinds of commands.
mod kind {
    pub(super) const REVOKE_KEY: u8 = 1;
    pub(super) const REVOKE_TOKEN: u8 = 2;
    pub(super) const ROTATE: u8 = 3;
    pub(super) const FORCE_LEAVE: u8 = 4;
    pub(super) const PRUNE: u8 = 5;
    pub(super) const ISOLATE: u8 = 6;
    pub(super) const VOTERS: u8 = 7;
}

/// The subject of a revocation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Revoked {
    /// A node.
    Key(PublicKey),
    /// All nodes that joined with a token, and all that would.
    Token(Fingerprint),
}

/// A command that changes the cluster for all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Command {
    /// Revoke a node or a token.
    Revoke(Revoked),
    /// Go over to a generation.
    Rotate(GenerationId),
    /// Make one life of a dead member leave for good. A later epoch of the member is another life.
    ForceLeave {
        /// The member.
        node_id: NodeId,
        /// Its last epoch, in 48 bits.
        epoch: u64,
    },
    /// Drop one life of a dead member from memory.
    Prune {
        /// The member.
        node_id: NodeId,
        /// Its last epoch, in 48 bits.
        epoch: u64,
    },
    /// Isolate a datacenter from another one, or end that.
    Isolate {
        /// The id of the datacenter that isolates the other one.
        home: u64,
        /// The id of the other one.
        datacenter: u64,
        /// The number of the order, one more than that of the order before: odd to isolate, even to end that.
        number: u64,
    },
    /// Make these nodes the voters of a datacenter.
    Voters {
        /// The id of the datacenter.
        home: u64,
        /// The number of their configuration, one more than that of the voters before.
        number: u64,
        /// The nodes, in ascending order; zeros follow after the last one.
        voters: [NodeId; MAX_VOTERS],
    },
}

impl Command {
    /// The command that makes these nodes the voters of a datacenter; `None` if there are too many.
    #[must_use]
    pub fn voters(home: u64, number: u64, nodes: &[NodeId]) -> Option<Self> {
        let mut sorted = nodes.to_vec();
        sorted.sort_unstable();
        let mut voters = [NodeId(0); MAX_VOTERS];
        voters.get_mut(..sorted.len())?.copy_from_slice(&sorted);
        Some(Self::Voters { home, number, voters })
    }

    /// Whether a holder of these roles may give the command.
    fn is_allowed(&self, roles: Roles) -> bool {
        let founding = matches!(self, Self::Rotate(id) if id.number == GenerationId::FIRST);
        roles.has(Roles::OPERATOR) || (founding && roles.has(Roles::FOUNDER))
    }

    fn encode(&self) -> Vec<u8> {
        let life = |kind, node_id: &NodeId, epoch: u64| {
            [&[kind][..], &node_id.0.to_le_bytes(), &epoch.to_le_bytes()[..6]].concat()
        };
        match self {
            Self::Revoke(Revoked::Key(key)) => [&[kind::REVOKE_KEY][..], &key.0].concat(),
            Self::Revoke(Revoked::Token(token)) => [&[kind::REVOKE_TOKEN][..], &token.0].concat(),
            Self::Rotate(id) => [&[kind::ROTATE][..], &id.number.to_le_bytes(), &id.hash].concat(),
            Self::ForceLeave { node_id, epoch } => life(kind::FORCE_LEAVE, node_id, *epoch),
            Self::Prune { node_id, epoch } => life(kind::PRUNE, node_id, *epoch),
            Self::Isolate { home, datacenter, number } => {
                let numbers = [home, datacenter, number].map(|number| number.to_le_bytes());
                [&[kind::ISOLATE][..], &numbers.concat()].concat()
            }
            Self::Voters { home, number, voters } => {
                let numbers = [*home, *number].into_iter().chain(voters.iter().map(|it| it.0));
                let bytes = numbers.flat_map(u64::to_le_bytes);
                [kind::VOTERS].into_iter().chain(bytes).collect()
            }
        }
    }

    /// `None` for a kind that this version does not know.
    fn decode(bytes: &[u8]) -> Result<Option<Self>, DecodeError> {
        let mut reader = Reader::new(COMMAND_WHAT, bytes);
        let life = |reader: &mut Reader<'_>| -> Result<_, DecodeError> {
            let (node_id, [a, b, c, d, e, f]) = (NodeId(reader.u64()?), reader.array()?);
            Ok((node_id, u64::from_le_bytes([a, b, c, d, e, f, 0, 0])))
        };
        let command = match reader.u8()? {
            kind::REVOKE_KEY => Self::Revoke(Revoked::Key(PublicKey(reader.array()?))),
            kind::REVOKE_TOKEN => Self::Revoke(Revoked::Token(Fingerprint(reader.array()?))),
            kind::ROTATE => {
                Self::Rotate(GenerationId { number: reader.u64()?, hash: reader.array()? })
            }
            kind::FORCE_LEAVE => {
                let (node_id, epoch) = life(&mut reader)?;
                Self::ForceLeave { node_id, epoch }
            }
            kind::PRUNE => {
                let (node_id, epoch) = life(&mut reader)?;
                Self::Prune { node_id, epoch }
            }
            kind::ISOLATE => {
                let (home, datacenter, number) = (reader.u64()?, reader.u64()?, reader.u64()?);
                Self::Isolate { home, datacenter, number }
            }
            kind::VOTERS => {
                let (home, number) = (reader.u64()?, reader.u64()?);
                let mut voters = [NodeId(0); MAX_VOTERS];
                for voter in &mut voters {
                    *voter = NodeId(reader.u64()?);
                }
                Self::Voters { home, number, voters }
            }
            _ => return Ok(None),
        };
        reader.end()?;
        Ok(Some(command))
    }
}

/// A command with the certificate of the operator that signed it. It is kept and passed on as the bytes that came.
#[derive(Clone, PartialEq, Eq)]
pub struct SignedCommand {
    bytes: Vec<u8>,
    cluster: ClusterId,
    command: Option<Command>,
    certificate: Certificate,
}

/// A signed command does not count.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CommandError {
    /// It is meant for another cluster.
    #[error("the command is meant for another cluster, {0}")]
    OtherCluster(ClusterId),
    /// The certificate of its signer does not count.
    #[error("the signer of the command is no member: {0}")]
    Signer(#[from] CertificateError),
    /// Its signature is wrong.
    #[error("the command is forged: node {0} did not sign it")]
    Forged(NodeId),
    /// Its kind is unknown to this version.
    #[error("the command is of a kind that this version does not know")]
    UnknownKind,
    /// Its signer may not give it.
    #[error("node {0} signed the command, and has not the role for it")]
    NotAllowed(NodeId),
}

impl SignedCommand {
    /// Reads a signed command.
    ///
    /// # Errors
    /// It is malformed or of another format. A command of an unknown kind is read, and not verified later.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(WHAT, bytes);
        reader.format(FORMAT)?;
        let cluster = ClusterId(reader.array()?);
        let command = Command::decode(reader.prefixed(MAX_COMMAND_BYTES)?)?;
        let certificate = Certificate::decode(reader.prefixed(MAX_CERTIFICATE_BYTES)?)?;
        reader.take(SIGNATURE_BYTES)?;
        reader.end()?;
        Ok(Self { bytes: bytes.to_vec(), cluster, command, certificate })
    }

    /// The bytes as they were read.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The cluster that it is meant for.
    pub(crate) fn cluster(&self) -> ClusterId {
        self.cluster
    }

    /// Its content, before anybody verified it. `None` for a kind that this version does not know.
    #[must_use]
    pub fn unverified(&self) -> Option<&Command> {
        self.command.as_ref()
    }

    /// Checks the signature, and that the signer has the role. Returns the command, and the membership of the signer, which
    /// may be revoked.
    ///
    /// # Errors
    /// It does not count in the cluster of `trust`.
    pub fn verify(&self, trust: &Trust) -> Result<(Command, Membership), CommandError> {
        if self.cluster != trust.cluster() {
            return Err(CommandError::OtherCluster(self.cluster));
        }
        let signer = self.certificate.clone().verify(trust)?;
        let (signed, signature) = self.bytes.split_at(self.bytes.len() - SIGNATURE_BYTES);
        if !signer.public_key().verifies(trust.suite(), &[CONTEXT, signed], signature) {
            return Err(CommandError::Forged(signer.node_id()));
        }
        let command = self.command.ok_or(CommandError::UnknownKind)?;
        if !command.is_allowed(signer.limits().roles) {
            return Err(CommandError::NotAllowed(signer.node_id()));
        }
        Ok((command, signer))
    }
}

impl fmt::Debug for SignedCommand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SignedCommand({:?} by {:?})", self.command, self.certificate)
    }
}

/// A key with a certificate that may give commands. Zeroed on drop.
#[derive(Debug)]
pub struct OperatorCredential {
    key: NodeKey,
    certificate: Certificate,
    cluster: ClusterId,
    roles: Roles,
}

/// A key and a certificate cannot sign a command.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CredentialError {
    /// The certificate does not count.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
    /// The certificate is of another key.
    #[error("the certificate is of another key, that of node {0}")]
    OtherKey(NodeId),
    /// The certificate has not the role for it.
    #[error("this needs the role `operator`, and the certificate of `{name}` does not have it")]
    NotAllowed {
        /// The name in the certificate.
        name: String,
    },
    /// The command would be too long.
    #[error(transparent)]
    TooLong(#[from] DecodeError),
}

impl OperatorCredential {
    /// A credential of a node's own key and certificate.
    ///
    /// # Errors
    /// The certificate does not count, is of another key, or has neither the role operator nor founder.
    pub fn new(
        key: NodeKey,
        certificate: Certificate,
        trust: &Trust,
    ) -> Result<Self, CredentialError> {
        let membership = certificate.verify(trust)?;
        if membership.public_key() != key.public_key() {
            return Err(CredentialError::OtherKey(membership.node_id()));
        }
        let roles = membership.limits().roles;
        let credential = Self {
            key,
            certificate: membership.certificate().clone(),
            cluster: trust.cluster(),
            roles,
        };
        if roles.has(Roles::OPERATOR) || roles.has(Roles::FOUNDER) {
            Ok(credential)
        } else {
            Err(credential.not_allowed())
        }
    }

    /// Signs a command.
    ///
    /// # Errors
    /// A founder may sign the first generation only.
    pub fn sign(&self, command: &Command) -> Result<SignedCommand, CredentialError> {
        if !command.is_allowed(self.roles) {
            return Err(self.not_allowed());
        }
        let mut bytes = vec![FORMAT];
        bytes.extend(self.cluster.0);
        put_prefixed(&mut bytes, COMMAND_WHAT, &command.encode())?;
        put_prefixed(&mut bytes, WHAT, self.certificate.as_bytes())?;
        let signature = self.key.sign(&[CONTEXT, &bytes]);
        bytes.extend(signature);
        let (cluster, certificate) = (self.cluster, self.certificate.clone());
        Ok(SignedCommand { bytes, cluster, command: Some(*command), certificate })
    }

    /// The cluster.
    #[must_use]
    pub fn cluster(&self) -> ClusterId {
        self.cluster
    }

    /// Whether it signs all commands, and not only the first generation.
    #[must_use]
    pub fn is_operator(&self) -> bool {
        self.roles.has(Roles::OPERATOR)
    }

    fn not_allowed(&self) -> CredentialError {
        CredentialError::NotAllowed { name: self.certificate.name().to_string() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ca::CaKey;
    use crate::limits::{Limits, Validity};

    /// A member can sign what it likes with its own key.
    #[test]
    fn a_command_of_a_signer_without_the_role_is_refused() {
        let first = Command::Rotate(GenerationId { number: GenerationId::FIRST, hash: [0; 32] });
        let second = Command::Rotate(GenerationId { number: 2, hash: [0; 32] });
        let revoke = Command::Revoke(Revoked::Token(Fingerprint([7; 16])));
        for (roles, allowed) in [
            (Roles::NONE, [false, false, false]),
            (Roles::FOUNDER, [true, false, false]),
            (Roles::OPERATOR, [true, true, true]),
        ] {
            let ca = CaKey::found("prod".parse().unwrap(), &[1; 32]);
            let limits = Limits {
                cluster_name: ca.cluster_name().clone(),
                name: None,
                services: vec![],
                datacenter: None,
                roles,
                no_gateway: false,
                validity: Validity { from_ms: 0, until_ms: 1 },
            };
            let token = ca.token(&[2; 32], limits, vec![]).unwrap();
            let key = NodeKey::from_seed(&[3; 32]);
            let name = "a".parse().unwrap();
            let certificate = token.certificate(key.public_key(), &name, &name).unwrap();
            // It signs as if it had the role.
            let liar = OperatorCredential {
                key,
                certificate,
                cluster: ca.cluster(),
                roles: Roles::OPERATOR,
            };
            for (command, allowed) in [first, second, revoke].iter().zip(allowed) {
                let signed = liar.sign(command).unwrap();
                let signed = SignedCommand::decode(signed.as_bytes()).unwrap();
                let verified = signed.verify(&ca.trust()).map(|(command, _)| command);
                let refused = CommandError::NotAllowed(liar.key.node_id());
                assert_eq!(verified, if allowed { Ok(*command) } else { Err(refused) });
            }
        }
    }

    #[test]
    fn a_command_of_an_unknown_kind_is_read_and_longer_ones_are_not() {
        assert_eq!(Command::decode(&[99, 1, 2]), Ok(None));
        let encoded = Command::ForceLeave { node_id: NodeId(1), epoch: 2 }.encode();
        assert!(Command::decode(&[&encoded[..], &[0]].concat()).is_err());
        assert!(Command::decode(&[]).is_err());
        let isolate = Command::Isolate { home: 1, datacenter: u64::MAX, number: 3 };
        assert_eq!(isolate.encode().len(), 25);
        assert_eq!(Command::decode(&isolate.encode()), Ok(Some(isolate)));
        let nodes = [3, 1, 2].map(NodeId);
        let voters = Command::voters(1, u64::MAX, &nodes).unwrap();
        assert_eq!(voters.encode().len(), 57);
        assert_eq!(Command::decode(&voters.encode()), Ok(Some(voters)));
        assert_eq!(Some(voters), Command::voters(1, u64::MAX, &[1, 2, 3].map(NodeId)));
        assert_eq!(Command::voters(1, 1, &[NodeId(1); 6]), None);
    }
}
