//! The words on a connection that a monitor holds to a member.
//!
//! Both sides chose a nonce before, so the words of one connection are of no use on another one, nor to another node.

use std::fmt;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use zeroize::Zeroizing;

use crate::generation::Generation;
use crate::key::{ClusterId, NodeId};

const CONTEXT: &str = "hobnob 2026-11 held connection key 1";
/// Bytes of the nonce of each side.
pub const HOLD_NONCE_BYTES: usize = 8;
/// Bytes of a word: one that says which it is, and the MAC.
pub const HOLD_WORD_BYTES: usize = 1 + MAC_BYTES;
const MAC_BYTES: usize = 16;

/// The words that a MAC proves. A number is never used for something else.
#[derive(Clone, Copy)]
enum Kind {
    Hello = 1,
    Held = 2,
    Goodbye = 3,
}

/// The first bytes of the two words of the member.
const HELD: u8 = 1;
const GOODBYE: u8 = 2;

/// A connection: its two ends, and the nonces that they chose for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeldConnection {
    /// The side that asks to hold it.
    pub monitor: NodeId,
    /// The side that is watched.
    pub member: NodeId,
    /// The nonce of the monitor.
    pub monitor_nonce: [u8; HOLD_NONCE_BYTES],
    /// The nonce of the member.
    pub member_nonce: [u8; HOLD_NONCE_BYTES],
}

/// The key of the words on held connections, derived from a generation. Zeroed on drop.
#[derive(Clone)]
pub struct HoldKey {
    number: u64,
    key: Zeroizing<[u8; 32]>,
}

/// All words of one connection. Each may be said once there.
#[derive(Clone, PartialEq, Eq)]
pub struct HoldWords {
    /// Of the monitor: it is a member, and wants to hold the connection.
    pub hello: [u8; HOLD_WORD_BYTES],
    /// Of the member: it holds the connection, too.
    pub held: [u8; HOLD_WORD_BYTES],
    /// Of the member: it closes the connection on purpose.
    pub goodbye: [u8; HOLD_WORD_BYTES],
}

impl HoldKey {
    /// The key of a generation.
    #[must_use]
    pub fn of(generation: &Generation) -> Self {
        Self::derive(generation.cluster(), generation.id().number, generation.secret())
    }

    /// The key for a secret of a cluster.
    #[must_use]
    pub fn derive(cluster: ClusterId, number: u64, secret: &[u8; 32]) -> Self {
        let material = Zeroizing::new([&cluster.0[..], &number.to_le_bytes(), secret].concat());
        Self { number, key: Zeroizing::new(blake3::derive_key(CONTEXT, &material)) }
    }

    /// The byte of a hello that names the generation: the lowest one of its number.
    #[must_use]
    pub fn byte(&self) -> u8 {
        self.number.to_le_bytes()[0]
    }

    /// The words of a connection.
    #[must_use]
    pub fn words(&self, connection: &HeldConnection) -> HoldWords {
        let word = |first, kind| {
            let mut word = [first; HOLD_WORD_BYTES];
            word[1..].copy_from_slice(&self.mac(kind, connection));
            word
        };
        HoldWords {
            hello: word(self.byte(), Kind::Hello),
            held: word(HELD, Kind::Held),
            goodbye: word(GOODBYE, Kind::Goodbye),
        }
    }

    fn mac(&self, kind: Kind, connection: &HeldConnection) -> [u8; MAC_BYTES] {
        let HeldConnection { monitor, member, monitor_nonce, member_nonce } = connection;
        let mut hasher = blake3::Hasher::new_keyed(&self.key);
        hasher.update(&[kind as u8]).update(&monitor.0.to_le_bytes());
        hasher.update(&member.0.to_le_bytes()).update(monitor_nonce).update(member_nonce);
        let mut mac = [0; MAC_BYTES];
        hasher.finalize_xof().fill(&mut mac);
        mac
    }
}

impl HoldWords {
    /// Whether this is the hello of the connection. The time does not tell where it differs.
    #[must_use]
    pub fn is_hello(&self, word: &[u8]) -> bool {
        verify_slices_are_equal(&self.hello, word).is_ok()
    }

    /// Whether this is the answer of the member.
    #[must_use]
    pub fn is_held(&self, word: &[u8]) -> bool {
        verify_slices_are_equal(&self.held, word).is_ok()
    }

    /// Whether this is the goodbye of the member.
    #[must_use]
    pub fn is_goodbye(&self, word: &[u8]) -> bool {
        verify_slices_are_equal(&self.goodbye, word).is_ok()
    }
}

impl fmt::Debug for HoldKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "HoldKey(generation {})", self.number)
    }
}

/// A goodbye that was not said yet is a secret.
impl fmt::Debug for HoldWords {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HoldWords")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONNECTION: HeldConnection = HeldConnection {
        monitor: NodeId(1),
        member: NodeId(2),
        monitor_nonce: [3; HOLD_NONCE_BYTES],
        member_nonce: [4; HOLD_NONCE_BYTES],
    };

    fn key(cluster: u8, number: u64, secret: u8) -> HoldKey {
        HoldKey::derive(ClusterId([cluster; 32]), number, &[secret; 32])
    }

    #[test]
    fn each_word_is_that_of_one_connection_and_one_generation() {
        let words = key(1, 2, 3).words(&CONNECTION);
        let HoldWords { hello, held, goodbye } = &words;
        assert!(words.is_hello(hello) && words.is_held(held) && words.is_goodbye(goodbye));
        for swapped in [
            HeldConnection { monitor: NodeId(2), member: NodeId(1), ..CONNECTION },
            HeldConnection { monitor: NodeId(7), ..CONNECTION },
            HeldConnection { member: NodeId(7), ..CONNECTION },
            HeldConnection { monitor_nonce: [7; 8], ..CONNECTION },
            HeldConnection { member_nonce: [7; 8], ..CONNECTION },
        ] {
            let other = key(1, 2, 3).words(&swapped);
            assert!(!other.is_hello(hello) && !other.is_held(held) && !other.is_goodbye(goodbye));
        }
        for other in [key(7, 2, 3), key(1, 2 + 256, 3), key(1, 2, 7)] {
            let other = other.words(&CONNECTION);
            assert!(!other.is_hello(hello) && !other.is_held(held) && !other.is_goodbye(goodbye));
        }
    }

    #[test]
    fn no_word_tells_another_one() {
        let HoldWords { hello, held, goodbye } = key(1, 1, 3).words(&CONNECTION);
        assert_eq!(hello[0], held[0], "the generation has the number of the answer");
        assert!(hello[1..] != held[1..] && hello[1..] != goodbye[1..] && held[1..] != goodbye[1..]);
    }

    #[test]
    fn debug_shows_no_secret() {
        let key = key(1, 2, 3);
        let shown = format!("{key:?} {:?}", key.words(&CONNECTION));
        assert_eq!(shown, "HoldKey(generation 2) HoldWords");
    }
}
