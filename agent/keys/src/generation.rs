//! Generations of the secret that all members share.

use std::fmt;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use zeroize::Zeroizing;

use crate::bytes::{DecodeError, Reader};
use crate::command::{Command, CommandError, CredentialError, OperatorCredential, SignedCommand};
use crate::key::{ClusterId, NodeId, PublicKey};
use crate::revocations::Revocations;
use crate::trust::Trust;

const FORMAT: u8 = 1;
const WHAT: &str = "the generation";
const HASH_CONTEXT: &str = "hobnob 2026-11 generation hash 1";
const PROOF_CONTEXT: &str = "hobnob 2026-11 connection proof key 1";

/// The numbers of generations that operators have for each revocation.
pub const NUMBERS_FOR_EACH_REVOCATION: u64 = 1 << 32;

/// Bytes of a proof.
const PROOF_BYTES: usize = 16;

/// Which generation it is, without its secret.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct GenerationId {
    /// Its number, from [`GenerationId::FIRST`].
    pub number: u64,
    /// The hash of the cluster, the number and the secret.
    pub hash: [u8; 32],
}

impl GenerationId {
    /// The number of the first generation of a cluster.
    pub const FIRST: u64 = 1;

    /// Whether a member that has `other` goes over to this one: its number is higher or, when two operators rotated at
    /// once, its hash is lower.
    #[must_use]
    pub fn replaces(&self, other: &Self) -> bool {
        self.number > other.number || (self.number == other.number && self.hash < other.hash)
    }

    /// The number of the generation that an operator orders when `newest` is the newest number, and so many nodes and tokens are
    /// revoked, what the same operator revokes included.
    ///
    /// It is the next number, as a rule. Operators who go one by one never use up the [`NUMBERS_FOR_EACH_REVOCATION`]. Beyond them,
    /// somebody with the credential of an operator ordered a number that leaves no room. Once that operator is revoked, its
    /// generations give way to any other, and the numbers go on where those for the revocations known until then end: above each
    /// number that was ordered one by one, by whomever.
    #[must_use]
    pub fn number_after(newest: u64, revocations: usize) -> u64 {
        let begin = (revocations as u64).saturating_mul(NUMBERS_FOR_EACH_REVOCATION);
        match newest.checked_add(1) {
            Some(next) if next < begin.saturating_add(NUMBERS_FOR_EACH_REVOCATION) => next,
            _ => begin,
        }
    }

    fn of(cluster: ClusterId, number: u64, secret: &[u8; 32]) -> Self {
        let material = [&cluster.0[..], &number.to_le_bytes(), secret].concat();
        Self { number, hash: blake3::derive_key(HASH_CONTEXT, &Zeroizing::new(material)) }
    }
}

impl fmt::Debug for GenerationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, ..] = self.hash;
        write!(f, "{} {a:02x}{b:02x}{c:02x}{d:02x}", self.number)
    }
}

/// A secret that all members share until an operator replaces it, with the operator's order to go over to it. Zeroed on drop.
#[derive(Clone)]
pub struct Generation {
    id: GenerationId,
    secret: Zeroizing<[u8; 32]>,
    order: SignedCommand,
}

/// A generation does not count.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum GenerationError {
    /// The order of the operator does not count.
    #[error("generation {number} does not count: {error}")]
    Order {
        /// Its number.
        number: u64,
        /// Why the order does not count.
        error: CommandError,
    },
    /// The operator that ordered it is revoked.
    #[error("generation {number} does not count: node {operator}, which ordered it, is revoked")]
    Revoked {
        /// Its number.
        number: u64,
        /// The operator.
        operator: NodeId,
    },
}

impl Generation {
    /// Makes a generation of random bytes.
    ///
    /// # Errors
    /// The credential is that of a founder, and the number is not the first.
    pub fn order(
        number: u64,
        secret: [u8; 32],
        credential: &OperatorCredential,
    ) -> Result<Self, CredentialError> {
        let secret = Zeroizing::new(secret);
        let id = GenerationId::of(credential.cluster(), number, &secret);
        let order = credential.sign(&Command::Rotate(id))?;
        Ok(Self { id, secret, order })
    }

