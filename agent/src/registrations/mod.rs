//! The instances that are registered with this agent: made durable, checked, and written to the catalog.

mod handle;
mod records;
mod registrants;
mod registrar;
mod restore;
mod rules;
#[cfg(test)]
mod tests;

pub(crate) use handle::RegistrationsHandle;
pub(crate) use registrar::Registrar;
pub(crate) use restore::{Restored, restore};
