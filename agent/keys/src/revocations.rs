//! The set of what operators revoked. It only grows, so that merging in any order gives the same set.

use std::collections::BTreeMap;

use crate::bytes::{DecodeError, Reader, put_prefixed};
use crate::certificate::Membership;
use crate::command::{Command, CommandError, MAX_SIGNED_COMMAND_BYTES, Revoked, SignedCommand};
use crate::trust::Trust;

/// The most revocations that operators may add up to.
pub const MAX_REVOCATIONS: usize = 4_096;
/// The most revocations that a merge takes. Above [`MAX_REVOCATIONS`], so that sets that were filled in two places at once still
/// become equal.
pub const MAX_MERGED_REVOCATIONS: usize = 2 * MAX_REVOCATIONS;

const FORMAT: u8 = 1;
const WHAT: &str = "the set of revocations";
const DIGEST_CONTEXT: &str = "hobnob 2026-11 revocations digest 1";

/// A grow-only set of revoked nodes and tokens, each with the command of the operator that revoked it.
///
/// A revocation goes on to count when its operator is revoked, because no replica could know which came first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Revocations(BTreeMap<Revoked, SignedCommand>);

/// A revocation is not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RevocationError {
    /// The command does not count.
    #[error("the revocation does not count: {0}")]
    Command(#[from] CommandError),
    /// The command is of another kind.
    #[error("the command revokes nothing")]
    OtherCommand,
    /// The set is full.
    #[error("{max} revocations are there, and no more are taken")]
    Full {
        /// The limit.
        max: usize,
    },
}

impl Revocations {
    /// Adds a revocation that an operator gives now. Returns whether it is new.
    ///
    /// # Errors
    /// It does not count, or there are [`MAX_REVOCATIONS`] already.
    pub fn add(&mut self, trust: &Trust, command: SignedCommand) -> Result<bool, RevocationError> {
        self.insert(trust, command, MAX_REVOCATIONS)
    }

    /// Adds revocations that a peer or a disk has. Returns how many are new.
    ///
    /// # Errors
    /// One does not count, or there are [`MAX_MERGED_REVOCATIONS`] already. Those before it are added.
    pub fn merge(
        &mut self,
        trust: &Trust,
        commands: impl IntoIterator<Item = SignedCommand>,
    ) -> Result<usize, RevocationError> {
        let mut new = 0;
        for command in commands {
            new += usize::from(self.insert(trust, command, MAX_MERGED_REVOCATIONS)?);
        }
        Ok(new)
    }

    fn insert(
        &mut self,
        trust: &Trust,
        command: SignedCommand,
        max: usize,
    ) -> Result<bool, RevocationError> {
        let Some(Command::Revoke(revoked)) = command.unverified() else {
            return Err(RevocationError::OtherCommand);
        };
        if self.0.contains_key(revoked) {
            return Ok(false);
        }
        if self.0.len() >= max {
            return Err(RevocationError::Full { max });
        }
        let revoked = *revoked;
        command.verify(trust)?;
        self.0.insert(revoked, command);
        Ok(true)
    }

    /// Whether the node, or the token that it joined with, is revoked.
    #[must_use]
    pub fn revokes(&self, member: &Membership) -> bool {
        self.contains(&Revoked::Key(member.public_key()))
            || self.contains(&Revoked::Token(member.token()))
    }

    /// Whether this very key or token is revoked.
    #[must_use]
    pub fn contains(&self, revoked: &Revoked) -> bool {
        self.0.contains_key(revoked)
    }

    /// The revoked keys and tokens, each with the command that revoked it, in ascending order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&Revoked, &SignedCommand)> {
        self.0.iter()
    }

    /// A hash of what is revoked, whoever did it. Sets that revoke the same have the same digest.
    #[must_use]
    pub fn digest(&self) -> [u8; 16] {
        let mut hasher = blake3::Hasher::new_derive_key(DIGEST_CONTEXT);
        for revoked in self.0.keys() {
            match revoked {
                Revoked::Key(key) => hasher.update(&[1]).update(&key.0),
                Revoked::Token(token) => hasher.update(&[2]).update(&token.0),
            };
        }
        let mut digest = [0; 16];
        hasher.finalize_xof().fill(&mut digest);
        digest
    }

    /// The encoded form.
    ///
    /// # Panics
    /// Never: a signed command has [`MAX_SIGNED_COMMAND_BYTES`] at most.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = vec![FORMAT];
        for command in self.0.values() {
            put_prefixed(&mut out, WHAT, command.as_bytes()).expect("a signed command is short");
        }
        out
    }

    /// Reads the commands of an encoded set, for [`Revocations::merge`].
    ///
    /// # Errors
    /// The bytes are malformed or of another format, or hold more than [`MAX_MERGED_REVOCATIONS`].
    pub fn decode(bytes: &[u8]) -> Result<Vec<SignedCommand>, DecodeError> {
        let mut reader = Reader::new(WHAT, bytes);
        reader.format(FORMAT)?;
        let mut commands = vec![];
        while !reader.rest().is_empty() {
            let (len, max) = (commands.len() + 1, MAX_MERGED_REVOCATIONS);
            if len > max {
                return Err(DecodeError::TooLong { what: WHAT, len, unit: "entries", max });
            }
            commands.push(SignedCommand::decode(reader.prefixed(MAX_SIGNED_COMMAND_BYTES)?)?);
        }
        Ok(commands)
    }
}
