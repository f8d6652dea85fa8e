//! The preamble with which a monitor asks for a held connection, and the two bytes that may answer it.

use hobnob_membership::{ClusterId, NodeId};
use tokio::io::{AsyncRead, AsyncReadExt};

/// The answer of the member: it holds the connection, too.
pub(super) const HELD: u8 = 1;
/// The last byte of the member before it closes a held connection on purpose.
pub(super) const GOODBYE: u8 = 2;

const MAGIC: [u8; 4] = *b"hold";
const VERSION: u8 = 1;
/// The magic, the version, and the length of the fields.
const HEAD_BYTES: usize = 6;
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

/// The reason for which there is no preamble.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum PreambleError {
    /// The connection ended without a byte, as a TCP probe does.
    #[error("nothing was said")]
    Nothing,
    /// Something else was said, or something of an incompatible version.
    #[error("no preamble")]
    Malformed,
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
        let fields = [&MAGIC[..], &[VERSION, FIELDS_BYTES as u8], &self.mark, &sender, &expected];
        bytes.iter_mut().zip(fields.concat()).for_each(|(to, from)| *to = from);
        bytes
    }

    /// Reads a preamble, and the fields of a later version behind it. No byte of it is left unread: the kernel would reset
    /// the connection at the death of this process, and not close it.
    ///
    /// # Errors
    /// Nothing was said, or something else.
    pub(super) async fn read(from: &mut (impl AsyncRead + Unpin)) -> Result<Self, PreambleError> {
        let mut head = [0; HEAD_BYTES];
        let first = from.read(&mut head).await.unwrap_or(0);
        if first == 0 {
            return Err(PreambleError::Nothing);
        }
        let malformed = |_| PreambleError::Malformed;
        from.read_exact(&mut head[first..]).await.map_err(malformed)?;
        let [magic @ .., version, len] = head;
        let len = usize::from(len);
        if magic != MAGIC || version != VERSION || len < FIELDS_BYTES {
            return Err(PreambleError::Malformed);
        }
        let mut rest = [0; u8::MAX as usize];
        from.read_exact(&mut rest[..len]).await.map_err(malformed)?;
        Ok(Self { mark: take(&rest, 0), sender: node(&rest, 4), expected: node(&rest, 12) })
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

    const BLUE: ClusterId = ClusterId(0x0102_0304_0506_0708);

    async fn read(mut bytes: &[u8]) -> (Result<Preamble, PreambleError>, usize) {
        let read = Preamble::read(&mut bytes).await;
        (read, bytes.len())
    }

    #[tokio::test]
    async fn it_is_read_as_it_was_written() {
        let preamble = Preamble::new(BLUE, NodeId(0x11), NodeId(0x22));
        let bytes = preamble.bytes();
        let recorded = b"hold\x01\x14\x04\x03\x02\x01\x11\0\0\0\0\0\0\0\x22\0\0\0\0\0\0\0";
        assert_eq!(&bytes, recorded, "the wire format");
        assert_eq!(read(&bytes).await, (Ok(preamble), 0));
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
        assert_eq!(read(&later).await, (Ok(preamble), 0), "and none is left unread");
    }

    #[tokio::test]
    async fn nothing_and_garbage_are_no_preamble() {
        assert_eq!(read(b"").await.0, Err(PreambleError::Nothing));
        let good = Preamble::new(BLUE, NodeId(1), NodeId(2)).bytes();
        for len in 1..good.len() {
            assert_eq!(read(&good[..len]).await.0, Err(PreambleError::Malformed), "{len}");
        }
        for (at, byte) in [(0, b'H'), (4, 2), (5, 19)] {
            let mut bad = good;
            bad[at] = byte;
            assert_eq!(read(&bad).await.0, Err(PreambleError::Malformed), "byte {at}");
        }
    }
}
