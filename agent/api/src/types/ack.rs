//! Acknowledged replication: a change that is answered once other agents have applied it.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::is_default;

/// The wait for acknowledgements unless a request says otherwise, in milliseconds.
pub const DEFAULT_ACK_TIMEOUT_MS: u64 = 2_000;
/// The longest wait for acknowledgements, in milliseconds.
pub const MAX_ACK_TIMEOUT_MS: u64 = 60_000;

/// Asks for a change to be answered once other agents have applied it, so that their clients see it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ack {
    /// The agents.
    pub by: Ackers,
    /// The longest wait for them, in milliseconds: 1 to 60,000. The change stands whatever comes of it.
    #[serde(default = "default_timeout_ms", skip_serializing_if = "is_default_timeout_ms")]
    pub timeout_ms: u64,
}

/// The agents that acknowledge a change. Its text form is `3`, `all`, `datacenter` or `datacenter:eu`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Ackers {
    /// So many other agents, whichever they are.
    Any(usize),
    /// All other living agents.
    All,
    /// All other living agents of the own datacenter.
    Home,
    /// All other living agents of this datacenter.
    Datacenter(String),
}

/// A text that names no agents to acknowledge a change.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no number of agents, and neither `all`, `datacenter` nor `datacenter:NAME`")]
pub struct AckersError(String);

/// The agents that have acknowledged a change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Acknowledged {
    /// The number of other agents that have applied it.
    pub confirmed: usize,
    /// The number of other agents that had to. Agents that died or left meanwhile do not count.
    pub wanted: usize,
    /// Whether as many as had to have applied it, and at least one.
    pub complete: bool,
    /// The names of living agents that were asked and have not applied it.
    #[serde(default, skip_serializing_if = "is_default")]
    pub missing: Vec<String>,
}

impl FromStr for Ackers {
    type Err = AckersError;

    fn from_str(text: &str) -> Result<Self, AckersError> {
        let refused = || AckersError(text.to_owned());
        match text.split_once(':') {
            Some(("datacenter", name)) if !name.is_empty() => Ok(Self::Datacenter(name.to_owned())),
            None if text == "all" => Ok(Self::All),
            None if text == "datacenter" => Ok(Self::Home),
            None => match text.parse() {
                Ok(count) if count > 0 => Ok(Self::Any(count)),
                _ => Err(refused()),
            },
            Some(_) => Err(refused()),
        }
    }
}

impl fmt::Display for Ackers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any(count) => write!(f, "{count}"),
            Self::All => f.write_str("all"),
            Self::Home => f.write_str("datacenter"),
            Self::Datacenter(name) => write!(f, "datacenter:{name}"),
        }
    }
}

impl TryFrom<String> for Ackers {
    type Error = AckersError;

    fn try_from(text: String) -> Result<Self, AckersError> {
        text.parse()
    }
}

impl From<Ackers> for String {
    fn from(ackers: Ackers) -> Self {
        ackers.to_string()
    }
}

fn default_timeout_ms() -> u64 {
    DEFAULT_ACK_TIMEOUT_MS
}

fn is_default_timeout_ms(timeout_ms: &u64) -> bool {
    *timeout_ms == DEFAULT_ACK_TIMEOUT_MS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ackers_have_a_text_form() {
        for (text, ackers) in [
            ("3", Ackers::Any(3)),
            ("all", Ackers::All),
            ("datacenter", Ackers::Home),
            ("datacenter:eu", Ackers::Datacenter("eu".to_owned())),
        ] {
            assert_eq!((text.parse(), ackers.to_string()), (Ok(ackers.clone()), text.to_owned()));
        }
        for wrong in ["", "0", "-1", "some", "datacenter:", "dc:eu"] {
            assert!(wrong.parse::<Ackers>().is_err(), "{wrong}");
        }
    }
}
