//! What agents of different datacenters say to each other about registrations: JSON, with the types of the API.

use hobnob_api::{Ack, Acknowledged, ApiError, ErrorCode, RegisterOutcome, Registration};
use serde::{Deserialize, Serialize};

/// The version of these messages. An agent that speaks another one refuses the request.
const VERSION: u32 = 1;

/// A change that an agent asks another one for.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Asked {
    version: u32,
    /// The process that asked for it, at the host of the agent that asks.
    pub(super) by: Process,
    pub(super) change: Change,
}

/// A process of another host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Process {
    /// The id of its user.
    pub(super) uid: u32,
    /// Its process id, if the agent that asks sees it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) pid: Option<u32>,
}

/// The change itself.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Change {
    /// Register an instance, or replace one that came from elsewhere.
    Register(Box<Registration>),
    /// Remove an instance that came from elsewhere.
    Deregister {
        id: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        ack: Option<Ack>,
    },
    /// The same, strongly. An earlier version does not know it, and so does not do less than was asked for.
    DeregisterStrongly {
        id: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        ack: Option<Ack>,
        /// The longest wait for voters, in milliseconds.
        timeout_ms: u64,
    },
    /// Change nothing: read by the voters of the agent's datacenter which instances of a service are registered.
    Read { namespace: String, service: String, timeout_ms: u64 },
    /// Change nothing: say that this was heard, and try the way back if that is asked for.
    Echo { back: bool },
}

/// What became of the change.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Outcome {
    /// The instance is registered.
    Registered { outcome: RegisterOutcome, ack: Option<Acknowledged> },
    /// The instance is registered no more.
    Deregistered { ack: Option<Acknowledged> },
    /// A process of the agent's own host registered an instance with this id. Nothing was changed.
    RegisteredThere {},
    /// The registers of the instances, as voters keep them, each in base64url.
    Read { registers: Vec<String> },
    /// The echo.
    Echoed(Echoed),
    /// The change was refused, or is not acknowledged.
    Refused(ApiError),
}

/// What an agent says to a question for an echo.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Echoed {
    /// The time of its clock, in milliseconds since 1970, just before it answered.
    pub(crate) wall_ms: u64,
    /// Whether a ping of its own was answered by datagram.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) udp_back: Option<bool>,
    /// Whether a request of its own was answered by stream.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) quic_back: Option<bool>,
}

impl Asked {
    pub(super) fn new(by: Process, change: Change) -> Self {
        Self { version: VERSION, by, change }
    }

    pub(super) fn write(&self) -> Result<Vec<u8>, ApiError> {
        serde_json::to_vec(self)
            .map_err(|error| ApiError::new(ErrorCode::RegistrationInvalid, error.to_string()))
    }

    /// Reads a request.
    ///
    /// # Errors
    /// It is of another version, or not to be read.
    pub(super) fn read(bytes: &[u8]) -> Result<Self, ApiError> {
        #[derive(Deserialize)]
        struct Version {
            version: u32,
        }
        let malformed = |error: serde_json::Error| {
            let message = format!("the agent there cannot read the request: {error}");
            ApiError::new(ErrorCode::RequestMalformed, message)
        };
        let Version { version } = serde_json::from_slice(bytes).map_err(malformed)?;
        if version != VERSION {
            let message = format!(
                "the agent there takes version {VERSION} of such requests, and this is version {version}"
            );
            return Err(ApiError::new(ErrorCode::ApiVersionUnsupported, message));
        }
        serde_json::from_slice(bytes).map_err(malformed)
    }
}

impl Outcome {
    pub(super) fn write(&self) -> Vec<u8> {
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// Reads an answer; `None` if it is not to be read.
    pub(super) fn read(bytes: &[u8]) -> Option<Self> {
        serde_json::from_slice(bytes).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_written_as_they_were_recorded() {
        let by = Process { uid: 1_000, pid: Some(4_242) };
        let registration = Box::new(Registration::new("web", 80));
        for (change, recorded) in [
            (
                Change::Register(registration),
                r#"{"version":1,"by":{"uid":1000,"pid":4242},"change":{"register":{"service":"web","port":80}}}"#,
            ),
            (
                Change::Deregister { id: "web".to_owned(), ack: None },
                r#"{"version":1,"by":{"uid":1000,"pid":4242},"change":{"deregister":{"id":"web"}}}"#,
            ),
            (
                Change::Read {
                    namespace: "default".to_owned(),
                    service: "web".to_owned(),
                    timeout_ms: 2_000,
                },
                r#"{"version":1,"by":{"uid":1000,"pid":4242},"change":{"read":{"namespace":"default","service":"web","timeout_ms":2000}}}"#,
            ),
            (
                Change::Echo { back: true },
                r#"{"version":1,"by":{"uid":1000,"pid":4242},"change":{"echo":{"back":true}}}"#,
            ),
        ] {
            let asked = Asked::new(by, change);
            assert_eq!(str::from_utf8(&asked.write().expect("written")), Ok(recorded));
            assert_eq!(Asked::read(recorded.as_bytes()), Ok(asked));
        }
        let refused = ApiError::new(ErrorCode::DiskFull, "full");
        for (outcome, recorded) in [
            (
                Outcome::Registered { outcome: RegisterOutcome::Added, ack: None },
                r#"{"registered":{"outcome":"added","ack":null}}"#,
            ),
            (Outcome::Deregistered { ack: None }, r#"{"deregistered":{"ack":null}}"#),
            (
                Outcome::Echoed(Echoed { wall_ms: 7, udp_back: Some(true), quic_back: None }),
                r#"{"echoed":{"wall_ms":7,"udp_back":true}}"#,
            ),
            (
                Outcome::Read { registers: vec!["AP8".to_owned()] },
                r#"{"read":{"registers":["AP8"]}}"#,
            ),
            (Outcome::RegisteredThere {}, r#"{"registered_there":{}}"#),
            (
                Outcome::Refused(refused),
                r#"{"refused":{"kind":"failed","code":"disk_full","message":"full"}}"#,
            ),
        ] {
            assert_eq!(str::from_utf8(&outcome.write()), Ok(recorded));
            assert_eq!(Outcome::read(recorded.as_bytes()), Some(outcome));
        }
    }

    #[test]
    fn a_request_of_another_version_or_without_sense_is_refused_in_words() {
        let refused = |bytes: &[u8]| Asked::read(bytes).expect_err("refused").code;
        let newer = br#"{"version":2,"by":"us","change":{"scale":{}}}"#;
        assert_eq!(refused(newer), ErrorCode::ApiVersionUnsupported);
        let unknown = br#"{"version":1,"by":{"uid":1},"change":{"scale":{}}}"#;
        for bytes in [&b""[..], b"{}", b"\xff\xff", unknown] {
            assert_eq!(refused(bytes), ErrorCode::RequestMalformed);
        }
        assert_eq!(Outcome::read(b"{}"), None);
    }
}
