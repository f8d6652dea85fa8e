//! Hashes of keys and ids, and random numbers from them.

use xxhash_rust::xxh3::xxh3_64_with_seed;

/// The seed of every hash in this crate. It is fixed, so that every host maps a key alike.
pub const HASH_SEED: u64 = 0x9e37_79b9_7f4a_7c15;

/// Hashes a key the way every keyed strategy does: xxh3 with [`HASH_SEED`].
#[inline]
pub fn hash_key(key: &[u8]) -> u64 {
    xxh3_64_with_seed(key, HASH_SEED)
}

/// Spreads the bits of a number: the finalizer of SplitMix64 (Steele, Lea and Flood, "Fast Splittable Pseudorandom
/// Number Generators", OOPSLA 2014, function `mix64`).
#[inline]
pub(crate) const fn mix(value: u64) -> u64 {
    let value = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

/// A number below `length` from a uniformly random one: Lemire, "Fast Random Integer Generation in an Interval", ACM
/// TOMACS 29(1), 2019, without the rejection step, whose bias at these lengths is below 2^-48.
#[inline]
pub(crate) fn below(length: usize, random: u64) -> usize {
    ((u128::from(random) * length as u128) >> 64) as usize
}
