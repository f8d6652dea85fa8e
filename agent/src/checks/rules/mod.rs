//! The rules that a check is accepted by.

mod error;
#[cfg(test)]
mod tests;

use std::time::Duration;

use hobnob_api::address::MAX_ADDRESS_BYTES;
use hobnob_api::{Alias, Check, HttpProbe, Probe, ProbeTls};
use hyper::Method;
use hyper::header::{HeaderName, HeaderValue};
use rustls::pki_types::ServerName;

use super::probes::Target;

pub use error::CheckError;

/// Checks of one instance.
pub const MAX_CHECKS: usize = 16;
/// The shortest time from the start of one probe to the start of the next.
pub const MIN_INTERVAL: Duration = Duration::from_millis(10);
/// The shortest interval of a check that follows another: its probes are answered by the task that runs the protocol.
const MIN_ALIAS_INTERVAL: Duration = Duration::from_secs(1);
/// The longest time from the start of one probe to the start of the next.
pub const MAX_INTERVAL: Duration = Duration::from_hours(24);
/// The shortest time that a probe may take.
pub const MIN_TIMEOUT: Duration = Duration::from_millis(1);
/// The longest time that a probe may take. It may be longer than the interval: probes never overlap, and the next one
/// then waits for the end of the one before it.
pub const MAX_TIMEOUT: Duration = Duration::from_secs(60);
/// The largest number of equal outcomes in a row that a check may ask for.
pub const MAX_THRESHOLD: u32 = 100;

/// The longest time for which a report of a service on itself holds.
const MAX_TTL: Duration = Duration::from_hours(24);
/// The shortest time for which a check may be critical before its instance is deregistered. A failure that mends itself should
/// not end a registration.
const MIN_DEREGISTER_AFTER: Duration = Duration::from_secs(1);
/// The longest time for which a check may be critical before its instance is deregistered.
const MAX_DEREGISTER_AFTER: Duration = Duration::from_hours(24 * 365);
/// Fields of the head that an HTTP check adds.
const MAX_HEADERS: usize = 32;
/// Ranges of status codes that an HTTP check expects.
const MAX_RANGES: usize = 32;
/// The program of a script and its arguments.
const MAX_ARGS: usize = 64;
/// Bytes of a body, of a datagram, of the fields of a head together, and of the arguments of a script together.
const MAX_CONTENT_BYTES: usize = 4 * 1024;
/// Bytes of the certificates of CAs that a check carries.
const MAX_CA_PEM_BYTES: usize = 16 * 1024;

/// Checks that a check can be run as it is. An agent without `script_checks` runs no scripts.
///
/// # Errors
/// The first rule that it breaks.
pub fn validate(check: &Check, script_checks: bool) -> Result<(), CheckError> {
    if !(MIN_INTERVAL..=MAX_INTERVAL).contains(&Duration::from_millis(check.interval_ms)) {
        return Err(CheckError::Interval { given_ms: check.interval_ms });
    }
    if !(MIN_TIMEOUT..=MAX_TIMEOUT).contains(&Duration::from_millis(check.timeout_ms)) {
        return Err(CheckError::Timeout { given_ms: check.timeout_ms });
    }
    for (field, given) in [
        ("success_before_passing", check.success_before_passing),
        ("failures_before_warning", check.failures_before_warning.unwrap_or(1)),
        ("failures_before_critical", check.failures_before_critical),
    ] {
        if !(1..=MAX_THRESHOLD).contains(&given) {
            return Err(CheckError::Threshold { field, given });
        }
    }
    if let Some(given) = check.failures_before_warning
        && given >= check.failures_before_critical
    {
        return Err(CheckError::Warning { given, critical: check.failures_before_critical });
    }
    if let Some(given_ms) = check.deregister_critical_after_ms
        && !(MIN_DEREGISTER_AFTER..=MAX_DEREGISTER_AFTER).contains(&Duration::from_millis(given_ms))
    {
        let field = "deregister_critical_after_ms";
        return Err(CheckError::Time { field, given_ms, min: "1 s", max: "a year" });
    }
    Target::parse(&check.probe)?;
    match &check.probe {
        Probe::Http(http) => validate_http(http),
        Probe::Tcp { .. } => Ok(()),
        Probe::Udp(udp) => {
            let len = udp.payload.as_ref().map_or(0, String::len);
            at_most("payload in bytes", len, MAX_CONTENT_BYTES)
        }
        Probe::Grpc(grpc) => {
            let len = grpc.service.as_ref().map_or(0, String::len);
            at_most("service in bytes", len, MAX_ADDRESS_BYTES)?;
            grpc.tls.iter().try_for_each(validate_tls)
        }
        Probe::Script { .. } if !script_checks => Err(CheckError::ScriptsOff),
        Probe::Script { args } => {
            at_most("args", args.len(), MAX_ARGS)?;
            at_most("args in bytes", args.iter().map(String::len).sum(), MAX_CONTENT_BYTES)?;
            let program = args.first().map_or("", String::as_str);
            let expected = "expected a program, without NUL bytes in it or its arguments";
            let is_runnable = !program.is_empty() && !args.iter().any(|arg| arg.contains('\0'));
            well_formed(is_runnable, "args", program, expected)
        }
        Probe::Ttl { ttl_ms } => {
            let ttl = Duration::from_millis(*ttl_ms);
            if (MIN_INTERVAL..=MAX_TTL).contains(&ttl) {
                return Ok(());
            }
            let (min, max) = ("10 ms", "one day");
            Err(CheckError::Time { field: "ttl_ms", given_ms: *ttl_ms, min, max })
        }
        Probe::Alias(Alias::Instance(name) | Alias::Member(name)) => {
            let expected = "expected an id or a name of 1 to 128 bytes";
            well_formed((1..=128).contains(&name.len()), "alias", name, expected)?;
            let given_ms = check.interval_ms;
            if Duration::from_millis(given_ms) >= MIN_ALIAS_INTERVAL {
                return Ok(());
            }
            let (field, min, max) = ("interval_ms, as that of an alias,", "1 s", "one day");
            Err(CheckError::Time { field, given_ms, min, max })
        }
    }
}

