//! The services that this node and the others may offer in a sealed cluster.

use std::sync::Arc;

use crate::base::identity::NodeId;
use crate::base::time::Time;
use crate::catalog::WriteError;
use crate::catalog::record::{Key, Value};
use crate::node::Node;
use crate::node::view::Instance;
use crate::trust::rights::Hidden;

impl Node {
    /// The instances that are hidden because their origins may not serve them, by origin and id. There are none in a clear
    /// cluster.
    pub fn hidden_instances(&self) -> impl ExactSizeIterator<Item = &Arc<Instance>> {
        self.view.hidden()
    }

    /// Why an instance is hidden; `None` if its origin may serve it.
    #[must_use]
    pub fn hidden_because(&self, instance: &Instance) -> Option<Hidden> {
        self.guard.as_ref()?.hides(instance.origin, &instance.service.service)
    }

    /// Judges the node record of another origin, if it may have changed.
    pub(in crate::node) fn review_rights(&mut self, origin: NodeId, keys: &[Key], now: Time) {
        let may_have_changed = keys.contains(&Key::Node) && origin != self.identity().node_id;
        if let Some(guard) = self.guard.as_mut().filter(|_| may_have_changed) {
            let record = self.spread.catalog().origin(origin).and_then(|origin| origin.node());
            guard.review_record(origin, record, now);
        }
    }

    /// Checks that this node may serve what these records define.
    pub(in crate::node) fn check_rights<'a>(
        &self,
        values: impl Iterator<Item = &'a Value>,
    ) -> Result<(), WriteError> {
        let Some(guard) = &self.guard else { return Ok(()) };
        for value in values {
            if let Value::Service(service) = value {
                guard.check_own(&service.service)?;
            }
        }
        Ok(())
    }

    /// Makes a node record of our own say what our certificate says.
    pub(in crate::node) fn certify(&self, records: &mut [(Key, Option<Value>)]) {
        let Some(guard) = &self.guard else { return };
        for (_, value) in records {
            if let Some(Value::Node(record)) = value {
                guard.certify(Arc::make_mut(record));
            }
        }
    }
}
