//! The envelopes of requests and responses, which number them.

use serde::{Deserialize, Serialize};

use super::{Instance, Request, Reset, Response, is_default};

/// A request with the number that its responses carry. Requests on one connection may be pipelined.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Call {
    /// Chosen by the client; responses carry it back.
    #[serde(default, skip_serializing_if = "is_default")]
    pub id: u64,
    /// The version of the API that the client expects. An agent that speaks another one refuses the call.
    #[serde(default, skip_serializing_if = "is_default")]
    pub api: Option<u32>,
    /// Whether an answer that is too long for one reply may come in pages: replies with [`Reply::more`], then one without.
    /// Else it is refused.
    #[serde(default, skip_serializing_if = "is_default")]
    pub pages: bool,
    /// The request.
    pub request: Request,
}

impl Call {
    /// A call without extras.
    #[must_use]
    pub fn new(id: u64, request: Request) -> Self {
        Self { id, api: None, pages: false, request }
    }
}

/// A response to the call with the same number. `I` is the form of its instances: an [`Instance`] for who reads it, and
/// anything that is serialized like one for an agent that writes it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Reply<I = Instance> {
    /// The number of the call.
    pub id: u64,
    /// The version of the API that the agent speaks. Given in the first reply of a connection.
    #[serde(default, skip_serializing_if = "is_default")]
    pub api: Option<u32>,
    /// The run of the agent: a word that no other run of any agent has. A revision means something within its run only. Given
    /// in the first reply of a connection.
    #[serde(default, skip_serializing_if = "is_default")]
    pub run: Option<String>,
    /// The time at which the agent told an event of a watch, as in RFC 3339, in UTC.
    #[serde(default, skip_serializing_if = "is_default")]
    pub time: Option<String>,
    /// The reason for which a watch tells the whole picture although its client knew one before.
    #[serde(default, skip_serializing_if = "is_default")]
    pub reset: Option<Reset>,
    /// Whether further replies belong to the same answer, or to the same event of a watch. They follow in order.
    #[serde(default, skip_serializing_if = "is_default")]
    pub more: bool,
    /// Whether a question that was to [wait](super::Query::wait) was answered at its time limit, without a change.
    #[serde(default, skip_serializing_if = "is_default")]
    pub unchanged: bool,
    /// The answer. A `watch` is answered many times.
    pub response: Response<I>,
}

impl<I> Reply<I> {
    /// A reply that is a whole answer.
    pub fn new(id: u64, response: Response<I>) -> Self {
        Self {
            id,
            api: None,
            run: None,
            time: None,
            reset: None,
            more: false,
            unchanged: false,
            response,
        }
    }
}
