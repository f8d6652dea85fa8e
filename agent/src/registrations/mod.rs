//! The instances that are registered with this agent: made durable, checked, and written to the catalog.

mod handle;
mod registrar;

pub(crate) use handle::RegistrationsHandle;
pub(crate) use registrar::{Registrar, restore};
