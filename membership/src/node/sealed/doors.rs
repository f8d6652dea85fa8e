//! Streams of a sealed cluster: what the guard wants done with them, and what of them the planes see.

use std::net::SocketAddr;

use hobnob_keys::{Certificate, Generation, PublicKey, SignedCommand, Succession};

use crate::base::identity::{Identity, NodeId};
use crate::base::io::StreamId;
use crate::base::time::Time;
use crate::catalog::record::Key;
use crate::node::Node;
use crate::node::io::{Event, Output};
use crate::trust::door::SecuredBy;
use crate::trust::news::NEWS_FANOUT;
use crate::trust::{Act, Guard};

impl Node {
    /// The public key of this node; `None` in a clear cluster.
    #[must_use]
    pub fn public_key(&self) -> Option<PublicKey> {
        self.guard.as_ref().map(|guard| guard.own().public_key())
    }

    /// The generations that the disk should keep, each with whether it is in use.
    #[must_use]
    pub fn generations(&self, now: Time) -> Vec<(Generation, bool)> {
        self.guard.as_ref().map(|guard| guard.generations(now)).unwrap_or_default()
    }

    /// The generations that open what other members seal, each with whether this node seals with it.
    pub fn opening_generations(&self, now: Time) -> impl Iterator<Item = (&Generation, bool)> {
        let keyring = self.guard.as_ref().map(|guard| &guard.sealer.keyring);
        keyring.into_iter().flat_map(move |keyring| keyring.opening(now))
    }

    /// The revocations that the disk should keep.
    #[must_use]
    pub fn revocations(&self) -> Vec<SignedCommand> {
        let revocations = self.guard.as_ref().map(|guard| guard.revocations().iter());
        revocations.into_iter().flatten().map(|(_, command)| command.clone()).collect()
    }

    /// The certificates of other members that the disk should keep. A member with one of them is let in whatever the clocks say.
    #[must_use]
    pub fn certificates(&self) -> Vec<Certificate> {
        let members = self.guard.as_ref().map(|guard| guard.members());
        members.into_iter().flatten().map(|member| member.certificate().clone()).collect()
    }

    /// Whether a node is revoked.
    #[must_use]
    pub fn is_revoked(&self, node: NodeId) -> bool {
        self.guard.as_ref().is_some_and(|guard| guard.is_revoked(node))
    }

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
        let offer = |guard: &mut Guard| {
            guard.offer(generation, false, now);
        };
        self.with_guard(offer, now);
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
        self.pass_on(now);
    }

    pub(in crate::node) fn handle_guard_deadlines(&mut self, now: Time) {
        let own = self.identity().addr;
        let Some(guard) = &mut self.guard else { return };
        guard.drop_stalled(now);
        guard.note_switch(now);
        guard.try_to_enter(own, now);
        guard.verify_waiting(now);
        if guard.takes_round(now) {
            for peer in self.liveness.swim_mut().random_peers(NEWS_FANOUT) {
                self.run_errand(&peer, now);
            }
        }
        self.take_survey_step(now);
        self.carry_out_acts(now);
    }

    /// Asks the member at an address, active or not, what its datagrams are sealed with: one came from there that does not
    /// open. The source of it may be forged, so the rate is limited.
    pub(in crate::node) fn ask_for_keys(&mut self, from: SocketAddr, now: Time) {
        let members = self.liveness.members();
        let plain = SocketAddr::new(from.ip().to_canonical(), from.port());
        let member = members.at(plain).filter_map(|node| members.get(node)).next();
        if let Some(peer) = member.map(|peer| peer.identity)
            && self.guard.as_mut().is_some_and(|guard| guard.may_ask(now))
        {
            self.run_errand(&peer, now);
        }
    }

    pub(super) fn run_errand(&mut self, peer: &Identity, now: Time) {
        let stream = self.guard.as_mut().and_then(|guard| guard.begin_errand(peer, now));
        if let Some(stream) = stream {
            let (to, peer) = (peer.sync_addr(), peer.node_id);
            self.outputs.push_back(Output::OpenStream { stream, to, peer });
        }
    }
}
