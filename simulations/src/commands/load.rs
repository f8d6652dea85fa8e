//! Scenarios by the name that a user gives.

use std::fs;

use anyhow::{Context, bail};
use hobnob_simulations::scenario::{Scenario, builtin};

/// A scenario by its name or path.
pub(super) fn load(name: &str) -> anyhow::Result<Scenario> {
    if let Some(builtin) = builtin(name) {
        return Ok(builtin.load()?);
    }
    if !name.ends_with(".toml") {
        bail!(
            "there is no scenario `{name}`: `list` names those that there are, and a path to a file of your own ends in `.toml`"
        );
    }
    let text = fs::read_to_string(name).with_context(|| format!("cannot read {name}"))?;
    Scenario::parse(&text).with_context(|| format!("{name} is not a scenario"))
}
