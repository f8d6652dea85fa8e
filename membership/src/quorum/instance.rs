//! Instances of services as registers: how a place names a service, and what a register says of its instance.

use smol_str::{SmolStr, format_smolstr};

use super::entry::Entry;
use crate::catalog::record::{DEFAULT_NAMESPACE, ServiceRecord};
use crate::codec::{Block, DecodeError, Reader};

/// What stands between a service and its namespace. No name has a control character.
const SEPARATOR: char = '\u{1f}';

/// The name of a service in a [`Place`](super::Place). One of the default namespace has its own name, and others have the namespace
/// behind it.
#[must_use]
pub fn service_key(namespace: &str, service: &str) -> SmolStr {
    if namespace == DEFAULT_NAMESPACE {
        return service.into();
    }
    format_smolstr!("{service}{SEPARATOR}{namespace}")
}

/// The definition in a register; `None` if the instance is deregistered, or is in another service now.
///
/// # Errors
/// This version does not understand the definition.
pub fn registered(entry: &Entry) -> Result<Option<ServiceRecord>, DecodeError> {
    let Some(bytes) = &entry.value else { return Ok(None) };
    let record = ServiceRecord::take_fields(&mut Reader::new(bytes))?;
    let is_valid = record.validate().is_ok();
    is_valid.then_some(Some(record)).ok_or(DecodeError::Invalid("a definition breaks its limits"))
}
