//! Whether the service instances of this agent work: what is tried ([`probe`]), how often ([`Checker`]), and what
//! follows from the results ([`Verdict`]).
//!
//! ```text
//! Check --validate--> Checker: every interval { probe -> Outcome -> Verdict } --CheckReport, on a change--> driver
//! ```

mod checker;
#[cfg(test)]
mod fake_server;
mod outcome;
mod probe;
mod rules;
mod target;
mod verdict;

pub use checker::{CheckReport, Checker, OVERDUE_SLACK};
pub use outcome::{MAX_OUTPUT_BYTES, Outcome};
pub use probe::{MAX_BODY_BYTES, MAX_RESOLUTIONS, probe};
pub use rules::{
    CheckError, MAX_INTERVAL, MAX_THRESHOLD, MAX_TIMEOUT, MIN_INTERVAL, MIN_TIMEOUT, validate,
};
pub use target::{MAX_TARGET_BYTES, TargetError};
pub use verdict::{MAX_HISTORY, Thresholds, Verdict};
