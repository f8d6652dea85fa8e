//! What the room of requests tells the node.

use super::{Purpose, RequestError, RequestId};
use crate::base::identity::NodeId;

/// Something that the node passes on to its owner.
#[derive(Debug)]
pub(crate) enum Fact {
    /// A member asks.
    Requested { request: RequestId, purpose: Purpose, from: NodeId, bytes: Vec<u8> },
    /// A request of ours is over.
    Answered {
        request: RequestId,
        purpose: Purpose,
        from: NodeId,
        result: Result<Vec<u8>, RequestError>,
    },
}