    /// Which one it is.
    #[must_use]
    pub fn id(&self) -> GenerationId {
        self.id
    }

    /// The order of the operator to go over to it.
    #[must_use]
    pub fn signed_order(&self) -> &SignedCommand {
        &self.order
    }

    /// The encoded form, with the secret: for a member over a connection of its own, and for the data directory.
    #[must_use]
    pub fn encode(&self) -> Zeroizing<Vec<u8>> {
        let order = self.order.as_bytes();
        let mut out = Zeroizing::new(Vec::with_capacity(33 + order.len()));
        out.push(FORMAT);
        out.extend_from_slice(&*self.secret);
        out.extend_from_slice(order);
        out
    }

    /// Reads a generation.
    ///
    /// # Errors
    /// It is malformed, of another format, or the order is for another secret.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(WHAT, bytes);
        reader.format(FORMAT)?;
        let secret = Zeroizing::new(reader.array()?);
        let order = SignedCommand::decode(reader.rest())?;
        let Some(&Command::Rotate(id)) = order.unverified() else {
            return Err(DecodeError::invalid(WHAT, &"its order is of another kind"));
        };
        if id != GenerationId::of(order.cluster(), id.number, &secret) {
            return Err(DecodeError::invalid(WHAT, &"its order is for another secret"));
        }
        Ok(Self { id, secret, order })
    }

    /// Checks that an operator ordered it who is not revoked.
    ///
    /// # Errors
    /// It does not count in the cluster of `trust`.
    pub fn verify(&self, trust: &Trust, revocations: &Revocations) -> Result<(), GenerationError> {
        let number = self.id.number;
        let (_, operator) =
            self.order.verify(trust).map_err(|error| GenerationError::Order { number, error })?;
        if revocations.revokes(&operator) {
            return Err(GenerationError::Revoked { number, operator: operator.node_id() });
        }
        Ok(())
    }

    /// Proves that the node with this key holds the secret, to the other side of one connection: `binding` is what both export
    /// from the TLS session.
    #[must_use]
    pub fn proof(&self, binding: &[u8; 32], prover: &PublicKey) -> [u8; PROOF_BYTES] {
        let number = self.id.number.to_le_bytes();
        let material = Zeroizing::new([&self.cluster().0[..], &number, &*self.secret].concat());
        let key = Zeroizing::new(blake3::derive_key(PROOF_CONTEXT, &material));
        let mut hasher = blake3::Hasher::new_keyed(&key);
        let mut proof = [0; PROOF_BYTES];
        hasher.update(binding).update(&prover.0).finalize_xof().fill(&mut proof);
        proof
    }

    /// Whether a proof of the node with this key is right.
    #[must_use]
    pub fn verifies_proof(&self, binding: &[u8; 32], prover: &PublicKey, proof: &[u8]) -> bool {
        verify_slices_are_equal(&self.proof(binding, prover), proof).is_ok()
    }

    pub(crate) fn cluster(&self) -> ClusterId {
        self.order.cluster()
    }

    pub(crate) fn secret(&self) -> &[u8; 32] {
        &self.secret
    }
}

impl fmt::Debug for Generation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Generation({:?})", self.id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_go_one_by_one_and_beyond_their_room_where_that_of_the_revocations_begins() {
        const ROOM: u64 = NUMBERS_FOR_EACH_REVOCATION;
        for (newest, revocations, number) in [
            (0, 0, 1),
            (7, 3, 8),
            (ROOM - 2, 0, ROOM - 1),
            (2 * ROOM - 2, 1, 2 * ROOM - 1),
            (2 * ROOM - 1, 1, ROOM),
            (u64::MAX, 1, ROOM),
            (u64::MAX, 2, 2 * ROOM),
            (u64::MAX - 1, 8_192, 8_192 * ROOM),
            (u64::MAX, 0, 0),
        ] {
            let after = GenerationId::number_after(newest, revocations);
            assert_eq!(after, number, "{newest} {revocations}");
        }
    }
}
