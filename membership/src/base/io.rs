//! The vocabulary between the protocol and its transport: streams, TCP connections, and the outputs of a node.

use std::net::SocketAddr;

use crate::base::identity::NodeId;

/// One stream between two nodes: ordered, reliable, carrying frames in both directions.
///
/// A node numbers the streams that it opens, and its transport numbers those that it accepts. The transport sets
/// [`StreamId::ACCEPTED`] in its numbers, so that no two streams have the same number.
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

    /// Whether the peer opened this stream.
    #[must_use]
    pub const fn is_accepted(self) -> bool {
        self.0 & Self::ACCEPTED != 0
    }
}

/// The numbers of the streams that one part of a node opens. Each part takes every `step`th number and begins with a
/// different one, so that no two parts use the same number.
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

/// Names one TCP probe by its target and the nonce of its indirect probe. Because of the nonce, a late answer counts
/// for no other indirect probe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TcpProbeId {
    /// The member whose host is probed.
    pub node: NodeId,
    /// The nonce of the indirect probe.
    pub nonce: [u8; 4],
}

/// Names one held connection: an idle TCP connection to a member that this node watches. The kernel of the member closes
/// it when the process of the member ends, however it ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HoldId(pub u64);

/// How a held connection ended, or that it was never held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HoldEnd {
    /// The member closed it (FIN) without a goodbye.
    Closed,
    /// It was reset without a goodbye. A router on the way can do that, too.
    Reset,
    /// The member said goodbye: it stops as planned, or gave the place to another.
    Goodbye,
    /// It was never held, or this host ended it. That tells nothing of the member.
    Failed,
}

/// Names one attempt to reach a member's process: the member, and the nonce of the exit case that asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReachId {
    /// The member.
    pub node: NodeId,
    /// The nonce of the exit case. A late outcome counts for no other case.
    pub nonce: [u8; 4],
}

/// The outcome of an attempt to reach a member's process by TCP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReachOutcome {
    /// The kernel of the member refused the connection: nobody listens there.
    Refused,
    /// The connection stayed open for [`REACH_STAYS_OPEN`](crate::base::limits::REACH_STAYS_OPEN): the process lives.
    Open,
    /// The connection was made, and was over before that. The kernel makes connections for a process that is dying.
    Dropped,
    /// Nothing came back in time.
    Silent,
    /// This host could not try: no route, no descriptor, no memory. That tells nothing of the member.
    LocalError,
}

/// Something that a node, or a part of it, wants done. `E` is the type of its events. `D` is the payload of its
/// datagrams: the parts of a node put out messages, and the node closes the envelope around them.
#[derive(Clone, Debug)]
pub enum Output<E, D = Vec<u8>> {
    /// Send a datagram from the gossip socket.
    Datagram {
        /// The receiver.
        to: SocketAddr,
        /// The payload, at most [`MAX_DATAGRAM_BYTES`](crate::base::limits::MAX_DATAGRAM_BYTES) with its envelope.
        bytes: D,
    },
    /// Open a stream to a peer's sync address. Frames may follow at once. The transport reports a failure by
    /// [`Input::StreamClosed`](crate::Input::StreamClosed).
    OpenStream {
        /// The number of the stream.
        stream: StreamId,
        /// The peer's sync address.
        to: SocketAddr,
        /// The node expected there.
        peer: NodeId,
    },
    /// Ask at a gossip address, by TCP, for the sync port of the member there, and open a stream to it, whoever it is. An address
    /// by itself proves nothing, so only a node of a sealed cluster does this.
    OpenStreamAt {
        /// The number of the stream.
        stream: StreamId,
        /// The gossip address.
        to: SocketAddr,
    },
    /// Send a frame on a stream.
    StreamFrame {
        /// The stream.
        stream: StreamId,
        /// The frame, at most [`MAX_FRAME_BYTES`](crate::base::limits::MAX_FRAME_BYTES).
        bytes: Vec<u8>,
    },
    /// Finish our side of the stream: no frame of ours follows, and frames sent before are still delivered.
    FinishStream {
        /// The stream.
        stream: StreamId,
    },
    /// Drop the stream at once, in both directions. No [`Input::StreamClosed`](crate::Input::StreamClosed) follows.
    ResetStream {
        /// The stream.
        stream: StreamId,
    },
    /// Open a TCP connection, send nothing, and drop the connection at once. The kernel completes the handshake for a
    /// process that stalls, and refuses it for a process that is gone.
    TcpProbe {
        /// The gossip address of the member, for TCP.
        to: SocketAddr,
        /// The probe that an answer is for.
        tcp_probe: TcpProbeId,
    },
    /// Connect by TCP to a member and hold the connection until [`Output::Release`]. The transport tells by
    /// [`Input::Held`](crate::Input::Held) that the member holds it, too, and by
    /// [`Input::HoldEnded`](crate::Input::HoldEnded) that it is over or was never held.
    Hold {
        /// The number of the connection.
        hold: HoldId,
        /// The gossip address of the member, for TCP.
        to: SocketAddr,
        /// The node expected there.
        peer: NodeId,
    },
    /// Drop a held connection. No [`Input::HoldEnded`](crate::Input::HoldEnded) follows.
    Release {
        /// The connection.
        hold: HoldId,
    },
    /// Connect by TCP to a member, see whether the connection stays open, and drop it. One
    /// [`Input::Reached`](crate::Input::Reached) follows.
    Reach {
        /// The gossip address of the member, for TCP.
        to: SocketAddr,
        /// The attempt.
        reach: ReachId,
    },
    /// An event, from a node to its owner, or from a part of a node to the node.
    Event(E),
}

impl<E, D> Output<E, D> {
    /// Separates work for the transport (`Ok`) from an event (`Err`). Each datagram is closed with `close`; there is no work if
    /// that fails.
    pub(crate) fn split<F, C>(
        self,
        close: impl FnOnce(D) -> Option<C>,
    ) -> Result<Option<Output<F, C>>, E> {
        Ok(Some(match self {
            Self::Datagram { to, bytes } => match close(bytes) {
                Some(bytes) => Output::Datagram { to, bytes },
                None => return Ok(None),
            },
            Self::OpenStream { stream, to, peer } => Output::OpenStream { stream, to, peer },
            Self::OpenStreamAt { stream, to } => Output::OpenStreamAt { stream, to },
            Self::StreamFrame { stream, bytes } => Output::StreamFrame { stream, bytes },
            Self::FinishStream { stream } => Output::FinishStream { stream },
            Self::ResetStream { stream } => Output::ResetStream { stream },
            Self::TcpProbe { to, tcp_probe } => Output::TcpProbe { to, tcp_probe },
            Self::Hold { hold, to, peer } => Output::Hold { hold, to, peer },
            Self::Release { hold } => Output::Release { hold },
            Self::Reach { to, reach } => Output::Reach { to, reach },
            Self::Event(event) => return Err(event),
        }))
    }
}
