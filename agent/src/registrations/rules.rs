//! The rules for a registration that hold here. The catalog has rules of its own, and takes names that these refuse.

use std::collections::BTreeSet;
use std::net::IpAddr;

use hobnob_api::address::{Host, is_of_one_host};
use hobnob_api::names::{self, NameError};
use hobnob_api::{ALL_DATACENTERS, Alias, ApiError, Check, ErrorCode, Probe, Registration};
use hobnob_membership::limits::{MAX_FAILOVER, MAX_META_KEYS, MAX_META_VALUE_BYTES, MAX_TAGS};
use hobnob_membership::registering;

use super::records;
use crate::checks::{self, MAX_CHECKS};
use crate::storage::StoredRegistration;

/// Checks a registration, but for the rules of the catalog. An agent without `script_checks` takes no check that is a script.
///
/// # Errors
/// The first rule that it breaks.
pub(super) fn validate(registration: &Registration, script_checks: bool) -> Result<(), ApiError> {
    let id = registration.instance_id();
    validate_names(registration)
        .map_err(|error| ApiError::new(ErrorCode::NameInvalid, error.to_string()))?;
    validate_size(registration)?;
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
    check_number(id, given)?;
    let mut names = BTreeSet::new();
    if let Some(twice) = registration.checks.iter().find(|check| !names.insert(&check.name)) {
        let message =
            format!("`{id}` has two checks with the name `{}`: name them apart", twice.name);
        return Err(ApiError::new(ErrorCode::CheckInvalid, message));
    }
    registration.checks.iter().try_for_each(|check| validate_probe(id, check, script_checks))
}

/// Checks how many checks an instance has.
///
/// # Errors
/// There are too many.
pub(super) fn check_number(id: &str, given: usize) -> Result<(), ApiError> {
    if given <= MAX_CHECKS {
        return Ok(());
    }
    let message = format!("`{id}` has {given} checks, and {MAX_CHECKS} are allowed");
    Err(ApiError::new(ErrorCode::TooManyChecks, message))
}

/// Checks a check for the instance with this id.
///
/// # Errors
/// The first rule that it breaks.
pub(super) fn validate_check(id: &str, check: &Check, script_checks: bool) -> Result<(), ApiError> {
    names::check("check", &check.name)
        .map_err(|error| ApiError::new(ErrorCode::NameInvalid, error.to_string()))?;
    validate_probe(id, check, script_checks)
}

fn validate_probe(id: &str, check: &Check, script_checks: bool) -> Result<(), ApiError> {
    checks::validate(check, script_checks).map_err(|error| {
        let message = format!("the check `{}` of `{id}`: {error}", check.name);
        ApiError::new(ErrorCode::CheckInvalid, message)
    })?;
    if matches!(&check.probe, Probe::Alias(Alias::Instance(followed)) if followed == id) {
        let message = format!(
            "the check `{}` of `{id}` follows `{id}` itself, and so would never recover: name the id of another instance",
            check.name
        );
        return Err(ApiError::new(ErrorCode::CheckInvalid, message));
    }
    Ok(())
}

/// Checks that a registration by an agent elsewhere names no file of this host. What is wrong with one would tell a stranger
/// which files are there.
///
/// # Errors
/// A check of it names a file.
pub(super) fn validate_from_elsewhere(registration: &Registration) -> Result<(), ApiError> {
    for check in &registration.checks {
        let tls = match &check.probe {
            Probe::Http(http) => Some(&http.tls),
            Probe::Grpc(grpc) => grpc.tls.as_ref(),
            _ => None,
        };
        if let Some(file) = tls.and_then(|tls| tls.ca_file.as_ref()) {
            let message = format!(
                "the check `{}` of `{}` names the CA file {file}, and a registration from another host names no files of this \
                 one: give the certificates themselves as `ca_pem`",
                check.name,
                registration.instance_id()
            );
            return Err(ApiError::new(ErrorCode::CheckInvalid, message));
        }
    }
    Ok(())
}

