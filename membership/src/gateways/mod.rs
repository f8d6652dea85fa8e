//! Gateways: how changes of the catalog spread between datacenters.
//!
//! The links from one datacenter to the others are split into three parts, and the first three living members by
//! rendezvous hash have one part each. An origin *tells* the three gateways of its own datacenter, which acknowledge.
//! Each gateway *forwards* over its links, so that two copies go over each link. *Breakers* hold back what changes too
//! often. *Beats* between gateways carry digests,
//! by which lost changes are found and repaired.
//!
//! The files here are state machines that know the time and the datacenters, and no catalog and no queue of rumors. The
//! room `spread` puts them together.

pub(crate) mod beats;
pub(crate) mod breakers;
pub(crate) mod gaps;
pub(crate) mod links;
pub(crate) mod parts;
pub(crate) mod repair;
pub(crate) mod tells;
pub(crate) mod told;
