//! How far an instance is known.

use serde::{Deserialize, Deserializer, Serialize};

/// How far an instance is known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum InstanceScope {
    /// In all datacenters.
    #[default]
    Global,
    /// In the datacenter of its agent alone. Agents of others hold that there is a record, and not what it says.
    Datacenter,
}

impl InstanceScope {
    /// The name, as in JSON.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Global => "global",
            Self::Datacenter => "datacenter",
        }
    }
}

/// Reads a scope of an answer. One of a newer agent is none that all datacenters share, and reads as
/// [`InstanceScope::Datacenter`].
pub(super) fn read_leniently<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<InstanceScope, D::Error> {
    #[derive(Deserialize)]
    #[serde(rename_all = "snake_case")]
    enum Word {
        Global,
        #[serde(other)]
        Narrower,
    }
    Ok(match Word::deserialize(deserializer)? {
        Word::Global => InstanceScope::Global,
        Word::Narrower => InstanceScope::Datacenter,
    })
}
