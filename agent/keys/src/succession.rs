//! The succession of CA keys: the old one signs the new one, and the new one signs that it takes its place.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::bytes::{DecodeError, Reader};
use crate::key::{ClusterId, PublicKey, SIGNATURE_BYTES, SigningKey};
use crate::suite::Suite;

const FORMAT: u8 = 1;
const WHAT: &str = "the succession";
const CONTEXT: &[u8] = b"hobnob ca succession 1\0";
/// The signed part: the format, the cluster and both keys.
const SIGNED_BYTES: usize = 1 + 32 + 2 * 32;
/// The bytes of a succession.
pub const SUCCESSION_BYTES: usize = SIGNED_BYTES + 2 * SIGNATURE_BYTES;

/// The beginning of a text.
const PREFIX: &str = "hobnob-succession1_";
/// The most characters of the text of a succession.
pub const MAX_SUCCESSION_CHARS: usize = PREFIX.len() + 4 * SUCCESSION_BYTES.div_ceil(3);

/// Says that the tokens of another CA key count in a cluster, too. Both CA keys signed it, so a member that trusts one of them may
/// trust the other one. It holds no secret. Nothing in it counts before [`Trust::succeed`](crate::Trust::succeed).
#[derive(Clone, PartialEq, Eq)]
pub struct Succession {
    cluster: ClusterId,
    old: PublicKey,
    new: PublicKey,
    /// Of the old key, then of the new one.
    signatures: [[u8; SIGNATURE_BYTES]; 2],
}

/// A succession does not count.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SuccessionError {
    /// It is meant for another cluster.
    #[error("the succession is meant for another cluster, {0}")]
    OtherCluster(ClusterId),
    /// Neither of its keys is trusted.
    #[error("the succession is of a CA key that is not trusted, {}", .0.fingerprint())]
    UnknownAuthority(PublicKey),
    /// One of its keys did not sign it.
    #[error("the succession is forged: the CA key {} did not sign it", .0.fingerprint())]
    Forged(PublicKey),
    /// Another succession is there, and stays.
    #[error("the CA key {} succeeds already, and no other one is taken", .successor.fingerprint())]
    Other {
        /// The CA key that succeeds.
        successor: PublicKey,
    },
}

impl Succession {
    /// Signs that `new` succeeds `old`.
    pub(crate) fn sign(
        cluster: ClusterId,
        old: &SigningKey,
        new: &SigningKey,
    ) -> Result<Self, DecodeError> {
        let (old_key, new_key) = (old.public_key(), new.public_key());
        check_keys(old_key, new_key)?;
        let signed = signed(cluster, old_key, new_key);
        let signatures = [old, new].map(|key| key.sign(&[CONTEXT, &signed]));
        Ok(Self { cluster, old: old_key, new: new_key, signatures })
    }

    /// The encoded form.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let [by_old, by_new] = &self.signatures;
        [&signed(self.cluster, self.old, self.new)[..], by_old, by_new].concat()
    }

    /// Reads a succession.
    ///
    /// # Errors
    /// It is malformed, of another format, or names one key twice.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(WHAT, bytes);
        reader.format(FORMAT)?;
        let cluster = ClusterId(reader.array()?);
        let (old, new) = (PublicKey(reader.array()?), PublicKey(reader.array()?));
        let signatures = [reader.array()?, reader.array()?];
        reader.end()?;
        check_keys(old, new)?;
        Ok(Self { cluster, old, new, signatures })
    }

    /// The text of a succession, which [`Succession::parse`] reads: [`MAX_SUCCESSION_CHARS`] at most.
    #[must_use]
    pub fn to_text(&self) -> String {
        format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(self.encode()))
    }

    /// Reads the text of a succession. White space around it is ignored.
    ///
    /// # Errors
    /// It is no such text, or not all of one.
    pub fn parse(text: &str) -> Result<Self, DecodeError> {
        let text = text.trim();
        let (len, max) = (text.len(), MAX_SUCCESSION_CHARS);
        if len > max {
            return Err(DecodeError::TooLong { what: WHAT, len, unit: "characters", max });
        }
        let encoded = text.strip_prefix(PREFIX).ok_or_else(|| {
            DecodeError::invalid(WHAT, &format_args!("it does not begin with `{PREFIX}`"))
        })?;
        let bytes = URL_SAFE_NO_PAD.decode(encoded);
        Self::decode(&bytes.map_err(|error| DecodeError::invalid(WHAT, &error))?)
    }

    /// The cluster that it is meant for.
    pub(crate) fn cluster(&self) -> ClusterId {
        self.cluster
    }

    /// The CA key that was there before.
    #[must_use]
    pub fn old(&self) -> PublicKey {
        self.old
    }

    /// The CA key that succeeds.
    #[must_use]
    pub fn new_key(&self) -> PublicKey {
        self.new
    }

    /// Whether both say the same, whatever their signatures.
    pub(crate) fn says_the_same(&self, other: &Self) -> bool {
        (self.cluster, self.old, self.new) == (other.cluster, other.old, other.new)
    }

    /// Whether a member that holds `other` goes over to this one: both replace one key, and the new key here is the lower one.
    pub(crate) fn replaces(&self, other: &Self) -> bool {
        self.old == other.old && self.new < other.new
    }

    /// Checks both signatures.
    pub(crate) fn verify(&self, suite: &dyn Suite) -> Result<(), SuccessionError> {
        let signed = signed(self.cluster, self.old, self.new);
        for (key, signature) in [self.old, self.new].iter().zip(&self.signatures) {
            if !key.verifies(suite, &[CONTEXT, &signed], signature) {
                return Err(SuccessionError::Forged(*key));
            }
        }
        Ok(())
    }
}

fn signed(cluster: ClusterId, old: PublicKey, new: PublicKey) -> [u8; SIGNED_BYTES] {
    let mut signed = [FORMAT; SIGNED_BYTES];
    let (head, keys) = signed[1..].split_at_mut(32);
    let (first, second) = keys.split_at_mut(32);
    head.copy_from_slice(&cluster.0);
    first.copy_from_slice(&old.0);
    second.copy_from_slice(&new.0);
    signed
}

fn check_keys(old: PublicKey, new: PublicKey) -> Result<(), DecodeError> {
    if old == new {
        return Err(DecodeError::invalid(WHAT, &"both CA keys are one"));
    }
    Ok(())
}

impl fmt::Debug for Succession {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Succession({} to {})", self.old.fingerprint(), self.new.fingerprint())
    }
}
