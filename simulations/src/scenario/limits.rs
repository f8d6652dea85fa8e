//! The limits that the checkers hold a scenario to.

use serde::{Deserialize, Serialize};

use super::Span;

/// What the protocol promises in this scenario; the checkers hold it to that.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// After the last heal, all replicas are equal and all members agree within this time.
    pub heal_within: Span,
    /// A dead host is called down by everybody who is reachable within this time.
    pub detect_within: Span,
    /// Which live hosts may be called down.
    pub false_downs: FalseDowns,
    /// Who has run for so long holds the records of all others who have; nothing is asked when not given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub join_within: Option<Span>,
    /// Who is heard by nobody, or hears nobody, for so long says that it is alone. Datagrams that are delivered again much
    /// later may keep it from knowing for a while.
    pub isolation_within: Span,
    /// Two live agents under one node id that reach each other for so long have settled which of them is silent.
    pub duplicate_within: Span,
    /// A host that was cut, paused or slow has an excuse for this long after.
    pub grace: Span,
    /// Bytes a second that a host sends, over ten seconds.
    pub bytes_per_second: u64,
}

/// Which live hosts may be called down.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FalseDowns {
    /// None, whatever the faults.
    Never,
    /// Those that were cut off, paused or slow; and any while somebody may wrongly accuse it: who is paused, or hears
    /// only half of what is said.
    Excused,
    /// Any: the faults are beyond what plain SWIM bears.
    Allowed,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            heal_within: Span::seconds(45),
            detect_within: Span::seconds(45),
            join_within: None,
            isolation_within: Span::seconds(45),
            duplicate_within: Span::seconds(10),
            false_downs: FalseDowns::Excused,
            grace: Span::seconds(20),
            bytes_per_second: 100_000,
        }
    }
}
