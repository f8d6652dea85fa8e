//! What goes into a [`Node`](crate::Node) and what comes out: the seam between the protocol and the world.

use std::net::SocketAddr;
use std::time::Duration;

use crate::base::identity::NodeId;
use crate::catalog::record::{Key, Value};
use crate::liveness::detector::Verdict;
use crate::node::view::{Change, MemberChange};

/// One stream between two nodes: ordered, reliable, carrying frames in both directions.
///
/// A node numbers the streams that it opens, its transport those that it accepts; the transport sets
/// [`StreamId::ACCEPTED`] in its numbers, so that the two never meet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
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

/// Which touch it is: the member whose host is asked, and the nonce of the indirect_probe, so that an answer that comes after
/// the end of that indirect_probe counts for no other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TcpProbeId {
    /// The member.
    pub node: NodeId,
    /// Drawn for the indirect_probe.
    pub nonce: [u8; 4],
}

/// Something that happened to a node.
#[derive(Clone, Debug)]
pub enum Input<'a> {
    /// A datagram arrived on the gossip socket.
    Datagram {
        /// The address that the network claims it came from.
        from: SocketAddr,
        /// Its payload.
        bytes: &'a [u8],
    },
    /// A peer opened a stream.
    StreamAccepted {
        /// Its number, made by [`StreamId::accepted`].
        stream: StreamId,
    },
    /// A whole frame arrived on a stream.
    StreamFrame {
        /// The stream.
        stream: StreamId,
        /// The frame, without its length prefix.
        bytes: &'a [u8],
    },
    /// The transport wrote one frame of those it was given. A node never has more than
    /// [`MAX_FRAMES_IN_FLIGHT`](crate::base::limits::MAX_FRAMES_IN_FLIGHT) on their way.
    StreamWritten {
        /// The stream.
        stream: StreamId,
    },
    /// A stream is over: finished by the peer, failed, or never established. Nothing else follows on it.
    StreamClosed {
        /// The stream.
        stream: StreamId,
    },
    /// The TCP handshake of an [`Output::TcpProbe`] was completed. That one was refused, or that nobody answered it, is not
    /// told: it means nothing, since a firewall may have seen to it.
    TcpProbeAnswered {
        /// Which.
        tcp_probe: TcpProbeId,
    },
    /// Write records of our own. All of them become one step for every reader here.
    Write(Vec<(Key, Option<Value>)>),
    /// StreamProbe at these gossip addresses until somebody answers; added to those already known.
    Join(Vec<SocketAddr>),
    /// A node does not come back: drop its records here and, where it is not an active member, everywhere.
    ForceLeave(NodeId),
    /// Leave the cluster for good; [`Event::Left`] follows when everybody reachable has been told.
    Leave,
    /// The time that [`Node::next_deadline`](crate::Node::next_deadline) asked for has come.
    Deadline,
}

/// Something that a node wants done or known.
#[derive(Clone, Debug)]
pub enum Output {
    /// Send a datagram from the gossip socket.
    Datagram {
        /// The receiver.
        to: SocketAddr,
        /// The payload, at most [`MAX_DATAGRAM_BYTES`](crate::base::limits::MAX_DATAGRAM_BYTES).
        bytes: Vec<u8>,
    },
    /// Open a stream to a peer's sync address. Frames may follow at once; a failure is told by
    /// [`Input::StreamClosed`].
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
    /// Drop the stream at once, in both directions. No [`Input::StreamClosed`] follows.
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
    /// Something that the node's owner may want to know.
    Event(Event),
}

/// Something that the owner of a node may want to know.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Event {
    /// An instance appeared, changed or went.
    Instance(Change),
    /// A member appeared, changed or went.
    Member(MemberChange),
    /// Somebody answered our knock.
    Welcomed {
        /// The address that the answer came from.
        by: SocketAddr,
    },
    /// An operator declared a node gone for good: its records are dropped.
    ForceLeft {
        /// The node.
        node: NodeId,
        /// Who told us; ourselves when the operator did.
        told_by: NodeId,
    },
    /// We hear at least one other member.
    Connected,
    /// We hear nobody: perhaps we are the one that is cut off.
    Isolated,
    /// The epoch of this node was raised; it must be persisted before the next start.
    EpochRaised(crate::Epoch),
    /// Another agent runs under our node id: a data directory was copied. It gives way to us.
    DuplicateNodeId {
        /// Where the other one takes gossip.
        address: SocketAddr,
    },
    /// Another agent runs under our node id, and we give way to it: we are silent until it is gone.
    GaveWay {
        /// Where the other one takes gossip.
        to: SocketAddr,
    },
    /// The agent that we gave way to is gone: we speak again.
    Resumed,
    /// Datagrams of another cluster come from this address; told once for each.
    OtherCluster {
        /// Where they come from.
        address: SocketAddr,
    },
    /// Our own loop came so late: the process, or its host, stood still. Told when others may have noticed.
    StoodStill(Duration),
    /// Somebody holds us down; we contradict.
    CalledDown(Verdict),
    /// All whom we watch answer by stream, and not by datagram: something between drops datagrams. All goes on, but news
    /// come later.
    DatagramsBlocked,
    /// Datagrams are answered again, or those whom we watch are gone.
    DatagramsPass,
    /// A [`Input::Leave`] is complete.
    Left,
}
