//! ed25519 keys, and what is derived from public keys.

use std::fmt;
use std::str::FromStr;

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use zeroize::Zeroizing;

use crate::suite::Suite;

/// Bytes of an ed25519 signature.
pub(crate) const SIGNATURE_BYTES: usize = 64;

/// An ed25519 public key.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PublicKey(pub [u8; 32]);

impl PublicKey {
    /// The first 16 bytes of the BLAKE3 hash of the key.
    #[must_use]
    pub fn fingerprint(&self) -> Fingerprint {
        Fingerprint(self.hash_start())
    }

    /// The id of the node with this key: the first 8 bytes of the BLAKE3 hash of the key.
    #[must_use]
    pub fn node_id(&self) -> NodeId {
        NodeId(u64::from_le_bytes(self.hash_start()))
    }

    fn hash_start<const N: usize>(&self) -> [u8; N] {
        let mut start = [0; N];
        blake3::Hasher::new().update(&self.0).finalize_xof().fill(&mut start);
        start
    }

    /// Whether a signature over the parts, one after the other, is that of this key.
    pub(crate) fn verifies(&self, suite: &dyn Suite, parts: &[&[u8]], signature: &[u8]) -> bool {
        suite.verify(self, &parts.concat(), signature)
    }
}

/// 64 hexadecimal digits.
impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        hex(f, &self.0)
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({})", self.fingerprint())
    }
}

/// The short name of a public key, and of the token with that key. Written as 32 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fingerprint(pub [u8; 16]);

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        hex(f, &self.0)
    }
}

/// A text is no public key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a public key has 64 hexadecimal digits")]
pub struct PublicKeyError;

impl FromStr for PublicKey {
    type Err = PublicKeyError;

    fn from_str(text: &str) -> Result<Self, PublicKeyError> {
        from_hex(text).map(Self).ok_or(PublicKeyError)
    }
}

/// A text is no fingerprint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a fingerprint has 32 hexadecimal digits")]
pub struct FingerprintError;

impl FromStr for Fingerprint {
    type Err = FingerprintError;

    fn from_str(text: &str) -> Result<Self, FingerprintError> {
        from_hex(text).map(Self).ok_or(FingerprintError)
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A node id as a number: 8 bytes, little endian, on the wire. Written as 16 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(pub u64);

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl fmt::Debug for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A cluster: the BLAKE3 hash of the public key of its first CA, also after the CA was replaced.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClusterId(pub [u8; 32]);

impl ClusterId {
    /// The cluster that this CA key founds.
    #[must_use]
    pub fn of(ca: &PublicKey) -> Self {
        Self(*blake3::hash(&ca.0).as_bytes())
    }
}

/// 64 hexadecimal digits.
impl fmt::Display for ClusterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        hex(f, &self.0)
    }
}

impl fmt::Debug for ClusterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The ed25519 key of a node. Zeroed on drop.
pub struct NodeKey(SigningKey);

impl NodeKey {
    /// The key with this seed of random bytes.
    ///
    /// The seed is what a data directory keeps.
    #[must_use]
    pub fn from_seed(seed: &[u8; 32]) -> Self {
        Self(SigningKey::from_seed(seed))
    }

    /// The seed: the secret itself.
    #[must_use]
    pub fn seed(&self) -> &[u8; 32] {
        self.0.seed()
    }

    /// The public key.
    #[must_use]
    pub fn public_key(&self) -> PublicKey {
        self.0.public_key()
    }

    /// The node id, which follows from the public key.
    #[must_use]
    pub fn node_id(&self) -> NodeId {
        self.0.public_key().node_id()
    }

    pub(crate) fn sign(&self, parts: &[&[u8]]) -> [u8; SIGNATURE_BYTES] {
        self.0.sign(parts)
    }
}

impl fmt::Debug for NodeKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "NodeKey({})", self.0.public_key.fingerprint())
    }
}

/// An ed25519 key that signs. The seed is zeroed on drop; the library zeroes its own copy.
pub(crate) struct SigningKey {
    seed: Zeroizing<[u8; 32]>,
    pair: Ed25519KeyPair,
    public_key: PublicKey,
}

