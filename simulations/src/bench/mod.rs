//! What the protocol costs and how fast it is: against its goals, and with plain foca beside it.

pub mod compare;
pub mod goals;
