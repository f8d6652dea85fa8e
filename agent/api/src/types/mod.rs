//! The vocabulary of the local API: one request and one response type for both codecs.
//!
//! Every field is always serialized, because bincode knows fields by position; `#[serde(default)]` lets JSON leave
//! them out. Enums are externally tagged, the one form that both codecs can read.

mod answer;
mod explain;
mod query;
mod registration;

use serde::{Deserialize, Serialize};

pub(crate) use crate::node_id::NodeId;

/// The namespace of a service that names none.
pub const DEFAULT_NAMESPACE: &str = "default";

pub use answer::*;
pub use explain::*;
pub use query::*;
pub use registration::*;

/// A request with the number that its responses carry. Requests on one connection may be pipelined.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Call {
    /// Chosen by the client; responses carry it back.
    #[serde(default)]
    pub id: u64,
    /// What is asked.
    pub request: Request,
}

/// A response to the call with the same number.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Reply {
    /// The number of the call.
    pub id: u64,
    /// The answer. A `watch` is answered many times.
    pub response: Response,
}

/// What a client can ask.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Request {
    /// Register an instance with this agent, or replace it. Answered by [`Response::Done`],
    /// [`Response::Replaced`] or [`Response::Unchanged`] once it is durable.
    Register(Registration),
    /// Remove an instance of this agent by its id. Answered by [`Response::Done`].
    Deregister {
        /// The instance's id.
        id: String,
    },
    /// List the instances of a service. Answered by [`Response::Instances`].
    Resolve(Query),
    /// Choose instances of a service for calls. Answered by [`Response::Picked`].
    Pick(PickQuery),
    /// Say how the calls of earlier picks went. Answered by [`Response::Reported`].
    Report {
        /// One for each call, at most 10,000.
        reports: Vec<CallReport>,
    },
    /// List the services. Answered by [`Response::Services`].
    Services {
        /// Only this namespace; all when absent.
        #[serde(default)]
        namespace: Option<String>,
    },
    /// List the members. Answered by [`Response::Members`].
    Members,
    /// Follow a service: its instances now, then every change. Answered by [`Response::Instances`], then by
    /// [`Response::Changes`] until the connection ends.
    Watch(WatchQuery),
    /// Join the cluster of these gossip addresses (`host:port`). Answered by [`Response::Done`] when the addresses
    /// could be resolved; the agent goes on knocking for as long as it is alone.
    Join {
        /// Where to knock.
        addresses: Vec<String>,
    },
    /// Leave the cluster and stop the agent. Answered by [`Response::Done`] before it stops.
    Leave,
    /// Declare a dead member gone for good: its instances go everywhere at once. Answered by [`Response::ForceLeft`].
    ForceLeave {
        /// The name or the node id of the member.
        member: String,
    },
    /// Describe this agent. Answered by [`Response::Info`].
    Info,
    /// Say why this agent believes what it believes of a member or an instance. Answered by [`Response::Explained`].
    Explain {
        /// The name or the node id of a member, or the id of an instance.
        subject: String,
    },
}

/// What the agent answers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Response {
    /// It is done.
    Done,
    /// The instances that match.
    Instances(Instances),
    /// What was picked.
    Picked(Picked),
    /// What became of the reports.
    Reported {
        /// How many tokens were known. The others were reported before, or expired.
        known: usize,
    },
    /// The services.
    Services(Vec<ServiceSummary>),
    /// The members.
    Members(Vec<Member>),
    /// Changes of a watched service, in order.
    Changes(Changes),
    /// This agent.
    Info(Box<Info>),
    /// What is believed, and why.
    Explained(Box<Explanation>),
    /// The member that is gone.
    ForceLeft(ForceLeft),
    /// It could not be done.
    Error(ApiError),
    /// It is done, and took the place of what had the same id.
    Replaced,
    /// It was so before, and nothing was done.
    Unchanged,
}

fn default_namespace() -> String {
    DEFAULT_NAMESPACE.to_owned()
}

/// Why a request failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{message}")]
pub struct ApiError {
    /// What kind of failure.
    pub kind: ErrorKind,
    /// What happened, to what, and what to do next.
    pub message: String,
}

/// What kind of failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ErrorKind {
    /// The request breaks a rule; it will never succeed as it is.
    Invalid,
    /// There is nothing with that name.
    NotFound,
    /// The agent could not do it now.
    Failed,
}
