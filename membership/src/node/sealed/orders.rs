//! Orders of operators about one member or one datacenter.

use hobnob_keys::SignedCommand;

use crate::base::datacenter::DatacenterId;
use crate::base::identity::{Epoch, NodeId};
use crate::base::time::Time;
use crate::node::Node;
use crate::node::peers::Pools;
use crate::trust::orders::{OrderError, OrderKind};

impl Node {
    /// The latest epoch of a node that is known here, by its membership or its records. Orders name it.
    #[must_use]
    pub fn last_epoch(&self, node: NodeId) -> Option<Epoch> {
        let member = self.liveness.members().get(node).map(|peer| peer.identity.epoch);
        let remote = self.wan.remote(node).map(|entry| entry.identity.epoch);
        member.max(remote).max(self.catalog().head(node).map(|head| head.epoch))
    }

    /// Checks that an order counts: in a sealed cluster an operator signed it, for this member and no earlier life of it. A clear
    /// cluster takes orders of everybody who reaches the agent.
    ///
    /// # Errors
    /// The order does not count.
    pub fn check_order(
        &self,
        kind: OrderKind,
        node: NodeId,
        order: Option<&SignedCommand>,
    ) -> Result<(), OrderError> {
        let known = self.last_epoch(node);
        self.guard.as_ref().map_or(Ok(()), |guard| guard.check_order(kind, node, known, order))
    }

    /// Checks that a signed order to isolate a datacenter from ours, or to end that, counts. In a clear cluster nobody signs any.
    ///
    /// # Errors
    /// The order does not count.
    pub fn check_isolation_order(
        &self,
        datacenter: DatacenterId,
        is_isolated: bool,
        order: &SignedCommand,
    ) -> Result<(), OrderError> {
        let guard = self.guard.as_ref().ok_or(OrderError::OtherOrder)?;
        let (pair, known) = ((self.wan.own(), datacenter), self.isolation_orders(datacenter));
        guard.check_isolation(pair, is_isolated, known, order)
    }

    /// Whether an order counts. One that does not is counted.
    pub(in crate::node) fn takes_order(
        &mut self,
        kind: OrderKind,
        node: NodeId,
        order: Option<&SignedCommand>,
    ) -> bool {
        let takes = self.check_order(kind, node, order).is_ok();
        if let Some(guard) = self.guard.as_mut().filter(|_| !takes) {
            guard.note_refused_order();
        }
        takes
    }

    pub(in crate::node) fn force_leave(
        &mut self,
        node: NodeId,
        order: Option<&SignedCommand>,
        now: Time,
    ) {
        if !self.takes_order(OrderKind::ForceLeave, node, order) {
            return;
        }
        let peers = Pools { liveness: &mut self.liveness, wan: &mut self.wan };
        self.spread.force_leave(node, &peers, now);
        // A member of which no records ever came is gone, too.
        self.liveness.note_force_leave(node);
        self.end_strongly(node, now);
    }
}
