//! What picks tell about their targets, and what follows from it.

mod breaker;
mod latency;
pub(crate) mod outlier;
mod ramp;
mod report;
mod service_state;
mod target_state;

pub(crate) use self::{
    breaker::{Admission, Ticket},
    service_state::{ServiceState, micros},
    target_state::{RELIABLE, TargetState},
};
pub use self::{
    breaker::{BreakerConfig, Circuit},
    outlier::OutlierConfig,
    report::{Report, TargetReport},
};
