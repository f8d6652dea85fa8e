//! Answers of the proxy itself: no instance gave one.

use std::io;

use bytes::Bytes;
use hobnob_api::calls::{CallError, Reason};
use http::header::{ALLOW, CONTENT_TYPE};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};

/// The header that tells an answer of the proxy from one of an instance.
pub(crate) const ERROR_HEADER: HeaderName = HeaderName::from_static("x-hobnob-error");

/// Why the proxy answered itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub enum Code {
    /// No agent has told the instances yet.
    AgentAway,
    /// The service has no instance.
    NoInstance,
    /// The service has instances, and none of them is offered.
    NothingOffered,
    /// The circuits of all instances are open.
    CircuitsOpen,
    /// The proxy has no descriptor, port or memory for a connection.
    Shortage,
    /// No connection to an instance came about.
    ConnectFailed,
    /// No connection to an instance came about in time.
    ConnectTimeout,
    /// The connection to the instance broke before its answer.
    Broken,
    /// The instance did not answer in time.
    Timeout,
    /// The request cannot be passed on.
    RequestInvalid,
    /// The body of the request broke off.
    BodyBroken,
    /// The body of the request did not come in time.
    BodyTimeout,
    /// The instance takes no more calls.
    Busy,
    /// CONNECT is not passed on.
    ConnectMethod,
    /// The instance changed the protocol, and the client had not asked for that.
    UpgradeUnasked,
    /// The answer of the instance cannot be passed on.
    AnswerInvalid,
    /// The head of the request has too many fields.
    TooManyFields,
    /// The head of the request did not come in time.
    HeadTimeout,
    /// The HTTP library could not read the head of the request.
    Malformed,
}

impl Code {
    /// The number of codes.
    pub(crate) const COUNT: usize = Self::ALL.len();

    /// All codes.
    pub const ALL: [Self; 19] = [
        Self::AgentAway,
        Self::NoInstance,
        Self::NothingOffered,
        Self::CircuitsOpen,
        Self::Shortage,
        Self::ConnectFailed,
        Self::ConnectTimeout,
        Self::Broken,
        Self::Timeout,
        Self::RequestInvalid,
        Self::BodyBroken,
        Self::BodyTimeout,
        Self::Busy,
        Self::ConnectMethod,
        Self::UpgradeUnasked,
        Self::AnswerInvalid,
        Self::TooManyFields,
        Self::HeadTimeout,
        Self::Malformed,
    ];

    /// Its name in headers, bodies, logs and metrics.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::AgentAway => "agent_away",
            Self::NoInstance => "no_instance",
            Self::NothingOffered => "nothing_offered",
            Self::CircuitsOpen => "circuits_open",
            Self::Shortage => "shortage",
            Self::ConnectFailed => "connect_failed",
            Self::ConnectTimeout => "connect_timeout",
            Self::Broken => "broken",
            Self::Timeout => "timeout",
            Self::RequestInvalid => "request_invalid",
            Self::BodyBroken => "body_broken",
            Self::BodyTimeout => "body_timeout",
            Self::Busy => "busy",
            Self::ConnectMethod => "connect_method",
            Self::UpgradeUnasked => "upgrade_unasked",
            Self::AnswerInvalid => "answer_invalid",
            Self::TooManyFields => "too_many_fields",
            Self::HeadTimeout => "head_timeout",
            Self::Malformed => "malformed",
        }
    }

    /// The status of the answer.
    #[must_use]
    pub fn status(self) -> u16 {
        match self {
            Self::AgentAway
            | Self::NoInstance
            | Self::NothingOffered
            | Self::CircuitsOpen
            | Self::Busy
            | Self::Shortage => 503,
            Self::ConnectFailed | Self::Broken | Self::UpgradeUnasked | Self::AnswerInvalid => 502,
            Self::ConnectTimeout | Self::Timeout => 504,
            Self::RequestInvalid | Self::BodyBroken | Self::Malformed => 400,
            Self::BodyTimeout | Self::HeadTimeout => 408,
            Self::ConnectMethod => 405,
            Self::TooManyFields => 431,
        }
    }

    /// The status of gRPC: UNAVAILABLE, DEADLINE_EXCEEDED or INTERNAL.
    fn grpc_status(self) -> HeaderValue {
        HeaderValue::from_static(match self {
            Self::Timeout | Self::BodyTimeout => "4",
            Self::RequestInvalid
            | Self::BodyBroken
            | Self::ConnectMethod
            | Self::TooManyFields
            | Self::Malformed => "13",
            _ => "14",
        })
    }
}

