//! What is registered with one agent, complete.

use serde::{Deserialize, Serialize};

use super::{CheckExplained, Instance, RegisteredBy, is_default};

/// The instances that are registered with the agent that answers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Registrations {
    /// The revision of the agent's view that this answer shows.
    pub revision: u64,
    /// Whether the agent has lost touch with all other members.
    pub isolated: bool,
    /// The name of the agent.
    pub member: String,
    /// The maintenance of all of the agent, which concerns instances that are registered later, too; absent when there is none.
    #[serde(default, skip_serializing_if = "is_default")]
    pub maintenance: Option<Maintenance>,
    /// The instances, by id.
    pub registrations: Vec<LocalRegistration>,
    /// Whether more follow: ask again, with the id of the last one as `after`.
    #[serde(default, skip_serializing_if = "is_default")]
    pub more: bool,
}

/// An instance, as the agent knows it with which it is registered.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LocalRegistration {
    /// The instance, as every agent shows it.
    pub instance: Instance,
    /// Why no client sees it; absent unless the token of the agent does not allow its service.
    #[serde(default, skip_serializing_if = "is_default")]
    pub hidden: Option<String>,
    /// The verdict of all of its checks: `passing`, `warning`, `failing` or `unknown`; `passing` without a check.
    pub health: String,
    /// Its checks.
    pub checks: Vec<CheckExplained>,
    /// Its own maintenance; absent when there is none.
    #[serde(default, skip_serializing_if = "is_default")]
    pub maintenance: Option<Maintenance>,
    /// Its drain; absent when there is none.
    #[serde(default, skip_serializing_if = "is_default")]
    pub drain: Option<DrainState>,
    /// The process or the file that registered it in its present form; absent when an earlier version of Hobnob did not keep that.
    #[serde(default, skip_serializing_if = "is_default")]
    pub registered_by: Option<RegisteredBy>,
    /// Since when it is registered in its present form, in UTC as in RFC 3339; absent when that is not known.
    #[serde(default, skip_serializing_if = "is_default")]
    pub since: Option<String>,
    /// Whether it was restored from the data directory when the agent started, and not registered in another form since.
    pub restored: bool,
    /// The version of its definition.
    pub version: u64,
    /// The version of its health; absent when none was ever written.
    #[serde(default, skip_serializing_if = "is_default")]
    pub health_version: Option<u64>,
}

/// A maintenance.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Maintenance {
    /// The reason; empty when none was given.
    pub reason: String,
    /// Its beginning, in UTC as in RFC 3339.
    pub since: String,
}

/// A drain.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DrainState {
    /// Its beginning, in UTC as in RFC 3339.
    pub since: String,
    /// Milliseconds from its beginning to its end.
    pub over_ms: u64,
    /// Whether it is over.
    pub over: bool,
}
