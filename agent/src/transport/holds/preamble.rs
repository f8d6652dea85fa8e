//! The preamble with which a monitor asks for a held connection, and the two words that may answer it in a clear cluster.

use hobnob_keys::HOLD_NONCE_BYTES;
use hobnob_membership::{ClusterId, NodeId};

use super::opening::{MAGIC_HOLD, head};

/// The answer of the member: it holds the connection, too.
pub(super) const HELD: u8 = 1;
/// The last byte of the member before it closes a held connection on purpose.
pub(super) const GOODBYE: u8 = 2;

/// The version of a preamble without a nonce, for a clear cluster.
const CLEAR: u8 = 1;
/// The version of a preamble with a nonce, for a sealed cluster.
const SEALED: u8 = 2;
/// The fields of a clear preamble that are known here. A later software may append others.
const CLEAR_FIELDS_BYTES: usize = 20;
/// Those of a sealed preamble.
const SEALED_FIELDS_BYTES: usize = CLEAR_FIELDS_BYTES + HOLD_NONCE_BYTES;

/// The first message of a monitor on a connection that it wants to hold. In a clear cluster it says nothing else there, in a
/// sealed one it says a hello once the member has told its nonce.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Preamble {
    /// The highest four bytes of the cluster id, as at the beginning of a session.
    mark: [u8; 4],
    /// The monitor.
    pub(super) sender: NodeId,
    /// The member that it expects at this address.
    pub(super) expected: NodeId,
    /// The nonce of the monitor, in a sealed cluster.
    pub(super) nonce: Option<[u8; HOLD_NONCE_BYTES]>,
}

impl Preamble {
    pub(super) fn clear(cluster: ClusterId, sender: NodeId, expected: NodeId) -> Self {
        Self { mark: mark_of(cluster), sender, expected, nonce: None }
    }

    pub(super) fn sealed(
        cluster: ClusterId,
        sender: NodeId,
        expected: NodeId,
        nonce: [u8; HOLD_NONCE_BYTES],
    ) -> Self {
        Self { nonce: Some(nonce), ..Self::clear(cluster, sender, expected) }
    }

    /// Whether it is meant for this node of this cluster. A node holds no connection to itself.
    pub(super) fn is_for(&self, cluster: ClusterId, own: NodeId) -> bool {
        self.mark == mark_of(cluster) && self.expected == own && self.sender != own
    }

    pub(super) fn bytes(&self) -> Vec<u8> {
        let [sender, expected] = [self.sender, self.expected].map(|node| node.0.to_le_bytes());
        let (head, nonce) = match &self.nonce {
            None => (head(MAGIC_HOLD, CLEAR, CLEAR_FIELDS_BYTES as u8), &[][..]),
            Some(nonce) => (head(MAGIC_HOLD, SEALED, SEALED_FIELDS_BYTES as u8), &nonce[..]),
        };
        [&head[..], &self.mark, &sender, &expected, nonce].concat()
    }

    /// The preamble of this version with these fields, and those of a later software behind them.
    pub(super) fn of(version: u8, fields: &[u8]) -> Option<Self> {
        let nonce = match version {
            CLEAR => None,
            SEALED => Some(take(fields.first_chunk::<SEALED_FIELDS_BYTES>()?, CLEAR_FIELDS_BYTES)),
            _ => return None,
        };
        let known = fields.first_chunk::<CLEAR_FIELDS_BYTES>()?;
        let (sender, expected) = (node(known, 4), node(known, 12));
        Some(Self { mark: take(known, 0), sender, expected, nonce })
    }
}

fn mark_of(cluster: ClusterId) -> [u8; 4] {
    let [_, _, _, _, mark @ ..] = cluster.0.to_le_bytes();
    mark
}

fn node(bytes: &[u8], at: usize) -> NodeId {
    NodeId(u64::from_le_bytes(take(bytes, at)))
}

/// Some of the bytes; what lies beyond them is zero.
fn take<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    let mut taken = [0; N];
    taken.iter_mut().zip(bytes.iter().skip(at)).for_each(|(to, from)| *to = *from);
    taken
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transport::holds::opening::{Opening, OpeningError};

    const BLUE: ClusterId = ClusterId(0x0102_0304_0506_0708);

    async fn read(mut bytes: &[u8]) -> (Result<Opening, OpeningError>, usize) {
        let read = Opening::read(&mut bytes).await;
        (read, bytes.len())
    }

    #[tokio::test]
    async fn it_is_read_as_it_was_written() {
        let clear = Preamble::clear(BLUE, NodeId(0x11), NodeId(0x22));
        let sealed = Preamble::sealed(BLUE, NodeId(0x11), NodeId(0x22), *b"12345678");
        let recorded: [&[u8]; 2] = [
            b"hold\x01\x14\x04\x03\x02\x01\x11\0\0\0\0\0\0\0\x22\0\0\0\0\0\0\0",
            b"hold\x02\x1c\x04\x03\x02\x01\x11\0\0\0\0\0\0\0\x22\0\0\0\0\0\0\x0012345678",
        ];
        for (preamble, recorded) in [clear, sealed].into_iter().zip(recorded) {
            assert_eq!(preamble.bytes(), recorded, "the wire format");
            assert_eq!(read(recorded).await, (Ok(Opening::Hold(preamble)), 0));
        }
        for (cluster, own, is_for) in [
            (BLUE, 0x22, true),
            (ClusterId(0), 0x22, false),
            (BLUE, 0x23, false),
            (BLUE, 0x11, false),
        ] {
            assert_eq!(clear.is_for(cluster, NodeId(own)), is_for, "{cluster:?} {own:x}");
        }
        let to_itself = Preamble::clear(BLUE, NodeId(0x22), NodeId(0x22));
        assert!(!to_itself.is_for(BLUE, NodeId(0x22)));
    }

    #[tokio::test]
    async fn fields_of_a_later_software_are_read_past() {
        for preamble in [
            Preamble::clear(BLUE, NodeId(1), NodeId(2)),
            Preamble::sealed(BLUE, NodeId(1), NodeId(2), [7; 8]),
        ] {
            let mut later = preamble.bytes();
            later[5] += 3;
            later.extend_from_slice(b"new");
            let read = read(&later).await;
            assert_eq!(read, (Ok(Opening::Hold(preamble)), 0), "and none is left unread");
        }
    }

    #[tokio::test]
    async fn one_that_is_cut_short_or_of_another_version_is_none() {
        for good in [
            Preamble::clear(BLUE, NodeId(1), NodeId(2)).bytes(),
            Preamble::sealed(BLUE, NodeId(1), NodeId(2), [7; 8]).bytes(),
        ] {
            for len in 1..good.len() {
                assert_eq!(read(&good[..len]).await.0, Err(OpeningError::Malformed), "{len}");
            }
            for (at, byte) in [(0, b'H'), (4, 3), (4, 0), (5, 19)] {
                let mut bad = good.clone();
                bad[at] = byte;
                assert_eq!(read(&bad).await.0, Err(OpeningError::Malformed), "byte {at}");
            }
        }
    }
}
