//! The instances that are registered with this agent: made durable, checked, and written to the catalog.

mod check_ids;
mod define;
mod dropped;
mod handle;
mod hearings;
mod records;
mod registrants;
mod registrar;
mod restore;
mod rules;
#[cfg(test)]
mod tests;

pub(crate) use check_ids::{CheckOf, KnownIds};
pub(crate) use define::define_at_start;
pub(crate) use handle::RegistrationsHandle;
pub(crate) use registrar::Registrar;
pub(crate) use registrar::upkeep::Maintained;
pub(crate) use restore::{Restored, restore};
pub(crate) use rules::check;
