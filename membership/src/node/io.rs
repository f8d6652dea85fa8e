//! What goes into a [`Node`](crate::Node) and what comes out: the seam between the protocol and the world.

use std::net::SocketAddr;
use std::time::Duration;

use crate::base::identity::{Epoch, NodeId};
use crate::base::io::{self, StreamId, TcpProbeId};
use crate::catalog::record::{Key, Value};
use crate::liveness::detector::Verdict;
use crate::node::view::{Change, MemberChange};

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
    /// The TCP handshake of an `Output::TcpProbe` was completed. Refusals and timeouts are not reported; a firewall can
    /// cause either.
    TcpProbeAnswered {
        /// Which.
        tcp_probe: TcpProbeId,
    },
    /// Write records of our own. All of them become one step for every reader here.
    Write(Vec<(Key, Option<Value>)>),
    /// Say hello at these gossip addresses until somebody answers. They are added to those already known.
    Join(Vec<SocketAddr>),
    /// A node does not come back: drop its records here and, where it is not an active member, everywhere.
    ForceLeave(NodeId),
    /// Leave the cluster for good; [`Event::Left`] follows when everybody reachable has been told.
    Leave,
    /// The time that [`Node::next_deadline`](crate::Node::next_deadline) asked for has come.
    Deadline,
}

/// Something that a node wants done or known.
pub type Output = io::Output<Event>;

/// Something that the owner of a node may want to know.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Event {
    /// An instance appeared, changed or went.
    Instance(Change),
    /// A member appeared, changed or went.
    Member(MemberChange),
    /// Somebody answered our hello.
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
    EpochRaised(Epoch),
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
    /// A peer declared us down; we refute it.
    CalledDown(Verdict),
    /// All whom we watch answer by stream, and not by datagram: something between drops datagrams. All goes on, but news
    /// come later.
    DatagramsBlocked,
    /// Datagrams are answered again, or those whom we watch are gone.
    DatagramsPass,
    /// A [`Input::Leave`] is complete.
    Left,
}
