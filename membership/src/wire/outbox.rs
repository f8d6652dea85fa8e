//! Actions and facts that one part of a node puts out, in order, with messages and frames encoded. The node closes the
//! envelope around the messages of each datagram.

use std::collections::VecDeque;
use std::net::SocketAddr;

use super::{Envelope, Frame, Message, Packed};
use crate::base::cluster::ClusterMark;
use crate::base::counters::Counters;
use crate::base::identity::{Identity, NodeId};
use crate::base::io::{Output, StreamId, TcpProbeId};

/// The outputs of a part of a node, until the node takes them. `F` is what the part tells the node.
#[derive(Debug)]
pub(crate) struct Outbox<F> {
    envelope: Envelope,
    queue: VecDeque<Output<F, Packed>>,
    /// The counters of the part.
    pub(crate) counters: Counters,
}

impl<F> Outbox<F> {
    /// An empty outbox. Its datagrams are closed with this envelope.
    pub(crate) fn new(envelope: Envelope) -> Self {
        Self { envelope, queue: VecDeque::new(), counters: Counters::default() }
    }

    /// The mark of our cluster, which frames carry.
    pub(crate) fn mark(&self) -> ClusterMark {
        self.envelope.cluster().mark()
    }

    /// Bytes that the body of one message may take in a datagram of its own.
    pub(crate) fn body_bytes(&self) -> usize {
        self.envelope.body_bytes()
    }

    /// Bytes that the messages of a datagram may take.
    pub(crate) fn messages_bytes(&self) -> usize {
        self.envelope.messages_bytes()
    }

    /// The oldest output.
    pub(crate) fn poll(&mut self) -> Option<Output<F, Packed>> {
        self.queue.pop_front()
    }

    /// Tells the node something.
    pub(crate) fn tell(&mut self, fact: F) {
        self.queue.push_back(Output::Event(fact));
    }

    /// Sends a message in a datagram of its own, and returns how many bytes that takes.
    pub(crate) fn send(&mut self, to: SocketAddr, message: &Message) -> usize {
        let Some(packed) = self.pack_one(message) else { return 0 };
        let len = self.datagram_bytes(&packed);
        self.send_packed(to, packed);
        len
    }

    /// The same for a message that only this member has a use for. That allows the shortest form.
    pub(crate) fn send_to(&mut self, to: SocketAddr, receiver: NodeId, message: &Message) -> usize {
        let Some(packed) = self.pack_for(receiver, message) else { return 0 };
        let len = self.datagram_bytes(&packed);
        self.send_packed(to, packed);
        len
    }

    /// A message for one member, for a datagram of its own.
    pub(crate) fn pack_for(&mut self, receiver: NodeId, message: &Message) -> Option<Packed> {
        self.pack_one(message).map(|packed| packed.for_receiver(receiver))
    }

    /// A message for a datagram of its own.
    pub(crate) fn pack_one(&mut self, message: &Message) -> Option<Packed> {
        let mut packed = Packed::default();
        if packed.push(message, self.envelope.messages_bytes()).is_err() {
            self.counters.encoding_errors += 1;
            return None;
        }
        Some(packed)
    }

    /// Packs messages into as few datagrams as hold them.
    pub(crate) fn pack(&mut self, messages: Vec<Message>) -> Vec<Packed> {
        let room = self.envelope.messages_bytes();
        let mut full = Vec::new();
        let mut packed = Packed::default();
        for message in messages {
            if packed.push(&message, room).is_err() {
                full.push(std::mem::take(&mut packed));
                if packed.push(&message, room).is_err() {
                    self.counters.encoding_errors += 1;
                }
            }
        }
        full.push(packed);
        full.retain(|packed| !packed.is_empty());
        full
    }

    /// Bytes of the datagram of these messages.
    pub(crate) fn datagram_bytes(&self, packed: &Packed) -> usize {
        self.envelope.datagram_bytes(packed)
    }

    /// Sends packed messages.
    pub(crate) fn send_packed(&mut self, to: SocketAddr, packed: Packed) {
        self.queue.push_back(Output::Datagram { to, bytes: packed });
    }

    /// Opens a stream to a peer.
    pub(crate) fn open(&mut self, stream: StreamId, peer: &Identity) {
        let to = peer.sync_addr();
        self.queue.push_back(Output::OpenStream { stream, to, peer: peer.node_id });
    }

    /// Sends a frame, and returns how many bytes it has; `None` when it cannot be encoded.
    pub(crate) fn send_frame(&mut self, stream: StreamId, frame: &Frame) -> Option<usize> {
        let Ok(bytes) = frame.encode() else {
            self.counters.encoding_errors += 1;
            return None;
        };
        let len = bytes.len();
        self.counters.frame_bytes_sent += len as u64;
        self.queue.push_back(Output::StreamFrame { stream, bytes });
        Some(len)
    }

    /// Ends our half of a stream.
    pub(crate) fn finish(&mut self, stream: StreamId) {
        self.queue.push_back(Output::FinishStream { stream });
    }

    /// Drops a stream.
    pub(crate) fn reset(&mut self, stream: StreamId) {
        self.queue.push_back(Output::ResetStream { stream });
    }

    /// Puts out what needs no encoding.
    pub(crate) fn put(&mut self, output: Output<F, Packed>) {
        self.queue.push_back(output);
    }

    /// Probes the host of a member by TCP.
    pub(crate) fn probe_tcp(&mut self, to: SocketAddr, node: NodeId, nonce: [u8; 4]) {
        let tcp_probe = TcpProbeId { node, nonce };
        self.queue.push_back(Output::TcpProbe { to, tcp_probe });
    }
}
