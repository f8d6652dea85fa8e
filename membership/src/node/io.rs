//! The inputs and outputs of a [`Node`](crate::Node): the seam between the protocol and the world.

use std::net::SocketAddr;
use std::time::Duration;

use hobnob_keys::{Generation, PublicKey, SignedCommand, Succession};

use crate::base::datacenter::DatacenterId;
use crate::base::identity::{Epoch, Identity, NodeId};
use crate::base::io::{self, HoldEnd, HoldId, ReachId, ReachOutcome, StreamId, TcpProbeId};
use crate::base::time::Time;
use crate::catalog::record::Text;
use crate::liveness::detector::{LinkEnd, Verdict};
use crate::node::losses::MassLoss;
use crate::node::view::{Change, MemberChange};
use crate::quorum::{self, Chain, OpId, Outcome};
use crate::requests::{RequestError, RequestId};
use crate::spread::confirming::Confirmation;

/// Something that happened to a node.
#[derive(Clone, Debug)]
pub enum Input<'a> {
    /// A datagram arrived on the gossip socket.
    Datagram {
        /// The source address of the datagram, which may be forged.
        from: SocketAddr,
        /// The payload of the datagram.
        bytes: &'a [u8],
    },
    /// A peer opened a stream.
    StreamAccepted {
        /// The stream, with an id made by [`StreamId::accepted`].
        stream: StreamId,
    },
    /// An agent answered at the gossip address of an `Output::OpenStreamAt`. The stream is secured later, or over.
    StreamAnswered {
        /// The stream.
        stream: StreamId,
    },
    /// A stream of a sealed cluster, opened by either side, is secured: both sides have proved their keys by TLS. No frame passes
    /// in either direction before.
    StreamSecured {
        /// The stream.
        stream: StreamId,
        /// The public key that the peer proved.
        peer: PublicKey,
        /// Bytes that both sides export from the TLS session, and that no other session has.
        binding: [u8; 32],
        /// The wall clock of this node, in ms since 1970.
        wall_ms: u64,
    },
    /// A whole frame arrived on a stream.
    StreamFrame {
        /// The stream.
        stream: StreamId,
        /// The frame, without its length prefix.
        bytes: &'a [u8],
    },
    /// The transport wrote one frame of those that it was given. A session never has more than
    /// [`MAX_FRAMES_IN_FLIGHT`](crate::base::limits::MAX_FRAMES_IN_FLIGHT) frames that are not written yet.
    StreamWritten {
        /// The stream.
        stream: StreamId,
    },
    /// A stream is over: the peer finished it, it failed, or it was never established. Nothing else follows on the
    /// stream.
    StreamClosed {
        /// The stream.
        stream: StreamId,
    },
    /// The TCP handshake of an `Output::TcpProbe` was completed. Refusals and timeouts are not reported; a firewall can
    /// cause either.
    TcpProbeAnswered {
        /// The probe that was answered.
        tcp_probe: TcpProbeId,
    },
    /// A connection of an `Output::Hold` is held by both sides.
    Held {
        /// The connection.
        hold: HoldId,
    },
    /// A connection of an `Output::Hold` is over, or was never held. Nothing else follows on it.
    HoldEnded {
        /// The connection.
        hold: HoldId,
        /// How it ended.
        end: HoldEnd,
    },
    /// An `Output::Reach` is done.
    Reached {
        /// The attempt.
        reach: ReachId,
        /// Its outcome.
        outcome: ReachOutcome,
    },
    /// Say hello at these gossip addresses until the node has joined. They are added to the known seeds.
    Join(Vec<SocketAddr>),
    /// Look for other datacenters at these gossip addresses, until a member of one answers at each.
    JoinWan(Vec<SocketAddr>),
    /// Isolate another datacenter from ours, or end that. It holds for all members of our datacenter. The caller judges whether
    /// the order counts.
    Isolate {
        /// The other datacenter.
        datacenter: DatacenterId,
        /// Whether it is isolated from now on.
        is_isolated: bool,
        /// Whether it is gone for good: its members and their records are forgotten, until it is isolated no more.
        forgets: bool,
    },
    /// Force a node to leave: drop its records here and, where it is not an active member, everywhere.
    ///
    /// In a sealed cluster the order has to pass [`Node::check_order`](crate::Node::check_order); else it is ignored, and counted.
    ForceLeave {
        /// The node.
        node: NodeId,
        /// The signed command of an operator. A clear cluster needs none.
        order: Option<SignedCommand>,
    },
    /// Go over to a generation that an operator ordered. One that does not count is ignored, and counted.
    Rotate(Generation),
    /// Revoke what an operator ordered to revoke. A command that does not count is ignored, and counted.
    Revoke(SignedCommand),
    /// Trust both CA keys of a succession. One that does not count is ignored, and counted.
    Succeed(Succession),
    /// Ask all active members which keys they hold, a few at a time. What is known is told by
    /// [`Node::key_status`](crate::Node::key_status). Each member is also given what it lacks.
    Survey,
    /// Answer the request of another member, if it still waits.
    Answer {
        /// The request, as [`Event::Requested`] named it.
        request: RequestId,
        /// The answer, at most [`MAX_REQUEST_BYTES`](crate::limits::MAX_REQUEST_BYTES).
        bytes: Vec<u8>,
    },
    /// Leave the cluster for good. [`Event::Left`] follows after some rounds of telling the members.
    Leave,
    /// The time of [`Node::next_deadline`](crate::Node::next_deadline) has come.
    Deadline,
}

