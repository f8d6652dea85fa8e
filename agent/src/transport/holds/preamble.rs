//! The preamble with which a monitor asks for a held connection, and the two bytes that may answer it.

use hobnob_membership::{ClusterId, NodeId};

use super::opening::{HEAD_BYTES, MAGIC_HOLD, head};

/// The answer of the member: it holds the connection, too.
pub(super) const HELD: u8 = 1;
/// The last byte of the member before it closes a held connection on purpose.
pub(super) const GOODBYE: u8 = 2;

const VERSION: u8 = 1;
/// The fields that this version knows. A later one may append others.
const FIELDS_BYTES: usize = 20;
/// The length of a preamble of this version.
pub(super) const PREAMBLE_BYTES: usize = HEAD_BYTES + FIELDS_BYTES;

/// The first message of a monitor on a connection that it wants to hold. It says nothing else there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Preamble {
    /// The highest four bytes of the cluster id, as at the beginning of a session.
    mark: [u8; 4],
    /// The monitor.
    pub(super) sender: NodeId,
    /// The member that it expects at this address.
    pub(super) expected: NodeId,
}

impl Preamble {
    pub(super) fn new(cluster: ClusterId, sender: NodeId, expected: NodeId) -> Self {
        Self { mark: mark_of(cluster), sender, expected }
    }

    /// Whether it is meant for this node of this cluster. A node holds no connection to itself.
    pub(super) fn is_for(&self, cluster: ClusterId, own: NodeId) -> bool {
        self.mark == mark_of(cluster) && self.expected == own && self.sender != own
    }

    pub(super) fn bytes(&self) -> [u8; PREAMBLE_BYTES] {
        let mut bytes = [0; PREAMBLE_BYTES];
        let [sender, expected] = [self.sender, self.expected].map(|node| node.0.to_le_bytes());
        let head = head(MAGIC_HOLD, VERSION, FIELDS_BYTES as u8);
        let fields = [&head[..], &self.mark, &sender, &expected];
        bytes.iter_mut().zip(fields.concat()).for_each(|(to, from)| *to = from);
        bytes
    }

    /// The preamble with these fields, and those of a later version behind them.
    pub(super) fn of(fields: &[u8]) -> Option<Self> {
        let known = fields.first_chunk::<FIELDS_BYTES>()?;
        Some(Self { mark: take(known, 0), sender: node(known, 4), expected: node(known, 12) })
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
        let preamble = Preamble::new(BLUE, NodeId(0x11), NodeId(0x22));
        let bytes = preamble.bytes();
        let recorded = b"hold\x01\x14\x04\x03\x02\x01\x11\0\0\0\0\0\0\0\x22\0\0\0\0\0\0\0";
        assert_eq!(&bytes, recorded, "the wire format");
        assert_eq!(read(&bytes).await, (Ok(Opening::Hold(preamble)), 0));
        for (cluster, own, is_for) in [
            (BLUE, 0x22, true),
            (ClusterId(0), 0x22, false),
            (BLUE, 0x23, false),
            (BLUE, 0x11, false),
        ] {
            assert_eq!(preamble.is_for(cluster, NodeId(own)), is_for, "{cluster:?} {own:x}");
        }
        let to_itself = Preamble::new(BLUE, NodeId(0x22), NodeId(0x22));
        assert!(!to_itself.is_for(BLUE, NodeId(0x22)));
    }

    #[tokio::test]
    async fn fields_of_a_later_version_are_read_past() {
        let preamble = Preamble::new(BLUE, NodeId(1), NodeId(2));
        let mut later = preamble.bytes().to_vec();
        later[5] += 3;
        later.extend_from_slice(b"new");
        assert_eq!(read(&later).await, (Ok(Opening::Hold(preamble)), 0), "and none is left unread");
    }

    #[tokio::test]
    async fn what_is_cut_short_or_of_another_version_is_no_preamble() {
        let good = Preamble::new(BLUE, NodeId(1), NodeId(2)).bytes();
        for len in 1..good.len() {
            assert_eq!(read(&good[..len]).await.0, Err(OpeningError::Malformed), "{len}");
        }
        for (at, byte) in [(0, b'H'), (4, 2), (5, 19)] {
            let mut bad = good;
            bad[at] = byte;
            assert_eq!(read(&bad).await.0, Err(OpeningError::Malformed), "byte {at}");
        }
    }
}
