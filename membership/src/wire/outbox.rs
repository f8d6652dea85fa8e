//! Actions and facts that one part of a node puts out, in order, with messages and frames encoded.

use std::collections::VecDeque;
use std::net::SocketAddr;

use super::{DatagramBuilder, Envelope, Frame, Message};
use crate::base::cluster::ClusterMark;
use crate::base::counters::Counters;
use crate::base::identity::{Identity, NodeId};
use crate::base::io::{Output, StreamId, TcpProbeId};

/// The outputs of a part of a node, until the node takes them. `F` is what the part tells the node.
#[derive(Debug)]
pub(crate) struct Outbox<F> {
    envelope: Envelope,
    queue: VecDeque<Output<F>>,
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

    /// The oldest output.
    pub(crate) fn poll(&mut self) -> Option<Output<F>> {
        self.queue.pop_front()
    }

    /// Tells the node something.
    pub(crate) fn tell(&mut self, fact: F) {
        self.queue.push_back(Output::Event(fact));
    }

    /// Sends a message in a datagram of its own, and returns how many bytes that took.
    pub(crate) fn send(&mut self, to: SocketAddr, message: &Message) -> usize {
        let Some(bytes) = self.seal(message) else { return 0 };
        let len = bytes.len();
        self.send_datagram(to, bytes);
        len
    }

    /// A message as a datagram of its own.
    pub(crate) fn seal(&mut self, message: &Message) -> Option<Vec<u8>> {
        let mut datagram = DatagramBuilder::new(self.envelope);
        if datagram.push(message).is_err() {
            self.counters.encoding_errors += 1;
            return None;
        }
        Some(datagram.finish())
    }

    /// Packs messages into as few datagrams as hold them.
    pub(crate) fn pack(&mut self, messages: Vec<Message>) -> Vec<Vec<u8>> {
        let mut datagrams = Vec::new();
        let mut datagram = DatagramBuilder::new(self.envelope);
        for message in messages {
            if datagram.push(&message).is_err() {
                let full = std::mem::replace(&mut datagram, DatagramBuilder::new(self.envelope));
                datagrams.push(full.finish());
                if datagram.push(&message).is_err() {
                    self.counters.encoding_errors += 1;
                }
            }
        }
        if !datagram.is_empty() {
            datagrams.push(datagram.finish());
        }
        datagrams
    }

    /// Sends a finished datagram.
    pub(crate) fn send_datagram(&mut self, to: SocketAddr, bytes: Vec<u8>) {
        self.counters.datagrams_sent += 1;
        self.counters.datagram_bytes_sent += bytes.len() as u64;
        self.queue.push_back(Output::Datagram { to, bytes });
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
    pub(crate) fn put(&mut self, output: Output<F>) {
        self.queue.push_back(output);
    }

    /// Probes the host of a member by TCP.
    pub(crate) fn probe_tcp(&mut self, to: SocketAddr, node: NodeId, nonce: [u8; 4]) {
        let tcp_probe = TcpProbeId { node, nonce };
        self.queue.push_back(Output::TcpProbe { to, tcp_probe });
    }
}
