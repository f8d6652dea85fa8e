//! Listeners of local services: whether somebody listens at the address of a check ([`ListenerWatch`]), and what follows
//! for the check ([`ListenerState`]).
//!
//! ```text
//! thread, every 50 ms: netlink --> Look --on a change--> Checker { ListenerState } --> a probe at once, a verdict
//! ```

mod diag;
mod kernel;
mod netlink;
mod returns;
mod route;
mod state;
#[cfg(test)]
mod tests;
mod watch;

pub use state::Signal;
pub(super) use state::{ListenerState, Ruling};
pub use watch::{LOOK_EVERY, ListenerWatch};
pub(super) use watch::{Look, Watching};
