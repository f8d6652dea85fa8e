//! The first message on a TCP connection to the gossip port.

use tokio::io::{AsyncRead, AsyncReadExt};

use super::preamble::Preamble;

pub(super) const MAGIC_HOLD: [u8; 4] = *b"hold";
pub(super) const MAGIC_SYNC_PORT: [u8; 4] = *b"port";
/// The magic, the version, and the length of the fields behind them.
pub(super) const HEAD_BYTES: usize = 6;

/// The purpose of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Opening {
    /// To hold it.
    Hold(Preamble),
    /// To know our sync port.
    SyncPort,
}

/// The reason for which there is no opening.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum OpeningError {
    /// The connection ended without a byte, as a TCP probe does.
    #[error("nothing was said")]
    Nothing,
    /// Something else was said, or something of an incompatible version.
    #[error("no opening")]
    Malformed,
}

/// The first bytes of an opening with so many bytes of fields.
pub(super) const fn head(magic: [u8; 4], version: u8, fields: u8) -> [u8; HEAD_BYTES] {
    let [a, b, c, d] = magic;
    [a, b, c, d, version, fields]
}

impl Opening {
    /// Reads an opening, and the fields of a later version behind it. No byte of it is left unread: the kernel would reset the
    /// connection at the death of this process, and not close it.
    ///
    /// # Errors
    /// Nothing was said, or something else.
    pub(super) async fn read(from: &mut (impl AsyncRead + Unpin)) -> Result<Self, OpeningError> {
        let mut head = [0; HEAD_BYTES];
        let first = from.read(&mut head).await.unwrap_or(0);
        if first == 0 {
            return Err(OpeningError::Nothing);
        }
        let malformed = |_| OpeningError::Malformed;
        from.read_exact(&mut head[first..]).await.map_err(malformed)?;
        let [magic @ .., version, len] = head;
        let (mut fields, len) = ([0; u8::MAX as usize], usize::from(len));
        if ![MAGIC_HOLD, MAGIC_SYNC_PORT].contains(&magic) {
            return Err(OpeningError::Malformed);
        }
        from.read_exact(&mut fields[..len]).await.map_err(malformed)?;
        let opening = match (magic, version) {
            (MAGIC_SYNC_PORT, 1) => Some(Self::SyncPort),
            (MAGIC_HOLD, version) => Preamble::of(version, &fields[..len]).map(Self::Hold),
            _ => None,
        };
        opening.ok_or(OpeningError::Malformed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn nothing_and_garbage_are_no_opening() {
        for (bytes, error) in [
            (&b""[..], OpeningError::Nothing),
            (b"p", OpeningError::Malformed),
            (b"port\x01", OpeningError::Malformed),
            (b"port\x02\0", OpeningError::Malformed),
            (b"Port\x01\0", OpeningError::Malformed),
            (b"port\x01\x02x", OpeningError::Malformed),
        ] {
            assert_eq!(Opening::read(&mut &*bytes).await, Err(error), "{bytes:?}");
        }
    }

    #[tokio::test]
    async fn a_question_for_the_port_is_read_with_the_fields_of_a_later_version() {
        for bytes in [&b"port\x01\0"[..], b"port\x01\x03new"] {
            let mut rest = bytes;
            assert_eq!(Opening::read(&mut rest).await, Ok(Opening::SyncPort));
            assert!(rest.is_empty(), "none is left unread");
        }
    }
}
