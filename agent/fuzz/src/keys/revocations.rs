//! Sets of revocations, from peers and from the data directory.

use hobnob_keys::Revocations;

use super::CLUSTER;

/// Reads a set, and merges it. Nothing is revoked but what the operator revoked.
pub fn check(bytes: &[u8]) {
    let Ok(commands) = Revocations::decode(bytes) else { return };
    let mut set = Revocations::default();
    // Those before the first that does not count stay.
    if set.merge(&CLUSTER.ca.trust(), commands).is_err() && set.iter().len() == 0 {
        return;
    }
    for (_, command) in set.iter() {
        assert_eq!(*command, CLUSTER.revocation, "forged");
    }
    let again = Revocations::decode(&set.encode()).expect("what was written is read");
    assert_eq!(again.len(), set.iter().len());
}
