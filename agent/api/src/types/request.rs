//! The requests of clients.

use serde::{Deserialize, Serialize};

#[cfg(doc)]
use super::Response;
use super::{
    Ack, CallReport, CheckStatus, Consistency, Datacenters, DrainRequest, HistoryQuery, PickQuery,
    Query, Registration, ServiceCalls, Signed, SignedRevocation, WatchAllQuery, WatchMembersQuery,
    WatchQuery, is_default,
};

/// A request of a client.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Request {
    /// Register an instance with this agent, or with one of another datacenter, or replace it. Answered by [`Response::Registered`] once it is durable.
    Register(Box<Registration>),
    /// Remove an instance of this agent, or one that was registered with an agent of another datacenter. Answered by [`Response::Deregistered`] once that is durable.
    Deregister {
        /// The instance's id.
        id: String,
        /// Whether other agents are to have applied it before the answer.
        #[serde(default, skip_serializing_if = "is_default")]
        ack: Option<Ack>,
        /// The datacenter whose agent has it, if it was registered there from another one.
        #[serde(default, skip_serializing_if = "is_default")]
        datacenter: Option<String>,
        /// The consistency of the removal.
        #[serde(default, skip_serializing_if = "is_default")]
        consistency: Consistency,
        /// The longest wait for voters when it is strong, in milliseconds: 1 to 60,000, and 2,000 when absent.
        #[serde(default, skip_serializing_if = "is_default")]
        consistency_timeout_ms: Option<u64>,
    },
    /// Begin or end the maintenance of an instance of this agent, or of all of them. It lasts over restarts. Answered by
    /// [`Response::Maintained`] once it is durable.
    Maintenance {
        /// Whether it begins.
        on: bool,
        /// The instance's id; all instances of this agent, also those that come later, when absent.
        #[serde(default, skip_serializing_if = "is_default")]
        id: Option<String>,
        /// Why, for people; at most 512 bytes.
        #[serde(default, skip_serializing_if = "is_default")]
        reason: String,
    },
    /// Drain an instance of this agent, or stop that. It lasts over restarts. Answered by [`Response::Drained`].
    Drain(DrainRequest),
    /// Report how a service is, for its check by reports. Answered by [`Response::Checked`].
    Check {
        /// The instance's id.
        id: String,
        /// The name of the check; absent when the instance has only one by reports.
        #[serde(default, skip_serializing_if = "is_default")]
        check: Option<String>,
        /// How it is.
        status: CheckStatus,
        /// A line about it, for people; the first 512 bytes are kept.
        #[serde(default, skip_serializing_if = "is_default")]
        note: String,
    },
    /// List the instances of a service. Answered by [`Response::Instances`].
    Resolve(Query),
    /// Choose instances of a service for calls. Answered by [`Response::Picked`].
    Pick(PickQuery),
    /// Say how calls went: those of earlier picks, and those that the client picked for by itself. Answered by
    /// [`Response::Reported`].
    Report {
        /// One for each call of an earlier pick, at most 10,000.
        #[serde(default)]
        reports: Vec<CallReport>,
        /// The others, in sums: at most 256 instances in all. Both kinds count in the same circuits, ejections and averages;
        /// `docs/CALLS.md` says how.
        #[serde(default, skip_serializing_if = "is_default")]
        calls: Vec<ServiceCalls>,
    },
    /// List the services. Answered by [`Response::Services`].
    Services {
        /// Only this namespace; all when absent.
        #[serde(default, skip_serializing_if = "is_default")]
        namespace: Option<String>,
    },
    /// List the members. Answered by [`Response::Members`].
    Members {
        /// Whether members that are gone for good, and origins of which only records are left, are listed too.
        #[serde(default, skip_serializing_if = "is_default")]
        all: bool,
        /// Only members of these datacenters.
        #[serde(default, skip_serializing_if = "is_default")]
        datacenter: Datacenters,
    },
    /// List the datacenters. Answered by [`Response::Datacenters`].
    Datacenters {},
    /// Isolate another datacenter from the agent's own: nothing is sent there, and nothing of it is taken. It holds for all agents of
    /// the own datacenter. Answered by [`Response::Isolation`].
    Isolate {
        /// The name of the other datacenter.
        datacenter: String,
        /// Whether it is gone for good. Its members and their instances are forgotten, until `rejoin`. It must be isolated, or out of reach.
        #[serde(default, skip_serializing_if = "is_default")]
        forget: bool,
        /// The order of an operator. In a sealed cluster the agent needs the role operator itself without.
        #[serde(default, skip_serializing_if = "is_default")]
        signed: Option<Signed>,
    },
    /// End the isolation of a datacenter. Answered by [`Response::Isolation`].
    Rejoin {
        /// The name of the other datacenter.
        datacenter: String,
        /// The order of an operator. In a sealed cluster the agent needs the role operator itself without.
        #[serde(default, skip_serializing_if = "is_default")]
        signed: Option<Signed>,
    },
    /// Follow a service: its instances now, then every change. Answered by [`Response::Instances`], then by
    /// [`Response::Changes`] until the connection ends.
    Watch(WatchQuery),
    /// Follow all services: all instances now, then every change. Answered as [`Request::Watch`] is.
    WatchAll(WatchAllQuery),
    /// Follow the members: those that are not gone now, then every change. Answered by [`Response::Members`], then by
    /// [`Response::MemberChanges`] until the connection ends.
    WatchMembers(WatchMembersQuery),
    /// Join the cluster through members at these gossip addresses. Answered by [`Response::Joined`] when one of them
    /// answers; the agent goes on trying for some time, and for as long as it is alone.
    Join {
        /// Each `host` or `host:port`.
        addresses: Vec<String>,
        /// Whether they are of members of other datacenters, and those datacenters are to be known here.
        #[serde(default, skip_serializing_if = "is_default")]
        wan: bool,
    },
    /// Leave the cluster and stop the agent. Answered by [`Response::Leaving`] before it stops.
    Leave {},
    /// Force a dead member to leave: its instances go everywhere at once. Answered by [`Response::ForceLeft`].
    ForceLeave {
        /// The name or the node id of the member.
        member: String,
        /// The order of an operator. In a sealed cluster the agent signs it itself without, if it has the role operator.
        #[serde(default, skip_serializing_if = "is_default")]
        signed: Option<Signed>,
    },
    /// Drop what this agent alone remembers of members that are down or gone. Answered by [`Response::Pruned`].
    Prune {
        /// The names or node ids of members, at most 1,000; all that are down or gone when empty.
        #[serde(default, skip_serializing_if = "is_default")]
        members: Vec<String>,
        /// Only those that have been down or gone for this many milliseconds: an hour when absent, or 0 with `members`.
        #[serde(default, skip_serializing_if = "is_default")]
        older_than_ms: Option<u64>,
        /// The orders of an operator, one for each member to drop, at most 1,000. In a sealed cluster the agent signs them itself
        /// without, if it has the role operator.
        #[serde(default, skip_serializing_if = "is_default")]
        signed: Vec<Signed>,
    },
    /// Say which keys the members of a sealed cluster hold. The living ones are asked, for three seconds at most. Answered by
    /// [`Response::Keys`].
    Keys {},
    /// Replace the secret that all members share. Answered by [`Response::Rotated`]; [`Request::Keys`] shows the progress.
    Rotate {
        /// The generation, with the order of an operator. Without it the agent makes one, if it has the role operator.
        #[serde(default, skip_serializing_if = "is_default")]
        generation: Option<Signed>,
        /// Whether to rotate although a generation is on its way.
        #[serde(default, skip_serializing_if = "is_default")]
        again: bool,
    },
    /// Trust both CA keys of a succession, which they signed. Answered by [`Response::Trusted`]; [`Request::Keys`] shows who does.
    Trust {
        /// The succession.
        succession: Signed,
    },
    /// Revoke a node or a token for good, and replace the secret that all members share. Answered by [`Response::Revoked`]. One of
    /// the three is given.
    Revoke {
        /// The name, the node id or the public key of a node.
        #[serde(default, skip_serializing_if = "is_default")]
        member: Option<String>,
        /// The fingerprint of a token.
        #[serde(default, skip_serializing_if = "is_default")]
        token: Option<String>,
        /// The orders of an operator. The other two need an agent with the role operator.
        #[serde(default, skip_serializing_if = "is_default")]
        signed: Option<SignedRevocation>,
        /// Whether the agent that is asked may revoke itself.
        #[serde(default, skip_serializing_if = "is_default")]
        myself: bool,
    },
    /// Describe this agent. Answered by [`Response::Info`].
    Info {},
    /// Say why a member or an instance has its status. Answered by [`Response::Explained`].
    Explain {
        /// The name or the node id of a member, or the id of an instance.
        subject: String,
    },
    /// Ask a few living members, chosen at random, whether they answer this agent by datagram and by stream, and it them. It takes three
    /// seconds at most; one such request is carried out at a time. Answered by [`Response::Echoes`].
    Echoes {
        /// The most members that are asked, at most 16; 5 when absent.
        #[serde(default, skip_serializing_if = "is_default")]
        members: Option<u8>,
    },
    /// Say how this agent is configured, and where each value comes from. Answered by [`Response::Settings`].
    Settings {},
    /// Read the configuration file and the service definitions again. Answered by [`Response::Reloaded`].
    Reload {},
    /// Show the filter of the agent's log, or set it. Answered by [`Response::LogLevel`].
    LogLevel {
        /// The filter from now on: a level, or directives such as `info,hobnob_agent=debug`; without it, nothing changes.
        #[serde(default, skip_serializing_if = "is_default")]
        filter: Option<String>,
        /// Milliseconds after which the filter of the start is back, from 1,000 to 86,400,000; it stays when absent.
        #[serde(default, skip_serializing_if = "is_default")]
        for_ms: Option<u64>,
    },
    /// List what is registered with this agent, with checks, maintenance and origin. Answered by [`Response::Registrations`].
    Registrations {
        /// Only this namespace; all when absent.
        #[serde(default, skip_serializing_if = "is_default")]
        namespace: Option<String>,
        /// Only instances whose ids come after this one, in the order of bytes.
        #[serde(default, skip_serializing_if = "is_default")]
        after: Option<String>,
    },
    /// Tell what this agent saw and did. Answered by [`Response::History`].
    History(HistoryQuery),
    /// Name the voters of the agent's datacenter, which strong reads and writes ask. Answered by [`Response::Voters`].
    Voters {},
    /// Make members of the agent's datacenter its voters: 3 or 5. Answered by [`Response::Voters`] once they decide.
    SetVoters {
        /// The names or node ids of all voters.
        voters: Vec<String>,
        /// Whether the caller knows that there were never voters before. Without it, agents that may have forgotten some refuse to
        /// be among the first.
        #[serde(default, skip_serializing_if = "is_default")]
        first: bool,
        /// The longest wait, in milliseconds: 1 to 60,000, and 10,000 when absent.
        #[serde(default, skip_serializing_if = "is_default")]
        timeout_ms: Option<u64>,
        /// The order of an operator. In a sealed cluster the agent needs the role operator itself without.
        #[serde(default, skip_serializing_if = "is_default")]
        signed: Option<Signed>,
    },
    /// Vouch that the agent's disk has all that it wrote as a voter, so that it needs no majority of the others to vote again.
    /// Answered by [`Response::Voters`].
    VouchForVoter {},
}

