//! What to do about an HTTP door that cannot be opened.

use hobnob_agent::HttpError;

/// For a door beyond this host that would be open to everybody.
pub(super) const BEYOND_HOST: &str = "give it a certificate with --http-cert and --http-key, so that it answers those who bring an \
     access key; or bind it to 127.0.0.1; or pass --insecure-http if everybody who reaches that address may read the metrics";
/// For one that would take changes of everybody.
pub(super) const OPEN_WRITES: &str = "make a key with `hobnob access-key create --write`, and leave --http-open-writes out; or bind HTTP to 127.0.0.1";

pub(super) fn of(error: &HttpError) -> &'static str {
    match error {
        HttpError::Tls(_) => {
            "name the files with --http-cert and --http-key: a certificate with those that lead from it to a CA, and its private \
             key without a passphrase, both in PEM"
        }
        _ => "name another address with --http, or HOBNOB_HTTP",
    }
}
