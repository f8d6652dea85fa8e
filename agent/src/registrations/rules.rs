//! The rules for a registration that hold here. The catalog has rules of its own, and takes names that these refuse.

use std::net::IpAddr;

use hobnob_api::address::{Host, is_of_one_host};
use hobnob_api::names::{self, NameError};
use hobnob_api::{ApiError, ErrorCode, Registration};

use crate::checks;

/// Checks of one instance that run.
const MAX_CHECKS: usize = 1;

/// Checks a registration, but for the rules of the catalog.
///
/// # Errors
/// The first rule that it breaks.
pub(super) fn validate(registration: &Registration) -> Result<(), ApiError> {
    let id = registration.instance_id();
    validate_names(registration)
        .map_err(|error| ApiError::new(ErrorCode::NameInvalid, error.to_string()))?;
    if let Some(address) = &registration.address {
        let parsed = address.parse::<Host>();
        parsed.map_err(|error| ApiError::new(ErrorCode::AddressInvalid, error.to_string()))?;
        if address.parse::<IpAddr>().is_ok_and(|ip| !is_of_one_host(ip)) {
            let message = format!(
                "no client reaches `{id}` at {address}: give the address of one host, or leave it out for the agent's own"
            );
            return Err(ApiError::new(ErrorCode::AddressInvalid, message));
        }
    }
    let given = registration.checks.len();
    if given > MAX_CHECKS {
        let message = format!("`{id}` has {given} checks, and this version runs {MAX_CHECKS}");
        return Err(ApiError::new(ErrorCode::TooManyChecks, message));
    }
    registration.checks.iter().try_for_each(|check| {
        checks::validate(check).map_err(|error| {
            let message = format!("the check `{}` of `{id}`: {error}", check.name);
            ApiError::new(ErrorCode::CheckInvalid, message)
        })
    })
}

fn validate_names(registration: &Registration) -> Result<(), NameError> {
    let Registration { service, id, namespace, tags, meta, checks, .. } = registration;
    names::check("service", service)?;
    id.iter().try_for_each(|id| names::check("id", id))?;
    names::check("namespace", namespace)?;
    tags.iter().try_for_each(|tag| names::check("tag", tag))?;
    meta.keys().try_for_each(|key| names::check("metadata key", key))?;
    checks.iter().try_for_each(|check| names::check("check", &check.name))
}
