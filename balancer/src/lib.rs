//! Client-side load balancing over targets of any type, without a clock, without IO and without a lock on the read path.
//!
//! A [`Balancer`] holds one service. [`Balancer::update`] turns a set of [`Target`]s into an immutable [`Snapshot`] and
//! publishes it. A [`Picker`] reads the latest snapshot and picks by a [`Strategy`]; each thread or connection has one of
//! its own. A [`Pick`] counts as in flight until it is completed or dropped, and its outcome steers the picks that follow.
//!
//! ```
//! use hobnob_balancer::{Balancer, Config, Outcome, Strategy, Target};
//! use std::time::Duration;
//!
//! let balancer = Balancer::new(Config::default());
//! balancer.update(vec![
//!     Target { id: "a".into(), weight: 1, item: "10.0.0.1:80" },
//!     Target { id: "b".into(), weight: 1, item: "10.0.0.2:80" },
//! ]);
//! let mut picker = balancer.picker();
//! let pick = picker.pick(Strategy::LeastConnections, None).expect("two targets");
//! println!("calling {}", pick.item());
//! pick.complete(Outcome::Success, Duration::from_millis(3));
//! ```
//!
//! | module | contents |
//! |---|---|
//! | `strategies` | the strategies by name, and the code that runs them |
//! | `tables` | tables built from ids and weights: Maglev, rendezvous, ring, alias, schedule |
//! | `feedback` | what outcomes lead to: latencies, circuits, ejection, ramps, reports |
//! | `locality` | layers of targets, nearest first, with spill-over that moves in time |
//! | `picker` | the read path: pickers and picks |
//! | `retries` | whether a call that failed is tried again, and the budget of such tries |
//!
//! The settings stand in one table: [`Config`]. The feature `serde` lets [`Strategy`], [`Prefer`] and [`Outcome`] be read
//! and written by their names.

#![forbid(unsafe_code)]

mod balancer;
mod config;
mod feedback;
mod ledger;
mod locality;
mod names;
mod picker;
mod retries;
mod selector;
mod snapshot;
mod strategies;
mod tables;

pub use balancer::{Balancer, Change};
pub use config::{
    BreakerConfig, Config, ConfigError, FAILURES_MAX, LOAD_BOUND_PERCENT,
    LOAD_BOUND_PERCENT_DEFAULT, OutlierConfig, TIMES,
};
pub use feedback::{Circuit, LatencyHistogram, Observed, Outcome, Report, TargetReport};
pub use ledger::{Completion, Ledger, Token, UnknownToken};
pub use locality::{
    LAYERS_MAX, Layer, Layered, LayeredPicker, MOVE_TIME, Nearness, OVERPROVISIONING, Place,
    Prefer, spill_over,
};
pub use names::UnknownName;
pub use picker::{Pick, PickRef, Picker};
pub use retries::{Attempts, Failure, GaveUp, Next, RetryBudget, RetryBudgetConfig, RetryConfig};
pub use selector::{REQUIREMENTS_MAX, SELECTOR_BYTES_MAX, Selector, SelectorError};
pub use snapshot::{Instance, Snapshot, Target};
pub use strategies::Strategy;
pub use tables::{
    Alias, HASH_SEED, MAGLEV_SLOTS, MAX_TARGETS, MAX_WEIGHT, Maglev, RENDEZVOUS_BOUND_PERCENT,
    RENDEZVOUS_SLOTS, Rendezvous, Ring, Roster, SCHEDULE_SLOTS_MAX, Schedule, VIRTUAL_NODES,
    hash_key,
};
