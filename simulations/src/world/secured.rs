//! The streams of a sealed cluster: each side proves its key before any frame passes.

use super::World;
use super::queue::{Delivery, Endpoint};

impl World {
    /// The opener of a stream has the answer of the other side, if a process runs there.
    pub(super) fn shake_hands(&mut self, opener: Endpoint, accepted: Endpoint) {
        if self.hosts[accepted.0].process.is_none() {
            self.fabric.refuse(accepted, self.now);
        } else if self.fabric.has_stream(opener) {
            self.tell_secured(opener, accepted.0, accepted);
        }
    }

    /// The acceptor of a stream has the last word of the opener.
    pub(super) fn secure(&mut self, accepted: Endpoint) {
        if let Some(opener) = self.fabric.other_end(accepted) {
            self.tell_secured(accepted, opener.0, accepted);
        }
    }

    fn tell_secured(&mut self, end: Endpoint, peer: usize, accepted: Endpoint) {
        let (Some(sealed), Some(peer)) = (&self.sealed, self.hosts[peer].public_key) else {
            return;
        };
        let (stream, binding) = (end.1, sealed.binding(accepted.1.0));
        if self.hosts[end.0].process.is_some() {
            self.arrive(end.0, Delivery::Secured { stream, peer, binding });
        }
    }
}
