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

mod alias;
mod balancer;
mod breaker;
mod config;
mod core;
mod hot_cold;
mod instance;
mod latency;
mod layered;
mod least_connections;
mod ledger;
mod locality;
mod maglev;
mod outlier;
mod peak_ewma;
mod pick;
mod picker;
mod ramp;
mod rendezvous;
mod report;
mod request;
mod ring;
mod roster;
mod rotation;
mod schedule;
mod selector;
mod snapshot;
mod state;
mod strategy;
mod tables;
mod target;
mod view;

pub use alias::Alias;
pub use balancer::{Balancer, Change};
pub use breaker::{BreakerConfig, Circuit};
pub use config::{Config, LOAD_BOUND};
pub use instance::Instance;
pub use layered::{LAYERS_MAX, Layer, Layered, LayeredPicker, OVERPROVISIONING, spill_over};
pub use ledger::{Completion, Ledger, Token, UnknownToken};
pub use locality::{Nearness, Place, Prefer, UnknownPreference};
pub use maglev::{MAGLEV_SLOTS, Maglev};
pub use outlier::OutlierConfig;
pub use pick::{Outcome, Pick, PickRef};
pub use picker::Picker;
pub use rendezvous::{RENDEZVOUS_BOUND_PERCENT, RENDEZVOUS_SLOTS, Rendezvous};
pub use report::{Report, TargetReport};
pub use ring::{Ring, VIRTUAL_NODES};
pub use roster::{HASH_SEED, Roster, hash_key};
pub use schedule::{SCHEDULE_SLOTS_MAX, Schedule};
pub use selector::{REQUIREMENTS_MAX, SELECTOR_BYTES_MAX, Selector, SelectorError};
pub use snapshot::Snapshot;
pub use strategy::{Strategy, UnknownStrategy};
pub use target::{MAX_TARGETS, MAX_WEIGHT, Target};
