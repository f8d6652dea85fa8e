//! The seed of a CA key, sealed under a passphrase: argon2id (RFC 9106), then AES-256-GCM-SIV (RFC 8452).

use std::fmt;

use argon2::{Algorithm, Argon2, Params, Version};
use aws_lc_rs::aead::{AES_256_GCM_SIV, Aad, LessSafeKey, Nonce, UnboundKey};
use zeroize::Zeroizing;

/// Bytes of a sealed seed, with its tag.
pub(super) const SEALED_BYTES: usize = 32 + 16;
/// Bytes of a salt.
pub(super) const SALT_BYTES: usize = 16;

/// A passphrase for a CA key file, with a salt of random bytes.
pub struct Encryption<'a> {
    /// The passphrase.
    pub passphrase: &'a [u8],
    /// Random bytes, new for each file.
    pub salt: [u8; SALT_BYTES],
}

impl fmt::Debug for Encryption<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Encryption")
    }
}

/// The cost of guessing a passphrase.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Cost {
    pub(super) memory_kib: u32,
    pub(super) passes: u32,
    pub(super) lanes: u32,
}

impl Cost {
    /// The second choice of RFC 9106, section 4, on one lane: 64 MiB. It takes about half a second.
    pub(super) const DEFAULT: Self = Self { memory_kib: 64 * 1_024, passes: 3, lanes: 1 };
    /// The most that a file may ask for: 1 GiB.
    const MAX: Self = Self { memory_kib: 1_024 * 1_024, passes: 16, lanes: 16 };

    /// Whether a file may ask for this.
    pub(super) fn is_bearable(self) -> bool {
        self.memory_kib <= Self::MAX.memory_kib
            && self.passes <= Self::MAX.passes
            && self.lanes <= Self::MAX.lanes
            && self.params().is_ok()
    }

    fn params(self) -> Result<Params, argon2::Error> {
        Params::new(self.memory_kib, self.passes, self.lanes, Some(32))
    }

    /// The AEAD key for a passphrase. `None` if there is not enough memory.
    fn key(self, with: &Encryption<'_>) -> Option<LessSafeKey> {
        let mut key = Zeroizing::new([0; 32]);
        let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, self.params().ok()?);
        argon2.hash_password_into(with.passphrase, &with.salt, &mut *key).ok()?;
        Some(LessSafeKey::new(UnboundKey::new(&AES_256_GCM_SIV, &*key).ok()?))
    }
}

/// Each file has a salt of its own, and with it a key of its own, so the nonce may be constant.
fn nonce() -> Nonce {
    Nonce::assume_unique_for_key([0; 12])
}

/// Seals a seed; `header` is authenticated with it. `None` if there is not enough memory, or the passphrase is too long.
pub(super) fn seal(
    seed: &[u8; 32],
    header: &[u8],
    cost: Cost,
    with: &Encryption<'_>,
) -> Option<[u8; SEALED_BYTES]> {
    let mut sealed = [0; SEALED_BYTES];
    let (text, place) = sealed.split_at_mut(32);
    text.copy_from_slice(seed);
    let tag = cost.key(with)?.seal_in_place_separate_tag(nonce(), Aad::from(header), text);
    place.copy_from_slice(tag.ok()?.as_ref());
    Some(sealed)
}

/// Opens a sealed seed. `None` if the passphrase is wrong, the header or the sealed seed is not what it was, or there is not
/// enough memory.
pub(super) fn open(
    mut sealed: [u8; SEALED_BYTES],
    header: &[u8],
    cost: Cost,
    with: &Encryption<'_>,
) -> Option<Zeroizing<[u8; 32]>> {
    let opened = cost.key(with)?.open_in_place(nonce(), Aad::from(header), &mut sealed).ok()?;
    let mut seed = Zeroizing::new([0; 32]);
    seed.copy_from_slice(opened);
    zeroize::Zeroize::zeroize(&mut sealed);
    Some(seed)
}
