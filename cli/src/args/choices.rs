//! Parsers of the names of strategies, protocols, preferences, outcomes, roles of gateways and scopes. The help lists each name with its meaning.

use std::str::FromStr;

use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use hobnob_agent::Gateway;
use hobnob_api::{Consistency, InstanceScope, Outcome, Prefer, Protocol, Strategy, UnknownName};

/// A strategy, by its name.
pub(super) fn strategy() -> impl TypedValueParser<Value = Strategy> {
    one_of(Strategy::ALL.iter().map(|strategy| (strategy.name(), strategy.summary())))
}

/// A protocol of calls, by its name.
pub(super) fn protocol() -> impl TypedValueParser<Value = Protocol> {
    one_of(Protocol::ALL.iter().map(|protocol| (protocol.name(), protocol.summary())))
}

/// A preference, by its name.
pub(super) fn prefer() -> impl TypedValueParser<Value = Prefer> {
    one_of(Prefer::ALL.iter().map(|prefer| (prefer.name(), prefer.summary())))
}

/// An outcome, by its name.
pub(super) fn outcome() -> impl TypedValueParser<Value = Outcome> {
    one_of(Outcome::ALL.iter().map(|outcome| (outcome.name(), outcome.summary())))
}

/// Whether an agent may be a gateway, by its name.
pub(super) fn gateway() -> impl TypedValueParser<Value = Gateway> {
    let values = [
        ("yes", "It may be one, like any other"),
        ("only-if-needed", "While fewer than three others may be one"),
        ("never", "Other datacenters do not reach it"),
    ];
    let values = values.map(|(name, summary)| PossibleValue::new(name).help(summary));
    PossibleValuesParser::new(values).map(|name| match name.as_str() {
        "never" => Gateway::Never,
        "only-if-needed" => Gateway::OnlyIfNeeded,
        _ => Gateway::Yes,
    })
}

/// The scope of an instance, by its name.
pub(super) fn scope() -> impl TypedValueParser<Value = InstanceScope> {
    let values = [
        (InstanceScope::Global, "In all datacenters"),
        (InstanceScope::Datacenter, "In the datacenter of its agent alone"),
    ];
    let values = values.map(|(scope, summary)| PossibleValue::new(scope.name()).help(summary));
    PossibleValuesParser::new(values).map(|name| match name.as_str() {
        "datacenter" => InstanceScope::Datacenter,
        _ => InstanceScope::Global,
    })
}

/// The consistency of a request, by its name.
pub(super) fn consistency() -> impl TypedValueParser<Value = Consistency> {
    let values = [
        (Consistency::Eventual, "What others changed just now: an answer costs no network"),
        (
            Consistency::Strong,
            "Nothing that was done before it began: it asks the voters, and fails without a majority",
        ),
    ];
    let values = values.map(|(level, summary)| PossibleValue::new(level.name()).help(summary));
    PossibleValuesParser::new(values).map(|name| match name.as_str() {
        "strong" => Consistency::Strong,
        _ => Consistency::Eventual,
    })
}

fn one_of<T>(
    choices: impl Iterator<Item = (&'static str, &'static str)>,
) -> impl TypedValueParser<Value = T>
where
    T: FromStr<Err = UnknownName> + Clone + Send + Sync + 'static,
{
    let values = choices.map(|(name, summary)| PossibleValue::new(name).help(summary));
    PossibleValuesParser::new(values).try_map(|name| name.parse())
}