/// A request that the proxy answers itself.
#[derive(Debug)]
pub(crate) struct Refusal {
    pub(crate) code: Code,
    pub(crate) reason: String,
}

impl Refusal {
    pub(crate) fn new(code: Code, reason: impl Into<String>) -> Self {
        Self { code, reason: reason.into() }
    }

    /// The head of the answer, and its body.
    pub(crate) fn answer(&self, is_grpc: bool) -> (StatusCode, HeaderMap, Bytes) {
        let mut headers = HeaderMap::with_capacity(6);
        headers.insert(ERROR_HEADER, HeaderValue::from_static(self.code.name()));
        if is_grpc {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
            headers.insert("grpc-status", self.code.grpc_status());
            let message = percent_encoded(&format!("{}: {}", self.code.name(), self.reason));
            if let Ok(message) = HeaderValue::from_maybe_shared(Bytes::from(message)) {
                headers.insert("grpc-message", message);
            }
            return (StatusCode::OK, headers, Bytes::new());
        }
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
        if self.code == Code::ConnectMethod {
            headers.insert(
                ALLOW,
                HeaderValue::from_static("GET, HEAD, POST, PUT, DELETE, PATCH, OPTIONS, TRACE"),
            );
        }
        let status = StatusCode::from_u16(self.code.status());
        let body = format!("{}: {}\n", self.code.name(), self.reason);
        (status.unwrap_or(StatusCode::BAD_GATEWAY), headers, body.into())
    }
}

impl Refusal {
    /// The whole answer over HTTP/1.1, after which the connection closes.
    pub(crate) fn last_answer(&self) -> Vec<u8> {
        let (status, headers, body) = self.answer(false);
        let mut bytes = format!("HTTP/1.1 {status}\r\n").into_bytes();
        for (name, value) in &headers {
            bytes.extend([name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"].concat());
        }
        let length = format!("content-length: {}\r\nconnection: close\r\n\r\n", body.len());
        bytes.extend([length.as_bytes(), &body].concat());
        bytes
    }
}

impl From<CallError> for Refusal {
    fn from(error: CallError) -> Self {
        let code = match &error {
            CallError::AgentAway { .. } => Code::AgentAway,
            CallError::NoInstance { .. } => Code::NoInstance,
            CallError::NothingOffered { .. } => Code::NothingOffered,
            CallError::CircuitsOpen { .. } => Code::CircuitsOpen,
            CallError::Invalid { .. } => Code::RequestInvalid,
            CallError::Failed { reason, .. } => match reason {
                Reason::Connect(_) if reason.is_own() => Code::Shortage,
                Reason::Connect(_) => Code::ConnectFailed,
                Reason::ConnectTimeout(_) => Code::ConnectTimeout,
                Reason::Timeout(_) | Reason::Deadline(_) => Code::Timeout,
                Reason::Busy(_) => Code::Busy,
                Reason::BodyTimeout(_) => Code::BodyTimeout,
                Reason::Body(_) => Code::BodyBroken,
                _ => Code::Broken,
            },
            _ => Code::Broken,
        };
        Self::new(code, error.to_string())
    }
}

impl From<io::Error> for Refusal {
    fn from(error: io::Error) -> Self {
        Self::new(Code::Broken, error.to_string())
    }
}

/// A text as the header `grpc-message` has it: printable ASCII but for `%`.
fn percent_encoded(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b' '..=b'~' if byte != b'%' => encoded.push(char::from(byte)),
            _ => encoded.push_str(&format!("%{byte:02X}")),
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_code_has_a_place_and_a_name_of_its_own() {
        let mut names: Vec<_> = Code::ALL.iter().map(|code| code.name()).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), Code::COUNT);
        for (place, code) in Code::ALL.into_iter().enumerate() {
            assert_eq!(code as usize, place);
        }
    }

    #[test]
    fn a_refusal_says_why_in_the_form_of_the_request() {
        let refusal = Refusal::new(Code::NoInstance, "`w\u{fc}b` has no instance");
        let (status, headers, body) = refusal.answer(false);
        assert_eq!(
            (status.as_u16(), &headers[ERROR_HEADER]),
            (503, &"no_instance".parse().expect("a value"))
        );
        assert_eq!(body, "no_instance: `w\u{fc}b` has no instance\n");
        let (status, headers, body) = refusal.answer(true);
        assert_eq!((status.as_u16(), body.len()), (200, 0));
        assert_eq!(headers["grpc-status"], "14");
        assert_eq!(headers["grpc-message"], "no_instance: `w%C3%BCb` has no instance");
        assert_eq!(Refusal::new(Code::Timeout, "").answer(true).1["grpc-status"], "4");
    }
}
