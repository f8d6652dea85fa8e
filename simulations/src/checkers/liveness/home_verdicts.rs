//! Checks that a member is down elsewhere only if its own datacenter says so.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use hobnob_membership::view::MemberStatus;
use hobnob_membership::{Epoch, Event, Identity, NodeId};

use crate::checkers::checker::{Checker, Scene};
use crate::world::NodeEvent;

/// Remembers the latest epoch of each member that a member of its own datacenter declared down, and who lives where.
#[derive(Default)]
pub(in crate::checkers) struct HomeVerdicts {
    declared: BTreeMap<NodeId, Epoch>,
    /// The latest member that was alive at each address.
    latest: BTreeMap<SocketAddr, Identity>,
}

impl HomeVerdicts {
    /// Whether another member began to live at the address of this one later: the host lost its disk, and the member its life.
    fn is_replaced(&self, identity: &Identity) -> bool {
        self.latest.get(&identity.addr).is_some_and(|latest| {
            latest.node_id != identity.node_id && latest.epoch > identity.epoch
        })
    }
}

impl Checker for HomeVerdicts {
    fn name(&self) -> &'static str {
        "home-verdicts"
    }

    fn explanation(&self) -> &'static str {
        "no agent may show a member of another datacenter as down in an epoch in which no agent of the member's own datacenter declared it down, unless another member began to live at its address"
    }

    fn on_event(&mut self, scene: &Scene<'_>, event: &NodeEvent, failures: &mut Vec<String>) {
        let Event::Member(change) = &event.kind else { return };
        let identity = change.member.identity;
        let home = scene.world.home_of(identity.node_id, identity.epoch);
        let Some(home) = home else { return };
        let status = change.member.status;
        let is_down = status == MemberStatus::Down || status.is_gone();
        if !is_down {
            let latest = self.latest.entry(identity.addr).or_insert(identity);
            if latest.epoch < identity.epoch {
                *latest = identity;
            }
        }
        if !is_down || scene.truth.is_duplicate(identity.node_id) {
            return;
        }
        if home == scene.world.location(event.host).0 {
            let declared = self.declared.entry(identity.node_id).or_default();
            *declared = identity.epoch.max(*declared);
            return;
        }
        let declared = self.declared.get(&identity.node_id);
        let is_declared = declared.is_some_and(|at| *at >= identity.epoch);
        if status == MemberStatus::Down && !is_declared && !self.is_replaced(&identity) {
            failures.push(format!(
                "n{} shows {} as down, which nobody in its own datacenter {home} declared",
                event.host,
                scene.world.name_of(identity.node_id)
            ));
        }
    }
}
