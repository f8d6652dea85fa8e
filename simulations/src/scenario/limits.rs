//! The limits that the checkers apply to a run.

use serde::{Deserialize, Serialize};

use super::Span;

/// The promises of the protocol in this scenario.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// After the last heal, all replicas are equal and all members agree within this time.
    pub heal_within: Span,
    /// Every reachable node declares a dead host down within this time.
    pub detect_within: Span,
    /// Live hosts that may be declared down.
    pub false_downs: FalseDowns,
    /// Two nodes that have run for this long hold each other's records. Not checked by default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub join_within: Option<Span>,
    /// A node that no other hears, or that hears no other, reports itself isolated within this time. Replayed
    /// datagrams may delay that.
    pub isolation_within: Span,
    /// When two live agents with one node id reach each other, one of them is silent within this time.
    pub duplicate_within: Span,
    /// Every undisturbed node holds a generation within this time after an operator ordered it.
    pub rotate_within: Span,
    /// A node that was revoked is out of the views of all undisturbed nodes within this time.
    pub revoke_within: Span,
    /// A host stays excused for this long after it was cut off, paused or slow.
    pub grace: Span,
    /// Bytes a second that a host may send, averaged over ten seconds.
    pub bytes_per_second: u64,
}

/// Live hosts that may be declared down, from the tightest limit to the loosest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FalseDowns {
    /// None.
    Never,
    /// Hosts that are cut off, slow or paused, and any host whose observer is. A short pause is an excuse only while
    /// other faults are in force, or if a link of the host is lossy, slow or limited in bandwidth.
    Excused,
    /// Any: the faults exceed what the protocol tolerates.
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
            rotate_within: Span::seconds(45),
            revoke_within: Span::seconds(45),
            false_downs: FalseDowns::Excused,
            grace: Span::seconds(5),
            bytes_per_second: 100_000,
        }
    }
}
