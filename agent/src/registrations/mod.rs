//! The instances that are registered with this agent.

pub(crate) mod registrar;
