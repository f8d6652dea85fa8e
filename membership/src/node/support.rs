//! What all live members can read.

use super::Node;
use crate::catalog::record::Support;

impl Node {
    /// What every live member advertises, ourselves included. A form that came later than the first one of this version
    /// is sent only when this includes it. A member whose record has not arrived advertises nothing.
    #[must_use]
    pub fn common_support(&self) -> Support {
        let advertised = self.liveness.members().iter_active().map(|peer| {
            let origin = self.catalog().origin(peer.node_id);
            origin.and_then(|origin| origin.node()).map_or(Support::NONE, |node| node.support)
        });
        advertised.fold(Support::OURS, Support::and)
    }
}
