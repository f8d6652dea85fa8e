//! The outcome of a call to a picked target.

use std::{fmt, str::FromStr};

use crate::names::{UnknownName, by_name};

/// The outcome of a call to a picked target. Its text form is lower case: `success`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "kebab-case"))]
pub enum Outcome {
    /// The target answered.
    #[default]
    Success,
    /// The target failed: no connection, no answer in time, or an answer that reports an error.
    Failure,
    /// The caller gave up for its own reasons, which says nothing about the target. A dropped pick counts as cancelled.
    Cancelled,
}

impl Outcome {
    /// Every outcome, in the order in which help texts list them.
    pub const ALL: &'static [Self] = &[Self::Success, Self::Failure, Self::Cancelled];

    /// The name in text.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Failure => "failure",
            Self::Cancelled => "cancelled",
        }
    }

    /// One line for help texts.
    pub const fn summary(self) -> &'static str {
        match self {
            Self::Success => "The instance answered",
            Self::Failure => "No connection, no answer in time, or an answer that reports an error",
            Self::Cancelled => "The caller gave up for its own reasons",
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Outcome {
    type Err = UnknownName;

    fn from_str(name: &str) -> Result<Self, UnknownName> {
        by_name("outcome", Self::ALL, Self::name, name)
    }
}
