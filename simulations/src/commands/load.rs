//! Loads a scenario by the name that a user gives.

use std::fs;

use anyhow::{Context, bail};
use hobnob_simulations::scenario::{Scenario, builtin};

/// Loads a built-in scenario by its name, or a file by its path.
pub(super) fn load(name: &str) -> anyhow::Result<Scenario> {
    if let Some(builtin) = builtin(name) {
        return Ok(builtin.load()?);
    }
    if !name.ends_with(".toml") {
        bail!("there is no scenario `{name}`: see `list`, or give a path that ends in `.toml`");
    }
    let text = fs::read_to_string(name).with_context(|| format!("cannot read {name}"))?;
    Scenario::parse(&text).with_context(|| format!("{name} is not a scenario"))
}
