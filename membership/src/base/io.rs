//! Streams, probes, and what is to be done with them: the vocabulary between the protocol and its transport.

use std::net::SocketAddr;

use crate::base::identity::NodeId;

/// One stream between two nodes: ordered, reliable, carrying frames in both directions.
///
/// A node numbers the streams that it opens, its transport those that it accepts; the transport sets
/// [`StreamId::ACCEPTED`] in its numbers, so that the two never meet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamId(pub u64);

impl StreamId {
    /// The bit that marks a stream opened by the peer.
    pub const ACCEPTED: u64 = 1 << 63;

    /// The `n`th stream that a transport accepted.
    #[must_use]
    pub const fn accepted(n: u64) -> Self {
        Self(n | Self::ACCEPTED)
    }

    /// Whether the peer opened it.
    #[must_use]
    pub const fn is_accepted(self) -> bool {
        self.0 & Self::ACCEPTED != 0
    }
}

/// The numbers of the streams that one part of a node opens. Parts that take every `step`th number from different ones on
/// never name the same stream.
#[derive(Debug)]
pub(crate) struct StreamNumbers {
    next: u64,
    step: u64,
}

impl StreamNumbers {
    pub(crate) const fn new(first: u64, step: u64) -> Self {
        Self { next: first, step }
    }

    pub(crate) fn take(&mut self) -> StreamId {
        let stream = StreamId(self.next);
        self.next += self.step;
        stream
    }
}

/// Names one TCP probe: the member whose host is asked, and the nonce of the indirect probe that wants to know. A late
/// answer counts for no other probe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TcpProbeId {
    /// The member.
    pub node: NodeId,
    /// Drawn for the indirect probe.
    pub nonce: [u8; 4],
}

/// Something that a node, or a part of it, wants done. `E` is what it tells beside.
#[derive(Clone, Debug)]
pub enum Output<E> {
    /// Send a datagram from the gossip socket.
    Datagram {
        /// The receiver.
        to: SocketAddr,
        /// The payload, at most [`MAX_DATAGRAM_BYTES`](crate::base::limits::MAX_DATAGRAM_BYTES).
        bytes: Vec<u8>,
    },
    /// Open a stream to a peer's sync address. Frames may follow at once; a failure is told by
    /// [`Input::StreamClosed`](crate::Input::StreamClosed).
    OpenStream {
        /// Its number.
        stream: StreamId,
        /// The peer's sync address.
        to: SocketAddr,
        /// The node expected there.
        peer: NodeId,
    },
    /// Send a frame on a stream.
    StreamFrame {
        /// The stream.
        stream: StreamId,
        /// The frame, at most [`MAX_FRAME_BYTES`](crate::base::limits::MAX_FRAME_BYTES).
        bytes: Vec<u8>,
    },
    /// No frame of ours follows; what was sent is still delivered.
    FinishStream {
        /// The stream.
        stream: StreamId,
    },
    /// Drop the stream at once, in both directions. No [`Input::StreamClosed`](crate::Input::StreamClosed) follows.
    ResetStream {
        /// The stream.
        stream: StreamId,
    },
    /// Open a TCP connection, on which nothing is said, and drop it at once. The kernel completes the handshake for a
    /// listener whose process stands still, and refuses it for one that is gone.
    TcpProbe {
        /// Where: the gossip address, by TCP.
        to: SocketAddr,
        /// Which.
        tcp_probe: TcpProbeId,
    },
    /// Something to tell: a node tells its owner, a part of a node tells the node.
    Event(E),
}

impl<E> Output<E> {
    /// Parts what the transport does from what is told.
    pub(crate) fn split<F>(self) -> Result<Output<F>, E> {
        Ok(match self {
            Self::Datagram { to, bytes } => Output::Datagram { to, bytes },
            Self::OpenStream { stream, to, peer } => Output::OpenStream { stream, to, peer },
            Self::StreamFrame { stream, bytes } => Output::StreamFrame { stream, bytes },
            Self::FinishStream { stream } => Output::FinishStream { stream },
            Self::ResetStream { stream } => Output::ResetStream { stream },
            Self::TcpProbe { to, tcp_probe } => Output::TcpProbe { to, tcp_probe },
            Self::Event(event) => return Err(event),
        })
    }
}