impl Request {
    /// The names of all requests, as JSON has them.
    pub const NAMES: &[&'static str] = &[
        "register",
        "deregister",
        "resolve",
        "pick",
        "report",
        "services",
        "members",
        "datacenters",
        "isolate",
        "rejoin",
        "watch",
        "join",
        "leave",
        "force_leave",
        "prune",
        "keys",
        "rotate",
        "trust",
        "revoke",
        "info",
        "explain",
        "log_level",
        "check",
        "settings",
        "reload",
        "maintenance",
        "drain",
        "registrations",
        "history",
        "watch_all",
        "watch_members",
        "echoes",
        "voters",
        "set_voters",
        "vouch_for_voter",
    ];

    /// Its name, as JSON has it.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Register(_) => "register",
            Self::Deregister { .. } => "deregister",
            Self::Resolve(_) => "resolve",
            Self::Pick(_) => "pick",
            Self::Report { .. } => "report",
            Self::Services { .. } => "services",
            Self::Members { .. } => "members",
            Self::Datacenters {} => "datacenters",
            Self::Isolate { .. } => "isolate",
            Self::Rejoin { .. } => "rejoin",
            Self::Watch(_) => "watch",
            Self::WatchAll(_) => "watch_all",
            Self::WatchMembers(_) => "watch_members",
            Self::Join { .. } => "join",
            Self::Leave {} => "leave",
            Self::ForceLeave { .. } => "force_leave",
            Self::Prune { .. } => "prune",
            Self::Keys {} => "keys",
            Self::Rotate { .. } => "rotate",
            Self::Trust { .. } => "trust",
            Self::Revoke { .. } => "revoke",
            Self::Info {} => "info",
            Self::Explain { .. } => "explain",
            Self::LogLevel { .. } => "log_level",
            Self::Check { .. } => "check",
            Self::Settings {} => "settings",
            Self::Reload {} => "reload",
            Self::Maintenance { .. } => "maintenance",
            Self::Drain(_) => "drain",
            Self::Registrations { .. } => "registrations",
            Self::History(_) => "history",
            Self::Echoes { .. } => "echoes",
            Self::Voters {} => "voters",
            Self::SetVoters { .. } => "set_voters",
            Self::VouchForVoter {} => "vouch_for_voter",
        }
    }

    /// The name of the change that this request asks for; `None` when it only asks a question. A query socket refuses every
    /// change.
    ///
    /// A report of picks is no change: it concerns the balancing of one agent, as the picks before it do. The catalog, the
    /// members and the health of instances stay as they are.
    #[must_use]
    pub fn change(&self) -> Option<&'static str> {
        // No wildcard: each new request is to be decided.
        match self {
            Self::Register(_) => Some("register"),
            Self::Deregister { .. } => Some("deregister"),
            Self::Check { .. } => Some("check"),
            Self::Maintenance { .. } => Some("maintenance"),
            Self::Drain(_) => Some("drain"),
            Self::Join { .. } => Some("join"),
            Self::Leave {} => Some("leave"),
            Self::ForceLeave { .. } => Some("force_leave"),
            Self::Isolate { .. } => Some("isolate"),
            Self::Rejoin { .. } => Some("rejoin"),
            Self::Prune { .. } => Some("prune"),
            Self::Rotate { .. } => Some("rotate"),
            Self::Trust { .. } => Some("trust"),
            Self::Revoke { .. } => Some("revoke"),
            Self::Reload {} => Some("reload"),
            Self::SetVoters { .. } => Some("set_voters"),
            Self::VouchForVoter {} => Some("vouch_for_voter"),
            Self::LogLevel { filter: Some(_), .. } => Some("log_level"),
            Self::Resolve(_)
            | Self::Pick(_)
            | Self::Report { .. }
            | Self::Services { .. }
            | Self::Members { .. }
            | Self::Datacenters {}
            | Self::Watch(_)
            | Self::WatchAll(_)
            | Self::WatchMembers(_)
            | Self::Keys {}
            | Self::Info {}
            | Self::Settings {}
            | Self::Echoes { .. }
            | Self::Voters {}
            | Self::Explain { .. }
            | Self::Registrations { .. }
            | Self::History(_)
            | Self::LogLevel { filter: None, .. } => None,
        }
    }
}
