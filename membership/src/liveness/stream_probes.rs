//! Stream probes: pings and pongs by stream, for networks that drop datagrams.

use std::time::Duration;

use super::Liveness;
use crate::base::identity::NodeId;
use crate::base::io::StreamId;
use crate::base::limits::MAX_STREAM_PROBES;
use crate::base::time::Time;
use crate::wire::{Frame, Ping};

/// A stream probe without an answer is dropped after this time.
const STREAM_PROBE_TIMEOUT: Duration = Duration::from_secs(6);

impl Liveness {
    /// Pings a member by stream.
    pub(super) fn stream_probe(&mut self, node: NodeId, nonce: [u8; 4], now: Time) {
        let Some(peer) = self.swim.members().get(node).map(|peer| peer.identity) else { return };
        if self.stream_probes.len() >= MAX_STREAM_PROBES {
            self.out.counters.indirect_probes_refused += 1;
            return;
        }
        let sender = self.identity().node_id;
        let stream = self.streams.take();
        self.out.counters.stream_probes_sent += 1;
        self.stream_probes.insert(stream, now);
        self.out.open(stream, &peer);
        self.out.send_frame(stream, &Frame::Ping(self.out.mark(), Ping { sender, nonce }));
    }

    /// Whether a stream is a stream probe of ours.
    pub(crate) fn is_stream_probe(&self, stream: StreamId) -> bool {
        self.stream_probes.contains_key(&stream)
    }

    /// Takes the answer to a stream probe of ours.
    pub(crate) fn handle_probe_answer(&mut self, stream: StreamId, bytes: &[u8], now: Time) {
        self.stream_probes.remove(&stream);
        if let Ok(Frame::Pong(pong)) = Frame::decode(bytes) {
            self.out.finish(stream);
            self.handle_pong(&pong, None, now);
        } else {
            self.out.counters.messages_invalid += 1;
            self.out.reset(stream);
        }
    }

    /// Answers the first frame of a stream if it is a stream probe of our cluster. Returns whether it was answered.
    pub(crate) fn answer_stream_probe(
        &mut self,
        stream: StreamId,
        bytes: &[u8],
        now: Time,
    ) -> bool {
        let Ok(Frame::Ping(cluster, ping)) = Frame::decode(bytes) else { return false };
        if self.leaving || cluster != self.out.mark() {
            return false;
        }
        self.out.counters.stream_probes_answered += 1;
        self.note_contact(now);
        let pong = self.pong(&ping, now);
        self.out.send_frame(stream, &Frame::Pong(pong));
        self.out.finish(stream);
        true
    }

    /// Forgets a stream that is over.
    pub(crate) fn stream_closed(&mut self, stream: StreamId) {
        self.stream_probes.remove(&stream);
    }

    /// When the oldest stream probe is given up. Stream numbers grow, so the first stream is the oldest.
    pub(super) fn stream_probe_deadline(&self) -> Option<Time> {
        let (_, opened) = self.stream_probes.first_key_value()?;
        Some(*opened + STREAM_PROBE_TIMEOUT)
    }

    pub(super) fn drop_stalled_stream_probes(&mut self, now: Time) {
        while let Some(probe) = self.stream_probes.first_entry()
            && now.since(*probe.get()) >= STREAM_PROBE_TIMEOUT
        {
            let (stream, _) = probe.remove_entry();
            self.out.reset(stream);
        }
    }
}
