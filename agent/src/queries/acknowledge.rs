//! Changes that are answered once other agents have applied them.

use std::time::Duration;

use hobnob_api::{
    Ack, Ackers, Acknowledged, ApiError, ErrorCode, InstanceScope, MAX_ACK_TIMEOUT_MS, Registration,
};
use hobnob_membership::Confirmers;

use super::asked::check;
use super::datacenters::check_known;
use crate::driver::DriverHandle;

/// Checks what is asked for, before the change is made.
///
/// # Errors
/// The time is out of its range, or the name of a datacenter breaks a rule.
pub(crate) fn check_ack(ack: Option<&Ack>) -> Result<(), ApiError> {
    let Some(Ack { by, timeout_ms }) = ack else { return Ok(()) };
    if !(1..=MAX_ACK_TIMEOUT_MS).contains(timeout_ms) {
        let message = format!(
            "the time to wait for acknowledgements is {timeout_ms} ms: it is from 1 to {MAX_ACK_TIMEOUT_MS}"
        );
        return Err(ApiError::new(ErrorCode::OutOfRange, message));
    }
    match by {
        Ackers::Datacenter(name) => check("datacenter", name),
        Ackers::Any(_) | Ackers::All | Ackers::Home => Ok(()),
    }
}

/// Checks that an instance with this scope gets to the agents that are to acknowledge it. `home` is the datacenter of its
/// agent.
///
/// # Errors
/// They are of another datacenter, and it is not known there.
pub(crate) fn check_reach(registration: &Registration, home: &str) -> Result<(), ApiError> {
    let by = registration.ack.as_ref().map(|ack| &ack.by);
    match (registration.scope, by) {
        (InstanceScope::Datacenter, Some(Ackers::Datacenter(name))) if name != home => {
            let message = format!(
                "`{}` is to be known in the datacenter `{home}` alone, so the agents of `{name}` do not get it and cannot acknowledge it",
                registration.instance_id()
            );
            Err(ApiError::new(ErrorCode::RegistrationInvalid, message))
        }
        _ => Ok(()),
    }
}

/// Checks that the agents which are to acknowledge a change are of a datacenter that this agent knows, before the change is made.
///
/// # Errors
/// No datacenter of that name is known.
pub(crate) async fn check_ackers(driver: &DriverHandle, ack: Option<&Ack>) -> Result<(), ApiError> {
    let Some(Ack { by: Ackers::Datacenter(name), .. }) = ack else { return Ok(()) };
    let name = name.clone();
    driver.inspect(move |node, now| check_known(node, &name, now)).await?
}

/// Waits until other agents have applied what this one has written so far, as far as that was asked for.
///
/// # Errors
/// Nobody was asked, since too many wait. The change stands.
pub(crate) async fn acknowledged(
    driver: &DriverHandle,
    ack: Option<Ack>,
    scope: InstanceScope,
) -> Result<Option<Acknowledged>, ApiError> {
    let Some(Ack { by, timeout_ms }) = ack else { return Ok(None) };
    let is_kept_home = scope == InstanceScope::Datacenter;
    let by = match by {
        Ackers::Any(count) if is_kept_home => Confirmers::Home(count),
        Ackers::Any(count) => Confirmers::Any(count),
        Ackers::All if is_kept_home => Confirmers::Datacenter(None),
        Ackers::All => Confirmers::All,
        Ackers::Home => Confirmers::Datacenter(None),
        Ackers::Datacenter(name) => Confirmers::Datacenter(Some(name)),
    };
    confirmed(driver, by, timeout_ms).await.map(Some)
}

/// Waits until these agents have applied what this one has written so far.
///
/// # Errors
/// Nobody was asked, since too many wait.
pub(super) async fn confirmed(
    driver: &DriverHandle,
    by: Confirmers,
    timeout_ms: u64,
) -> Result<Acknowledged, ApiError> {
    let confirmed = driver.confirm(by, Duration::from_millis(timeout_ms)).await?;
    let (outcome, missing) = (confirmed.outcome, confirmed.missing);
    Ok(Acknowledged {
        confirmed: outcome.confirmed,
        wanted: outcome.wanted,
        complete: outcome.is_complete(),
        missing,
    })
}
