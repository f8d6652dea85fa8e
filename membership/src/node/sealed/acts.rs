//! The acts of the guard of a sealed cluster, and the part of its streams that the planes see.

use hobnob_keys::{Generation, SignedCommand, Succession};

use crate::base::identity::NodeId;
use crate::base::io::StreamId;
use crate::base::time::Time;
use crate::catalog::record::Key;
use crate::node::Node;
use crate::node::io::{Event, Output};
use crate::trust::door::SecuredBy;
use crate::trust::{Act, Guard};

impl Node {
    pub(in crate::node) fn with_guard(&mut self, does: impl FnOnce(&mut Guard), now: Time) {
        if let Some(guard) = &mut self.guard {
            does(guard);
        }
        self.carry_out_acts(now);
    }

    pub(in crate::node) fn handle_stream_secured(
        &mut self,
        stream: StreamId,
        by: SecuredBy,
        now: Time,
    ) {
        self.with_guard(|guard| guard.stream_secured(stream, by, now), now);
    }

    /// Takes a generation that an operator ordered here. Other members are told of it.
    pub(in crate::node) fn rotate(&mut self, generation: Generation, now: Time) {
        self.with_guard(|guard| guard.rotate(generation, now), now);
    }

    /// Takes a revocation that an operator gave here. Other members are told of it.
    pub(in crate::node) fn revoke(&mut self, command: SignedCommand, now: Time) {
        self.with_guard(|guard| guard.revoke(command, now), now);
    }

    /// Takes a succession of CA keys that an operator handed in here. Other members are told of it.
    pub(in crate::node) fn succeed(&mut self, succession: Succession, now: Time) {
        self.with_guard(|guard| guard.succeed(succession, now), now);
    }

    /// Puts out what a plane wants done. In a sealed cluster its frames wait until their stream is secured.
    pub(in crate::node) fn put_out(&mut self, output: Output, now: Time) {
        let Some(guard) = &mut self.guard else { return self.outputs.push_back(output) };
        match output {
            Output::StreamFrame { stream, bytes } => {
                if let Some(bytes) = guard.send_frame(stream, bytes) {
                    self.outputs.push_back(Output::StreamFrame { stream, bytes });
                }
                return;
            }
            Output::OpenStream { stream, peer, .. } => guard.stream_opened(stream, peer, now),
            Output::FinishStream { stream } | Output::ResetStream { stream } => {
                guard.stream_closed(stream);
            }
            _ => {}
        }
        self.outputs.push_back(output);
    }

    pub(in crate::node) fn carry_out_acts(&mut self, now: Time) {
        while let Some(act) = self.guard.as_mut().and_then(|guard| guard.poll_act()) {
            match act {
                Act::Send(stream, bytes) => {
                    self.outputs.push_back(Output::StreamFrame { stream, bytes });
                }
                Act::Finish(stream) => self.outputs.push_back(Output::FinishStream { stream }),
                Act::Drop(stream) => {
                    self.outputs.push_back(Output::ResetStream { stream });
                    self.liveness.stream_closed(stream);
                    self.spread.stream_closed(stream);
                    self.wan.stream_closed(stream);
                    self.requests.stream_closed(stream);
                }
                Act::Deliver { stream, bytes, is_first } => {
                    if is_first && stream.is_accepted() {
                        self.serve_stream(stream, now);
                    }
                    self.handle_plane_frame(stream, &bytes, now);
                }
                Act::OpenAt(stream, to) => {
                    self.outputs.push_back(Output::OpenStreamAt { stream, to });
                }
                Act::Entered => self.liveness.hurry_hellos(now),
                Act::Changed => self.emit(Event::KeysChanged),
                Act::Revoked(node) => self.shut_out(node, now),
                Act::Judged(origin) => self.refresh(origin, &[Key::Node]),
                Act::Refused(reason) => self.emit(Event::Refused { reason }),
            }
        }
    }

    /// Takes a revoked member out of everything.
    fn shut_out(&mut self, node: NodeId, now: Time) {
        if node == self.identity().node_id {
            return self.emit(Event::Revoked);
        }
        self.liveness.shut_out(node, now);
        // A node of which only records are known is no member.
        self.refresh(node, &[Key::Node]);
        if self.wan.remote(node).is_some() {
            self.review_member(node, now);
        }
        self.pass_on(now);
    }
}
