//! Everything that answers a question from the agent's own view, for every door.

pub(crate) mod explain;
pub(crate) mod force_leave;
pub(crate) mod offer;
pub(crate) mod parameters;
pub(crate) mod pickers;
