//! The wire versions and features that all live members support.

use super::Node;
use crate::catalog::record::Support;

impl Node {
    /// The wire versions and features that every live member advertises, ourselves included. A form that is newer than
    /// the first one of this wire version is sent only if all members support it. A member whose node record has not
    /// arrived advertises nothing.
    #[must_use]
    pub fn common_support(&self) -> Support {
        let advertised = self.liveness.members().iter_active().map(|peer| {
            let origin = self.catalog().origin(peer.node_id);
            origin.and_then(|origin| origin.node()).map_or(Support::NONE, |node| node.support)
        });
        advertised.fold(Support::OURS, Support::and)
    }
}