/// Checks a registration, with the rules of the catalog.
///
/// # Errors
/// The first rule that it breaks.
pub(crate) fn check(registration: &Registration, script_checks: bool) -> Result<(), ApiError> {
    validate(registration, script_checks)?;
    let stored = StoredRegistration::from(registration);
    // Whatever address the agent will have is as good as this one.
    let service = records::service(&stored, "127.0.0.1");
    let (key, value) = registering::definition(&stored.id.as_str().into(), service);
    registering::check(&key, &value)
        .map_err(|error| ApiError::new(ErrorCode::RegistrationInvalid, error.to_string()))
}

/// The catalog has the same limits. A registration that waits for the registrar is within them already.
fn validate_size(registration: &Registration) -> Result<(), ApiError> {
    let Registration { tags, meta, balancing, .. } = registration;
    let longest = meta.values().map(String::len).max().unwrap_or_default();
    let fault = if tags.len() > MAX_TAGS {
        format!("there are {} tags; the limit is {MAX_TAGS}", tags.len())
    } else if meta.len() > MAX_META_KEYS {
        format!("there are {} metadata keys; the limit is {MAX_META_KEYS}", meta.len())
    } else if balancing.failover.len() > MAX_FAILOVER {
        let given = balancing.failover.len();
        format!("there are {given} datacenters to fail over to; the limit is {MAX_FAILOVER}")
    } else if balancing.failover.iter().any(|name| name == ALL_DATACENTERS) {
        format!(
            "`{ALL_DATACENTERS}` is no datacenter to fail over to: all that are not named follow after those that are"
        )
    } else if longest > MAX_META_VALUE_BYTES {
        format!("a metadata value is {longest} bytes long; the limit is {MAX_META_VALUE_BYTES}")
    } else {
        return Ok(());
    };
    Err(ApiError::new(ErrorCode::RegistrationInvalid, fault))
}

fn validate_names(registration: &Registration) -> Result<(), NameError> {
    let Registration { service, id, namespace, tags, meta, checks, balancing, .. } = registration;
    names::check("service", service)?;
    id.iter().try_for_each(|id| names::check("id", id))?;
    names::check("namespace", namespace)?;
    tags.iter().try_for_each(|tag| names::check("tag", tag))?;
    meta.keys().try_for_each(|key| names::check("metadata key", key))?;
    let failover = &balancing.failover;
    failover.iter().try_for_each(|name| names::check("failover datacenter", name))?;
    checks.iter().try_for_each(|check| names::check("check", &check.name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with_check(check: &str) -> Registration {
        let text = format!(r#"{{"service":"web","id":"web-1","port":80,"checks":[{check}]}}"#);
        serde_json::from_str(&text).expect(&text)
    }

    #[test]
    fn an_alias_follows_another_instance() {
        let follow = |id: &str| {
            let check = format!(r#"{{"probe":{{"alias":{{"instance":"{id}"}}}}}}"#);
            validate(&with_check(&check), false)
        };
        assert_eq!(follow("web-2"), Ok(()));
        let refused = follow("web-1").expect_err("itself").to_string();
        assert!(refused.contains("name the id of another instance"), "{refused}");
    }

    #[test]
    fn an_agent_elsewhere_names_no_file_of_this_host() {
        for (check, is_refused) in [
            (r#"{"probe":{"http":{"url":"https://h/","tls":{"ca_file":"/ca.pem"}}}}"#, true),
            (r#"{"probe":{"grpc":{"address":"h:1","tls":{"ca_file":"/ca.pem"}}}}"#, true),
            (r#"{"probe":{"http":{"url":"https://h/","tls":{"ca_pem":"x"}}}}"#, false),
            (r#"{"probe":{"tcp":{"address":"h:1"}}}"#, false),
        ] {
            let registration = with_check(check);
            assert_eq!(validate(&registration, false), Ok(()), "{check}");
            let told = validate_from_elsewhere(&registration).map_err(|error| error.to_string());
            assert_eq!(told.is_err(), is_refused, "{check}");
            assert!(told.err().is_none_or(|told| told.contains("/ca.pem")), "{check}");
        }
    }
}
