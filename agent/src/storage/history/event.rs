//! Events of the history as they are stored on disk.

use hobnob_api::NodeId;
use serde::{Deserialize, Serialize};

/// An event. Its number, time and count change while it repeats; the rest is as it was recorded.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredEvent {
    /// Its number. Of two with one number, the later line counts.
    pub number: u64,
    /// Milliseconds since 1970 (UTC), by the clock of this host.
    pub at_ms: u64,
    /// What happened: a word of the API, or of a later version.
    pub what: String,
    /// The actor: a client, a file, a check, a peer or this agent.
    #[serde(default, skip_serializing_if = "is_default")]
    pub by: StoredBy,
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
    /// The state before.
    #[serde(default, skip_serializing_if = "is_default")]
    pub from: Option<String>,
    /// The state after.
    #[serde(default, skip_serializing_if = "is_default")]
    pub to: Option<String>,
    /// Why, or what was seen.
    #[serde(default, skip_serializing_if = "is_default")]
    pub why: Option<String>,
    /// The further events that it stands for.
    #[serde(default, skip_serializing_if = "is_default")]
    pub repeats: u32,
    /// The time of the last of them; 0 when there is none.
    #[serde(default, skip_serializing_if = "is_default")]
    pub last_at_ms: u64,
}

/// The actor: a client, file, check, peer or this agent.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredBy {
    /// `client`, `file`, `check`, `peer`, or a word of a later version; the agent itself when empty.
    #[serde(default, skip_serializing_if = "is_default")]
    pub kind: String,
    /// The id of the user of a client.
    #[serde(default, skip_serializing_if = "is_default")]
    pub uid: Option<u32>,
    /// The id of its group.
    #[serde(default, skip_serializing_if = "is_default")]
    pub gid: Option<u32>,
    /// Its process id.
    #[serde(default, skip_serializing_if = "is_default")]
    pub pid: Option<u32>,
    /// The name of its program.
    #[serde(default, skip_serializing_if = "is_default")]
    pub program: Option<String>,
    /// The agent of another datacenter on whose host it ran.
    #[serde(default, skip_serializing_if = "is_default")]
    pub agent: Option<NodeId>,
    /// The name of the file.
    #[serde(default, skip_serializing_if = "is_default")]
    pub file: Option<String>,
    /// The name of the member.
    #[serde(default, skip_serializing_if = "is_default")]
    pub member: Option<String>,
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

impl StoredEvent {
    /// Its room in memory, roughly.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let texts = [
            &self.instance,
            &self.service,
            &self.check,
            &self.member,
            &self.datacenter,
            &self.from,
            &self.to,
            &self.why,
            &self.by.program,
            &self.by.file,
            &self.by.member,
        ];
        let texts = texts.into_iter().flatten().map(String::len).sum::<usize>();
        size_of::<Self>() + self.what.len() + self.by.kind.len() + texts
    }
}
