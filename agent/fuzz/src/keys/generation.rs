//! Generations, from peers and from the data directory.

use hobnob_keys::{Generation, Revocations};

use super::CLUSTER;

/// Reads a generation. Only the genuine one counts.
pub fn check(bytes: &[u8]) {
    let Ok(generation) = Generation::decode(bytes) else { return };
    assert_eq!(**generation.encode(), *bytes);
    if generation.verify(&CLUSTER.ca.trust(), &Revocations::default()).is_ok() {
        assert_eq!(generation.id(), CLUSTER.generation.id(), "forged");
    }
}
