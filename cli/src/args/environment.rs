//! Environment variables, beyond what clap does with them. An empty variable counts as unset. The error of a wrong
//! value names the variable, while clap names only its flag. The usage in an error asks for no flag that a variable
//! sets.

use std::ffi::{OsStr, OsString};

use clap::builder::{OsStr as Name, Resettable};
use clap::error::{ContextKind, ContextValue};
use clap::{Arg, Command, Error};

/// Treats empty variables as unset. Service files and containers leave variables empty.
pub(super) fn without_empty(
    command: Command,
    variable: impl Fn(&OsStr) -> Option<OsString>,
) -> Command {
    without(command, |name| variable(name).is_some_and(|value| value.is_empty()))
}

/// Puts the usage of the command into `error`, as if no variable were set. clap treats a flag whose variable is set as
/// a flag that was typed, and so shows it as a required one.
pub(super) fn correct_usage(error: &mut Error, command: Command, command_line: &[OsString]) {
    let typed = without(command, |_| true).try_get_matches_from(command_line);
    if error.get(ContextKind::Usage).is_some()
        && let Err(typed) = typed
        && let Some(usage) = typed.get(ContextKind::Usage)
    {
        error.insert(ContextKind::Usage, usage.clone());
    }
}

/// The command with some of its variables left out.
fn without(command: Command, is_out: impl Fn(&OsStr) -> bool) -> Command {
    let unset = |arg: Arg| {
        if arg.get_env().is_some_and(&is_out) { arg.env(Resettable::<Name>::Reset) } else { arg }
    };
    command.mut_args(unset).mut_subcommands(|command| command.mut_args(unset))
}

/// The variable that caused `error`, if the wrong value came from the environment. `command` must be built already.
///
/// `command_line` are the arguments of the process; a flag among them takes precedence over its variable.
pub(super) fn culprit(
    error: &Error,
    command: &Command,
    command_line: &[OsString],
    variable: impl Fn(&OsStr) -> Option<OsString>,
) -> Option<String> {
    let Some(ContextValue::String(flag)) = error.get(ContextKind::InvalidArg) else { return None };
    let Some(ContextValue::String(value)) = error.get(ContextKind::InvalidValue) else {
        return None;
    };
    let arg = all_args(command).find(|arg| arg.to_string() == *flag)?;
    let name = arg.get_env()?;
    let content = variable(name)?;
    let content = content.to_string_lossy();
    let from_variable = match arg.get_value_delimiter() {
        Some(delimiter) => content.split(delimiter).any(|item| item == value),
        None => content == *value,
    };
    (from_variable && !is_given(arg, command_line)).then(|| name.to_string_lossy().into_owned())
}

fn all_args(command: &Command) -> impl Iterator<Item = &Arg> {
    command.get_arguments().chain(command.get_subcommands().flat_map(Command::get_arguments))
}

fn is_given(arg: &Arg, command_line: &[OsString]) -> bool {
    let Some(long) = arg.get_long() else { return false };
    command_line.iter().filter_map(|given| given.to_str()?.strip_prefix("--")).any(|given| {
        given.strip_prefix(long).is_some_and(|rest| rest.is_empty() || rest.starts_with('='))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn command() -> Command {
        let bind = Arg::new("bind").long("bind").env("X_BIND");
        let join = Arg::new("join").long("join").env("X_JOIN").value_delimiter(',');
        let agent = Command::new("agent")
            .arg(bind.value_parser(clap::value_parser!(u16)))
            .arg(join.value_parser(clap::value_parser!(u16)));
        let mut command = Command::new("x").subcommand(agent);
        command.build();
        command
    }

    #[test]
    fn an_empty_variable_counts_as_unset() {
        let variable = |name: &OsStr| match name.to_str() {
            Some("X_BIND") => Some(OsString::new()),
            Some("X_JOIN") => Some("1".into()),
            _ => None,
        };
        let command = without_empty(command(), variable);
        let named: Vec<_> = all_args(&command).filter_map(Arg::get_env).collect();
        assert_eq!(named, ["X_JOIN"]);
    }

    fn culprit_of(command_line: &[&str], bind: &str, join: &str) -> Option<String> {
        let command_line: Vec<OsString> = command_line.iter().map(OsString::from).collect();
        // The tests share the environment of their process, so pass the values as flags.
        let flags = ["x", "agent", "--bind", bind, "--join", join];
        let error = command().try_get_matches_from(flags).unwrap_err();
        let variable = |name: &OsStr| match name.to_str() {
            Some("X_BIND") => Some(bind.into()),
            Some("X_JOIN") => Some(join.into()),
            _ => None,
        };
        culprit(&error, &command(), &command_line, variable)
    }

    #[test]
    fn the_variable_with_the_wrong_value_is_found() {
        assert_eq!(culprit_of(&["x", "agent"], "no", "1").as_deref(), Some("X_BIND"));
        assert_eq!(culprit_of(&["x", "agent"], "1", "2,no").as_deref(), Some("X_JOIN"));
    }

    #[test]
    fn a_flag_takes_the_blame_from_its_variable() {
        assert_eq!(culprit_of(&["x", "agent", "--bind", "no"], "no", "1"), None);
        assert_eq!(culprit_of(&["x", "agent", "--bind=no"], "no", "1"), None);
    }
}
