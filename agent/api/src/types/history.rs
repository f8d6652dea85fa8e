//! The history of an agent: what it saw and did, when, and by whom.

use serde::{Deserialize, Serialize};

use super::{NodeId, is_default};

/// The most events of one answer.
pub const MAX_HISTORY_EVENTS: u32 = 10_000;

/// Asks for the newest events of an agent's history.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HistoryQuery {
    /// Only events of this service, of the instance with this id, or of the member with this name.
    #[serde(default, skip_serializing_if = "is_default")]
    pub subject: Option<String>,
    /// Only events of the last so many milliseconds, by the clock of the agent.
    #[serde(default, skip_serializing_if = "is_default")]
    pub since_ms: Option<u64>,
    /// Only the newest so many, from 1 to 10,000; 10,000 when absent.
    #[serde(default, skip_serializing_if = "is_default")]
    pub limit: Option<u32>,
}

/// Events as one agent saw them, by its own clock.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct History {
    /// The revision of the agent's view.
    pub revision: u64,
    /// Whether the agent has lost touch with all other members.
    pub isolated: bool,
    /// The name of the agent.
    pub member: String,
    /// The events, oldest first.
    pub events: Vec<HistoryEvent>,
    /// Whether older events match that the limit left out.
    #[serde(default, skip_serializing_if = "is_default")]
    pub more: bool,
    /// The name of the history that is most like the subject, when no event of any time has that.
    #[serde(default, skip_serializing_if = "is_default")]
    pub did_you_mean: Option<String>,
}

/// One event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HistoryEvent {
    /// Its number: later events have higher ones, over restarts of the agent too.
    pub number: u64,
    /// When, in UTC as in RFC 3339, with milliseconds.
    pub at: String,
    /// What happened.
    pub what: EventKind,
    /// The actor: a client, a file, a check, a peer or this agent.
    pub by: EventBy,
    /// The id of the instance that it concerns.
    #[serde(default, skip_serializing_if = "is_default")]
    pub instance: Option<String>,
    /// The service of that instance.
    #[serde(default, skip_serializing_if = "is_default")]
    pub service: Option<String>,
    /// The name of the check that it concerns.
    #[serde(default, skip_serializing_if = "is_default")]
    pub check: Option<String>,
    /// The name of the member that it concerns.
    #[serde(default, skip_serializing_if = "is_default")]
    pub member: Option<String>,
    /// The name of the datacenter that it concerns.
    #[serde(default, skip_serializing_if = "is_default")]
    pub datacenter: Option<String>,
    /// The state before, where that is a word.
    #[serde(default, skip_serializing_if = "is_default")]
    pub from: Option<String>,
    /// The state after.
    #[serde(default, skip_serializing_if = "is_default")]
    pub to: Option<String>,
    /// Why, or what was seen, in one line.
    #[serde(default, skip_serializing_if = "is_default")]
    pub why: Option<String>,
    /// The number of events that this one stands for, when it repeated often: 1 or more. `at` is the time of the first of them, and
    /// the rest is of the last.
    #[serde(default = "super::default_one", skip_serializing_if = "super::is_one")]
    pub count: u32,
    /// The time of the last of them; absent for a single one.
    #[serde(default, skip_serializing_if = "is_default")]
    pub last_at: Option<String>,
}

/// The actor of an event: a client, a file, a check, a peer or this agent.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventBy {
    /// The kind of it.
    pub kind: ByKind,
    /// The id of the user of a client's process.
    #[serde(default, skip_serializing_if = "is_default")]
    pub uid: Option<u32>,
    /// The id of its group.
    #[serde(default, skip_serializing_if = "is_default")]
    pub gid: Option<u32>,
    /// Its process id; absent when it ran in a process namespace that the agent does not see.
    #[serde(default, skip_serializing_if = "is_default")]
    pub pid: Option<u32>,
    /// The name of its program, if that could be read then.
    #[serde(default, skip_serializing_if = "is_default")]
    pub program: Option<String>,
    /// The node id of the agent of another datacenter on whose host it ran.
    #[serde(default, skip_serializing_if = "is_default")]
    pub agent: Option<NodeId>,
    /// The name of the file of definitions.
    #[serde(default, skip_serializing_if = "is_default")]
    pub file: Option<String>,
    /// The name of the member.
    #[serde(default, skip_serializing_if = "is_default")]
    pub member: Option<String>,
}

/// The kind of who or what was behind an event.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ByKind {
    /// A process that asked over a unix socket.
    Client,
    /// A file of definitions, when the agent read it.
    File,
    /// A health check.
    Check,
    /// Another member.
    Peer,
    /// The agent itself. A kind of a newer agent reads as this one.
    #[default]
    #[serde(other)]
    Agent,
}

