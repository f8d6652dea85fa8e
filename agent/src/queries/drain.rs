//! Drains: begun, stopped, and waited for until other agents have applied their end.

use std::time::Duration;

use hobnob_api::{
    Acknowledged, ApiError, DrainRequest, ErrorCode, MAX_ACK_TIMEOUT_MS, MAX_DRAIN_MS,
};
use hobnob_membership::Confirmers;
use hobnob_membership::limits::MAX_META_VALUE_BYTES;
use hobnob_membership::view::MemberStatus;

use super::acknowledge::confirmed;
use super::asked::check;
use crate::caller::Caller;
use crate::driver::DriverHandle;
use crate::registrations::RegistrationsHandle;

/// Begins a drain, or stops it. With a share of agents, waits for its end and for them.
///
/// # Errors
/// The request breaks a rule, this agent has no such instance, or the drain was stopped meanwhile.
pub(crate) async fn drain(
    driver: &DriverHandle,
    registrations: &RegistrationsHandle,
    DrainRequest { id, for_ms, stop, acked_percent, ack_timeout_ms }: DrainRequest,
    caller: Caller,
) -> Result<Option<Acknowledged>, ApiError> {
    check("instance id", &id)?;
    in_range("time of a drain in ms", for_ms, 0, MAX_DRAIN_MS)?;
    in_range("time to wait for agents in ms", ack_timeout_ms, 1, MAX_ACK_TIMEOUT_MS)?;
    if let Some(percent) = acked_percent {
        in_range("percentage of agents", u64::from(percent), 1, 100)?;
    }
    let over = (!stop).then(|| Duration::from_millis(for_ms));
    registrations.drain(id.clone(), over, caller).await?;
    let Some(percent) = acked_percent else { return Ok(None) };
    if !stop {
        registrations.drained(id).await?;
    }
    Ok(Some(match confirmers(driver, percent).await? {
        Some(by) => confirmed(driver, by, ack_timeout_ms).await?,
        None => Acknowledged { confirmed: 0, wanted: 0, complete: true, missing: Vec::new() },
    }))
}

/// Checks the reason of a maintenance.
///
/// # Errors
/// It is too long, or cannot be printed.
pub(crate) fn check_reason(reason: &str) -> Result<(), ApiError> {
    if reason.len() > MAX_META_VALUE_BYTES || reason.chars().any(char::is_control) {
        let message = format!(
            "the reason has {} bytes: it has at most {MAX_META_VALUE_BYTES}, in one line",
            reason.len()
        );
        return Err(ApiError::new(ErrorCode::OutOfRange, message));
    }
    Ok(())
}

/// This share of all other living agents; `None` when there are no others.
async fn confirmers(driver: &DriverHandle, percent: u32) -> Result<Option<Confirmers>, ApiError> {
    let others = driver.inspect(|node, _| {
        let own = node.identity().node_id;
        let members = node.members();
        let lives = |status| matches!(status, MemberStatus::Alive | MemberStatus::Suspect);
        let others = members.iter().filter(|other| other.identity.node_id != own);
        others.filter(|other| lives(other.status)).count()
    });
    let others = others.await?;
    Ok(match (others, percent) {
        (0, _) => None,
        (_, 100) => Some(Confirmers::All),
        (others, percent) => Some(Confirmers::Any(share(others, percent))),
    })
}

/// So many agents that they are at least this percentage.
fn share(agents: usize, percent: u32) -> usize {
    agents.saturating_mul(percent as usize).div_ceil(100).max(1)
}

fn in_range(what: &str, given: u64, min: u64, max: u64) -> Result<(), ApiError> {
    if (min..=max).contains(&given) {
        return Ok(());
    }
    let message = format!("the {what} is {given}: it is from {min} to {max}");
    Err(ApiError::new(ErrorCode::OutOfRange, message))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_of_agents_is_rounded_up() {
        for (agents, percent, expected) in
            [(1, 1, 1), (2, 50, 1), (3, 50, 2), (100, 99, 99), (101, 99, 100), (4, 99, 4)]
        {
            assert_eq!(share(agents, percent), expected, "{percent} % of {agents}");
        }
    }
}
