//! The answers of an agent.

use serde::{Deserialize, Serialize};

use super::{
    Acknowledged, Changes, Consistency, DatacenterList, Dropped, Echoes, Explained, ForceLeft,
    History, Info, Instance, Instances, Isolation, Keys, LogLevel, MemberChanges, Members, Picked,
    Pruned, RegisterOutcome, Registrations, Reloaded, RevokedNow, Rotated, Services, Settings,
    TrustedNow, Voters, is_default,
};
use crate::ApiError;

/// An answer of the agent.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Response<I = Instance> {
    /// The request failed.
    Error(ApiError),
    /// The instance is registered.
    Registered {
        /// The instance's id.
        id: String,
        /// The effect of the registration.
        outcome: RegisterOutcome,
        /// The agents that have acknowledged it, if that was asked for.
        #[serde(default, skip_serializing_if = "is_default")]
        ack: Option<Acknowledged>,
        /// The name of the agent of another datacenter that it is registered with, if that was asked for.
        #[serde(default, skip_serializing_if = "is_default")]
        node: Option<String>,
        /// The names of other agents of that datacenter which have it, too, and did not remove it: they are down, failed, or did not answer.
        #[serde(default, skip_serializing_if = "is_default")]
        also_at: Vec<String>,
        /// What the instance lost that had this id before, if it lost its service or checks.
        #[serde(default, skip_serializing_if = "is_default")]
        dropped: Option<Dropped>,
        /// Why it is not offered although nothing is wrong with it: this agent is in maintenance, or it is itself, or it drains.
        #[serde(default, skip_serializing_if = "is_default")]
        not_offered: Option<String>,
        /// The consistency of the change.
        #[serde(default, skip_serializing_if = "is_default")]
        consistency: Consistency,
    },
    /// The instance is registered no more.
    Deregistered {
        /// The instance's id.
        id: String,
        /// The agents that have acknowledged that, if that was asked for.
        #[serde(default, skip_serializing_if = "is_default")]
        ack: Option<Acknowledged>,
        /// The name of the agent of another datacenter that it was registered with, if one was asked.
        #[serde(default, skip_serializing_if = "is_default")]
        node: Option<String>,
        /// The names of other agents of that datacenter which have it, too, and did not remove it: they are down, failed, or did not answer.
        #[serde(default, skip_serializing_if = "is_default")]
        also_at: Vec<String>,
        /// The consistency of the change.
        #[serde(default, skip_serializing_if = "is_default")]
        consistency: Consistency,
    },
    /// The maintenance began or ended.
    Maintained {
        /// The ids of the instances that are concerned.
        instances: Vec<String>,
        /// The ids of those of them that stay out though a maintenance ended: all of the agent is in maintenance, or they are
        /// themselves, or they are drained.
        #[serde(default, skip_serializing_if = "is_default")]
        still_out: Vec<String>,
        /// Whether all was so before.
        #[serde(default, skip_serializing_if = "is_default")]
        unchanged: bool,
    },
    /// The drain began, was stopped, or is over, as the request says.
    Drained {
        /// The instance's id.
        id: String,
        /// The agents that have applied its end, if that was asked for.
        #[serde(default, skip_serializing_if = "is_default")]
        ack: Option<Acknowledged>,
    },
    /// The report was taken.
    Checked {
        /// The name of the check that it is for.
        check: String,
    },
    /// The instances that match.
    Instances(Instances<I>),
    /// The instances that were picked.
    Picked(Picked<I>),
    /// The reports were taken.
    Reported {
        /// The number of tokens and instances that were known. Other tokens were reported before, or expired.
        known: usize,
    },
    /// The services.
    Services(Services),
    /// The members.
    Members(Members),
    /// The datacenters.
    Datacenters(DatacenterList),
    /// The datacenter that was isolated, or is not any more.
    Isolation(Isolation),
    /// Changes of a watched service, or of all, in order.
    Changes(Changes<I>),
    /// Changes of the members, in order.
    MemberChanges(MemberChanges),
    /// The agent joined.
    Joined {
        /// The gossip address of the member that answered.
        gossip_address: String,
        /// The names that did not resolve before that, each with the reason.
        #[serde(default, skip_serializing_if = "is_default")]
        unresolved: Vec<String>,
    },
    /// The agent leaves the cluster and stops.
    Leaving {},
    /// The member that was forced to leave.
    ForceLeft(ForceLeft),
    /// The members that were dropped from memory.
    Pruned(Pruned),
    /// The keys of a sealed cluster.
    Keys(Box<Keys>),
    /// The newest generation.
    Rotated(Rotated),
    /// The CA keys that are trusted.
    Trusted(TrustedNow),
    /// The revocation.
    Revoked(RevokedNow),
    /// This agent.
    Info(Box<Info>),
    /// The status of members and instances, and why they have it.
    Explained(Box<Explained>),
    /// How members answered.
    Echoes(Box<Echoes>),
    /// The configuration of this agent.
    Settings(Box<Settings>),
    /// The effect of a reload.
    Reloaded(Box<Reloaded>),
    /// The filter of the agent's log.
    LogLevel(LogLevel),
    /// What is registered with this agent.
    Registrations(Box<Registrations>),
    /// What this agent saw and did.
    History(Box<History>),
    /// The voters.
    Voters(Box<Voters>),
}