/// Something that a node wants its driver to do, or an event.
pub type Output = io::Output<Event>;

/// Something that the owner of a node may want to know.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Event {
    /// An instance appeared, changed or is gone.
    Instance(Change),
    /// A member appeared or changed.
    Member(MemberChange),
    /// Two members or more were lost within two seconds of each other, and for two seconds no more were. Each of them
    /// was told as [`Event::Member`] before. See [`is_probably_a_cut`](crate::is_probably_a_cut). A node that lost all
    /// of them is isolated, and tells that instead.
    LostTogether {
        /// The members.
        nodes: Vec<NodeId>,
        /// The number of members before, this one included.
        of: usize,
        /// The number of the lost members whose processes are known to have exited. A cut ends no process.
        exited: usize,
    },
    /// Members of a mass loss are back, or gone for good, and for two seconds no more were.
    BackTogether {
        /// The mass loss, as it is now.
        loss: MassLoss,
        /// The time since the first of them was lost.
        lost_for: Duration,
    },
    /// Another living member has had this node's name for some time. Each is told once while it is known.
    NameConflict {
        /// The other member.
        other: Identity,
    },
    /// A node under the name of our own datacenter answers where another datacenter was looked for, and is no member of our pool. The two
    /// stay apart. Each address is told once.
    SameDatacenter {
        /// The address.
        address: SocketAddr,
    },
    /// The members of our own datacenter are farther away than those of one network: it was probably joined over a WAN. Told once at most.
    FarPool {
        /// The median round trip to the members that this node watches.
        round_trip: Duration,
    },
    /// A node of another datacenter answers where our own pool was to be joined. It is taken for a place to find that datacenter at.
    OtherDatacenter {
        /// The address.
        address: SocketAddr,
        /// The name of its datacenter.
        name: Text,
    },
    /// A datacenter is out of reach. Its members go on as they were last known.
    DatacenterUnreachable {
        /// The name of the datacenter.
        name: Text,
        /// The datacenter.
        datacenter: DatacenterId,
        /// Since when nobody here has heard of it, or since when we know.
        since: Time,
    },
    /// A datacenter is back in reach.
    DatacenterReachable {
        /// The name of the datacenter.
        name: Text,
        /// The datacenter.
        datacenter: DatacenterId,
    },
    /// An operator isolated a datacenter from ours. Nothing is sent there, and nothing of it is taken.
    DatacenterIsolated {
        /// The name of the datacenter; empty while no member of it is known.
        name: Text,
        /// The datacenter.
        datacenter: DatacenterId,
        /// The member at which the operator gave the order.
        by: NodeId,
    },
    /// An operator ended the isolation of a datacenter.
    DatacenterRejoined {
        /// The name of the datacenter; empty while no member of it is known.
        name: Text,
        /// The datacenter.
        datacenter: DatacenterId,
        /// The member at which the operator gave the order.
        by: NodeId,
    },
    /// More than half of all datacenters went out of reach within two seconds: ours is probably cut off. Each of them was told as
    /// [`Event::DatacenterUnreachable`], too.
    CutOff {
        /// The names of the datacenters.
        lost: Vec<Text>,
        /// The number of datacenters before, ours included.
        of: usize,
    },
    /// A node answered our hello.
    Welcomed {
        /// The address that the answer came from.
        by: SocketAddr,
    },
    /// An operator forced a node to leave: its records are dropped.
    ForceLeft {
        /// The node that was forced to leave.
        node: NodeId,
        /// The node that told us; this node if the operator did.
        told_by: NodeId,
    },
    /// We hear at least one other member.
    Connected,
    /// We hear no other member, and may be the one that is cut off.
    Isolated,
    /// The epoch of this node was raised. It must be persisted before the next start.
    EpochRaised(Epoch),
    /// A duplicate of this node runs, as when a data directory was copied. The duplicate gives way to us.
    DuplicateNodeId {
        /// The gossip address of the duplicate.
        address: SocketAddr,
    },
    /// A duplicate of this node runs, and we give way to it: we are silent until it is gone.
    GaveWay {
        /// The gossip address of the duplicate.
        to: SocketAddr,
    },
    /// The duplicate that we gave way to is gone, and our silence ends.
    Resumed,
    /// Datagrams of another cluster come from this address. Each address is told once.
    OtherCluster {
        /// The source address of the datagrams.
        address: SocketAddr,
    },
    /// Datagrams in the clear come from this address, and this cluster is sealed; or sealed ones, and it is clear. Each address is
    /// told once.
    OtherSealing {
        /// The source address of the datagrams.
        address: SocketAddr,
        /// Whether the datagrams are sealed.
        is_sealed: bool,
    },
    /// The generations, the revocations or the certificates that this node knows changed. They must be persisted.
    KeysChanged,
    /// A member did not let this node in, for this reason.
    Refused {
        /// The reason, in words for people.
        reason: String,
    },
    /// This node was revoked. No member takes anything of it any more.
    Revoked,
    /// Our own loop stalled for this long, as when the process or its host was paused. Told only of a stall so long
    /// that peers may suspect us.
    Stalled(Duration),
    /// A peer declared us down; we refute it.
    DeclaredDown(Verdict),
    /// All members that we watch answer by stream, and none by datagram: something on the way drops datagrams. The node
    /// goes on by streams, so changes arrive later.
    DatagramsBlocked,
    /// A member that we watch answers by datagram again, or we watch no member any more.
    DatagramsPass,
    /// Our own link to a member is broken: the member has not answered us for five seconds, and others hear it. Told of
    /// members that this node watches.
    LinkBroken {
        /// The member.
        node: NodeId,
    },
    /// A broken link ended.
    LinkEnded {
        /// The member.
        node: NodeId,
        /// How.
        end: LinkEnd,
    },
    /// A confirmation that [`Node::confirm`](crate::Node::confirm) began is over: the members have applied the records, or they
    /// have not in time.
    Confirmation(Confirmation),
    /// A living member asks something of the owner of this node. [`Input::Answer`] answers it.
    Requested {
        /// The request.
        request: RequestId,
        /// The member. In a sealed cluster it has proved that it is this one.
        from: NodeId,
        /// The request as the owner of that member wrote it, at most
        /// [`MAX_REQUEST_BYTES`](crate::limits::MAX_REQUEST_BYTES).
        bytes: Vec<u8>,
    },
    /// A request that [`Node::request`](crate::Node::request) began is over.
    Answered {
        /// The request.
        request: RequestId,
        /// The answer of the owner of the other member, or why there is none.
        result: Result<Vec<u8>, RequestError>,
    },
    /// Changes of what this node keeps as a voter, to be made durable. [`Node::strong_stored`](crate::Node::strong_stored) with this ticket
    /// follows, or [`Node::strong_failed`](crate::Node::strong_failed). No further changes come before.
    StrongStore {
        /// The number of the write.
        ticket: u64,
        /// The changes, in their order.
        changes: Vec<quorum::Change>,
    },
    /// A strong operation of this node is over.
    StrongDone {
        /// The operation.
        op: OpId,
        /// Its outcome.
        outcome: Outcome,
    },
    /// Something new is known of the voters.
    Voters(Chain),
    /// An [`Input::Leave`] is complete.
    Left,
}
