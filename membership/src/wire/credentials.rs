//! The frames with which a stream of a sealed cluster begins.

use std::fmt;

use hobnob_keys::GenerationId;
use xxhash_rust::xxh3::xxh3_64;

use crate::catalog::record::Text;
use crate::codec::block;

/// A generation by its number and its hash, without the secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GenerationMark {
    /// The number.
    pub number: u64,
    /// The hash of the cluster, the number and the secret.
    pub hash: [u8; 32],
}
block!(GenerationMark { number, hash });

impl From<GenerationId> for GenerationMark {
    fn from(GenerationId { number, hash }: GenerationId) -> Self {
        Self { number, hash }
    }
}

impl From<GenerationMark> for GenerationId {
    fn from(GenerationMark { number, hash }: GenerationMark) -> Self {
        Self { number, hash }
    }
}

/// The first frame of each side of a stream in a sealed cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credentials {
    /// The membership certificate of the sender; empty if the receiver said that it holds this very one.
    pub certificate: Vec<u8>,
    /// The generations that the sender holds, the one in use first. None if it is a newcomer.
    pub generations: Vec<GenerationMark>,
    /// The proof that the sender holds the secret of the first one, for this connection alone.
    pub proof: [u8; 16],
    /// The digest of the revocations that the sender knows.
    pub revocations: [u8; 16],
    /// The counter with which the sender's life began.
    pub began: u64,
    /// The counter of its last datagram.
    pub counter: u64,
    /// The succession of CA keys that the sender took; empty if there is none.
    pub succession: Vec<u8>,
    /// The mark of the certificate of the receiver that the sender holds: the low half of its XXH3-64. `None` if it holds none;
    /// earlier versions, which take no empty certificate, do not say it.
    pub holds: Option<u32>,
}
block!(Credentials {
    certificate,
    generations,
    proof,
    revocations,
    began as Fixed,
    counter as Fixed,
    succession,
} later {
    holds: None,
});

/// A hash by which a node knows its own certificate again. It proves nothing.
pub(crate) fn certificate_mark(certificate: &[u8]) -> u32 {
    xxh3_64(certificate) as u32
}

/// A generation with its secret, for a member that lacks it.
#[derive(Clone, PartialEq, Eq)]
pub struct HandedGeneration {
    /// Whether the sender uses it.
    pub in_use: bool,
    /// The encoded generation.
    pub bytes: Vec<u8>,
}
block!(HandedGeneration { in_use, bytes });

/// Shows no secret.
impl fmt::Debug for HandedGeneration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "HandedGeneration({} bytes, in use: {})", self.bytes.len(), self.in_use)
    }
}

/// Signed revocations. A frame holds some of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HandedRevocations {
    /// The encoded commands.
    pub commands: Vec<Vec<u8>>,
    /// Whether no more follow.
    pub last: bool,
}
block!(HandedRevocations { commands, last });

/// Why the sender does not let the receiver in, in words for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The reason.
    pub reason: Text,
}
block!(Refusal { reason });

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::Frame;

    fn frames() -> Vec<Frame> {
        let mark = GenerationMark { number: 0x0102, hash: [3; 32] };
        let handed = HandedGeneration { in_use: true, bytes: vec![7; 300] };
        vec![
            Frame::Credentials(Credentials {
                certificate: vec![1; 250],
                generations: vec![mark, mark],
                proof: [4; 16],
                revocations: [5; 16],
                began: 6,
                counter: 7,
                succession: vec![9; 225],
                holds: Some(u32::MAX),
            }),
            Frame::Generations(vec![handed.clone(), HandedGeneration { in_use: false, ..handed }]),
            Frame::Revocations(HandedRevocations { commands: vec![vec![8; 200]; 3], last: true }),
            Frame::Refusal(Refusal { reason: "the token expired".into() }),
        ]
    }

    #[test]
    fn frames_are_read_as_they_were_written_and_not_if_they_are_cut() {
        for frame in frames() {
            let bytes = frame.encode().expect("it fits");
            assert_eq!(Frame::decode(&bytes).expect("ours"), frame);
            for len in 0..bytes.len() {
                let cut = Frame::decode(&bytes[..len]);
                // An earlier version ends before the last field.
                let is_earlier =
                    matches!(&cut, Ok(Frame::Credentials(shown)) if shown.holds.is_none());
                assert!(cut.is_err() || is_earlier, "{frame:?} cut to {len}");
            }
        }
    }

    #[test]
    fn no_changed_bit_makes_the_reader_panic_or_passes_for_credentials_of_another_form() {
        for frame in frames() {
            let bytes = frame.encode().expect("it fits");
            for bit in 0..8 * bytes.len() {
                let mut flipped = bytes.clone();
                flipped[bit / 8] ^= 1 << (bit % 8);
                let read = Frame::decode(&flipped);
                let is_form = matches!(frame, Frame::Credentials(_)) && bit / 8 == 1;
                assert!(!is_form || read.is_err(), "another version or form");
            }
        }
    }

    #[test]
    fn a_secret_is_not_shown() {
        let shown = format!("{:?}", frames()[1]);
        assert!(!shown.contains("7, 7"), "{shown}");
    }
}
