//! Strong reads and writes, when a request asks for them. `docs/CONSISTENCY.md` says what they promise.
//!
//! The node has the algorithm. Here are the requests of clients, and the thread that keeps on disk what this agent keeps as a voter.

mod reading;
pub(crate) mod refusal;
mod voter_writer;
pub(crate) mod voters;
mod writing;

use std::time::Duration;

use hobnob_api::{
    ApiError, Consistency, ErrorCode, MAX_CONSISTENCY_TIMEOUT_MS, consistency_timeout,
};

pub(crate) use reading::{Asked, read, read_at_home};
pub(crate) use voter_writer::{Stored, VoterWriter};
pub(crate) use writing::{Write, confirm, is_deregistered};

/// The wait for voters that a request asks for; `None` if it is eventual.
///
/// # Errors
/// The time is out of its range.
pub(crate) fn asked_wait(
    consistency: Consistency,
    timeout_ms: Option<u64>,
) -> Result<Option<Duration>, ApiError> {
    check_timeout(timeout_ms)?;
    let is_strong = consistency == Consistency::Strong;
    Ok(is_strong.then(|| consistency_timeout(timeout_ms)))
}

fn check_timeout(timeout_ms: Option<u64>) -> Result<(), ApiError> {
    let Some(timeout_ms) = timeout_ms else { return Ok(()) };
    if (1..=MAX_CONSISTENCY_TIMEOUT_MS).contains(&timeout_ms) {
        return Ok(());
    }
    let message = format!(
        "the time to wait for voters is {timeout_ms} ms: it is from 1 to {MAX_CONSISTENCY_TIMEOUT_MS}"
    );
    Err(ApiError::new(ErrorCode::OutOfRange, message))
}

/// Refuses a request that is never strong, for a reason.
///
/// # Errors
/// The request asks for it.
pub(crate) fn refuse_strong(consistency: Consistency, reason: &str) -> Result<(), ApiError> {
    match consistency {
        Consistency::Eventual => Ok(()),
        Consistency::Strong => Err(ApiError::new(ErrorCode::NeverStrong, reason)),
    }
}