impl SigningKey {
    /// # Panics
    /// Never: every 32 bytes are the seed of a key.
    pub(crate) fn from_seed(seed: &[u8; 32]) -> Self {
        let pair = Ed25519KeyPair::from_seed_unchecked(seed).expect("32 bytes are a seed");
        let mut public_key = [0; 32];
        public_key.copy_from_slice(pair.public_key().as_ref());
        Self { seed: Zeroizing::new(*seed), pair, public_key: PublicKey(public_key) }
    }

    pub(crate) fn seed(&self) -> &[u8; 32] {
        &self.seed
    }

    pub(crate) fn public_key(&self) -> PublicKey {
        self.public_key
    }

    /// The signature over the parts, one after the other.
    pub(crate) fn sign(&self, parts: &[&[u8]]) -> [u8; SIGNATURE_BYTES] {
        let mut signature = [0; SIGNATURE_BYTES];
        signature.copy_from_slice(self.pair.sign(&parts.concat()).as_ref());
        signature
    }
}

fn from_hex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let digits = text.bytes().map(|digit| char::from(digit).to_digit(16));
    let digits: Vec<u8> = digits
        .map(|digit| digit.and_then(|digit| u8::try_from(digit).ok()))
        .collect::<Option<_>>()?;
    let bytes: Vec<u8> = digits.chunks_exact(2).map(|pair| pair[0] << 4 | pair[1]).collect();
    bytes.try_into().ok().filter(|_| digits.len() == 2 * N)
}

fn hex(f: &mut fmt::Formatter<'_>, bytes: &[u8]) -> fmt::Result {
    bytes.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::suite::AwsLc;

    #[test]
    fn ids_are_the_beginnings_of_one_hash() {
        let key = NodeKey::from_seed(&[7; 32]).public_key();
        let hash = *blake3::hash(&key.0).as_bytes();
        assert_eq!(ClusterId::of(&key).0, hash);
        assert_eq!(key.fingerprint().0, hash[..16]);
        assert_eq!(key.node_id().0.to_le_bytes(), hash[..8]);
    }

    #[test]
    fn a_key_is_that_of_rfc_8032() {
        // RFC 8032, section 7.1, test 2.
        let seed = "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb";
        let byte = |at| u8::from_str_radix(&seed[2 * at..2 * at + 2], 16).unwrap();
        let key = NodeKey::from_seed(&std::array::from_fn(byte));
        let public = "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c";
        assert_eq!(key.public_key().to_string(), public);
        let signature = key.sign(&[&[0x72]]);
        assert_eq!(signature[..4], [0x92, 0xa0, 0x09, 0xa9]);
        assert!(key.public_key().verifies(&AwsLc, &[&[], &[0x72]], &signature));
        assert!(!key.public_key().verifies(&AwsLc, &[&[0x73]], &signature));
    }

    #[test]
    fn keys_and_fingerprints_are_read_as_they_are_written() {
        let key = NodeKey::from_seed(&[7; 32]).public_key();
        assert_eq!(key.to_string().parse(), Ok(key));
        assert!(key.to_string()[1..].parse::<PublicKey>().is_err());
        let fingerprint = key.fingerprint();
        let text = fingerprint.to_string();
        assert_eq!(text.parse(), Ok(fingerprint));
        assert_eq!(text.to_uppercase().parse(), Ok(fingerprint));
        for wrong in ["", &text[1..], &format!("{text}0"), &text.replace(&text[..1], "g")] {
            assert_eq!(wrong.parse::<Fingerprint>(), Err(FingerprintError), "{wrong}");
        }
    }

    #[test]
    fn debug_shows_no_secret() {
        let key = NodeKey::from_seed(&[7; 32]);
        let shown = format!("{key:?} {:?}", key.public_key());
        let fingerprint = key.public_key().fingerprint();
        assert_eq!(shown, format!("NodeKey({fingerprint}) PublicKey({fingerprint})"));
    }
}
