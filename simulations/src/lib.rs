//! Hobnob in virtual time, on a network that loses, delays, cuts and corrupts.
//!
//! A [`World`] is one loop around [`hobnob_membership::Node`], as the agent's driver is: deliver an input, carry out
//! the outputs, go on to the next event. A [`Scenario`](scenario::Scenario) describes the hosts, their clients and the
//! faults; [`run()`](run::run) runs it; the [`checkers`] report each broken promise. One seed decides all randomness,
//! so every failure can be repeated exactly.
//!
//! ```
//! use hobnob_simulations::{run::{RunOptions, run}, scenario::Scenario};
//!
//! let scenario = Scenario::parse(
//!     r#"
//!     name = "half"
//!     about = "two halves of six"
//!     nodes = 6
//!     duration = "20s"
//!     fault = [{ at = "5s", for = "5s", what = { cut = { left = "first half", right = "second half" } } }]
//!     "#,
//! )?;
//! let outcome = run(&scenario, 1, RunOptions::default());
//! assert!(outcome.is_green(), "{:?}", outcome.failures);
//! # Ok::<(), toml::de::Error>(())
//! ```

#![forbid(unsafe_code)]

pub mod bench;
pub mod checkers;
pub mod fault;
pub mod network;
pub mod processes;
pub mod report;
pub mod run;
pub mod scenario;
pub mod strong;
pub mod swarm;
pub mod truth;
pub mod workload;
pub mod world;

pub use world::World;
