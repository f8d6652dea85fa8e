//! The configuration of an agent, and what a reload of it did.

use serde::{Deserialize, Serialize};

use super::is_default;

/// The configuration of an agent.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settings {
    /// The configuration file, if there is one.
    #[serde(default, skip_serializing_if = "is_default")]
    pub file: Option<String>,
    /// The directory of service definitions, if there is one.
    #[serde(default, skip_serializing_if = "is_default")]
    pub directory: Option<String>,
    /// Every setting, by key.
    pub settings: Vec<Setting>,
}

/// One setting of an agent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Setting {
    /// Its key in the configuration file; `protocol.digest_period_ms` lies in the table `protocol`.
    pub key: String,
    /// Its value, as it would be given on the command line. Absent when there is none, or the agent would find it and does not run.
    #[serde(default, skip_serializing_if = "is_default")]
    pub value: Option<String>,
    /// Where the value comes from.
    pub origin: Origin,
    /// The place: `FILE:LINE`, the name of the variable, or the flag.
    #[serde(default, skip_serializing_if = "is_default")]
    pub place: Option<String>,
}

/// Where the value of a setting comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    /// The configuration file.
    File,
    /// An environment variable.
    Variable,
    /// A flag of the command line.
    Flag,
    /// None was given, and the running agent found it: the name of its host, a bound port.
    Found,
    /// None was given. An origin of a newer agent reads as this one.
    #[serde(other)]
    Default,
}

impl Origin {
    /// The word that JSON has for it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::File => "file",
            Self::Variable => "variable",
            Self::Flag => "flag",
            Self::Found => "found",
            Self::Default => "default",
        }
    }
}

/// The effect of a reload. With a problem, nothing is changed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reloaded {
    /// The ids of the instances that are new.
    #[serde(default)]
    pub added: Vec<String>,
    /// The ids of those whose definitions differ from before.
    #[serde(default)]
    pub changed: Vec<String>,
    /// The ids of those whose definitions are gone. They are deregistered.
    #[serde(default)]
    pub removed: Vec<String>,
    /// The number of those that are as before.
    #[serde(default)]
    pub kept: usize,
    /// The keys of the configuration file with new values, which count from the next start of the agent.
    #[serde(default)]
    pub restart_for: Vec<String>,
    /// What was understood and has no effect here.
    #[serde(default)]
    pub warnings: Vec<String>,
    /// Why nothing is changed.
    #[serde(default)]
    pub problems: Vec<String>,
}
