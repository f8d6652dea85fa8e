//! Signs of life by stream, for networks that drop datagrams.

use super::STREAM_PROBE_TIMEOUT;
use crate::base::identity::NodeId;
use crate::base::io::{Output, StreamId};
use crate::base::limits::MAX_STREAM_PROBES;
use crate::base::time::Time;
use crate::node::Node;
use crate::wire::{Frame, Ping};

impl Node {
    pub(super) fn stream_probe(&mut self, node: NodeId, nonce: [u8; 4], now: Time) {
        let Some(peer) = self.swim.members().get(node).map(|peer| peer.identity) else { return };
        if self.detection.stream_probes.len() >= MAX_STREAM_PROBES {
            self.counters.indirect_probes_refused += 1;
            return;
        }
        let sender = self.identity().node_id;
        let stream = self.probe_streams.take();
        self.counters.stream_probes_sent += 1;
        self.detection.stream_probes.insert(stream, now);
        let to = peer.sync_addr();
        self.outputs.push_back(Output::OpenStream { stream, to, peer: node });
        self.send_frame(stream, &Frame::Ping(self.cluster.mark(), Ping { sender, nonce }));
    }

    /// Takes a frame if it belongs to a question for a sign of life; returns whether it did.
    pub(in crate::node) fn take_stream_probe_frame(
        &mut self,
        stream: StreamId,
        bytes: &[u8],
        now: Time,
    ) -> bool {
        let asked = self.detection.stream_probes.contains_key(&stream);
        if !asked && !Frame::is_sign_of_life(bytes) {
            return false;
        }
        match Frame::decode(bytes) {
            Ok(Frame::Pong(pong)) if asked => {
                self.detection.stream_probes.remove(&stream);
                self.outputs.push_back(Output::FinishStream { stream });
                self.handle_pong(&pong, true, now);
                true
            }
            Ok(Frame::Ping(cluster, ping)) if !asked && self.leaving.is_none() => {
                let fresh = |session: &crate::spread::session::Session| session.peer().is_none();
                if !self.sessions.get(&stream).is_some_and(fresh) || cluster != self.cluster.mark()
                {
                    return false;
                }
                self.sessions.remove(&stream);
                self.counters.sessions_completed += 1;
                self.counters.stream_probes_answered += 1;
                self.last_contact = Some(now);
                let pong = self.pong(&ping, now);
                self.send_frame(stream, &Frame::Pong(pong));
                self.outputs.push_back(Output::FinishStream { stream });
                true
            }
            _ if asked => {
                self.counters.messages_invalid += 1;
                self.detection.stream_probes.remove(&stream);
                self.outputs.push_back(Output::ResetStream { stream });
                true
            }
            _ => false,
        }
    }

    pub(in crate::node) fn stream_probe_closed(&mut self, stream: StreamId) {
        self.detection.stream_probes.remove(&stream);
    }

    fn send_frame(&mut self, stream: StreamId, frame: &Frame) {
        match frame.encode() {
            Ok(bytes) => {
                self.counters.frame_bytes_sent += bytes.len() as u64;
                self.outputs.push_back(Output::StreamFrame { stream, bytes });
            }
            Err(_) => self.counters.encoding_errors += 1,
        }
    }

    pub(super) fn drop_stalled_stream_probes(&mut self, now: Time) {
        let stalled = self.detection.stream_probes.iter();
        let stalled: Vec<StreamId> = stalled
            .filter(|(_, opened)| now.since(**opened) >= STREAM_PROBE_TIMEOUT)
            .map(|(stream, _)| *stream)
            .collect();
        for stream in stalled {
            self.detection.stream_probes.remove(&stream);
            self.outputs.push_back(Output::ResetStream { stream });
        }
    }
}