macro_rules! kinds {
    ($($(#[$doc:meta])+ $kind:ident $word:literal,)*) => {
        /// What happened.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[non_exhaustive]
        pub enum EventKind {
            $($(#[$doc])+ #[serde(rename = $word)] $kind,)*
            /// Something that only a newer version knows.
            #[default]
            #[serde(rename = "other", other)]
            Other,
        }

        impl EventKind {
            /// Every kind.
            pub const ALL: &[Self] = &[$(Self::$kind,)* Self::Other];

            /// Its word, as in JSON.
            #[must_use]
            pub fn word(self) -> &'static str {
                match self {
                    $(Self::$kind => $word,)*
                    Self::Other => "other",
                }
            }

            /// The kind with this word; [`Other`](Self::Other) for one that is not known.
            #[must_use]
            pub fn of_word(word: &str) -> Self {
                match word {
                    $($word => Self::$kind,)*
                    _ => Self::Other,
                }
            }
        }
    };
}

kinds! {
    /// An instance was registered.
    Registered "registered",
    /// The registration of an instance was replaced by a different one.
    Changed "changed",
    /// An instance was deregistered.
    Deregistered "deregistered",
    /// An instance, or all of the agent, was put in maintenance.
    MaintenanceOn "maintenance_on",
    /// A maintenance ended.
    MaintenanceOff "maintenance_off",
    /// A drain began.
    DrainBegun "drain_begun",
    /// A drain was stopped.
    DrainStopped "drain_stopped",
    /// A drain is over: the instance is not offered any more.
    Drained "drained",
    /// The status of a check changed.
    CheckChanged "check_changed",
    /// A member was seen for the first time.
    MemberJoined "member_joined",
    /// A member that was gone lives again.
    MemberBack "member_back",
    /// Many members came at once.
    MembersCame "members_came",
    /// A member is down.
    MemberDown "member_down",
    /// Many members were lost at once.
    MembersLost "members_lost",
    /// Most of the members that were lost together are back, or gone for good: `to` is the number of those that are back.
    MembersBack "members_back",
    /// A member left.
    MemberLeft "member_left",
    /// An operator forced a member to leave.
    MemberForceLeft "member_force_left",
    /// Another node runs at the address of a member.
    MemberReplaced "member_replaced",
    /// A member was revoked.
    MemberRevoked "member_revoked",
    /// An operator had the agent forget members.
    MembersPruned "members_pruned",
    /// A datacenter is out of reach.
    DatacenterUnreachable "datacenter_unreachable",
    /// A datacenter is back in reach.
    DatacenterReachable "datacenter_reachable",
    /// An operator isolated a datacenter.
    DatacenterIsolated "datacenter_isolated",
    /// An operator ended the isolation of a datacenter.
    DatacenterRejoined "datacenter_rejoined",
    /// Most datacenters went out of reach at once: that of the agent is probably cut off.
    CutOff "cut_off",
    /// The link of the agent to a member is broken: others hear the member, and it does not answer the agent.
    LinkBroken "link_broken",
    /// A broken link is none any more.
    LinkMended "link_mended",
    /// The agent hears no other member.
    Isolated "isolated",
    /// The agent hears other members.
    Connected "connected",
    /// The process of the agent stood still.
    Stalled "stalled",
    /// Peers declared the agent down, and it refutes that.
    DeclaredDown "declared_down",
    /// Another agent runs under the node id of this one.
    Duplicate "duplicate",
    /// The agent gave way to another one under its node id, and is silent.
    GaveWay "gave_way",
    /// The agent that it gave way to is gone.
    Resumed "resumed",
    /// The agent started.
    AgentStarted "agent_started",
    /// The agent stops.
    AgentStopped "agent_stopped",
    /// A client asked the agent to join at addresses.
    JoinOrdered "join_ordered",
    /// A client asked the agent to leave.
    LeaveOrdered "leave_ordered",
    /// The agent read its configuration again.
    Reloaded "reloaded",
    /// The agent could not read its configuration again, and changed nothing.
    ReloadFailed "reload_failed",
    /// An operator began to replace the secret of the cluster.
    RotationOrdered "rotation_ordered",
    /// The agent uses a new secret of the cluster.
    KeysRotated "keys_rotated",
    /// An operator revoked a node or a token.
    Revoked "revoked",
    /// An operator had the cluster trust a second CA key.
    CaTrusted "ca_trusted",
    /// A client made agents the voters.
    VotersSet "voters_set",
    /// The voters changed.
    VotersChanged "voters_changed",
    /// A client vouched for what the agent keeps as a voter.
    VoterVouchedFor "voter_vouched_for",
    /// The agent cannot write what it keeps as a voter, and does not vote.
    VoterStopped "voter_stopped",
    /// The agent can write what it keeps as a voter again.
    VoterResumed "voter_resumed",
    /// A client set the filter of the log.
    LogLevelSet "log_level_set",
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_has_the_word_that_json_has() {
        for kind in EventKind::ALL {
            assert_eq!(serde_json::to_value(kind).expect("written"), kind.word());
            assert_eq!(EventKind::of_word(kind.word()), *kind);
        }
        let later: EventKind = serde_json::from_str("\"of_later\"").expect("read");
        assert_eq!((later, EventKind::of_word("of_later")), (EventKind::Other, EventKind::Other));
    }
}
