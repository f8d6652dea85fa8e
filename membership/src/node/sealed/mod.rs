//! A node in a sealed cluster: what the guard wants done, and what the owner asks of it.

mod acts;
mod errands;
mod held;
mod orders;
mod rights;
pub(crate) mod survey;