fn validate_http(http: &HttpProbe) -> Result<(), CheckError> {
    let HttpProbe { method, headers, body, expect, tls, .. } = http;
    if let Some(method) = method {
        let is_method = Method::from_bytes(method.as_bytes()).is_ok() && method != "CONNECT";
        let is_upper = method.bytes().all(|byte| !byte.is_ascii_lowercase());
        let expected = "expected a method of HTTP in capital letters, other than CONNECT";
        well_formed(is_method && is_upper, "method", method, expected)?;
    }
    at_most("headers", headers.len(), MAX_HEADERS)?;
    let len = headers.iter().map(|(name, value)| name.len() + value.len()).sum();
    at_most("headers in bytes", len, MAX_CONTENT_BYTES)?;
    for (name, value) in headers {
        let is_name = HeaderName::from_bytes(name.as_bytes()).is_ok();
        well_formed(is_name, "headers", name, "expected the name of a header field")?;
        let is_value = HeaderValue::from_str(value).is_ok();
        well_formed(
            is_value,
            "headers",
            name,
            "its value has bytes that no header field may have",
        )?;
        let ours = ["connection", "content-length", "transfer-encoding"];
        let is_free = !ours.iter().any(|ours| name.eq_ignore_ascii_case(ours));
        well_formed(is_free, "headers", name, "the probe sets this field itself")?;
    }
    at_most("body in bytes", body.as_ref().map_or(0, String::len), MAX_CONTENT_BYTES)?;
    at_most("expect", expect.len(), MAX_RANGES)?;
    validate_tls(tls)
}

fn validate_tls(tls: &ProbeTls) -> Result<(), CheckError> {
    let len = |text: &Option<String>| text.as_ref().map_or(0, String::len);
    at_most("ca_pem in bytes", len(&tls.ca_pem), MAX_CA_PEM_BYTES)?;
    at_most("ca_file in bytes", len(&tls.ca_file), MAX_CONTENT_BYTES)?;
    if let Some(file) = &tls.ca_file {
        well_formed(file.starts_with('/'), "ca_file", file, "expected a path from the root on")?;
    }
    if let Some(name) = &tls.server_name {
        let is_name = ServerName::try_from(name.as_str()).is_ok();
        well_formed(is_name, "server_name", name, "expected a host name or an IP address")?;
    }
    Ok(())
}

fn at_most(field: &'static str, given: usize, max: usize) -> Result<(), CheckError> {
    if given > max { Err(CheckError::TooMuch { field, given, max }) } else { Ok(()) }
}

fn well_formed(
    is_so: bool,
    field: &'static str,
    given: &str,
    expected: &'static str,
) -> Result<(), CheckError> {
    if is_so {
        return Ok(());
    }
    Err(CheckError::Malformed { field, given: given.to_owned(), expected })
}
