//! Answers in JSON, within limits, and refusals.

use std::io::{self, Write};
use std::sync::Arc;

use axum::body::Body;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use hobnob_api::codec::MAX_RESPONSE_BYTES;
use hobnob_api::{ApiError, ErrorCode, ErrorKind};
use serde::Serialize;

use super::parameters::BadParameter;
use crate::budget::{Budget, Held};

/// Bytes for which an answer has room from its begin on.
const BEGUN_BYTES: usize = 4 << 10;

/// A request that is refused, with a sentence for people.
#[derive(Debug)]
pub(super) struct Refused {
    pub(super) status: StatusCode,
    pub(super) message: String,
    /// What it is for programs that ask the agent's own API.
    pub(super) code: ErrorCode,
}

impl Refused {
    pub(super) fn new(status: StatusCode, message: impl Into<String>) -> Self {
        Self { status, message: message.into(), code: ErrorCode::RequestMalformed }
    }

    /// A refusal for now.
    pub(super) fn for_now(code: ErrorCode, message: impl Into<String>) -> Self {
        Self { status: StatusCode::SERVICE_UNAVAILABLE, message: message.into(), code }
    }

    pub(super) fn bad(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, message)
    }

    /// The refusal for as long as the agent starts.
    pub(super) fn starting() -> Self {
        Self::for_now(ErrorCode::AgentUnavailable, "the agent is starting")
    }
}

impl From<BadParameter> for Refused {
    fn from(BadParameter(message): BadParameter) -> Self {
        Self::bad(message)
    }
}

impl From<ApiError> for Refused {
    fn from(error: ApiError) -> Self {
        Self { status: status_of(&error), message: error.message, code: error.code }
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let mut response = (self.status, format!("{}\n", self.message)).into_response();
        if self.status == StatusCode::SERVICE_UNAVAILABLE {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        }
        response
    }
}

/// The status for an error of the API.
pub(super) fn status_of(error: &ApiError) -> StatusCode {
    match (error.kind, error.code) {
        (_, ErrorCode::AnswerTooLarge | ErrorCode::RequestTooLarge) => {
            StatusCode::PAYLOAD_TOO_LARGE
        }
        // The service may answer at another time, and the request is as good as any.
        (ErrorKind::Failed, ErrorCode::InstanceIdTaken | ErrorCode::InstanceDefinedByFile) => {
            StatusCode::CONFLICT
        }
        (ErrorKind::Invalid, _) => StatusCode::BAD_REQUEST,
        (ErrorKind::NotFound, _) => StatusCode::NOT_FOUND,
        (ErrorKind::Failed, _) => StatusCode::SERVICE_UNAVAILABLE,
    }
}

/// Bytes of an answer, which count until they are written.
struct Counted {
    bytes: Vec<u8>,
    _held: Held,
}

impl AsRef<[u8]> for Counted {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

/// The text of a value in JSON.
///
/// # Errors
/// It is longer than an answer may be.
pub(super) fn text_of(value: &impl Serialize, is_pretty: bool) -> Result<Vec<u8>, Refused> {
    let mut limited = Limited(Vec::with_capacity(BEGUN_BYTES));
    let written = match is_pretty {
        true => serde_json::to_writer_pretty(&mut limited, value),
        false => serde_json::to_writer(&mut limited, value),
    };
    written.map_err(|_| {
        let message =
            format!("the answer would be longer than {MAX_RESPONSE_BYTES} bytes: ask for less");
        Refused::from(ApiError::new(ErrorCode::AnswerTooLarge, message))
    })?;
    limited.0.push(b'\n');
    Ok(limited.0)
}

/// An answer with this text in JSON, which counts in the budget until it is written.
///
/// # Errors
/// There is no room for it.
pub(super) fn json(text: Vec<u8>, budget: &Arc<Budget>) -> Result<Response, Refused> {
    let bytes = counted(text, budget)?;
    let content_type = [(header::CONTENT_TYPE, "application/json")];
    Ok((content_type, Body::from(bytes)).into_response())
}

/// Bytes that count in the budget until they are written.
///
/// # Errors
/// There is no room for them.
pub(super) fn counted(bytes: Vec<u8>, budget: &Arc<Budget>) -> Result<Bytes, ApiError> {
    let held = budget.hold(bytes.capacity())?;
    Ok(Bytes::from_owner(Counted { bytes, _held: held }))
}

/// Takes as many bytes as an answer may have.
struct Limited(Vec<u8>);

impl Write for Limited {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.0.len() + bytes.len() > MAX_RESPONSE_BYTES {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_beyond_the_limit_is_refused_and_counts_nothing() {
        let long = "x".repeat(MAX_RESPONSE_BYTES);
        let refused = text_of(&long, false).expect_err("too long");
        assert_eq!(refused.status, StatusCode::PAYLOAD_TOO_LARGE);
        let budget = Budget::new(2 * BEGUN_BYTES);
        let answer = json(text_of(&[1, 2], false).expect("short"), &budget).expect("room");
        assert!(budget.held() >= 6);
        drop(answer);
        assert_eq!(budget.held(), 0);
        let refused = json(vec![0; 2 * BEGUN_BYTES + 1], &budget).expect_err("no room");
        assert_eq!(refused.status, StatusCode::SERVICE_UNAVAILABLE);
    }
}
