//! Errands: streams that carry credentials and news of keys alone, to members that are told or asked.

use std::net::SocketAddr;

use crate::base::identity::{Identity, NodeId};
use crate::base::time::Time;
use crate::datacenters::seen::Datacenters;
use crate::node::Node;
use crate::node::io::Output;
use crate::trust::news::NEWS_FANOUT;

impl Node {
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
            self.tell_other_datacenters(now);
        }
        self.take_survey_step(now);
        self.carry_out_acts(now);
    }

    /// Tells a member of each other datacenter of news, if this node is a gateway. Those that are out of reach ask when they are back.
    fn tell_other_datacenters(&mut self, now: Time) {
        if !self.wan.is_gateway() {
            return;
        }
        for datacenter in self.wan.others() {
            if !self.wan.is_out_of_reach(datacenter)
                && let Some(peer) = self.wan.any_eligible(datacenter)
            {
                self.run_errand(&peer, now);
            }
        }
    }

    /// The identity of a member of our own pool, active or not, or of another datacenter.
    pub(super) fn identity_of(&self, node: NodeId) -> Option<Identity> {
        let remote = self.wan.remote(node).map(|entry| entry.identity);
        remote.or_else(|| self.liveness.members().get(node).map(|peer| peer.identity))
    }

    /// Asks the member at an address, active or not, what its datagrams are sealed with: one came from there that does not
    /// open. The source of it may be forged, so the rate is limited.
    pub(in crate::node) fn ask_for_keys(&mut self, from: SocketAddr, now: Time) {
        let members = self.liveness.members();
        let plain = SocketAddr::new(from.ip().to_canonical(), from.port());
        let member = members.at(plain).next().or_else(|| self.wan.table().at(plain));
        if let Some(peer) = member.and_then(|node| self.identity_of(node))
            && !self.wan.of(peer.node_id).is_some_and(|home| self.wan.is_isolated(home))
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
