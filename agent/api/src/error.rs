//! Why an agent refuses or fails a request: a message for people, a code for programs.

use serde::{Deserialize, Serialize};

/// Why a request failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{message}")]
pub struct ApiError {
    /// Whether the same request can succeed later.
    pub kind: ErrorKind,
    /// The kind of error, for programs.
    pub code: ErrorCode,
    /// The error in words, for people.
    pub message: String,
}

impl ApiError {
    /// An error of the kind that belongs to its code.
    #[must_use]
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self { kind: code.kind(), code, message: message.into() }
    }
}

/// Whether the same request can succeed later.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ErrorKind {
    /// The request breaks a rule. It never succeeds as it is.
    Invalid,
    /// Nothing has that name.
    NotFound,
    /// The agent could not do it now. A kind that this version does not know reads as this one.
    #[serde(other)]
    Failed,
}

/// Declares the codes with the kind that each belongs to, so that no code lacks one.
macro_rules! error_codes {
    ($($(#[$doc:meta])+ $code:ident => $kind:ident,)+) => {
        /// The kind of error, in one word that programs can compare. In JSON it is in `snake_case`.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(rename_all = "snake_case")]
        #[non_exhaustive]
        pub enum ErrorCode {
            $($(#[$doc])+ $code,)+
            /// A code of a newer agent. The kind says what to make of it.
            #[serde(other)]
            Other,
        }

        impl ErrorCode {
            /// Every code but [`ErrorCode::Other`].
            pub const ALL: &[Self] = &[$(Self::$code),+];

            /// The kind of error that this code stands for.
            #[must_use]
            pub fn kind(self) -> ErrorKind {
                match self {
                    $(Self::$code => ErrorKind::$kind,)+
                    Self::Other => ErrorKind::Failed,
                }
            }
        }
    };
}

error_codes! {
    /// The request cannot be read: it is no JSON, names an unknown field, or lacks one.
    RequestMalformed => Invalid,
    /// The request is longer than the limit. The agent closes the connection.
    RequestTooLarge => Invalid,
    /// The request asks for a version of the API that the agent does not speak.
    ApiVersionUnsupported => Invalid,
    /// A name breaks the rule for names.
    NameInvalid => Invalid,
    /// An address or a URL cannot be read.
    AddressInvalid => Invalid,
    /// A host name of the request cannot be resolved.
    AddressUnresolvable => Failed,
    /// Every address to join at is the agent's own.
    AddressIsOwn => Invalid,
    /// A health check breaks a rule.
    CheckInvalid => Invalid,
    /// An instance has more health checks than this version runs.
    TooManyChecks => Invalid,
    /// The registration breaks a rule of the catalog, such as the range of a weight.
    RegistrationInvalid => Invalid,
    /// The token with which the agent joined a sealed cluster does not allow it to serve the service.
    ServiceNotAllowed => Invalid,
    /// A label selector cannot be read.
    SelectorInvalid => Invalid,
    /// A number of the request is out of its range.
    OutOfRange => Invalid,
    /// The strategy needs a key, and the request has none.
    KeyMissing => Invalid,
    /// A filter of the log cannot be read.
    LogFilterInvalid => Invalid,
    /// The request changes something, and the socket answers questions only.
    SocketReadOnly => Invalid,
    /// The connection watches as many services as it may.
    TooManyWatches => Invalid,
    /// The connection has as many calls in flight as it may.
    TooManyCallsInFlight => Invalid,
    /// The answer would be longer than the limit.
    AnswerTooLarge => Invalid,
    /// Everything that would be answered is older than the request allows.
    AnswerTooOld => Failed,
    /// Several members have that name.
    MemberAmbiguous => Invalid,
    /// The member is this agent itself.
    MemberIsSelf => Invalid,
    /// The datacenter is that of this agent itself.
    DatacenterIsOwn => Invalid,
    /// A datacenter that is in reach is to be forgotten.
    DatacenterReachable => Failed,
    /// A signed order cannot be read, or does not count in this cluster.
    OrderInvalid => Invalid,
    /// The member or the token is that of this agent itself, and the request does not say that it may be.
    RevokesItself => Invalid,
    /// No member has that name or node id.
    MemberNotFound => NotFound,
    /// No datacenter of that name is known.
    DatacenterNotFound => NotFound,
    /// A drain was stopped before its end.
    DrainStopped => Failed,
    /// No instance with that id is registered with this agent.
    InstanceNotFound => NotFound,
    /// The instance has no check by reports of that name, or has several and the request names none.
    CheckNotFound => NotFound,
    /// The instance is registered with another agent.
    InstanceElsewhere => NotFound,
    /// Nothing has that name or id.
    SubjectNotFound => NotFound,
    /// It is the name of a service, where a member or an instance is expected.
    SubjectIsService => NotFound,
    /// The datacenter is out of reach, or none of its agents is alive.
    DatacenterUnreachable => Failed,
    /// A process of another host has registered an instance with that id in that datacenter.
    InstanceIdTaken => Failed,
    /// A file of service definitions of the agent defines the instance with that id.
    InstanceDefinedByFile => Failed,
    /// The agent of the other datacenter is not to be had now. It changed nothing.
    AgentUnavailable => Failed,
    /// The agent of the other datacenter gave no answer. It may have made the change.
    OutcomeUnknown => Failed,
    /// The member is alive or suspect.
    MemberAlive => Failed,
    /// The cluster is not sealed: it has no keys.
    NotSealed => Failed,
    /// The agent lacks the role operator, or what was revoked would sign the order.
    RoleMissing => Failed,
    /// The certificate of the member is not known, and its key with it.
    KeyUnknown => Failed,
    /// As many changes wait for acknowledgements as may. This one stands.
    TooManyAcks => Failed,
    /// As many revocations are there as may be.
    TooManyRevocations => Failed,
    /// The agent at the address to join at is of another datacenter, or with `wan` of this one or of an isolated one.
    WrongDatacenter => Failed,
    /// Nobody answered at the addresses to join at.
    JoinUnanswered => Failed,
    /// Another agent runs under the same node id, and this one gave way to it.
    DuplicateNodeId => Failed,
    /// The agent holds as much for this connection, or for all clients, as it may.
    TooMuchHeld => Failed,
    /// Almost every place for connections is taken. The few that are left answer an operator's calls only.
    TooManyConnections => Failed,
    /// The agent holds as many registrations as it may.
    TooManyRegistrations => Failed,
    /// The disk has no room.
    DiskFull => Failed,
    /// The data directory cannot be written.
    StorageFailed => Failed,
    /// The log of the agent has no filter that could be changed while it runs.
    LogFixed => Failed,
    /// No voters are known, so nothing can be strong.
    NoVoters => Failed,
    /// No majority of the voters answered in time.
    NoQuorum => Failed,
    /// A majority of the voters answered, and others wrote so much that the read did not settle in time.
    Contended => Failed,
    /// A strong write was not confirmed by a majority of the voters in time. The change stands at its agent, and may take effect for
    /// strong reads.
    Unconfirmed => Failed,
    /// A request of this kind is never strong.
    NeverStrong => Invalid,
    /// The voters cannot be changed so.
    VotersInvalid => Invalid,
    /// The voters were not changed: another change was made first, or a voter cannot tell whether there were voters before.
    VotersUnchanged => Failed,
    /// As many strong requests are under way as may be.
    TooManyStrong => Failed,
    /// The agent is stopping.
    AgentStopping => Failed,
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn an_error_of_a_newer_agent_is_a_failure_with_a_message() {
        let newer =
            json!({ "kind": "throttled", "code": "too_fast", "message": "slower", "retry_ms": 5 });
        let error: ApiError = serde_json::from_value(newer).expect("an error");
        assert_eq!((error.kind, error.code), (ErrorKind::Failed, ErrorCode::Other));
        assert_eq!(error.to_string(), "slower");
    }

    #[test]
    fn every_code_is_one_word_of_its_own() {
        let words: std::collections::BTreeSet<String> = ErrorCode::ALL
            .iter()
            .map(|code| serde_json::to_value(code).expect("a word"))
            .map(|word| word.as_str().expect("a string").to_owned())
            .collect();
        assert_eq!(words.len(), ErrorCode::ALL.len());
        assert!(words.contains("member_ambiguous"), "{words:?}");
    }
}
