//! Outcomes of calls, and their effects on targets.
//!
//! [`TargetState`] collects the outcomes of one target: latency, failures in a row, circuit, ejection, ramp.
//! [`ServiceState`] holds what the targets of one balancer share: the clock, the counts that limit ejections and start a
//! panic, and whether any target needs a check at all.

mod breaker;
mod histogram;
mod latency;
mod observed;
mod outcome;
mod outlier;
mod ramp;
mod report;
mod service_state;
mod success_rate;
mod target_state;

pub use self::{
    breaker::Circuit,
    histogram::LatencyHistogram,
    observed::Observed,
    outcome::Outcome,
    report::{Report, TargetReport},
};
pub(crate) use self::{
    breaker::{Admission, Ticket},
    service_state::{ServiceState, micros},
    success_rate::eject_outliers,
    target_state::{RELIABLE, TargetState},
};
