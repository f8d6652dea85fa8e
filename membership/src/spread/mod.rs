//! Plane 2, traffic: how changes of the catalog reach every member, and how what was lost is repaired.

pub(crate) mod budget;
pub(crate) mod digests;
pub(crate) mod gaps;
pub(crate) mod rumors;
pub(crate) mod session;
pub(crate) mod sketch;
