//! The datacenters as the catalog plane sees them.

use std::time::Duration;

use crate::base::datacenter::DatacenterId;
use crate::base::identity::{Identity, NodeId};
use crate::base::time::Time;
use crate::wire::Echo;

/// Gateways of each datacenter: each forwards one of three parts.
pub(crate) const GATEWAYS: usize = 3;

/// The part of the room of datacenters in a beat.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Presence {
    pub(crate) number: u8,
    pub(crate) echo: Option<Echo>,
    /// A hash of the living members of our datacenter.
    pub(crate) members: u64,
    /// A hash of the datacenters that we know.
    pub(crate) datacenters: [u8; 4],
}

/// The datacenters, and whom to send to in each.
pub(crate) trait Datacenters {
    /// Our own datacenter.
    fn own(&self) -> DatacenterId;

    /// The other datacenters in which a member lives, as far as we know, without those that are isolated.
    fn others(&self) -> Vec<DatacenterId>;

    /// The datacenter of a node, whether it is alive or down; also of members of our own.
    fn of(&self, node: NodeId) -> Option<DatacenterId>;

    /// The `rank`th living member of a datacenter that may be a gateway, by rendezvous hash. The first three are its gateways. Nodes
    /// that know the same members MUST get the same one.
    fn candidate(&self, datacenter: DatacenterId, rank: usize) -> Option<Identity>;

    /// A living member of a datacenter that may be a gateway, at random.
    fn any_eligible(&mut self, datacenter: DatacenterId) -> Option<Identity>;

    /// Whether an operator isolated a datacenter from ours: nothing is sent there, and nothing of it is taken.
    fn is_isolated(&self, datacenter: DatacenterId) -> bool;

    /// Whether our own datacenter holds another one out of reach, or it is isolated.
    fn is_out_of_reach(&self, datacenter: DatacenterId) -> bool;

    /// Whether we should have heard a datacenter, and have not for two seconds. A node that is no gateway is not told, and says no.
    fn is_silent_here(&self, datacenter: DatacenterId, now: Time) -> bool;

    /// Notes a sign of life of a datacenter.
    fn heard(&mut self, datacenter: DatacenterId, now: Time);

    /// A member of another datacenter that is not isolated, whether it is alive or down.
    fn remote(&self, node: NodeId) -> Option<Identity>;

    /// The living members of another datacenter.
    fn living(&self, datacenter: DatacenterId) -> Vec<Identity>;

    /// The round trip to a datacenter; `None` while it is not measured.
    fn round_trip(&self, datacenter: DatacenterId) -> Option<Duration>;

    /// The part of the room of datacenters in the next beat to a member of another one. The beat MUST be sent.
    fn present(&mut self, to: DatacenterId, peer: NodeId, now: Time) -> Presence;

    /// Notes bytes that were sent to a datacenter.
    fn sent(&mut self, datacenter: DatacenterId, bytes: usize, now: Time);
}
