//! The clear front of a datagram.

use super::sealed::SEALED_OVERHEAD_BYTES;
use super::{Counter, DIGEST_BYTES, PING_BYTES, PONG_BYTES, ReplayError};
use crate::bytes::Reader;
use crate::key::NodeId;

/// The form of a datagram of a sealed cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Form {
    /// Sealed messages.
    Sealed,
    /// A ping.
    Ping,
    /// A pong.
    Pong,
    /// A digest without heads.
    Digest,
}

impl Form {
    /// The first byte of a datagram: the form in the high half, version 2 in the low half.
    #[must_use]
    pub fn byte(self) -> u8 {
        match self {
            Self::Sealed => 0x02,
            Self::Ping => 0x42,
            Self::Pong => 0x52,
            Self::Digest => 0x62,
        }
    }

    fn of(byte: u8) -> Option<Self> {
        [Self::Sealed, Self::Ping, Self::Pong, Self::Digest]
            .into_iter()
            .find(|form| form.byte() == byte)
    }

    fn has_length(self, len: usize) -> bool {
        match self {
            Self::Sealed => len > SEALED_OVERHEAD_BYTES,
            Self::Ping => len == PING_BYTES,
            Self::Pong => len == PONG_BYTES,
            Self::Digest => len == DIGEST_BYTES,
        }
    }
}

/// A datagram is not opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// It is none of the forms of a sealed cluster.
    #[error("the datagram is of no sealed form")]
    Form,
    /// Its length is not that of its form.
    #[error("the datagram has not the length of its form")]
    Length,
    /// It is of another generation than the keys.
    #[error("the datagram is of another generation")]
    Generation,
    /// It was not made with the keys, or was changed.
    #[error("the datagram is forged or damaged, or of another cluster")]
    Forged,
    /// It came before.
    #[error(transparent)]
    Replayed(#[from] ReplayError),
}

/// The clear front of a datagram. Anybody can write it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Its form.
    pub form: Form,
    /// The lowest byte of the number of its generation.
    pub generation: u8,
    /// The sender that it claims; not in a pong, whose tag tells which node was asked.
    pub sender: Option<NodeId>,
    /// Its counter, in sealed messages and digests.
    pub counter: Option<Counter>,
    /// The lowest bytes of its counter, in pings.
    pub counter_low: Option<[u8; 3]>,
}

impl Header {
    /// Reads the front of a datagram.
    ///
    /// # Errors
    /// It is of no sealed form, or has not the length of its form.
    pub fn read(datagram: &[u8]) -> Result<Self, OpenError> {
        let form = datagram.first().and_then(|byte| Form::of(*byte)).ok_or(OpenError::Form)?;
        if !form.has_length(datagram.len()) {
            return Err(OpenError::Length);
        }
        let mut reader = Reader::new("the datagram", &datagram[1..]);
        let mut header = || {
            let generation = reader.u8()?;
            let mut header =
                Self { form, generation, sender: None, counter: None, counter_low: None };
            if form != Form::Pong {
                header.sender = Some(NodeId(reader.u64()?));
            }
            match form {
                Form::Sealed | Form::Digest => header.counter = Some(Counter::read(&mut reader)?),
                Form::Ping => header.counter_low = Some(reader.array()?),
                Form::Pong => {}
            }
            Ok(header)
        };
        header().map_err(|_: crate::DecodeError| OpenError::Length)
    }
}
