//! Hobnob in virtual time, on a network that loses, delays, cuts and lies.
//!
//! A [`World`] is one loop around [`hobnob_membership::Node`], as the agent's driver is: deliver an input,
//! drain the outputs, go on to whatever is due next. A [`Scenario`](scenario::Scenario) says what hosts there are, what
//! their clients do and what goes wrong; [`run()`](run::run) runs it, and the [`checkers`] say what was broken. All
//! randomness comes from one seed, so every failure can be repeated to the letter.
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
pub mod swarm;
pub mod truth;
pub mod workload;
pub mod world;

pub use world::World;
