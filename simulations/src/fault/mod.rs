//! What goes wrong, when, and what it takes to end it.

mod course;
mod kind;
mod onset;
mod outage;
mod plan;
mod recovery;

use serde::{Deserialize, Serialize};

use crate::scenario::Span;

pub use kind::{FaultKind, StorageSpec};
pub use outage::{Outages, Suffered};
pub use plan::{Order, Plan};

/// Something that goes wrong, once or again and again.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fault {
    /// When it begins; from the beginning when not given.
    #[serde(default)]
    pub at: Span,
    /// How long it lasts; until everything is healed when not given. A crash without it is for good.
    #[serde(default, rename = "for", skip_serializing_if = "Option::is_none")]
    pub lasts: Option<Span>,
    /// It happens again at random times that are this far apart on average.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub every: Option<Span>,
    /// What happens.
    pub what: FaultKind,
}
