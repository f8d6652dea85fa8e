//! Watches: what they are asked to follow, and why they start over.

use serde::{Deserialize, Serialize};

use super::{
    Consistency, DEFAULT_NAMESPACE, Datacenters, MassLoss, Member, default_namespace, is_default,
    is_default_namespace,
};

/// Asks to follow a service.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WatchQuery {
    /// The service.
    pub service: String,
    /// Its namespace.
    #[serde(default = "default_namespace", skip_serializing_if = "is_default_namespace")]
    pub namespace: String,
    /// Go on after this revision, of an earlier watch on the same agent. When the agent no longer knows what came
    /// since, the watch starts over with the instances now.
    #[serde(default, skip_serializing_if = "is_default")]
    pub since: Option<u64>,
    /// The run of the agent that `since` is of. In another run the watch starts over.
    #[serde(default, skip_serializing_if = "is_default")]
    pub run: Option<String>,
    /// Only instances of these datacenters. Of these, the best are offered.
    #[serde(default, skip_serializing_if = "is_default")]
    pub datacenter: Datacenters,
    /// Whether only healthy instances are offered, also when none is left.
    #[serde(default, skip_serializing_if = "is_default")]
    pub strict: bool,
    /// The consistency of what is told. A watch is eventual; a strong one is refused.
    #[serde(default, skip_serializing_if = "is_default")]
    pub consistency: Consistency,
}

impl WatchQuery {
    /// A watch of a service in the default namespace, from its instances now on.
    #[must_use]
    pub fn new(service: impl Into<String>) -> Self {
        Self {
            service: service.into(),
            namespace: DEFAULT_NAMESPACE.to_owned(),
            since: None,
            run: None,
            datacenter: Datacenters::All,
            strict: false,
            consistency: Consistency::Eventual,
        }
    }
}

/// Asks to follow all services.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WatchAllQuery {
    /// Only services of this namespace; all when absent.
    #[serde(default, skip_serializing_if = "is_default")]
    pub namespace: Option<String>,
    /// Go on after this revision; see [`WatchQuery::since`].
    #[serde(default, skip_serializing_if = "is_default")]
    pub since: Option<u64>,
    /// The run of the agent that `since` is of.
    #[serde(default, skip_serializing_if = "is_default")]
    pub run: Option<String>,
    /// Only instances of these datacenters. Of those of a service, the best are offered.
    #[serde(default, skip_serializing_if = "is_default")]
    pub datacenter: Datacenters,
    /// Whether only healthy instances are offered, also when none is left.
    #[serde(default, skip_serializing_if = "is_default")]
    pub strict: bool,
    /// The consistency of what is told. A watch is eventual; a strong one is refused.
    #[serde(default, skip_serializing_if = "is_default")]
    pub consistency: Consistency,
}

/// Asks to follow the members.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WatchMembersQuery {
    /// Go on after this revision; see [`WatchQuery::since`].
    #[serde(default, skip_serializing_if = "is_default")]
    pub since: Option<u64>,
    /// The run of the agent that `since` is of.
    #[serde(default, skip_serializing_if = "is_default")]
    pub run: Option<String>,
    /// Only members of these datacenters.
    #[serde(default, skip_serializing_if = "is_default")]
    pub datacenter: Datacenters,
}

/// The reason for which a watch tells the whole picture, although its client knew one before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reset {
    /// The revision that the client named is not of this run of the agent: it was restarted, or is another one.
    OtherRun,
    /// The agent no longer holds the changes since the revision that the client named.
    TooOld,
    /// The client read too slowly: the agent no longer holds the changes that it was not told.
    FellBehind,
    /// A reason of a newer agent.
    #[serde(other)]
    Unknown,
}

/// Changes of the members.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MemberChanges {
    /// The revision after these changes.
    pub revision: u64,
    /// Whether the agent has lost touch with all other members.
    pub isolated: bool,
    /// The changes, in order.
    pub changes: Vec<MemberChange>,
    /// Large losses that the agent tells as one event. Their members are among the changes of this event, or of earlier ones.
    #[serde(default, skip_serializing_if = "is_default")]
    pub lost_together: Vec<LostTogether>,
    /// The mass losses that are not over, where they changed with this event; empty when the last one is over. Absent where none
    /// changed.
    #[serde(default, skip_serializing_if = "is_default")]
    pub mass_losses: Option<Vec<MassLoss>>,
}

/// A change of one member.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MemberChange {
    /// The kind of change.
    pub event: MemberEventKind,
    /// The member as it is now.
    pub member: Member,
}

/// The kind of a member's change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MemberEventKind {
    /// It came to be known, and lives.
    Joined,
    /// It went down.
    Down,
    /// It lives again, or is in reach again.
    Back,
    /// Its datacenter went out of reach.
    Unreachable,
    /// It left on purpose. It is listed no more.
    Left,
    /// An operator forced it to leave, or revoked it. It is listed no more.
    ForceLeft,
    /// Another node answers at its address. It is listed no more.
    Replaced,
    /// The agent dropped it from its memory. It is listed no more.
    Forgotten,
    /// Its name, address, epoch or another property changed. An event of a newer agent reads as this one.
    #[serde(other)]
    Changed,
}

impl MemberEventKind {
    /// Whether the member is listed no more.
    #[must_use]
    pub const fn is_gone(self) -> bool {
        matches!(self, Self::Left | Self::ForceLeft | Self::Replaced | Self::Forgotten)
    }
}

/// Members that were lost together.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LostTogether {
    /// The number of members that were lost.
    pub lost: usize,
    /// The number of members before.
    pub of: usize,
    /// The number of them whose processes are known to have exited. A cut ends no process.
    #[serde(default, skip_serializing_if = "is_default")]
    pub exited: usize,
}
