//! Health checks of this agent's instances: how they are probed ([`Prober`]), how often ([`Checker`]), and the verdict
//! that follows from the outcomes ([`Verdict`]).
//!
//! ```text
//! Check --validate--> Checker: every interval { probe -> Outcome -> Verdict } --CheckReport, on a change--> driver
//!                        ^ news of the listener of a local service: a probe at once
//! ```

mod checker;
mod expiry;
mod latest;
mod listener;
mod listeners;
mod outcome;
mod probes;
mod rules;
mod schedule;
#[cfg(test)]
mod tests;
mod ttl;
mod verdict;
mod watched;

pub(crate) use checker::initial;
pub use checker::{CheckContext, CheckId, CheckReport, Checker, Start};
pub use latest::{Latest, LatestOutcomes};
pub use listeners::{LOOK_EVERY, ListenerWatch, Signal};
pub use outcome::{MAX_OUTPUT_BYTES, Outcome};
#[cfg(test)]
pub(crate) use probes::fake_server;
pub(crate) use probes::is_local;
pub use probes::{
    Followed, LATE_AFTER, MAX_ADDRESSES, MAX_BODY_BYTES, MAX_CA_FILE_BYTES, MAX_HEAD_BYTES,
    MAX_HEAD_FIELDS, MAX_RESOLUTIONS, MAX_SCRIPTS, MAX_SLOW_RESOLUTIONS, Neighbours, Prober,
    Subject, void_probes,
};
pub use rules::{
    CheckError, MAX_CHECKS, MAX_INTERVAL, MAX_THRESHOLD, MAX_TIMEOUT, MIN_INTERVAL, MIN_TIMEOUT,
    validate,
};
pub use schedule::RESTORED_WITHIN;
pub use ttl::SelfReport;
pub use verdict::{MAX_HISTORY, Thresholds, Verdict};
pub(crate) use watched::{oldest_late_probe, probe_durations};
