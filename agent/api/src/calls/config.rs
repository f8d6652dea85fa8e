//! How calls are made: times, retries, connections.

use std::time::Duration;

use bytes::Bytes;
use hobnob_balancer::RetryConfig;
use http::{HeaderName, Method, StatusCode};

use super::progress::CallProgress;
use crate::types::Balancing;
pub use crate::types::Protocol;
use crate::types::balancing::millis;

/// How a [`Discovery`](crate::discovery::Discovery) makes calls. `docs/CALLS.md` explains each setting. A registration of the
/// service may set `protocol`, the three times of calls, and `retries.max_retries`: it comes before what stands here, and
/// [`DiscoveryConfig::overrides`](crate::discovery::DiscoveryConfig::overrides) before both.
#[derive(Clone, Debug)]
pub struct CallConfig {
    /// The protocol, unless a call names one.
    pub protocol: Protocol,
    /// The time of a call, retries included, until the head of its answer is there. It begins anew with each piece of a streaming
    /// body that is sent.
    pub timeout: Duration,
    /// The time of one try, for calls that may be tried again. The others have the time of the call.
    pub try_timeout: Duration,
    /// The time in which a connection must stand.
    pub connect_timeout: Duration,
    /// Retries: how many, when, and their budget.
    pub retries: RetryConfig,
    /// Bytes of a streaming body that are kept for a retry. Once more than that has been sent, the call is not tried again.
    pub replay_bytes: usize,
    /// With a quantile such as 0.95, an idempotent call that takes longer than this share of the calls is sent to a second
    /// instance as well, and the first answer counts. Such calls count as retries.
    pub hedge_quantile: Option<f64>,
    /// The header whose value keyed strategies hash, when the call has no key of its own.
    pub key_header: Option<HeaderName>,
    /// Connections of HTTP/1.1 that are kept for each instance while they are idle.
    pub max_idle_connections: usize,
    /// A connection is idle for this long at most.
    pub idle_timeout: Duration,
    /// Whether an answer with this status is a failure of the instance.
    pub is_failure: fn(StatusCode) -> bool,
    /// Whether the agent is told how calls ended, for the picks that others make over its sockets.
    pub report: bool,
}

impl CallConfig {
    /// The same with what these settings give.
    pub(crate) fn with(&self, given: &Balancing) -> Self {
        let retries = RetryConfig {
            max_retries: given.max_retries.unwrap_or(self.retries.max_retries),
            ..self.retries.clone()
        };
        Self {
            protocol: given.protocol.unwrap_or(self.protocol),
            timeout: millis(given.call_timeout_ms, self.timeout),
            try_timeout: millis(given.try_timeout_ms, self.try_timeout),
            connect_timeout: millis(given.connect_timeout_ms, self.connect_timeout),
            retries,
            ..self.clone()
        }
    }
}

impl Default for CallConfig {
    fn default() -> Self {
        Self {
            protocol: Protocol::Http1,
            timeout: Duration::from_secs(10),
            try_timeout: Duration::from_secs(3),
            connect_timeout: Duration::from_secs(1),
            retries: RetryConfig::default(),
            replay_bytes: 64 << 10,
            hedge_quantile: None,
            key_header: None,
            max_idle_connections: 128,
            idle_timeout: Duration::from_secs(60),
            is_failure,
            report: true,
        }
    }
}

/// What a server says when it cannot, as opposed to what it says when it will not.
fn is_failure(status: StatusCode) -> bool {
    let refuses = [StatusCode::NOT_IMPLEMENTED, StatusCode::HTTP_VERSION_NOT_SUPPORTED];
    status.is_server_error() && !refuses.contains(&status)
}

/// What one call asks for. A request may carry it in its extensions.
#[derive(Clone, Debug, Default)]
pub struct CallOptions {
    /// The key that keyed strategies hash.
    pub key: Option<Bytes>,
    /// Whether the call may be made twice. By default its method tells: GET, HEAD, PUT, DELETE, OPTIONS and TRACE may.
    pub idempotent: Option<bool>,
    /// The time of the call, instead of [`CallConfig::timeout`].
    pub timeout: Option<Duration>,
    /// The protocol, instead of [`CallConfig::protocol`].
    pub protocol: Option<Protocol>,
    /// Where the call tells which instance it tries, for a caller that may drop it.
    pub progress: Option<CallProgress>,
}

impl CallOptions {
    /// A call with a key.
    #[must_use]
    pub fn with_key(key: impl Into<Bytes>) -> Self {
        Self { key: Some(key.into()), ..Self::default() }
    }

    /// Whether a call with this method may be made twice.
    pub(super) fn is_idempotent(&self, method: &Method) -> bool {
        self.idempotent.unwrap_or_else(|| method.is_idempotent())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_method_says_whether_a_call_may_be_made_twice_unless_the_caller_does() {
        let options = CallOptions::default();
        for method in [Method::GET, Method::HEAD, Method::PUT, Method::DELETE, Method::OPTIONS] {
            assert!(options.is_idempotent(&method), "{method}");
        }
        assert!(!options.is_idempotent(&Method::POST) && !options.is_idempotent(&Method::PATCH));
        let marked = CallOptions { idempotent: Some(true), ..CallOptions::default() };
        assert!(marked.is_idempotent(&Method::POST));
    }

    #[test]
    fn settings_that_are_given_replace_those_of_the_program() {
        let config = CallConfig::default();
        let same = config.with(&Balancing::default());
        assert_eq!(format!("{same:?}"), format!("{config:?}"));
        let given = Balancing {
            call_timeout_ms: Some(1),
            try_timeout_ms: Some(2),
            connect_timeout_ms: Some(3),
            max_retries: Some(0),
            protocol: Some(Protocol::Http2),
            ..Balancing::default()
        };
        let with = config.with(&given);
        let times = [with.timeout, with.try_timeout, with.connect_timeout];
        assert_eq!(times, [1, 2, 3].map(Duration::from_millis));
        assert_eq!((with.retries.max_retries, with.protocol), (0, Protocol::Http2));
    }

    #[test]
    fn a_server_that_cannot_fails_and_one_that_will_not_does_not() {
        let fails = |status: u16| is_failure(StatusCode::from_u16(status).expect("a status"));
        assert!([500, 502, 503, 504, 599].map(fails).iter().all(|fails| *fails));
        assert!(![200, 304, 404, 429, 501, 505].map(fails).iter().any(|fails| *fails));
    }
}
