//! Choosing an instance: load balancing over anything, without a clock, without IO and without a lock on the read path.
//!
//! A [`Balancer`] holds one service. [`Balancer::update`] turns a set of [`Target`]s into an immutable [`Snapshot`] and
//! publishes it; a [`Picker`], one for each thread or connection, reads the latest snapshot and picks by a [`Strategy`].
//! A [`Pick`] counts as in flight until it is completed or dropped, and what it reports steers the picks that follow.
//!
//! ```
//! use hobnob_balancer::{Balancer, Config, Outcome, Strategy, Target};
//! use std::{sync::Arc, time::Duration};
//!
//! let balancer = Arc::new(Balancer::new(Config::default()));
//! balancer.update(vec![
//!     Target { id: "a".into(), weight: 1, item: "10.0.0.1:80" },
//!     Target { id: "b".into(), weight: 1, item: "10.0.0.2:80" },
//! ]);
//! let mut picker = balancer.picker();
//! let pick = picker.pick(Strategy::LeastConnections, None).expect("two targets");
//! println!("calling {}", pick.item());
//! pick.complete(Outcome::Success, Duration::from_millis(3));
//! ```

#![forbid(unsafe_code)]

mod balancer;
mod config;
mod feedback;
mod ledger;
mod locality;
mod picker;
mod selector;
mod snapshot;
mod strategies;
mod tables;

pub use balancer::{Balancer, Change};
pub use config::{Config, LOAD_BOUND};
pub use feedback::{BreakerConfig, Circuit, OutlierConfig, Report, TargetReport};
pub use ledger::{Completion, Ledger, Token, UnknownToken};
pub use locality::{
    LAYERS_MAX, Layer, Layered, LayeredPicker, Nearness, OVERPROVISIONING, Place, Prefer,
    UnknownPreference, spill_over,
};
pub use picker::{Outcome, Pick, PickRef, Picker};
pub use selector::{REQUIREMENTS_MAX, SELECTOR_BYTES_MAX, Selector, SelectorError};
pub use snapshot::{Instance, Snapshot, Target};
pub use strategies::{Strategy, UnknownStrategy};
pub use tables::{
    Alias, HASH_SEED, MAGLEV_SLOTS, MAX_TARGETS, MAX_WEIGHT, Maglev, RENDEZVOUS_BOUND_PERCENT,
    RENDEZVOUS_SLOTS, Rendezvous, Ring, Roster, SCHEDULE_SLOTS_MAX, Schedule, VIRTUAL_NODES,
    hash_key,
};
