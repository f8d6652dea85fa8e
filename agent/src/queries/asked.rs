//! The rules for what queries name, and for the length of answers.

use hobnob_api::codec::MAX_RESPONSE_BYTES;
use hobnob_api::{ApiError, Datacenters, ErrorCode};
use hobnob_membership::limits::MAX_NAME_BYTES;

use crate::services::{Scope, ServiceKey, Shown};

/// Bytes of an answer around its instances.
const ENVELOPE_BYTES: usize = 256;

/// The service that a query names.
///
/// # Errors
/// A name that the catalog cannot hold.
pub(crate) fn service_key(namespace: String, service: String) -> Result<ServiceKey, ApiError> {
    check("service", &service)?;
    check("namespace", &namespace)?;
    Ok(ServiceKey { namespace, service })
}

/// Checks the names of a scope. A selector has rules of its own.
pub(crate) fn check_scope(scope: &Scope) -> Result<(), ApiError> {
    check_datacenters(&scope.datacenter)
}

/// Checks the names of datacenters. Their number is checked where they are read.
///
/// # Errors
/// A name that the catalog cannot hold.
pub(crate) fn check_datacenters(datacenters: &Datacenters) -> Result<(), ApiError> {
    datacenters.names().try_for_each(|datacenter| check("datacenter", datacenter))
}

/// A query may name whatever the catalog can hold, which is more than an agent takes in a registration: agents of other
/// versions may allow other names.
///
/// # Errors
/// A name that the catalog cannot hold.
pub(crate) fn check(field: &str, name: &str) -> Result<(), ApiError> {
    let fault = if name.is_empty() {
        "is empty".to_owned()
    } else if name.len() > MAX_NAME_BYTES {
        format!("has {} bytes, and a name has {MAX_NAME_BYTES} at most", name.len())
    } else if name.chars().any(char::is_control) {
        "has a control character".to_owned()
    } else {
        return Ok(());
    };
    Err(ApiError::new(ErrorCode::NameInvalid, format!("the {field} of the query {fault}")))
}

/// The length of an answer while it is put together, so that one which is too long is not even written.
pub(crate) struct Length(usize);

impl Length {
    pub(crate) fn new() -> Self {
        Self(ENVELOPE_BYTES)
    }

    /// Adds an instance. Returns whether the answer still fits a frame.
    pub(crate) fn add(&mut self, shown: &Shown) -> bool {
        self.0 = self.0.saturating_add(shown.answer_bytes());
        self.0 <= MAX_RESPONSE_BYTES
    }
}

/// The refusal of an answer that is too long.
pub(crate) fn too_long(what: &str, remedy: &str) -> ApiError {
    let message = format!("{what} would be longer than {MAX_RESPONSE_BYTES} bytes: {remedy}");
    ApiError::new(ErrorCode::AnswerTooLarge, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_no_catalog_holds_is_refused_and_not_repeated() {
        assert!(service_key("default".to_owned(), "web 1".to_owned()).is_ok());
        for wrong in [String::new(), "x".repeat(129), "a\u{7}b".to_owned()] {
            let refused = service_key("default".to_owned(), wrong.clone()).expect_err("refused");
            assert_eq!(refused.code, ErrorCode::NameInvalid);
            assert!(refused.message.len() < 100);
            let scope = Scope { datacenter: Datacenters::one(wrong.clone()), ..Scope::default() };
            assert!(check_scope(&scope).is_err());
            assert!(service_key(wrong, "web".to_owned()).is_err());
        }
    }
}
