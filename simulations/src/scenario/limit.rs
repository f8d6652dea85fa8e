//! The limits of a scenario one by one, and their values.

use std::fmt;
use std::time::Duration;

use serde::{Serialize, Serializer};

use super::{FalseDowns, Limits, Span};

/// A limit of a scenario.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Limit {
    /// `heal_within`.
    HealWithin,
    /// `detect_within`.
    DetectWithin,
    /// `false_downs`.
    FalseDowns,
    /// `join_within`.
    JoinWithin,
    /// `isolation_within`.
    IsolationWithin,
    /// `duplicate_within`.
    DuplicateWithin,
    /// `rotate_within`.
    RotateWithin,
    /// `revoke_within`.
    RevokeWithin,
    /// `grace`.
    Grace,
    /// `bytes_per_second`.
    BytesPerSecond,
}

/// The value of a limit, or the value that a run measured for it.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd, Serialize)]
#[serde(untagged)]
pub enum LimitValue {
    /// A time.
    Time(#[serde(serialize_with = "as_scenario_writes_it")] Duration),
    /// The weakest excuse that is accepted.
    FalseDowns(FalseDowns),
    /// Bytes a second.
    Rate(u64),
}

fn as_scenario_writes_it<S: Serializer>(time: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    Span(*time).serialize(serializer)
}

impl Limit {
    /// The key in a scenario file.
    #[must_use]
    pub const fn key(self) -> &'static str {
        match self {
            Self::HealWithin => "heal_within",
            Self::DetectWithin => "detect_within",
            Self::FalseDowns => "false_downs",
            Self::JoinWithin => "join_within",
            Self::IsolationWithin => "isolation_within",
            Self::DuplicateWithin => "duplicate_within",
            Self::RotateWithin => "rotate_within",
            Self::RevokeWithin => "revoke_within",
            Self::Grace => "grace",
            Self::BytesPerSecond => "bytes_per_second",
        }
    }
}

impl fmt::Display for LimitValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Time(time) => Span(*time).fmt(f),
            Self::FalseDowns(FalseDowns::Never) => f.write_str("never"),
            Self::FalseDowns(FalseDowns::Excused) => f.write_str("excused"),
            Self::FalseDowns(FalseDowns::Allowed) => f.write_str("allowed"),
            Self::Rate(bytes) => bytes.fmt(f),
        }
    }
}

impl Limits {
    /// Every limit with its value, except those that are not checked.
    pub fn values(&self) -> impl Iterator<Item = (Limit, LimitValue)> + use<> {
        // Without `..`, so that a new limit does not compile before it is listed here.
        let Self {
            heal_within,
            detect_within,
            false_downs,
            join_within,
            isolation_within,
            duplicate_within,
            rotate_within,
            revoke_within,
            grace,
            bytes_per_second,
        } = *self;
        let time = |span: Span| Some(LimitValue::Time(span.0));
        [
            (Limit::HealWithin, time(heal_within)),
            (Limit::DetectWithin, time(detect_within)),
            (Limit::FalseDowns, Some(LimitValue::FalseDowns(false_downs))),
            (Limit::JoinWithin, join_within.and_then(time)),
            (Limit::IsolationWithin, time(isolation_within)),
            (Limit::DuplicateWithin, time(duplicate_within)),
            (Limit::RotateWithin, time(rotate_within)),
            (Limit::RevokeWithin, time(revoke_within)),
            (Limit::Grace, time(grace)),
            (Limit::BytesPerSecond, Some(LimitValue::Rate(bytes_per_second))),
        ]
        .into_iter()
        .filter_map(|(limit, value)| Some((limit, value?)))
    }
}
