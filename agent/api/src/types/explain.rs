//! Why an agent believes what it believes of a member or an instance.

use serde::{Deserialize, Serialize};

use super::{Instance, Member};

/// The members and instances that go by a name, and what is known of each.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Explanation {
    /// Members with this name or node id.
    pub members: Vec<MemberExplained>,
    /// Instances with this id.
    pub instances: Vec<InstanceExplained>,
}

/// What this agent believes of a member, and why.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MemberExplained {
    /// The member.
    pub member: Member,
    /// Whether it is this agent.
    pub is_self: bool,
    /// Why it has its status, in one sentence.
    pub reason: String,
    /// Milliseconds since it is held down; absent while it is not.
    pub down_ms: Option<u64>,
    /// The verdict that holds it down, when it is known here.
    pub verdict: Option<VerdictExplained>,
    /// When it was last heard itself.
    pub heard: Option<HeardFrom>,
    /// Its records here.
    pub records: Option<RecordsExplained>,
}

/// Who found that a member is down.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VerdictExplained {
    /// Why: `silence`, `left`, `declared` (a person said so), `isolation` (this agent hears nobody), `hearsay` (others
    /// hold it so, and the verdict itself did not come).
    pub cause: String,
    /// The name of the node that passed it, else its id.
    pub by: String,
    /// The referees that agreed.
    pub agreed: Vec<String>,
    /// Who told this agent.
    pub told_by: String,
    /// Milliseconds since then.
    pub ago_ms: u64,
}

/// When something was heard, from whom, and by what.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeardFrom {
    /// Milliseconds since then.
    pub ago_ms: u64,
    /// The name of the node that it came from, else its id.
    pub from: String,
    /// By what: `ping`, `vote`, `members`, `swim`, `rumor`, `digest`, `pull`, `session`.
    pub by: String,
}

/// How far an agent knows the records of a member.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordsExplained {
    /// The life of the member that wrote them.
    pub epoch: u64,
    /// Nothing up to this version is missing.
    pub version: u64,
    /// Whether some of them are known to be older than the member's, with the newer ones on their way.
    pub behind: bool,
    /// How many instances it has.
    pub instances: usize,
    /// The latest news of them; absent for records of this agent.
    pub news: Option<HeardFrom>,
}

/// The health check of an instance, as its own agent knows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckExplained {
    /// The URL or the address that is tried.
    pub target: String,
    /// Milliseconds from one try to the next.
    pub interval_ms: u64,
    /// What it said when its verdict last changed; absent before the first verdict.
    pub output: Option<String>,
    /// Milliseconds since then.
    pub since_ms: Option<u64>,
}

/// What this agent believes of an instance, and why.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct InstanceExplained {
    /// The instance.
    pub instance: Instance,
    /// Whether a pick on this agent may choose it now.
    pub offered: bool,
    /// Why, in one sentence.
    pub reason: String,
    /// Whether it has a health check.
    pub checked: bool,
    /// What the check says: `passing`, `failing` or `unknown`; `passing` without one.
    pub health: String,
    /// More of the check, when its agent is this one.
    pub check: Option<CheckExplained>,
    /// The version of its definition.
    pub version: u64,
    /// The version of its health; absent when none was ever written.
    pub health_version: Option<u64>,
    /// The member that it is registered with.
    pub origin: MemberExplained,
}
