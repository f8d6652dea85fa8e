//! Successions of CA keys, from peers, the data directory and the file of an operator.

use hobnob_keys::Succession;

use super::CLUSTER;

/// Reads a succession, as bytes and as text. Only the genuine one counts.
pub fn check(bytes: &[u8]) {
    let text = std::str::from_utf8(bytes).map(Succession::parse);
    for read in [Some(Succession::decode(bytes)), text.ok()].into_iter().flatten().flatten() {
        assert_eq!(Succession::decode(&read.encode()).as_ref(), Ok(&read));
        assert_eq!(Succession::parse(&read.to_text()).as_ref(), Ok(&read));
        if CLUSTER.ca.trust().succeed(read.clone()).is_ok() {
            assert_eq!(read, CLUSTER.succession, "forged");
        }
    }
}
